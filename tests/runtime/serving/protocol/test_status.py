"""How errors are told."""

from __future__ import annotations

import asyncio

import pytest

from rnnx import errors
from rnnx.runtime.serving.protocol.status import TABLE, Status, message_of, status_of

grpc = pytest.importorskip("grpc")


@pytest.mark.parametrize(
    ("error", "http", "code"),
    [
        (errors.RequestError("x"), 400, "INVALID_ARGUMENT"),
        (errors.RequestTooLargeError("x"), 413, "RESOURCE_EXHAUSTED"),
        (errors.MediaError("x"), 415, "INVALID_ARGUMENT"),
        (errors.FeatureError("x"), 501, "UNIMPLEMENTED"),
        (errors.ShapeError("x"), 400, "INVALID_ARGUMENT"),
        (errors.DtypeError("x"), 400, "INVALID_ARGUMENT"),
        (errors.StateError("x"), 400, "INVALID_ARGUMENT"),
        (errors.ModelNotFoundError("x"), 404, "NOT_FOUND"),
        (errors.ModelUnavailableError("x"), 503, "UNAVAILABLE"),
        (errors.QueueFullError("x"), 503, "UNAVAILABLE"),
        (errors.DeadlineError("x"), 504, "DEADLINE_EXCEEDED"),
        (errors.StreamNotFoundError("x"), 404, "NOT_FOUND"),
        (errors.StreamExistsError("x"), 409, "ALREADY_EXISTS"),
        (errors.StreamBusyError("x"), 409, "ABORTED"),
        (errors.TooManyStreamsError("x"), 429, "RESOURCE_EXHAUSTED"),
        (errors.SessionError("x"), 500, "INTERNAL"),
        (errors.AlteredFileError("x"), 500, "INTERNAL"),
        (errors.BundleNotFoundError("x"), 404, "NOT_FOUND"),
        (asyncio.CancelledError(), 499, "CANCELLED"),
        (KeyError("x"), 500, "INTERNAL"),
        (MemoryError(), 500, "INTERNAL"),
    ],
)
def test_each_error_has_its_status(error, http, code):
    found = status_of(error)
    assert (found.http, found.grpc) == (http, code)


def test_every_code_is_one_of_grpcs():
    for status in TABLE.values():
        assert hasattr(grpc.StatusCode, status.grpc)
        assert 400 <= status.http < 600


def test_only_what_passes_says_to_try_again():
    assert {kind.__name__ for kind, status in TABLE.items() if status.retry} == {
        "ModelUnavailableError",
        "QueueFullError",
        "StreamBusyError",
        "TooManyStreamsError",
    }
    assert isinstance(status_of(errors.QueueFullError("x")), Status)


def test_only_errors_on_purpose_speak_to_clients():
    assert message_of(errors.RequestError("too long")) == "too long"
    assert "secret" not in message_of(OSError("/secret/path"))
    assert "cancelled" in message_of(asyncio.CancelledError())
