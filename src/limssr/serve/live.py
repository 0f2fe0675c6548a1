"""Live sessions over a WebSocket: segments go in as they are recorded, scores come back.

Messages are JSON. The client sends `start` (with `token` where the server has one), then `segments` with arrays of the
next segments of each stream, and `end`. The server answers `started`, a `score` for each `segments`, and `ended`.
What is wrong with some segments is answered with a `problem`; they count as not sent.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from limssr.core.errors import InputError, unknown_name
from limssr.core.reading.documents import parse_json
from limssr.runs.live.scorer import LiveScore
from limssr.serve.arrays import BODY, read_array
from limssr.serve.engine import STOPPING, Job, LiveSegments
from limssr.serve.explanation import numbers
from limssr.serve.logs import log
from limssr.serve.problems import Problem, problem_of
from limssr.serve.served import LEVEL, Served, chosen
from limssr.serve.state import State

IDLE_S = 300.0
"""Seconds without a message after which a session ends."""
REFUSED, FULL, RESTART = 1008, 1013, 1012


def live_routes(state: State) -> APIRouter:
    """The route of live sessions."""
    router = APIRouter()
    open_sessions: set[int] = set()

    @router.websocket("/v1/live/{model_id}")
    async def live(socket: WebSocket, model_id: str) -> None:
        await socket.accept()
        if len(open_sessions) >= state.settings.max_sessions:
            await _refuse(socket, Problem(429, f"Expected at most {state.settings.max_sessions} live sessions."), FULL)
            return
        open_sessions.add(id(socket))
        state.measures.sessions.set(len(open_sessions))
        told = {"model": model_id[:80], "segments": 0}
        try:
            await _session(socket, state, model_id, told)
        except WebSocketDisconnect:
            pass
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                log("failure", level=40, error=error, **told)
            await _refuse(socket, problem, REFUSED)
        finally:
            open_sessions.discard(id(socket))
            state.measures.sessions.set(len(open_sessions))
            log("session", **told)

    return router


async def _session(socket: WebSocket, state: State, model_id: str, told: dict[str, Any]) -> None:
    first = await _message(socket, state.settings.head_s)
    if not socket.scope.get("is_known") and not socket.scope["knows"](str(first.get("token", ""))):
        raise Problem(401, "Expected the server's token in the first message, found none or another one.")
    if first.get("type") != "start":
        raise InputError('Expected {"type": "start"} as the first message, found another: begin with it.')
    if state.engine.is_stopping:
        raise Problem(503, STOPPING)
    served = chosen(state.runs, model_id)
    scorer = served.live
    session = scorer.session()
    await socket.send_json({"type": "started", "model": served.id, "reads_again": scorer.reads_again})
    while True:
        message = await _message(socket, IDLE_S)
        kind = message.get("type")
        if kind == "end":
            last = scorer.finish(session)
            await socket.send_json({"type": "ended", **(_document(served, last) if last else {"scores": {}})})
            await socket.close()
            return
        if kind != "segments":
            raise InputError('Expected a message of type "segments" or "end", found another: see /docs.')
        try:
            if session.length >= state.settings.max_segments:
                raise Problem(413, f"Expected at most {state.settings.max_segments:,} segments in a live performance.")
            with state.engine.admission():
                streams = _streams(served, message.get("streams"))
                job = Job(live=LiveSegments(scorer, session, streams))
                score = await asyncio.wrap_future(state.engine.submit(job))
        except (InputError, Problem) as error:
            await socket.send_json({**problem_of(error).document(), "type": "problem"})
            continue
        told["segments"] = session.length
        await socket.send_json({"type": "score", **_document(served, score)})


async def _message(socket: WebSocket, patience_s: float) -> Mapping[str, Any]:
    """The next message.

    Raises:
        Problem: None came in time, or it is no JSON object.
    """
    try:
        message = await asyncio.wait_for(socket.receive(), patience_s)
    except TimeoutError:
        raise Problem(408, f"Expected a message within {patience_s:g} s, found none: begin again.") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    if text is None:
        raise Problem(415, "Expected text that holds JSON, found bytes.")
    try:
        document = parse_json(text, BODY)
    except InputError as error:
        raise Problem(400, str(error)) from None
    if not isinstance(document, Mapping):
        raise Problem(400, "Expected a JSON object as message, found something else.")
    return document


def _streams(served: Served, given: Any) -> dict[str, np.ndarray]:
    """Arrays of new segments; a stream whose rows are all null is missing in them."""
    if not isinstance(given, Mapping):
        raise InputError('Expected "streams" with an array for each stream, found something else.')
    known = {one.name: one for one in served.found.modalities}
    streams = {}
    for name, rows in given.items():
        if name not in known:
            raise unknown_name("stream", str(name), list(known))
        if rows is None:
            continue
        if isinstance(rows, list) and rows and all(row is None for row in rows):
            streams[name] = np.full((len(rows), known[name].dim), np.nan)
        else:
            streams[name] = read_array(rows, f"Stream '{name}'")
    return streams


def _document(served: Served, score: LiveScore) -> dict[str, Any]:
    """A score as a message."""
    ends = zip(numbers(score.score_C), numbers(score.low_C), numbers(score.high_C), strict=True)
    scores = {
        one.name: {"score": value, "low": low, "high": high, "scale": [one.low, one.high], "unit": one.unit}
        for one, (value, low, high) in zip(served.found.criteria, ends, strict=True)
    }
    return {"segments": score.segments, "streams": list(score.streams), "scores": scores, "interval": LEVEL,
            "interval_of": score.interval_of,
            "how": score.how, "ms": round(1000 * score.seconds, 2)}  # fmt: skip


async def _refuse(socket: WebSocket, problem: Problem, code: int) -> None:
    try:
        await socket.send_json({**problem.document(), "type": "problem"})
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):  # it has gone already
        return
