"""What a server is started with, checked before it opens a port."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from limssr.core.errors import InputError
from limssr.core.reading.regular import Outside, read_text

MIB = 2**20
MIN_TOKEN = 16
"""Characters of a token; shorter ones can be guessed."""
MAX_TOKEN = 4_096


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of `limssr serve`.

    Attributes:
        runs: Folders with something trained.
        host: Address to listen at.
        port: 0 takes a free one.
        token_file: A file with the token that clients have to send; needed for any host but loopback.
        max_body: Bytes of a request's body.
        max_segments: Segments of one sample.
        max_samples: Samples of one request.
        max_waiting: Requests that are read, waiting or being scored at the same time; more are answered with 429.
        max_sessions: Live sessions at the same time.
        wait_ms: How long a request waits for others to be scored in one batch with it; 0: each is scored by itself.
        body_s: Seconds that the whole body of a request may take to arrive.
        head_s: Seconds that the head of a request may take to arrive.
        stop_s: Seconds that requests in progress get to end after the signal to stop.
        workers: Processes that serve behind the port; each has its own queue, bounds and live sessions.
        device: See `limssr.core.runtime.choose_device`.
        threads: Of torch; None: as many as torch takes by itself, as in `limssr predict`, divided among the workers.
    """

    runs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    token_file: Path | None = None
    max_body: int = 64 * MIB
    max_segments: int = 20_000
    max_samples: int = 256
    max_waiting: int = 32
    max_sessions: int = 20
    wait_ms: float = 0.0
    body_s: float = 60.0
    head_s: float = 10.0
    stop_s: float = 30.0
    workers: int = 1
    device: str = "auto"
    threads: int | None = None

    def check(self) -> None:
        """Refuse what cannot work, or would serve strangers.

        Raises:
            InputError: A number out of bounds, no run, or an open host without a token.
        """
        if not self.runs:
            raise InputError("Expected a run folder to serve, found none: give at least one.")
        bounds = {
            "--port": (self.port, 0, 65_535),
            "--max-body": (self.max_body, 1_024, 2**40),
            "--max-segments": (self.max_segments, 1, 10_000_000),
            "--wait-ms": (self.wait_ms, 0, 10_000),
            "--max-waiting": (self.max_waiting, 1, 10_000),
            "--workers": (self.workers, 1, 256),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise InputError(
                    f"Expected {name} between {low:,} and {high:,}, found {value:,}: choose another number."
                )
        if not self.is_loopback and self.token_file is None:
            raise InputError(
                f"Expected --token-file beside --host {self.host}, found none: anybody who reaches that address could "
                "use the server. Write a long random text into a file that only you can read, and give its path."
            )
        self.token()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the host."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def token(self) -> str | None:
        """The token of the file; None where there is no file.

        Raises:
            InputError: No such file, or one with a token that is too short or no plain text.
        """
        if self.token_file is None:
            return None
        outside = Outside(
            path=self.token_file, what="a file with one token", remedy="write a long random text into it, on one line"
        )
        token = read_text(outside, limit=MAX_TOKEN).strip()
        if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise outside.refused(
                f"{len(token)} characters, where at least {MIN_TOKEN} plain ones without blanks belong"
            )
        return token
