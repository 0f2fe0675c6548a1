"""Reads a request to score: JSON or a form, whichever comes."""

import time
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from limssr.core.errors import InputError
from limssr.core.types import Sample
from limssr.serve.arrays import read_body, samples_of
from limssr.serve.forms import received, samples_in
from limssr.serve.problems import Problem
from limssr.serve.schema import ExplainBody, ScoreBody
from limssr.serve.served import Served, chosen
from limssr.serve.state import State

MAX_PARTS = 1_000
JSON, FORM = "application/json", "multipart/form-data"
WINDOWS = 20
MAX_WINDOWS = 100


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that was read.

    Attributes:
        served: The run.
        samples: Checked.
        level: Of the intervals; None: none.
        windows: Of an explanation.
        notes: What was decided in reading.
        read_s: How long it took.
    """

    served: Served
    samples: list[Sample]
    level: float | None
    windows: int
    notes: list[str]
    read_s: float


async def read_request(request: Request, state: State, body: type[ScoreBody] | type[ExplainBody]) -> Asked:
    """Read a request of either kind."""
    begun = time.perf_counter()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "Expected a body that is not packed, found a Content-Encoding: send it as it is.")
    if kind == JSON:
        content = b"".join([piece async for piece in request.stream()])
        found = await run_in_threadpool(_of_json, content, state, body)
    elif kind == FORM:
        form = await _form(request)
        try:
            found = await run_in_threadpool(_of_form, form, state)
        finally:
            await form.close()
    else:
        raise Problem(415, f"Expected a body of type {JSON} or {FORM}, found {kind[:80] or 'none'}: send one of them.")
    served, samples, level, windows, notes = found
    return Asked(
        served=served, samples=samples, level=level, windows=windows, notes=notes, read_s=time.perf_counter() - begun
    )


async def _form(request: Request) -> FormData:
    """A whole form; one that ends in the middle of a part is refused, not read without it."""
    parser = MultiPartParser(request.headers, request.stream(), max_files=MAX_PARTS, max_fields=MAX_PARTS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, f"Expected a form, found one that cannot be read: {error.message}") from None
    whole = {id(value.file) for _, value in form.multi_items() if isinstance(value, UploadFile)}
    cut_off = [file for file in parser._files_to_close_on_error if id(file) not in whole]
    for file in cut_off:
        file.close()
    if cut_off:
        await form.close()
        raise Problem(400, "Expected a whole form, found one that ends in the middle of a part: send it again.")
    return form


def _of_json(content: bytes, state: State, body: type[ScoreBody] | type[ExplainBody]) -> tuple[Any, ...]:
    found = read_body(content, body)
    served = chosen(state.runs, found.model)
    level = served.level_of(found.interval, is_said="interval" in found.model_fields_set)
    bodies = found.samples if isinstance(found, ScoreBody) else [found.sample]
    samples, notes = samples_of(bodies, served, state.bounds, columns=found.columns, only=found.streams)
    return served, samples, level, getattr(found, "windows", WINDOWS), notes


def _of_form(form: Any, state: State) -> tuple[Any, ...]:
    with received(form) as found:
        served = chosen(state.runs, found.fields.get("model"))
        asked, is_said = found.interval()
        level = served.level_of(asked, is_said=is_said)
        windows = found.fields.get("windows", "20")
        if not (windows.isdecimal() and 1 <= int(windows[:4]) <= MAX_WINDOWS):
            raise InputError(
                f"Expected between 1 and {MAX_WINDOWS} windows, found {windows[:40]!r}: give another number."
            )
        samples, notes = samples_in(found, served, state.bounds, max_body=state.settings.max_body)
        return served, samples, level, int(windows), notes
