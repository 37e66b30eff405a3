"""Write log records as one line each: fixed message first, then the fields.

Place     daemon.py and cli/up.py set it up; every module just logs
Spec      docs/protocol/09 §5 (log line format); shared house style, "Logs, metrics, trace"
Keeps     a value can never break a line: control characters are escaped
Not here  the admin RPC's log stream (admin/functions/log.py)
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TextIO

from dexmesh.config.settings import LoggingSettings

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_NAMES = {"WARNING": "WARN"}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra`."""
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def describe(record: logging.LogRecord) -> str:
    """The fixed message and the fields, in one line."""
    fields = (f"{name}={_quoted(value)}" for name, value in fields_of(record).items())
    return " ".join((record.getMessage(), *fields))


class TextFormatter(logging.Formatter):
    """`1795350625 INFO peering.py:120 peer is up peer=fc00::1 label=0000.0000.0000.0013`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line (more only with a traceback)."""
        level = _NAMES.get(record.levelname, record.levelname)
        place = f"{record.filename}:{record.lineno}"
        line = f"{record.created:.0f} {level} {place} {describe(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        shown: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return json.dumps(shown, ensure_ascii=False, default=str)


def set_up_logging(settings: LoggingSettings, stream: TextIO | None = None) -> None:
    """Send the logs of dexmesh to `stream` (standard error when left out)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    handler.setLevel(_LEVELS[settings.level])  # admin clients may want more (08 §7)
    logging.getLogger("dexmesh").setLevel(_LEVELS[settings.level])
    send_logs_to(handler)


def send_logs_to(handler: logging.Handler) -> None:
    """Give the logs of dexmesh, and what the event loop complains about, to this handler alone."""
    for name in ("dexmesh", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False


def _quoted(value: object) -> str:
    text = str(value)
    needs_quotes = not text or any(
        character in ' "=' or not character.isprintable() for character in text
    )
    return json.dumps(text, ensure_ascii=True) if needs_quotes else text
