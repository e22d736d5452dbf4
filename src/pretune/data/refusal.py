"""How the parts of the template say that a row cannot be used."""

from pretune.data.rejected import Reason


class RowRefused(Exception):
    """Raised while one row is rendered, and turned into ``Rejected``; it never leaves ``data``.

    The message holds none of the row's content.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
