"""Lines of the log: one a request, in two forms, written behind the event loop's back."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
import time

import pytest

from rnnx.errors import InputError, StreamNotFoundError
from rnnx.runtime.serving.logs import LOGGER, REQUEST_ID, TextFormatter, Writer, log_event, logs_to


def test_one_json_line_for_each_request(kit, leaky_path):
    stream = io.StringIO()

    async def main():
        async with kit.serving(leaky_path) as service:
            await service.infer(kit.request(kit.frames(2), id="mine"))
            REQUEST_ID.set("of the header")
            await service.infer(kit.request(kit.frames(2), id="mine"))
            with pytest.raises(InputError):
                await service.infer(kit.request(inputs={}))

    before = (LOGGER.level, LOGGER.handlers, LOGGER.propagate)
    with logs_to("json", "info", stream):
        kit.run(main())
    assert (LOGGER.level, LOGGER.handlers, LOGGER.propagate) == before
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [line for line in lines if line["event"] == "request"]
    assert [(one["request_id"], one["status"]) for one in told] == [
        ("mine", "ok"),
        ("of the header", "ok"),
        ("of the header", "InputError"),
    ]
    assert told[0]["model"] == "leaky"
    assert told[0]["batch"] == 1
    assert 0 < told[0]["ms"] < 10_000
    assert told[0]["time"].endswith("Z")
    assert lines[0]["event"] == "model ready"


@pytest.mark.parametrize("level", ["info", "debug"])
def test_the_chunks_in_the_middle_of_a_stream_are_told_when_debugging(kit, leaky_path, level):
    stream = io.StringIO()

    async def main():
        async with kit.serving(leaky_path) as service:
            for name, sequence in (
                ("begin", (7, "start")),
                ("middle", (7,)),
                ("lost", (8,)),
                ("end", (7, "end")),
            ):
                with contextlib.suppress(StreamNotFoundError):
                    await service.infer(kit.request(kit.frames(2), id=name, sequence=sequence))

    with logs_to("json", level, stream):
        kit.run(main())
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [(one["request_id"], one["status"]) for one in lines if one["event"] == "request"]
    begin, middle, lost, end = ("begin", "ok"), ("middle", "ok"), ("lost", "StreamNotFoundError"), ("end", "ok")
    assert told == ([begin, middle, lost, end] if level == "debug" else [begin, lost, end])


def test_a_clients_text_cannot_begin_a_line():
    record = logging.LogRecord("x", logging.INFO, "", 0, "request", (), None)
    record.fields = {"request_id": "a\nb c", "ms": 1.5, "long": "x" * 300}
    (line,) = TextFormatter().format(record).splitlines()
    assert 'info request request_id="a\\nb c" ms=1.5 long=xxx' in line
    assert len(line) < 250


def test_levels():
    stream = io.StringIO()
    with logs_to("text", "warning", stream):
        log_event("quiet")
        log_event("loud", level=logging.WARNING)
    assert "loud" in stream.getvalue()
    assert "quiet" not in stream.getvalue()


def test_a_reader_that_is_stuck_does_not_stop_the_writer_and_is_told_what_it_missed():
    class Stuck(io.StringIO):
        free = threading.Event()

        def write(self, text):
            self.free.wait(10)
            return super().write(text)

    stream = Stuck()
    writer = Writer(stream, TextFormatter(), most=5)
    record = logging.LogRecord("x", logging.INFO, "", 0, "line", (), None)
    begun = time.monotonic()
    writer.emit(record)
    time.sleep(0.3)  # the thread is writing that one now
    for _ in range(8):
        writer.emit(record)
    assert time.monotonic() - begun < 5
    stream.free.set()
    writer.close()
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if line.endswith(" line")]) == 6
    assert lines[-1].endswith("log lines dropped lines=3")
