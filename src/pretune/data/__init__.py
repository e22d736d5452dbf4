"""Rows to token batches: sources, checks and the report, splits, templates, truncation, batches."""
