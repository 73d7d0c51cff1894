"""Ragged sequences: which go together, and how they are filled up."""

from __future__ import annotations

import numpy as np
import pytest

from rnnx.errors import InputError
from rnnx.models.ragged import alike, pad


def test_like_lengths_go_together_in_their_order():
    parts = alike((len(one) for one in ("abc", "a", "xyz", "", "b")), 2)
    assert [part.tolist() for part in parts] == [[3, 1], [4, 0], [2]]
    assert parts[0].dtype == np.int64
    assert alike([], 4) == []
    with pytest.raises(InputError, match="batches of 0 examples"):
        alike([1], 0)


def test_padding_is_at_the_end_and_lengths_are_told():
    batch, lengths = pad([np.array([1.0, 2.0], np.float32), np.array([3.0], np.float32)], value=-1)
    assert np.array_equal(batch, np.array([[1, 2], [3, -1]], np.float32))
    assert batch.dtype == np.float32
    assert np.array_equal(lengths, [2, 1])
    assert lengths.dtype == np.int64
    with pytest.raises(InputError, match=r"float32\[time, 2\], float32\[time, 3\]"):
        pad([np.zeros((2, 3), np.float32), np.zeros((2, 2), np.float32)])
    with pytest.raises(InputError, match="no array"):
        pad([])
