"""What the machine runs out of gets its own words, wherever it is met."""

import errno
import os
import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from limssr.core.diagnosis import diagnosis, failed_write
from limssr.core.errors import ArtifactError, InputError, LimssrError, ResourceError
from limssr.core.files import write_atomically, write_bytes
from limssr.data.store.reader import FeatureStore

TOO_MUCH = 2**52


@pytest.mark.parametrize(
    "take",
    [
        lambda: np.empty(TOO_MUCH, dtype=np.uint8),
        lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
        lambda: pa.allocate_buffer(TOO_MUCH),
        lambda: bytearray(TOO_MUCH),
    ],
    ids=["numpy", "torch", "arrow", "python"],
)
def test_a_shortage_of_memory_is_one_whoever_says_so(take):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of four libraries
        take()
    found = diagnosis(caught.value)
    assert isinstance(found, ResourceError)
    assert found.exit_code == 2
    assert "enough memory" in str(found)


def test_memory_that_ends_while_a_table_is_read_is_no_damage(store_path, monkeypatch):
    def short_of_memory(*_, **__):
        raise pa.ArrowMemoryError("malloc of size 2097152 failed")

    monkeypatch.setattr(pq.ParquetFile, "read", short_of_memory)
    with pytest.raises(ResourceError, match="expected memory"):
        FeatureStore.open(store_path)


def test_an_error_that_took_it_for_damage_is_corrected_by_its_cause():
    damage = ArtifactError("the file is truncated")
    damage.__cause__ = pa.ArrowMemoryError("malloc of size 2097152 failed")
    assert isinstance(diagnosis(damage), ResourceError)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EACCES, InputError, "the right to read or write"),
        (errno.EPERM, InputError, "the right to read or write"),
        (errno.EROFS, InputError, "can only be read"),
        (errno.ENAMETOOLONG, InputError, "leads to a file"),
        (errno.EFBIG, ResourceError, "ulimit -f"),
        (errno.EMFILE, ResourceError, "ulimit -n"),
        (errno.EDQUOT, ResourceError, "the disk is full"),
        (errno.ENOMEM, ResourceError, "enough memory"),
    ],
)
def test_what_the_system_refuses_is_told_with_the_path_and_a_remedy(number, kind, words, tmp_path):
    error = OSError(number, os.strerror(number), str(tmp_path / "x.csv"))
    found = diagnosis(error)
    assert type(found) is kind
    assert words in str(found)
    assert kind is ResourceError or str(tmp_path / "x.csv") in str(found)


def test_what_nobody_outside_can_put_right_is_left_alone():
    for error in (
        ZeroDivisionError(),
        KeyError("x"),
        FileNotFoundError(errno.ENOENT, "gone", "x"),
        RuntimeError("shape"),
    ):
        assert diagnosis(error) is None
    assert diagnosis(InputError("a good word already")) is None
    assert diagnosis(LimssrError("ours")) is None


def chained(error, cause):
    error.__context__ = cause  # as `raise error from None` inside `except cause` leaves it
    return error


def test_a_refusal_with_its_own_words_keeps_them():
    assert (
        diagnosis(chained(InputError("better words"), PermissionError(errno.EACCES, "Permission denied", "x"))) is None
    )


def test_a_file_that_may_not_be_read_is_not_called_altered():
    cause = PermissionError(errno.EACCES, "Permission denied", "/run/model.safetensors")
    found = diagnosis(chained(ArtifactError("it is missing or was altered"), cause))
    assert type(found) is InputError
    assert "/run/model.safetensors" in str(found)


@pytest.mark.parametrize("write", [write_bytes, write_atomically])
def test_a_limit_on_the_size_of_files_leaves_nothing_half_written(write, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ResourceError, match="ulimit -f"):
            write(tmp_path / "x", bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert write is write_bytes or list(tmp_path.iterdir()) == []


def test_the_name_of_a_temporary_file_is_not_shown(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".p.csv.12345678.partial"))
    assert str(failed_write(tmp_path / "p.csv", error)).count(".partial") == 0


def test_a_very_long_path_is_cut():
    found = diagnosis(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000))
    assert len(str(found)) < 500
