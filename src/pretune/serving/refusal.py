"""Refusals: an HTTP status beside a message, in the form that OpenAI's clients read."""

from typing import Any

from fastapi.responses import JSONResponse

from pretune.core.errors import SpecError


class Refused(SpecError):
    """A request that is answered by an error.

    ``kind`` is OpenAI's ``type``, ``param`` the field at fault, ``retry_after`` seconds after which
    to try again.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that is sent."""
        return {
            "error": {
                "message": str(self),
                "type": self.kind,
                "param": self.param,
                "code": self.status,
            }
        }

    def response(self) -> JSONResponse:
        """As an HTTP answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse(self.body, self.status, headers)


def overloaded(message: str, status: int = 429) -> Refused:
    """Too much at once (429), or about to stop (503): come back in a second."""
    return Refused(message, status, kind="overloaded_error", retry_after=1)
