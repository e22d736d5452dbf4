"""The command line: one file a command, wired here."""

from pretune.cli.app import main

__all__ = ["main"]
