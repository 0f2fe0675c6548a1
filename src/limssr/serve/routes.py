"""The routes that score and explain."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from limssr.core.errors import InputError
from limssr.serve.asked import FORM, JSON, read_request
from limssr.serve.engine import Job
from limssr.serve.explanation import explained, numbers_or_gaps
from limssr.serve.schema import AskBody, ExplainBody, ProblemAnswer, ScoreAnswer, ScoreBody
from limssr.serve.state import State
from limssr.serve.wording import for_clients

WATCH_S = 0.25
"""How often it is looked whether the client of a waiting request is still there."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemAnswer} for code in (400, 401, 408, 413, 415, 422, 429, 503)
}


def score_routes(state: State) -> APIRouter:
    """The routes over some runs."""
    router = APIRouter()

    @router.post("/v1/score", response_model=None, openapi_extra=_body(ScoreBody),
                 responses={**REFUSALS, 200: {"model": ScoreAnswer}})  # fmt: skip
    async def score(request: Request) -> Response:
        """Score samples, each from the streams that it has.

        JSON, or a form with one file a stream: `STREAM` for one sample, `SAMPLE/STREAM` for several, `streams` for an
        .npz with all of them, `recording` for a video or sound file where the run was made from recordings.
        """
        with state.engine.admission():
            asked = await read_request(request, state, ScoreBody)
            job = Job(served=asked.served, samples=asked.samples)
            begun = time.perf_counter()
            scores_NC = await _computed(request, state, job)
            scoring_s = time.perf_counter() - begun - job.waited_s
            rows, more = asked.served.rows(asked.samples, scores_NC, asked.level)
        state.measures.samples.labels(asked.served.id).inc(len(rows))
        state.measures.scoring.observe(scoring_s)
        request.state.told = {"model": asked.served.id, "samples": len(rows)}
        timings = {"reading": asked.read_s, "waiting": job.waited_s, "scoring": scoring_s}
        return JSONResponse({
            "model": asked.served.id,
            "interval": asked.level,
            "samples": rows,
            "notes": [for_clients(note) for note in (*asked.notes, *more)],
            "timings_ms": {name: round(1000 * value, 2) for name, value in timings.items()},
        })  # fmt: skip

    @router.post("/v1/explain", response_model=None, openapi_extra=_body(ExplainBody), responses=REFUSALS)
    async def explain(request: Request) -> Response:
        """Say what every stream and every stretch of time adds to the scores of one sample."""
        with state.engine.admission():
            asked = await read_request(request, state, ExplainBody)
            if len(asked.samples) != 1 or not asked.samples[0].streams:
                raise InputError(f"Expected one sample with a stream to explain, found {len(asked.samples)}: send one.")
            sample = asked.samples[0]

            def work() -> tuple[Any, dict[str, Any]]:
                return asked.served.found.score([sample]), explained(asked.served, sample, num_windows=asked.windows)

            scores_NC, document = await _computed(request, state, Job(work=work))
            rows, more = asked.served.rows([sample], scores_NC, asked.level)
        request.state.told = {"model": asked.served.id, "samples": 1}
        notes = [for_clients(note) for note in (*asked.notes, *more)]
        return JSONResponse({"model": asked.served.id, "sample": rows[0], "notes": notes, **document})

    return router


def feature_routes(state: State) -> APIRouter:
    """The route that says what a model is given."""
    router = APIRouter()

    @router.post("/v1/features", response_model=None, openapi_extra=_body(ExplainBody), responses=REFUSALS)
    async def features(request: Request) -> Response:
        """What the model is given of one sample: each stream's segments, null where one is missing.

        For a recording these are its features, so that it can be played and scored live.
        """
        with state.engine.admission():
            asked = await read_request(request, state, ExplainBody)
            if len(asked.samples) != 1:
                raise InputError(f"Expected one sample, found {len(asked.samples)}: send one.")
            sample = asked.samples[0]
        streams = {name: numbers_or_gaps(array) for name, array in sample.streams.items()}
        notes = [for_clients(note) for note in asked.notes]
        return JSONResponse({"model": asked.served.id, "sample": {"id": sample.id, "streams": streams}, "notes": notes})

    return router


async def _computed(request: Request, state: State, job: Job) -> Any:
    """What a job computes; given up where the client has gone before its turn."""
    future = asyncio.wrap_future(state.engine.submit(job))
    while not future.done():
        await asyncio.wait([future], timeout=WATCH_S)
        if not future.done() and await request.is_disconnected():
            job.future.cancel()
            raise ClientDisconnect
    return await future


def _body(model: type[AskBody]) -> dict[str, Any]:
    """How the OpenAPI document describes a body that is read by our own bounded reader."""
    form = {
        "type": "object",
        "description": "One file a stream; see the description of the route.",
        "additionalProperties": {"type": "string", "format": "binary"},
    }
    schema = model.model_json_schema()
    content = {JSON: {"schema": _inlined(schema, schema.get("$defs", {}))}, FORM: {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A JSON schema without references into itself, which would lead nowhere in another document."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in schema.items() if key != "$defs"}
    return [_inlined(item, definitions) for item in schema] if isinstance(schema, list) else schema
