"""``python -m pretune`` is ``pretune``."""

from pretune.cli.app import main

main()
