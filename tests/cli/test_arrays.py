"""Numbers on the command line become scalars of the dtype that their input has."""

import click
import numpy as np
import pytest

from rnnx.cli.arrays import fitted, read_inputs
from rnnx.signature import Signature, TensorSpec

FACE = Signature(
    inputs=(
        TensorSpec(name="limit", dtype="int64", axes=()),
        TensorSpec(name="heat", dtype="float32", axes=()),
        TensorSpec(name="x", dtype="float32", axes=("batch",)),
    )
)


def test_a_number_takes_the_dtype_of_its_input():
    found = fitted(read_inputs(["limit=12", "heat=1", "other=2.5"]), FACE)
    assert {name: (array.dtype.name, array.shape, array.item()) for name, array in found.items()} == {
        "limit": ("int64", (), 12),
        "heat": ("float32", (), 1.0),
        "other": ("float64", (), 2.5),
    }


def test_a_fraction_never_becomes_a_whole_number():
    (limit,) = fitted(read_inputs(["limit=1.5"]), FACE).values()
    assert (limit.dtype, limit.item()) == (np.float64, 1.5)


def test_arrays_stay_as_they_are():
    array = np.arange(3)
    assert fitted({"x": array}, FACE)["x"] is array


@pytest.mark.parametrize("text", ["limit=abc", "limit=", "=3", "limit"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(click.BadParameter, match=r"is neither NAME=FILE\.npy nor FILE\.npz nor NAME=NUMBER"):
        read_inputs([text])
