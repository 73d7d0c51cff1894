"""The worker of Ray Data without Ray: rows of columns to answers, each what its sequence gets alone."""

from __future__ import annotations

import numpy as np
import pytest

import rnnx
from rnnx.errors import DtypeError, InputError, ShapeError, VariantError
from rnnx.runtime.deploy.ray.predictor import BundlePredictor
from rnnx.runtime.deploy.ray.rows import rows_of_numpy, to_numpy
from rnnx.signature import parse_tensor

SPEC = parse_tensor("x: float32[batch, time, 3]")


def column(rows):
    made = np.empty(len(rows), object)
    made[:] = rows
    return made


@pytest.fixture
def predict():
    """Makes predictors, and closes them."""
    made = []

    def make(path, **options):
        made.append(BundlePredictor(path, provider="cpu", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_each_row_gets_what_it_gets_alone(predict, lengths_path, kit):
    rows = kit.sequences(60)
    batch = {"id": np.arange(60), "x": column(rows)}
    answer = predict(lengths_path)(batch)
    assert list(answer) == ["id", "x", "y", "last"]
    assert answer["id"] is batch["id"]
    with rnnx.load(lengths_path, provider="cpu") as session:
        for row, y, last in zip(rows, answer["y"], answer["last"], strict=True):
            alone = session.run({"x": row[np.newaxis]})
            np.testing.assert_allclose(y, alone["y"][0], rtol=0, atol=1e-6)
            np.testing.assert_allclose(last, alone["last"][0], rtol=0, atol=1e-6)
            np.testing.assert_allclose(last, row.sum(0), rtol=0, atol=1e-4)


def test_a_padded_column_is_cut_to_its_lengths(predict, lengths_path, kit):
    rows, padded = kit.sequences(20), np.full((20, 40, 3), 7, np.float32)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    sizes = np.array([len(row) for row in rows])
    answer = predict(lengths_path, columns={"lengths": "n", "x": "frames"})({"frames": padded, "n": sizes})
    for row, y, last in zip(rows, answer["y"], answer["last"], strict=True):
        assert y.shape == row.shape
        np.testing.assert_allclose(last, row.sum(0), rtol=0, atol=1e-4)


def test_outputs_prefix_and_dropped_columns(predict, lengths_path, kit):
    batch = {"x": column(kit.sequences(3)), "y": np.zeros(3)}
    answer = predict(lengths_path, outputs=["last"], prefix="out_", drop=["x"])(batch)
    assert list(answer) == ["y", "out_last"]
    assert answer["out_last"].shape == (3, 3)


def test_no_rows(predict, lengths_path):
    assert list(predict(lengths_path)({"x": column([])})) == ["x"]


@pytest.mark.parametrize(
    ("options", "batch", "error", "message"),
    [
        ({}, {"z": np.zeros((1, 2, 3), "f4")}, InputError, "from column 'x', which is not there; there are 'z'"),
        ({"columns": {"x": "a"}}, {"x": np.zeros((1, 2, 3), "f4")}, InputError, "from column 'a'"),
        ({}, {"x": np.zeros((1, 2, 3), "f4"), "y": np.zeros(1)}, InputError, "column 'y', which is there already"),
        ({}, {"x": np.zeros((1, 2, 4), "f4")}, ShapeError, "it must be 3"),
        ({}, {"x": np.zeros((1, 3), "f4")}, ShapeError, "row 0 of the batch for input 'x' has 1 axes"),
        ({}, {"x": np.full((1, 2, 3), 0.1)}, DtypeError, "float64 values that float32 cannot hold exactly"),
        ({}, {"x": np.array([[["a", "b", "c"]]])}, DtypeError, "it must be x: float32"),
        (
            {"columns": {"lengths": "n"}},
            {"x": np.zeros((1, 2, 3), "f4"), "n": np.array([3])},
            InputError,
            "row 0 of the batch has length 3, and 2 steps of input 'x'",
        ),
        ({"columns": {"lengths": "n"}}, {"x": np.zeros((1, 2, 3), "f4")}, InputError, "from column 'n'"),
    ],
)
def test_wrong_batches(predict, lengths_path, *, options, batch, error, message):
    with pytest.raises(error, match=message):
        predict(lengths_path, **options)(batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"z": "a"}}, "input 'z' is not known; the model takes 'x', 'lengths'"),
        ({"outputs": ["z"]}, "output 'z' is not known; the model has 'y', 'last'"),
        ({"outputs": []}, "no outputs are asked for"),
    ],
)
def test_wrong_options(lengths_path, options, message):
    with pytest.raises(InputError, match=message):
        BundlePredictor(lengths_path, provider="cpu", **options)


