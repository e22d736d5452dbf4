"""Searching for a task's best configuration: what may be chosen, what was tried, what mattered."""
