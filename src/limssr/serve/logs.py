"""One JSON object a line on standard error: when, what, how long. No features and no scores are in it."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

NAME = "limssr.serve"
MAX_TEXT = 300
"""Characters of a path or message in a line."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage()[:MAX_TEXT],
            **getattr(record, "told", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["trace"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line, ensure_ascii=True, default=str)


def set_up_logs() -> None:
    """Send what this server and uvicorn say to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in ((NAME, logging.INFO), ("uvicorn", logging.WARNING), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def log(event: str, *, level: int = logging.INFO, error: BaseException | None = None, **told: object) -> None:
    """Write a line.

    Args:
        event: What happened, always in the same words.
        level: As in `logging`.
        error: Whose place in the code is to be in the line.
        told: Numbers and names about it.
    """
    shown = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in told.items()}
    logging.getLogger(NAME).log(level, event, extra={"told": shown}, exc_info=error)
