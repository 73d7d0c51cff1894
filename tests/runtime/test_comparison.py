"""The one judge: what passes, what does not, and where the padding ends."""

import math

import numpy as np
import pytest

from rnnx.manifest import Tolerance
from rnnx.runtime.comparison import common_region, compare, scale_of

TOLERANCE = Tolerance(atol=1e-3, floor=0.1)
F32 = np.float32


def judged(reference, candidate, scale=1.0):
    return compare(np.asarray(reference), np.asarray(candidate), tolerance=TOLERANCE, scale=scale)


def test_floats_are_judged_by_the_outputs_scale():
    found = judged(F32([1, 2, 3]), F32([1, 2.0625, 3]), scale=100)
    assert (found.max_abs_diff, found.allowed, found.index) == (0.0625, pytest.approx(0.1), (1,))
    assert found.passed
    assert not judged(F32([1, 2, 3]), F32([1, 2.0625, 3]), scale=10).passed


def test_zeros_are_judged_by_the_floor():
    assert judged(F32([0, 0]), F32([0, 9e-5]), scale=0).passed
    assert not judged(F32([0, 0]), F32([0, 2e-4]), scale=0).passed


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.bool_])
def test_integers_are_exact(dtype):
    one = np.array([0, 1, 1], dtype)
    assert judged(one, one.copy()).passed
    found = judged(one, np.array([0, 1, 0], dtype))
    assert (found.max_abs_diff, found.allowed, found.index) == (1.0, 0.0, (2,))
    assert not judged(np.int64([2**60]), np.int64([2**60 + 1])).passed


def test_nan_never_passes():
    for pair in ((F32([1]), F32([np.nan])), (F32([np.nan]), F32([1])), (F32([np.nan]), F32([np.nan]))):
        found = judged(*pair)
        assert not found.passed
        assert found.max_abs_diff == math.inf
        assert "NaN in the" in found.reason


def test_infinity_passes_against_itself_only():
    assert judged(F32([-np.inf, 1]), F32([-np.inf, 1])).passed
    assert not judged(F32([-np.inf]), F32([np.inf])).passed
    assert not judged(F32([-np.inf]), F32([0])).passed


def test_shapes_and_dtypes_must_be_the_references():
    assert judged(F32([[1]]), F32([1])).reason == "shape (1,) instead of (1, 1)"
    assert judged(F32([1]), np.float64([1])).reason == "dtype float64 instead of float32"
    assert judged(F32([]), F32([])).passed


def test_scale():
    assert scale_of([F32([1, -7, np.inf, np.nan]), np.int64([99]), F32([])]) == 7
    assert scale_of([]) == 0


def test_a_masks_filling_is_no_part_of_the_scale() -> None:
    """With -1e9 in the scale a tolerance of 1e-5 would let answers differ by 1e4."""
    assert scale_of([F32([1, -3, -1e9]), F32([-1e9, 2.0])]) == 3
    assert scale_of([F32([0, 0, -1e9])]) == 0
    assert scale_of([F32([2e4, 1.5e4, 0.5, 30])]) == 2e4  # large answers among others, without a gap
    assert scale_of([F32([-1e9, -1e9])]) == F32(1e9)
    scores, tolerance = F32([1, -3, -1e9]), Tolerance(atol=1e-5, floor=1.0)
    assert not compare(scores, F32([1.001, -3, -1e9]), tolerance=tolerance, scale=3).passed
    assert compare(scores, F32([1, -3, -1e9 - 64]), tolerance=tolerance, scale=3).passed
    assert not compare(scores, F32([1, -3, -1.001e9]), tolerance=tolerance, scale=3).passed
    assert not compare(scores, F32([1, -3, -3e38]), tolerance=tolerance, scale=3).passed


def test_common_region():
    axes = ("batch", "time", 2)
    candidate = np.arange(24).reshape(2, 6, 2)
    cut = common_region(np.zeros((2, 4, 2)), candidate, axes=axes, measured={"time"})
    np.testing.assert_array_equal(cut, candidate[:, :4])
    assert cut.base is not None, "a view"
    # A candidate that is shorter stays shorter, and so fails.
    assert common_region(np.zeros((2, 9, 2)), candidate, axes=axes, measured={"time"}).shape == (2, 6, 2)
    # Only measured axes are cut: elsewhere a difference in size is a difference.
    assert common_region(np.zeros((1, 4, 1)), candidate, axes=axes, measured={"time"}).shape == (2, 4, 2)
    assert common_region(np.zeros((2, 4, 2)), candidate, axes=axes, measured=()).shape == (2, 6, 2)
    for axis, size in (("time//2", 4), ("(time-1)//2+1", 4), ("lifetime", 6), (6, 6)):
        cut = common_region(np.zeros((2, 4, 2)), candidate, axes=("batch", axis, 2), measured={"time"})
        assert cut.shape == (2, size, 2)
    assert common_region(np.zeros((2, 4)), candidate, axes=axes, measured={"time"}) is candidate
    assert common_region(np.zeros((2, 4, 2)), candidate, axes=("batch",), measured={"time"}) is candidate
