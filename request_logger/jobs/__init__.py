"""Batch jobs over stored documents: rescore, export."""
