"""Batch runs over stored documents: rescore, export."""
