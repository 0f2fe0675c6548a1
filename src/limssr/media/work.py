"""The work on one file: decode it once, let every encoder read along, keep the result under the file's hash."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from limssr.core.errors import InputError
from limssr.core.files import sha256_of, write_bytes
from limssr.core.reading.documents import read_json
from limssr.core.reading.regular import Outside
from limssr.core.reading.tensors import read_tensors
from limssr.media.clock import Segments
from limssr.media.containers import probe
from limssr.media.decode import LONGEST_PX, Picture, Reader, Sound
from limssr.media.encoders.contract import Session, Thinner
from limssr.media.encoders.table import card_of, load_encoder
from limssr.media.vectors import Vectors

# Raised when decoding delivers something else for the same file.
DECODER_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file and what is wanted of it.

    Attributes:
        path: Of the file.
        encoders: Names; those that read something the file does not have are left out.
        segments: The clock.
        offset_ns: Where the file's zero lies on the recording's clock.
        cache: Folder for results; None: nothing is kept.
    """

    path: Path
    encoders: tuple[str, ...]
    segments: Segments
    offset_ns: int = 0
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What a file gave.

    Attributes:
        end_ns: Where it ends on the recording's clock.
        damage: (second, what was wrong there).
        has_picture: Whether there are moving pictures.
        has_sound: Whether there is sound.
        values: Encoder -> [K, D], K reaching to the end of the file.
    """

    end_ns: int
    damage: tuple[tuple[float, str], ...]
    has_picture: bool
    has_sound: bool
    values: Mapping[str, np.ndarray]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums then do not depend on how many cores a machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def encode_file(job: Job) -> FileResult:
    """Encode a file, or take what is kept of it.

    Raises:
        InputError: The file cannot be read, or an encoder lacks something.
        ResourceError: The disk is full.
    """
    with one_thread():
        info = probe(job.path)
        has = {"picture": info.picture is not None, "sound": info.sound is not None}
        has["vectors"] = has["picture"]
        wanted = [name for name in job.encoders if has[card_of(name).reads]]
        if job.cache is None:
            facts, values = _encode(job, wanted)
        else:
            facts, values = _through_cache(job, wanted)
    return FileResult(
        end_ns=facts["end_ns"],
        damage=tuple((float(at_s), str(what)) for at_s, what in facts["damage"]),
        has_picture=has["picture"],
        has_sound=has["sound"],
        values=values,
    )


def _through_cache(job: Job, wanted: Sequence[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    assert job.cache is not None
    digest = sha256_of(job.path)
    facts_path = job.cache / f"{_key(job, digest, None)}.json"
    kept = {name: job.cache / f"{_key(job, digest, name)}.safetensors" for name in wanted}
    facts = _read_facts(facts_path)
    values = (
        {} if facts is None else {name: found for name in wanted if (found := _read_values(kept[name])) is not None}
    )
    lacking = [name for name in wanted if name not in values]
    if lacking or facts is None:
        facts, made = _encode(job, lacking)
        job.cache.mkdir(parents=True, exist_ok=True)
        for name, array_KD in made.items():
            _write(kept[name], save({"values": array_KD}))
        _write(facts_path, json.dumps(facts).encode())
        values |= made
    return facts, {name: values[name] for name in wanted}


def _encode(job: Job, encoders: Sequence[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Decode all of the file, whatever is wanted of it: where it ends must not depend on that."""
    cards = {name: card_of(name) for name in encoders}
    sessions: dict[str, Session] = {name: load_encoder(name).session(job.segments) for name in encoders}
    thinners = {name: Thinner(card.pictures_hz) for name, card in cards.items() if card.reads == "picture"}
    listeners = [sessions[name] for name, card in cards.items() if card.reads == "sound"]
    counters = [sessions[name] for name, card in cards.items() if card.reads == "vectors"]
    pictures_hz = max((card.pictures_hz for card in cards.values()), default=0.0) or 1.0
    reader = Reader(job.path, pictures_hz=pictures_hz, vectors=bool(counters))
    for piece in reader:
        if isinstance(piece, Sound):
            shifted = Sound(start_ns=piece.start_ns + job.offset_ns, samples_N=piece.samples_N)
            for session in listeners:
                session.add(shifted)
            continue
        if isinstance(piece, Vectors):
            for session in counters:
                session.add(replace(piece, time_ns=piece.time_ns + job.offset_ns))
            continue
        for name, thinner in thinners.items():
            if thinner.lets(piece.time_ns):
                sessions[name].add(Picture(time_ns=piece.time_ns + job.offset_ns, rgb_HWC=piece.rgb_HWC))
    end_ns = reader.end_ns + job.offset_ns
    number = job.segments.upper_number(max(end_ns, 0))
    values = {name: session.segments(job.segments, number) for name, session in sessions.items()}
    return {"end_ns": end_ns, "damage": reader.damage}, values


def _key(job: Job, digest: str, encoder: str | None) -> str:
    """Everything that the result depends on."""
    facts: dict[str, Any] = {
        "file": digest,
        "offset_ns": job.offset_ns,
        "decoder": [DECODER_VERSION, LONGEST_PX],
    }
    if encoder is not None:
        made = load_encoder(encoder)
        facts |= {
            "segments": job.segments.to_dict(),
            "encoder": [encoder, made.card.version, made.weights_sha256, made.card.settings],
        }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read_facts(path: Path) -> dict[str, Any] | None:
    try:
        facts = read_json(_kept(path))
        damage = [(float(at_s), str(what)) for at_s, what in facts["damage"]]
        return {"end_ns": int(facts["end_ns"]), "damage": damage}
    except (InputError, TypeError, ValueError, KeyError, OverflowError):
        return None


def _read_values(path: Path) -> np.ndarray | None:
    """None where there is nothing, or something that was cut short."""
    try:
        return read_tensors(_kept(path))["values"].numpy()
    except (InputError, KeyError):
        return None


def _kept(path: Path) -> Outside:
    return Outside(path=path, what="a result that was kept", remedy="remove it")


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing; whoever writes the same at the same time writes the same bytes."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        write_bytes(partial, content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
