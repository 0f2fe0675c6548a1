"""What every request passes: token, host, length and time of its body; and what every answer gets."""

import asyncio
import hashlib
import hmac
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from limssr.serve.logs import log
from limssr.serve.measures import Measures
from limssr.serve.problems import Problem, problem_of
from limssr.serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/", "/healthz", "/readyz", "/docs", "/openapi.json")
"""Paths that need no token, and everything of the page below /static/."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    """Wraps the application.

    Args:
        app: The routes.
        settings: Of the server.
        token: That clients have to send; None: none is asked for.
        measures: Counts.
    """

    def __init__(self, app: App, settings: ServeSettings, token: str | None, measures: Measures) -> None:
        self.app, self.settings, self.measures = app, settings, measures
        self._digest = None if token is None else _digest(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def is_known(self, token: str) -> bool:
        """Whether a token is the right one; takes the same time for every wrong one."""
        return self._digest is None or hmac.compare_digest(_digest(token), self._digest)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        origin, host = headers.get("origin"), headers.get("host", "")
        if not self._is_own_host(host) or (origin is not None and urlsplit(origin).netloc != host):
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "another site's page"})
            return
        # A browser cannot send a header here: a session's first message may carry the token instead.
        scope["is_known"] = self._digest is None or self.is_known(_bearer(headers))
        scope["knows"] = self.is_known
        await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        request_id = uuid.uuid4().hex[:12]
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {key for key, _ in message["headers"]}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
                message["headers"] = [*message["headers"], *more, (b"x-request-id", request_id.encode())]
            # A client that does not read what it asked for is let go.
            await asyncio.wait_for(send(message), self.settings.body_s)

        body = _Body(receive, self.settings)
        try:
            self._admit(scope)
            body.check_declared(_headers(scope))
            await self.app(scope, body.receive, answer)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            problem = problem_of(error)
            if not status:
                await problem.response(request_id)(scope, receive, answer)  # type: ignore[arg-type]
            if problem.status == 500 and not isinstance(error, TimeoutError | OSError):
                log("failure", level=40, error=error, request=request_id)
        finally:
            seconds = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "none")
            self.measures.requests.labels(route, str(status)).inc()
            self.measures.seconds.labels(route).observe(seconds)
            log(
                "request",
                request=request_id,
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(1000 * seconds, 1),
                body=body.length,
                **scope["state"].get("told", {}),
            )

    def _admit(self, scope: Scope) -> None:
        headers = _headers(scope)
        if not self._is_own_host(headers.get("host", "")):
            raise Problem(
                421, "Expected a request to this machine by its name or address, found another Host: use 127.0.0.1 or "
                "localhost."
            )  # fmt: skip
        path = scope["path"]
        if self._digest is None or path in OPEN or path.startswith("/static/"):
            return
        if not self.is_known(_bearer(headers)):
            raise Problem(
                401, "Expected the server's token, found none or another one: send it as Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    def _is_own_host(self, host: str) -> bool:
        """Without a token, other names could be another site's that leads here; with one it does not matter."""
        if self._digest is not None or not self.settings.is_loopback:
            return True
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name in (*LOOPBACK_NAMES, self.settings.host)


class _Body:
    """The body of a request as it arrives, within a length and a time."""

    def __init__(self, receive: Receive, settings: ServeSettings) -> None:
        self._receive, self._settings = receive, settings
        self._until: float | None = None
        self._is_whole = False
        self.length = 0

    def check_declared(self, headers: Mapping[str, str]) -> None:
        """Refuse a body that says that it is too long before any of it is read."""
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > self._settings.max_body:
            raise self._too_long()

    async def receive(self) -> MutableMapping[str, Any]:
        """ASGI."""
        if self._is_whole:
            return await self._receive()
        now = time.monotonic()
        self._until = self._until or now + self._settings.body_s
        try:
            message = await asyncio.wait_for(self._receive(), max(self._until - now, 0.001))
        except TimeoutError:
            raise Problem(
                408, f"Expected the whole body within {self._settings.body_s:g} s, found {self.length:,} bytes of it.",
                {"Connection": "close"},
            ) from None  # fmt: skip
        if message["type"] == "http.request":
            self.length += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self.length > self._settings.max_body:
                raise self._too_long()
        return message

    def _too_long(self) -> Problem:
        return Problem(
            413,
            f"Expected a body of at most {self._settings.max_body:,} bytes, found more: send fewer samples at once, or "
            "ask whoever runs the server for a higher bound.",
            {"Connection": "close"},
        )


def _headers(scope: Scope) -> dict[str, str]:
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}


def _bearer(headers: Mapping[str, str]) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
