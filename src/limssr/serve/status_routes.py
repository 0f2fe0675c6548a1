"""The routes that say what there is and how it is: models, health, counters, the page."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from limssr.core.version import __version__
from limssr.serve.engine import STOPPING
from limssr.serve.problems import Problem
from limssr.serve.schema import ProblemAnswer
from limssr.serve.served import chosen
from limssr.serve.state import State

PAGE = Path(__file__).parent / "page"


def status_routes(state: State) -> APIRouter:
    """The routes over some runs."""
    router = APIRouter()

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        """What can be scored with, and how much a request may hold."""
        names = ("max_body", "max_segments", "max_samples", "max_waiting", "wait_ms")
        limits = {name: getattr(state.settings, name) for name in names}
        return {"limssr": __version__, "models": [one.short() for one in state.runs.values()], "limits": limits}

    @router.get("/v1/models/{model_id}", responses={404: {"model": ProblemAnswer}})
    async def model(model_id: str) -> dict[str, Any]:
        """Streams, criteria, measured accuracy and coverage of every subset, and where the run came from."""
        return chosen(state.runs, model_id).described()

    @router.get("/healthz")
    async def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"model": ProblemAnswer}})
    async def ready() -> dict[str, str]:
        """Whether it takes requests."""
        if state.engine.is_stopping:
            raise Problem(503, STOPPING, {"Retry-After": "5"})
        return {"status": "ready"}

    @router.get("/metrics", response_model=None)
    async def metrics() -> Response:
        """Counters for Prometheus, of all workers together."""
        state.measures.under_way.set(state.engine.admitted)
        return Response(state.measures.text(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/", include_in_schema=False, response_model=None)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html; charset=utf-8")

    @router.get("/docs", include_in_schema=False, response_model=None)
    async def docs() -> Response:
        return FileResponse(PAGE / "docs.html", media_type="text/html; charset=utf-8")

    return router
