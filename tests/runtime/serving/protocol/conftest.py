"""Bodies of requests, made without the code under test."""

from __future__ import annotations

import json

import pytest

from rnnx.runtime.serving.protocol import json_text


@pytest.fixture(params=["orjson", "standard library"])
def json_library(request, monkeypatch):
    """Once with orjson, once without: what is taken, refused and answered is the same."""
    if request.param != "orjson":
        monkeypatch.setattr(json_text, "orjson", None)
    elif json_text.orjson is None:
        pytest.skip("orjson is not installed")


@pytest.fixture
def one_input():
    """A request of one input, as a dict: `one_input(shape=[2])`."""

    def make(**changed) -> dict:
        tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [0, 1, 2, 3, 4, 5.5]} | changed
        return {"inputs": [{key: value for key, value in tensor.items() if value is not None}]}

    return make


@pytest.fixture
def dumps():
    return lambda value: json.dumps(value).encode()
