"""The application: routes, refusals, the page's files, and the guard around them."""

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from limssr.core.errors import LimssrError
from limssr.core.version import __version__
from limssr.serve.arrays import Bounds
from limssr.serve.engine import Engine
from limssr.serve.guard import Guard
from limssr.serve.live import live_routes
from limssr.serve.measures import Measures
from limssr.serve.problems import Problem, problem_of
from limssr.serve.routes import feature_routes, score_routes
from limssr.serve.served import open_runs
from limssr.serve.settings import ServeSettings
from limssr.serve.state import State
from limssr.serve.status_routes import PAGE, status_routes


class ScoreServer:
    """An ASGI application that scores.

    Args:
        settings: Of the server; checked.

    Attributes:
        state: Runs, engine and counters.

    Raises:
        InputError: The settings, or a run, are not right.
    """

    def __init__(self, settings: ServeSettings) -> None:
        settings.check()
        runs = open_runs(settings.runs, device=settings.device)
        measures = Measures()
        engine = Engine(max_waiting=settings.max_waiting, wait_s=settings.wait_ms / 1000, threads=settings.threads)
        bounds = Bounds(max_segments=settings.max_segments, max_samples=settings.max_samples)
        self.state = State(settings=settings, runs=runs, engine=engine, measures=measures, bounds=bounds)
        self._guard = Guard(_routed(self.state), settings, settings.token(), measures)  # type: ignore[arg-type]

    async def __call__(self, scope: dict, receive: object, send: object) -> None:
        """ASGI."""
        await self._guard(scope, receive, send)  # type: ignore[arg-type]

    def close(self) -> None:
        """End the thread that computes."""
        self.state.engine.close()


def _routed(state: State) -> FastAPI:
    app = FastAPI(
        title="limssr",
        version=__version__,
        description="Scores performances from several time-aligned streams, some of which may be missing.",
        docs_url=None,  # the library's page fetches its parts from elsewhere
        redoc_url=None,
    )
    app.include_router(score_routes(state))
    app.include_router(feature_routes(state))
    app.include_router(status_routes(state))
    app.include_router(live_routes(state))
    app.mount("/static", StaticFiles(directory=PAGE), name="static")

    async def refuse(request: Request, error: Exception) -> Response:
        return _refusal(error).response(request.state.request_id)

    for kind in (Problem, LimssrError, ClientDisconnect, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)
    return app


def _refusal(error: Exception) -> Problem:
    if isinstance(error, ClientDisconnect):
        return Problem(400, "Expected a whole request, found that the connection ended in the middle of it.")
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), error.headers)
    return problem_of(error)
