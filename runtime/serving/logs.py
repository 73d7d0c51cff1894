"""Structured logs: one line for each request and each event of the server's life, as JSON or as text.

A line is written by a thread of its own: a terminal or pipe that nobody reads must not stop the event loop. What does
not fit into the bounded queue is dropped, and how much is said in the next line.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import json
import logging
import secrets
import sys
import threading
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What everything in this package logs to.
LOGGER = logging.getLogger("rnnx.serve")
FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")

#: Name of the request in whose task this runs; transports set it (header ``x-request-id``).
REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("rnnx_request_id", default="")

#: Loggers of the packages that carry requests; their warnings are ours.
_TRANSPORTS = ("uvicorn", "uvicorn.error", "grpc", "asyncio")
#: Longest value of a client's that is repeated in a line.
_LONGEST = 128
_WAIT_S = 0.1


def new_request_id() -> str:
    """A name for a request that brought none."""
    return secrets.token_hex(8)


def log_event(event: str, *, level: int = logging.INFO, **fields: Any) -> None:  # noqa: ANN401  (JSON-able values)
    """Log one line, if anybody wants it.

    Args:
        event: what happened, such as ``request`` or ``model ready``.
        level: as in :mod:`logging`.
        fields: JSON-able values by name.
    """
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s", event, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": ..., "event": ..., ...}`` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{name: _short(value) for name, value in fields.items()},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z info request model=asr ms=1.25`` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; a client's text is quoted, so that it cannot begin a line of its own."""
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        told = "".join(f" {name}={_quoted(_short(value))}" for name, value in fields.items())
        text = f"{_time(record)} {record.levelname.lower()} {record.getMessage()}{told}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class Writer(logging.Handler):
    """Writes records from a thread of its own; a context manager."""

    def __init__(self, stream: IO[str], formatter: logging.Formatter, *, most: int = 10_000) -> None:
        """Begin to write.

        Args:
            stream: where to.
            formatter: one record to one line.
            most: how many records may wait.
        """
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._waiting: collections.deque[logging.LogRecord] = collections.deque()
        self._most = most
        self._dropped = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rnnx-logs", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record into the queue, or count it where the queue is full."""
        if len(self._waiting) < self._most:
            self._waiting.append(record)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits and stop; a stream that takes nothing is left behind after a second."""
        self._stopping.set()
        self._thread.join(timeout=1.0)
        super().close()

    def _run(self) -> None:
        while not self._stopping.wait(_WAIT_S):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = []
        while self._waiting:
            lines.append(self.format(self._waiting.popleft()))
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            lost = logging.LogRecord(LOGGER.name, logging.WARNING, __file__, 0, "log lines dropped", (), None)
            lost.fields = {"lines": dropped}
            lines.append(self.format(lost))
        if lines:
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                self._stopping.set()  # nobody reads any more


@contextlib.contextmanager
def logs_to(form: str = "text", level: str = "info", stream: IO[str] | None = None) -> Iterator[None]:
    """Send the lines of :data:`LOGGER`, and warnings of the transports, to a stream, and then where they went before.

    Args:
        form: out of :data:`FORMATS`.
        level: out of :data:`LEVELS`.
        stream: standard error by default.
    """
    formatter = JsonFormatter() if form == "json" else TextFormatter()
    writer = Writer(sys.stderr if stream is None else stream, formatter)
    loggers = [LOGGER, *(logging.getLogger(name) for name in _TRANSPORTS)]
    before = [(one.level, one.handlers, one.propagate) for one in loggers]
    for one in loggers:
        one.setLevel(level.upper() if one is LOGGER else logging.WARNING)
        one.handlers, one.propagate = [writer], False
    try:
        yield
    finally:
        for one, (its_level, its_handlers, its_propagate) in zip(loggers, before, strict=True):
            one.setLevel(its_level)
            one.handlers, one.propagate = its_handlers, its_propagate
        writer.close()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(value: Any) -> Any:  # noqa: ANN401  (whatever is logged)
    return value[:_LONGEST] + "…" if isinstance(value, str) and len(value) > _LONGEST else value


def _quoted(value: Any) -> str:  # noqa: ANN401  (whatever is logged)
    text = str(value)
    plain = text and text.isprintable() and not any(one in text for one in ' "=')
    return text if plain else json.dumps(text)
