"""Tune the prefill. Serve every task at base-model speed."""

__version__ = "0.1.0"
