"""Problem details (RFC 9457): how a request is refused, in the sentence of the command line without its options."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from limssr.core.diagnosis import diagnosis
from limssr.core.errors import LimssrError, MissingExtraError, ResourceError
from limssr.serve.wording import for_clients

MEDIA_TYPE = "application/problem+json"
UNEXPECTED = "Something failed that should not have. The server's log has the place; please report it."


class Problem(Exception):
    """A refusal.

    Args:
        status: Of the answer.
        detail: What was expected, what was found, what to do.
        headers: More headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def document(self, request_id: str = "") -> dict[str, Any]:
        """As RFC 9457 has it."""
        title = HTTPStatus(self.status).phrase
        more = {"instance": f"urn:limssr:request:{request_id}"} if request_id else {}
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail, **more}

    def response(self, request_id: str = "") -> JSONResponse:
        """As an answer."""
        return JSONResponse(
            self.document(request_id), status_code=self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def problem_of(error: BaseException) -> Problem:
    """How an error is told to a client; nothing of the code is in it."""
    if isinstance(error, Problem):
        return error
    explained = diagnosis(error) if isinstance(error, Exception) else None
    found = explained or error
    if isinstance(found, ResourceError | MemoryError):
        return Problem(
            503, for_clients(str(found)) or "The machine has no memory left for this request.", {"Retry-After": "10"}
        )
    if isinstance(found, MissingExtraError):
        return Problem(501, str(found))
    if isinstance(found, LimssrError) and found.exit_code == 2:
        return Problem(422, for_clients(str(found)))
    return Problem(500, UNEXPECTED)
