"""Limits, and a client's values in messages."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rnnx.errors import FeatureError, RequestError, RequestTooLargeError
from rnnx.runtime.serving.protocol.datatypes import DTYPES, config_type_of, datatype_of, dtype_of
from rnnx.runtime.serving.protocol.limits import Limits, check_shape, check_text, shown
from rnnx.signature import DTYPES as SIGNATURE_DTYPES


@pytest.mark.parametrize("value", [0, -1, True, "1", float("nan"), float("inf"), None])
@pytest.mark.parametrize("name", [one.name for one in dataclasses.fields(Limits)])
def test_a_limit_is_a_number(name, value):
    with pytest.raises(ValueError, match=f"the limit '{name}' is .* Give it a number above 0"):
        Limits(**{name: value})


def test_the_product_does_not_overflow():
    limits = Limits(rank=8, elements=2**32)
    with pytest.raises(RequestTooLargeError, match=f"has {2**64} elements; at most {2**32}"):
        check_shape("it", [2**32, 2**32], limits)  # 0 in 64 bits
    assert check_shape("it", [2**16, 2**16], limits) == ((2**16, 2**16), 2**32)
    assert check_shape("it", [], limits) == ((), 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a'b", '"a\'b"'),
        ("\n\ud800", r"'\n\ud800'"),
        (None, "None"),
        pytest.param(10**5000, "a number of 16610 bits", id="huge"),
        ([1] * 10**6, "a list"),
        ({}, "an object"),
        (float("nan"), "nan"),
    ],
)
def test_a_clients_value_is_shown_short_and_escaped(value, expected):
    assert shown(value) == expected


def test_a_long_text_is_cut():
    assert len(shown("\x00" * 10**6)) < 90


def test_texts():
    assert check_text("it", "Grüße", 5) == "Grüße"
    assert check_text("it", "", 5, empty=True) == ""
    with pytest.raises(RequestTooLargeError, match="it has 6 characters; at most 5"):
        check_text("it", "Grüße!", 5)


@pytest.mark.parametrize("datatype", DTYPES)
def test_datatypes_go_both_ways(datatype):
    dtype = dtype_of(datatype, "it")
    assert datatype_of(dtype) == datatype
    assert datatype_of(dtype.newbyteorder(">")) == datatype
    assert config_type_of(dtype) == f"TYPE_{datatype}"
    assert dtype.itemsize == {"BOOL": 1}.get(datatype) or dtype.itemsize * 8 == int(datatype.lstrip("UINTFPBOL") or 8)


def test_every_dtype_of_a_signature_has_a_datatype():
    assert {datatype_of(name) for name in SIGNATURE_DTYPES} <= DTYPES.keys()


def test_other_datatypes():
    with pytest.raises(KeyError):
        datatype_of(np.dtype(np.complex64))
    with pytest.raises(FeatureError, match=r"input 'x' has the datatype 'BF16', .* send FP32"):
        dtype_of("BF16", "input 'x'")
    with pytest.raises(RequestError, match=r"has the datatype 'fp32'\. The datatypes are BOOL, UINT8"):
        dtype_of("fp32", "input 'x'")
