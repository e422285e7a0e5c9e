"""Uploads feedback from files through POST /v1/feedback, and tells what became of each row."""
