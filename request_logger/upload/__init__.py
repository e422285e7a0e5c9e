"""Uploads feedback from files through POST /v1/feedback, and reports the result of each row."""
