"""The gate: what is asked of a version before it may answer, and the evidence of it.

The records and what becomes of goals need no torch; a registry reads them.
"""
