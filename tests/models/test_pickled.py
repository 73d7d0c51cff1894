"""Pickled data sets, read so that nothing in them can run."""

from __future__ import annotations

import io
import lzma
import os
import pickle
import sys
import types

import numpy as np
import pytest

from rnnx.errors import AlteredDataError
from rnnx.models.datasets.pickled import read_arrays, read_table


def saved(value):
    stream = io.BytesIO()
    np.save(stream, np.array(value, dtype=object), allow_pickle=True)
    return stream.getvalue()


def test_arrays_in_lists_and_dictionaries():
    held = {"X": [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(0)], "y": np.array([1, 2]), "n": ["a", "b"]}
    found = read_arrays(saved(held)).item()
    assert found.keys() == held.keys()
    assert found["n"] == ["a", "b"]
    np.testing.assert_array_equal(found["X"][0], held["X"][0], strict=True)
    np.testing.assert_array_equal(found["y"], held["y"], strict=True)


def test_arrays_as_python_2_pickled_them():
    array = np.arange(5.0)
    np.testing.assert_array_equal(read_arrays(pickle.dumps(array, protocol=2)), array, strict=True)


class _Runs:
    def __reduce__(self):
        return os.system, ("echo it ran",)


def test_nothing_is_run(capfd):
    with pytest.raises(AlteredDataError, match=r"asks for '(posix|nt)\.system', which is not what a data set"):
        read_arrays(pickle.dumps(_Runs()))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2, 3])[:-4]])
def test_damaged_pickles_are_refused(content):
    with pytest.raises(AlteredDataError, match="this pickle cannot be read"):
        read_arrays(content)


def test_a_plain_npy_file_is_refused():
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    with pytest.raises(AlteredDataError, match=r"holds float64 \(3,\); a pickled one"):
        read_arrays(stream.getvalue())


class DataFrame:
    """These stand for what of pandas a pickled table names; `pandas` puts them where pandas has them."""


class BlockManager:
    def __init__(self, blocks, axes):
        self.parts = blocks, axes

    def __reduce__(self):
        return BlockManager, self.parts


class Block:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return _unpickle_block, self.parts


class Index:
    def __init__(self, **parts):
        self.parts = parts

    def __reduce__(self):
        return _new_Index, (Index, self.parts)


def _unpickle_block(*_):
    raise AssertionError


def _new_Index(*_):  # noqa: N802  (pandas' own name)
    raise AssertionError


@pytest.fixture
def pandas(monkeypatch):
    """A pickled table, laid out as pandas 2 lays it out."""
    homes = {
        "pandas.core.frame": [DataFrame],
        "pandas.core.internals.managers": [BlockManager],
        "pandas._libs.internals": [_unpickle_block],
        "pandas.core.indexes.base": [Index, _new_Index],
    }
    for home, things in homes.items():
        module = types.ModuleType(home)
        for thing in things:
            monkeypatch.setattr(thing, "__module__", home)
            setattr(module, thing.__name__, thing)
        for name in [home.rsplit(".", count)[0] for count in range(home.count(".") + 1)]:
            monkeypatch.setitem(sys.modules, name, module if name == home else types.ModuleType(name))

    def make():
        table = DataFrame()
        table._mgr = BlockManager(
            (
                Block(np.array([[1.5, 2.5, 3.5], [4.0, 5.0, 6.0]]), slice(1, 4, 2), 2),
                Block(np.array([[1, 2, 3]]), slice(0, 1, 1), 2),
                Block(np.array([["x", "y", "z"]], dtype=object), np.array([2]), 2),
            ),
            [Index(data=np.array(["n", "a", "s", "b"], dtype=object), name=None), Index(start=0, stop=3, step=1)],
        )
        return pickle.dumps(table)

    return make


def test_a_table_s_columns_come_by_name_and_in_order(pandas):
    table = read_table(lzma.compress(pandas()))
    assert list(table) == ["n", "a", "s", "b"]
    np.testing.assert_array_equal(table["n"], [1, 2, 3])
    np.testing.assert_array_equal(table["a"], [1.5, 2.5, 3.5], strict=True)
    np.testing.assert_array_equal(table["b"], [4.0, 5.0, 6.0], strict=True)
    assert table["s"].tolist() == ["x", "y", "z"]


def test_what_is_no_table_is_refused():
    with pytest.raises(AlteredDataError, match=r"holds a list; a pandas\.DataFrame is read here"):
        read_table(lzma.compress(pickle.dumps([1])))
    with pytest.raises(AlteredDataError, match="not compressed with xz"):
        read_table(pickle.dumps([1]))
