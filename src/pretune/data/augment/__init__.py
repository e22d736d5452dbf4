"""Rows varied from others: operators that change how a row is said and not what is right."""
