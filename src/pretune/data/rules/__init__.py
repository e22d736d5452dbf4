"""Rows made by rules: from a rules file to rows, and what is wrong with the rules."""