def test_a_bundle_of_streams_alone(tmp_path, kit):
    path = kit.write(tmp_path / "s.rnnx", modes=("streaming",))
    with pytest.raises(VariantError):
        BundlePredictor(path, provider="cpu")


def test_rows_are_converted_where_nothing_is_lost():
    (row,) = rows_of_numpy(np.full((1, 2, 3), 0.5), SPEC, 0)
    assert row.dtype == np.float32
    (row,) = rows_of_numpy(column([[[1, 2, 3], [4, 5, 6]]]), SPEC, 0)
    assert (row.dtype, row.tolist()) == (np.float32, [[1, 2, 3], [4, 5, 6]])
    (row,) = rows_of_numpy(column([column([np.ones(3, "f4"), np.ones(3, "f4")])]), SPEC, 0)
    assert row.shape == (2, 3)
    (row,) = rows_of_numpy(column([np.zeros(0)]), SPEC, 0)
    assert row.shape == (0, 3)
    with pytest.raises(ShapeError, match="is uneven"):
        rows_of_numpy(column([column([np.ones(3, "f4"), np.ones(2, "f4")])]), SPEC, 0)
    with pytest.raises(DtypeError, match="cannot hold exactly"):
        rows_of_numpy(np.array([2**24 + 1]), parse_tensor("k: float32[batch]"), 0)


def test_answers_of_one_shape_are_one_array():
    assert to_numpy([np.zeros((2, 3)), np.ones((2, 3))]).shape == (2, 2, 3)
    ragged = to_numpy([np.zeros((2, 3)), np.ones((1, 3))])
    assert (ragged.dtype, [one.shape for one in ragged]) == (object, [(2, 3), (1, 3)])


class TestArrow:
    """Columns as Parquet has them."""

    @pytest.fixture
    def pa(self):
        return pytest.importorskip("pyarrow")

    @pytest.mark.parametrize("kind", ["list", "large_list", "fixed", "double", "sliced", "chunked"])
    def test_every_kind_of_list(self, pa, predict, lengths_path, kit, kind):
        rows = kit.sequences(30)
        inner = pa.list_(pa.float32(), 3) if kind == "fixed" else pa.list_(pa.float32())
        whole = pa.large_list(inner) if kind == "large_list" else pa.list_(inner)
        if kind == "double":
            whole = pa.list_(pa.list_(pa.float64()))
        x = pa.array([row.tolist() for row in rows], whole)
        table = pa.table({"id": np.arange(30), "x": x})
        if kind == "sliced":
            table, rows = table.slice(7, 11), rows[7:18]
        if kind == "chunked":
            table = pa.concat_tables([table.slice(0, 13), table.slice(13)])
        answer = predict(lengths_path)(table)
        assert answer.column_names == ["id", "x", "y", "last"]
        assert answer.schema.field("y").type == pa.list_(pa.list_(pa.float32()))
        assert answer.num_rows == len(rows)
        assert answer["id"].equals(table["id"])
        for row, y, last in zip(rows, answer["y"].to_pylist(), answer["last"].to_pylist(), strict=True):
            np.testing.assert_allclose(y, row.cumsum(0), rtol=0, atol=1e-4)
            np.testing.assert_allclose(last, row.sum(0), rtol=0, atol=1e-4)

    def test_tensors_of_arrow(self, pa, predict, lengths_path):
        x = np.random.default_rng(0).standard_normal((5, 4, 3)).astype("f4")
        answer = predict(lengths_path)(pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x)}))
        np.testing.assert_allclose(answer["y"].to_pylist(), x.cumsum(1), rtol=0, atol=1e-5)

    @pytest.mark.parametrize(
        ("value", "error", "message"),
        [
            ([[[1.0, 2.0, 3.0]], None], InputError, "row 1 of the batch has no value for input 'x'"),
            ([[[1.0, None, 3.0]]], InputError, "has a value that is null"),
            ([[[1.0, 2.0, 3.0], [1.0]]], ShapeError, "row 0 of the batch for input 'x' has lists of 1 and of 3"),
            ([[[1.0, 2.0]]], ShapeError, "it must be 3"),
            ([[["a"]]], DtypeError, "must be"),
        ],
    )
    def test_wrong_rows(self, pa, predict, lengths_path, *, value, error, message):
        with pytest.raises(error, match=message):
            predict(lengths_path)(pa.table({"x": value}))
