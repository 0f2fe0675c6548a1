"""`limssr serve`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro import conf

from limssr.cli.options import Common, Device, Position
from limssr.cli.output import Answer


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve trained runs: a page for people at /, an interface for programs below /v1 (described at /docs)."""

    runs: Annotated[Position[tuple[Path, ...]], conf.arg(metavar="RUN [RUN ...]")]
    """Run folders, folders of references, or folders with a saved model."""
    host: Annotated[str, conf.arg(metavar="NAME")] = "127.0.0.1"
    """Address to listen at. Any other than this machine's own needs --token-file."""
    port: Annotated[int, conf.arg(metavar="N")] = 8000
    """Port to listen at; 0 takes a free one."""
    token_file: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """A file with the token that clients have to send (Authorization: Bearer TOKEN)."""
    max_body: Annotated[int, conf.arg(metavar="MIB")] = 64
    """Largest body of a request, in MiB."""
    max_segments: Annotated[int, conf.arg(metavar="N")] = 20_000
    """Most segments of one sample."""
    max_waiting: Annotated[int, conf.arg(metavar="N")] = 32
    """Most requests at the same time; further ones are answered with 429 and when to come again."""
    wait_ms: Annotated[float, conf.arg(metavar="MS")] = 0.0
    """Wait so long for further requests and score them in one batch: faster under load, but the last bits of a score
    then depend on what else is in the batch. 0: each request is scored as `limssr predict` does, bit for bit."""
    workers: Annotated[int, conf.arg(metavar="N")] = 1
    """Processes that serve behind the port; one that dies is started again. Each opens the runs by itself, and has its
    share of the threads and its own places for requests. A live session belongs to one of them."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Serve."""
        from limssr.serve.extras import check_packages
        from limssr.serve.settings import MIB, ServeSettings

        settings = ServeSettings(
            runs=self.runs,
            host=self.host,
            port=self.port,
            token_file=self.token_file,
            max_body=self.max_body * MIB,
            max_segments=self.max_segments,
            max_waiting=self.max_waiting,
            wait_ms=self.wait_ms,
            workers=self.workers,
            device=self.device,
        )
        settings.check()
        check_packages()
        from limssr.serve.run import serve

        serve(settings, say=_say)
        return Answer({"stopped": True}, ("Stopped.",))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201
