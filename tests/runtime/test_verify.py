"""A bundle proves itself by its golden vectors, and a wrong one does not."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from rnnx.bundle import Bundle, golden_bytes, write_manifest
from rnnx.errors import AlteredFileError, MissingFileError, ProviderError, VariantError
from rnnx.manifest import GOLDEN
from rnnx.runtime.verify import verify


def change(path, cases):
    """Other golden vectors under a right hash."""
    (path / GOLDEN).write_bytes(golden_bytes(cases))
    write_manifest(path, Bundle.open(path).manifest)


def test_a_right_bundle_passes(lstm):
    report = verify(lstm, provider="cpu")
    assert report.passed
    assert report.files == 2
    assert report.provider.name == "cpu"
    assert report.sha256 == Bundle.open(lstm).sha256
    assert {(row.variant, row.case, row.output) for row in report.rows} == {
        ("fp32-offline", case, output) for case in range(3) for output in ("y", "h_n", "c_n")
    }
    # y of the last case has 4 steps of 7: the longest row's.
    assert dict(report.rows[2].shapes) == {"features": (3, 7, 3), "lengths": (3,), "h_0": (1, 3, 4), "c_0": (1, 3, 4)}
    assert all(0 <= row.max_abs_diff <= row.allowed < 1e-4 for row in report.rows)
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["passed"] is True
    assert len(data["rows"]) == 9


def test_every_precision_is_verified_or_one(make_lstm, golden):
    path = make_lstm(precisions=("fp32", "int8"), golden=golden)
    assert {row.variant for row in verify(path).rows} == {"fp32-offline", "int8-offline"}
    assert {row.variant for row in verify(path, precision="int8").rows} == {"int8-offline"}
    with pytest.raises(
        VariantError, match=r"has no variant of precision 'fp16'; it has 'fp32-offline', 'int8-offline'"
    ):
        verify(path, precision="fp16")


@pytest.mark.parametrize(
    ("output", "wrong", "reason"),
    [
        ("h_n", lambda array: array + np.float32(1e-3), ""),
        ("y", lambda array: array * np.float32(np.nan), "NaN in the reference"),
        ("y", lambda array: np.concatenate([array] * 9, axis=1), "shape (3, 7, 4) instead of (3, 36, 4)"),
        ("c_n", lambda array: array[:, :1], "shape (1, 3, 4) instead of (1, 1, 4)"),
        ("c_n", lambda array: array.astype(np.float64), "dtype float32 instead of float64"),
        ("c_n", lambda array: None, "'golden.npz' holds no such output"),
    ],
)
def test_a_wrong_answer_does_not_pass(make_lstm, golden, output, wrong, reason):
    path = make_lstm()
    changed = {name: wrong(array) if name == output else array for name, array in golden[2].outputs.items()}
    changed = {name: array for name, array in changed.items() if array is not None}
    (path / GOLDEN).touch()
    change(path, [*golden[:2], replace(golden[2], outputs=changed)])
    report = verify(path)
    assert not report.passed
    (row,) = (row for row in report.rows if not row.passed)
    assert (row.case, row.output, row.reason) == (2, output, reason)
    expected = pytest.approx(1e-3, rel=1e-2) if not reason else math.inf
    assert row.max_abs_diff == expected
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["passed"] is False


def with_own(path, cases, *, file="int8-offline.golden.npz"):
    """The int8 variant's own golden vectors; the bundle's are as they were."""
    manifest = Bundle.open(path).manifest
    (path / file).write_bytes(golden_bytes(cases))
    variants = tuple(replace(one, golden=file if one.precision == "int8" else "") for one in manifest.variants)
    write_manifest(path, replace(manifest, variants=variants))


def test_a_variant_with_golden_vectors_of_its_own_is_held_to_them_alone(make_lstm, golden):
    """Whatever the bundle's say of it; and fp32 to the bundle's, whatever its say."""
    others = [replace(one, outputs={name: array + 1 for name, array in one.outputs.items()}) for one in golden]
    path = make_lstm("own.rnnx", precisions=("fp32", "int8"), golden=others)
    with_own(path, golden[1:])
    report = verify(path, provider="cpu")
    assert {(row.variant, row.passed) for row in report.rows} == {("fp32-offline", False), ("int8-offline", True)}
    assert {row.case for row in report.rows if row.variant == "int8-offline"} == {0, 1}
    assert report.own == {"int8-offline": "no record says"}
    assert json.loads(json.dumps(report.to_json()))["own"] == report.own
    path = make_lstm("bundles.rnnx", precisions=("fp32", "int8"), golden=golden)
    with_own(path, others)
    assert {(row.variant, row.passed) for row in verify(path).rows} == {("fp32-offline", True), ("int8-offline", False)}
    assert verify(path, precision="fp32").own == {}


@pytest.mark.parametrize(
    ("cases", "reason"),
    [
        (lambda _: [], "'int8-offline.golden.npz' holds no case"),
        (lambda found: [replace(found[0], outputs={})], "'int8-offline.golden.npz' holds no such output"),
    ],
)
def test_golden_vectors_of_its_own_that_say_nothing_prove_nothing(make_lstm, golden, cases, reason):
    """Though there are others that pass."""
    path = make_lstm(precisions=("fp32", "int8"), golden=golden)
    with_own(path, cases(golden))
    report = verify(path)
    assert not report.passed
    assert {row.reason for row in report.rows if row.variant == "int8-offline"} == {reason}


def test_no_cases_prove_nothing(lstm):
    change(lstm, [])
    report = verify(lstm)
    assert report.rows == ()
    assert not report.passed


def test_without_golden_vectors(make_lstm):
    with pytest.raises(MissingFileError, match=r"does not list the file 'golden.npz'"):
        verify(make_lstm())


def test_every_file_is_hashed(lstm):
    (lstm / "note.txt").write_text("one")
    write_manifest(lstm, Bundle.open(lstm).manifest)
    assert verify(lstm).files == 3
    (lstm / "note.txt").write_text("two")
    with pytest.raises(AlteredFileError, match=r"note.txt' has SHA-256"):
        verify(lstm)


def test_the_provider_is_handed_on(lstm):
    with pytest.raises(ProviderError, match="provider 'nope' is not known"):
        verify(lstm, provider="nope")
