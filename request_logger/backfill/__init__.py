"""Stores events from archives: files of records, and of CloudEvents, through the ingest pipeline of this process."""
