"""Bundles are written whole or not at all, and read with distrust."""

import hashlib
import io
import json
import math
import re
import shutil

import jsonschema
import numpy as np
import pytest

from rnnx.bundle import Bundle, GoldenCase, check_target, golden_bytes, staging, write_manifest
from rnnx.errors import (
    AlteredFileError,
    BundleError,
    BundleExistsError,
    BundleNotFoundError,
    ManifestError,
    MissingFileError,
    NewerSchemaError,
    RnnxError,
    UnsafePathError,
    VariantError,
)
from rnnx.manifest import GOLDEN, MANIFEST, SCHEMA_VERSIONS, Chunks, Manifest, Tolerance, Variant
from rnnx.precision import Quantization
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

MODEL = b"not really a model"
CASES = [
    GoldenCase(
        inputs={"x": np.arange(6, dtype=np.float32).reshape(1, 2, 3), "lengths": np.array([2])},
        outputs={"y": np.array([[0.5, -0.0]], np.float64), "flag": np.array(True)},  # noqa: FBT003  (a value, no option)
    ),
    GoldenCase(inputs={"x": np.zeros((0, 2, 3), np.float32)[::-1], "lengths": np.array([], np.int64)}, outputs={}),
]
CHUNKS = Chunks(axis="time", multiple=2, first=4, keep=1, last=2, least=3)


def variant(precision="fp32", mode="offline", **changes):
    given = {
        "file": f"{precision}-{mode}.onnx",
        "opset": 20,
        "tolerance": Tolerance(atol=1e-5, floor=1e-3),
        "operators": {"LSTM": 1},
    }
    return Variant(precision=precision, mode=mode, **(given | changes))


def manifest(*variants, **changes):
    signature = Signature(
        inputs=(
            parse_tensor("x: float32[batch, time, 3]"),
            parse_tensor("lengths: int64[batch]"),
            parse_tensor("h_0 -> hx.0: float32[1, batch, 4]"),
            parse_tensor("word: int64[batch] >= 1 < 9"),
        ),
        outputs=(parse_tensor("y: float32[batch, 2]"),),
        lengths=(LengthsSpec(name="lengths", axis="time", tight=True),),
        states=(StateSpec(name="h_0", output="h_n"), StateSpec(name="h_0")),
        ranges=(AxisRange(name="time", minimum=0, maximum=8, multiple_of=2), AxisRange(name="batch")),
    )
    given = {
        "name": "tiny",
        "signature": signature,
        "variants": variants or (variant(),),
        "source": {"source": "file.py:build", "init": {"n": 1}, "checkpoint": None},
        "tools": {"torch": "2.13.0", "onnx": "1.0"},
        "notes": ("One.", "Two."),
    }
    return Manifest(**(given | changes))


def write(path, whole=None, *, overwrite=False):
    whole = whole or manifest()
    with staging(path, overwrite=overwrite) as folder:
        for one in whole.variants:
            (folder / one.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / one.file).write_bytes(MODEL)
        (folder / GOLDEN).write_bytes(golden_bytes(CASES))
        write_manifest(folder, whole)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "tiny.rnnx")


@pytest.fixture(scope="module")
def validator(request):
    schema = json.loads((request.config.rootpath / "bundle.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def edit(path, change):
    """Change the manifest as JSON."""
    data = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    change(data)
    (path / MANIFEST).write_text(json.dumps(data), encoding="utf-8")
    return data


def test_what_is_written_is_read(path):
    bundle = Bundle.open(path)
    expected = manifest()
    assert bundle.path == path
    assert bundle.sha256 == hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    assert bundle.manifest.files.keys() == {"fp32-offline.onnx", GOLDEN}
    assert bundle.manifest.files["fp32-offline.onnx"].size_bytes == len(MODEL)
    assert bundle.manifest.files["fp32-offline.onnx"].sha256 == hashlib.sha256(MODEL).hexdigest()
    for name in ("name", "signature", "variants", "source", "tools", "notes"):
        assert getattr(bundle.manifest, name) == getattr(expected, name)
    assert bundle.read("fp32-offline.onnx") == MODEL
    bundle.check()


def test_what_the_runs_of_a_stream_take_is_read(tmp_path):
    whole = manifest(variant(), variant(mode="streaming", chunks=CHUNKS))
    read = Bundle.open(write(tmp_path / "tiny.rnnx", whole)).manifest
    assert [one.chunks for one in read.variants] == [None, CHUNKS]
    assert CHUNKS.delay == 3
    assert str(CHUNKS) == "an answer for frame t needs frame t+3; frames are taken 2 at a time"
    assert str(Chunks(axis="time", multiple=3, first=3)) == "frames are taken 3 at a time"
    assert str(Chunks(axis="time", last=0)) == "answers come with their frames, and the last ones when the stream ends"


def test_what_a_lower_precision_lost_is_read(tmp_path, validator):
    lost = Quantization(
        budget="metric", limit=0.005, loss=0.002, data="data.npz", metric="accuracy", nodes=2, fp32={"a": "b"}
    )
    exact = Quantization(budget="sqnr", limit=30.0, loss=math.inf, data="the bundle's golden vectors", nodes=1)
    whole = manifest(variant(quantization=lost), variant(mode="streaming", quantization=exact))
    path = write(tmp_path / "tiny.rnnx", whole)
    validator.validate(json.loads((path / MANIFEST).read_text(encoding="utf-8")))
    assert [one.quantization for one in Bundle.open(path).manifest.variants] == [lost, exact]
    assert str(lost) == "0.002 accuracy lost of 0.005 allowed, on data.npz; 2 nodes; in fp32: 'a' (b)"
    assert str(exact) == "inf dB of at least 30, on the bundle's golden vectors; 1 nodes"
    data = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    assert "reference" not in data["variants"][0]["quantization"]  # as bundles of before have it
    edit(path, lambda data: data["variants"][0]["quantization"].update(limit="half"))
    with pytest.raises(ManifestError, match="breaks its schema: could not convert string to float: 'half'"):
        Bundle.open(path)


def test_a_variant_may_have_golden_vectors_of_its_own(tmp_path, validator):
    proven = Quantization(
        budget="metric",
        limit=1.0,
        loss=0.2,
        data="d",
        metric="BLEU",
        nodes=9,
        reference=24.6,
        reached=24.4,
        agreement=0.84,
    )
    own = variant("int8", quantization=proven, golden="int8-offline.golden.npz")
    plain = write(tmp_path / "plain.rnnx")
    with staging(tmp_path / "tiny.rnnx") as folder:
        for one in (variant(), own):
            (folder / one.file).write_bytes(MODEL)
        (folder / GOLDEN).write_bytes(golden_bytes(CASES))
        (folder / own.golden).write_bytes(golden_bytes(CASES[:1]))
        write_manifest(folder, manifest(variant(), own))
    bundle = Bundle.open(tmp_path / "tiny.rnnx")
    assert bundle.manifest.variants == (variant(), own)
    assert [len(bundle.golden(one)) for one in (None, *bundle.manifest.variants)] == [2, 2, 1]
    data = json.loads((bundle.path / MANIFEST).read_text(encoding="utf-8"))
    validator.validate(data)
    # An older rnnx would hold it to the bundle's golden vectors, so it must not read it; others it may.
    assert data["schema_version"] == 2
    assert json.loads((plain / MANIFEST).read_text(encoding="utf-8"))["schema_version"] == 1
    assert str(proven) == (
        "BLEU 24.4, in fp32 24.6: 0.2 BLEU lost of 1 allowed, on d; 9 nodes; proven by that metric and not by fp32's "
        "choices, of which 84.0% are the same in the golden vectors: it has golden vectors of its own"
    )
    (bundle.path / own.golden).write_bytes(golden_bytes(CASES[1:]))
    with pytest.raises(AlteredFileError, match=r"int8-offline\.golden\.npz' has"):
        bundle.golden(own)
    (bundle.path / own.golden).unlink()
    with pytest.raises(MissingFileError, match=r"lacks the file 'int8-offline\.golden\.npz'"):
        bundle.golden(own)
    edit(bundle.path, lambda data: data["variants"][1].update(golden="../golden.npz"))
    with pytest.raises(UnsafePathError, match=r"names the file '\.\./golden\.npz'"):
        Bundle.open(bundle.path)


def test_equal_bundles_are_equal_bytes(tmp_path):
    first, second = write(tmp_path / "a.rnnx"), write(tmp_path / "b.rnnx")
    for file in (MANIFEST, GOLDEN):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_golden_vectors_survive(path):
    found = Bundle.open(path).golden()
    assert len(found) == len(CASES)
    for one, case in zip(found, CASES, strict=True):
        for side in ("inputs", "outputs"):
            arrays, expected = getattr(one, side), getattr(case, side)
            assert arrays.keys() == expected.keys()
            for name, array in expected.items():
                assert arrays[name].dtype == array.dtype
                assert arrays[name].shape == array.shape
                assert arrays[name].tobytes() == array.tobytes()
    assert golden_bytes(found) == golden_bytes(CASES)


def test_golden_vectors_of_another_form(path):
    one_array = io.BytesIO()
    np.save(one_array, np.zeros(1))
    for raw in (b"", b"no zip", golden_bytes(CASES)[:-30], one_array.getvalue()):
        (path / GOLDEN).write_bytes(raw)
        write_manifest(path, manifest())
        with pytest.raises(ManifestError, match=r"golden.npz' does not hold golden vectors"):
            Bundle.open(path).golden()
    np.savez(path / GOLDEN, **{"0/elsewhere/x": np.zeros(1)})
    write_manifest(path, manifest())
    with pytest.raises(ManifestError, match=r"golden.npz' does not hold golden vectors"):
        Bundle.open(path).golden()
    np.savez(path / GOLDEN, allow_pickle=True, **{"0/inputs/x": np.array([{}], object)})
    write_manifest(path, manifest())
    with pytest.raises(ManifestError, match="allow_pickle"):
        Bundle.open(path).golden()


def test_variants_are_found(tmp_path):
    whole = manifest(variant("int8"), variant("fp32"), variant("fp32", "streaming"))
    bundle = Bundle.open(write(tmp_path / "v.rnnx", whole))
    assert bundle.variant().key == "fp32-offline"
    assert bundle.variant("int8").key == "int8-offline"
    assert bundle.variant(mode="streaming").key == "fp32-streaming"
    with pytest.raises(VariantError, match=r"has no variant 'int8-streaming'; it has 'int8-offline', 'fp32-offline', "):
        bundle.variant("int8", "streaming")


def test_a_form_is_taken_only_where_it_is_named(tmp_path, validator):
    scan = variant("fp32", form="scan", file="fp32-offline-scan.onnx")
    bundle = Bundle.open(write(tmp_path / "v.rnnx", manifest(scan, variant("fp32"), variant("int8"))))
    validator.validate(json.loads((bundle.path / MANIFEST).read_text(encoding="utf-8")))
    assert bundle.manifest.variants[0] == scan
    assert bundle.variant("fp32", form="scan").key == "fp32-offline-scan"
    assert bundle.variant().key == bundle.variant("fp32").key == "fp32-offline"
    with pytest.raises(VariantError, match=r"has no variant 'int8-offline-scan'; it has 'fp32-offline-scan', "):
        bundle.variant("int8", form="scan")
    only = Bundle.open(write(tmp_path / "only.rnnx", manifest(scan)))
    with pytest.raises(VariantError, match="has no variant 'auto-offline'; it has 'fp32-offline-scan'"):
        only.variant()


def test_a_bundle_without_forms_says_nothing_of_them(path):
    assert "form" not in json.loads((path / MANIFEST).read_text(encoding="utf-8"))["variants"][0]


def test_no_bundle(tmp_path):
    for where, what in ((tmp_path / "absent", "does not exist"), (tmp_path, "has no manifest.json")):
        with pytest.raises(BundleNotFoundError, match=rf"{what}, so it is no bundle") as caught:
            Bundle.open(where)
        assert isinstance(caught.value, FileNotFoundError)
    (tmp_path / "file").touch()
    with pytest.raises(BundleNotFoundError, match="so it is no bundle"):
        Bundle.open(tmp_path / "file")


def test_truncated_manifests(path):
    raw = (path / MANIFEST).read_bytes()
    for length in [*range(0, len(raw) - 2, 97), len(raw) - 3]:
        (path / MANIFEST).write_bytes(raw[:length])
        with pytest.raises(ManifestError, match=r"manifest.json' is not a manifest .*: it was cut or changed"):
            Bundle.open(path)
    for other in (b"[]", b"3", b"null", b"{}", b"\xff\xfe", b"[" * 100_000):
        (path / MANIFEST).write_bytes(other)
        with pytest.raises(ManifestError, match="is not a manifest"):
            Bundle.open(path)


def test_newer_and_unknown_schemas(path):
    edit(path, lambda data: data.update(schema_version=SCHEMA_VERSIONS[-1] + 1, variants="whatever comes then"))
    with pytest.raises(NewerSchemaError, match=r"has schema version 3; this rnnx reads up to 2\. Upgrade rnnx\."):
        Bundle.open(path)
    for version in (0, -1, True, "1", None, 1.5):
        edit(path, lambda data, version=version: data.update(schema_version=version))
        with pytest.raises(ManifestError, match=re.escape(f"has schema version {version!r}; allowed are 1, 2")):
            Bundle.open(path)


BREAKS = {
    "no name": lambda data: data.pop("name"),
    "no inputs": lambda data: data["signature"].update(inputs=[]),
    "no variants": lambda data: data.update(variants=[]),
    "variants of another form": lambda data: data.update(variants={"a": 1}),
    "no hash": lambda data: data["files"][GOLDEN].pop("sha256"),
    "size is text": lambda data: data["files"][GOLDEN].update(size_bytes="many"),
    "unknown dtype": lambda data: data["signature"]["inputs"][0].update(dtype="float31"),
    "axis is a list": lambda data: data["signature"]["inputs"][0].update(axes=[[1]]),
    "no tolerance": lambda data: data["variants"][0].pop("tolerance"),
    "no opset": lambda data: data["variants"][0].update(opset=None),
    "signature is text": lambda data: data.update(signature="x"),
    "lengths of nothing": lambda data: data["signature"]["lengths"][0].update(name="nothing"),
    "state of nothing": lambda data: data["signature"]["states"][0].update(name="nothing"),
    "files are a list": lambda data: data.update(files=[]),
    "chunks of no frames": lambda data: data["variants"][0].update(chunks=CHUNKS.to_json() | {"multiple": 0}),
    "chunks of an axis without a name": lambda data: data["variants"][0].update(chunks={"multiple": 2}),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS)
def test_manifests_that_break_their_schema(path, change):
    edit(path, change)
    with pytest.raises(ManifestError) as caught:
        Bundle.open(path)
    assert re.search(r"manifest.json' (breaks its schema: |lists no variants)", str(caught.value))
    assert str(caught.value).endswith("Export the bundle again.")


ESCAPES = ["../x", "a/../../x", "/etc/passwd", "a//b", "./x", "x/", "..", "", "C:\\x", "a\\..\\x", "c:x", 3, None]


@pytest.mark.parametrize(
    ("place", "name"),
    # JSON's keys are always text.
    [
        (place, name)
        for place in ("file", "data_files", "files")
        for name in ESCAPES
        if place != "files" or type(name) is str
    ],
    ids=repr,
)
def test_paths_that_leave_the_bundle(path, validator, place, name):
    def change(data):
        if place == "files":
            data["files"][name] = data["files"].pop(GOLDEN)
        else:
            data["variants"][0][place] = [name] if place == "data_files" else name

    data = edit(path, change)
    with pytest.raises(UnsafePathError, match=re.escape(f"names the file {name!r}, which is not a plain path")):
        Bundle.open(path)
    assert not validator.is_valid(data)


def test_altered_files(path):
    bundle = Bundle.open(path)
    (path / "fp32-offline.onnx").write_bytes(MODEL[:-1] + b"?")
    for look in (bundle.check, lambda: bundle.read("fp32-offline.onnx"), lambda: bundle.check(["fp32-offline.onnx"])):
        with pytest.raises(
            AlteredFileError, match=r"fp32-offline.onnx' has SHA-256 \w{12}…, the manifest says \w{12}…"
        ):
            look()
    bundle.check([GOLDEN])
    (path / "fp32-offline.onnx").write_bytes(MODEL + b"?")
    for look in (bundle.check, lambda: bundle.read("fp32-offline.onnx")):
        with pytest.raises(AlteredFileError, match=r"has 19 bytes, the manifest says 18\. The file was cut or changed"):
            look()


def test_missing_files(path):
    bundle = Bundle.open(path)
    (path / GOLDEN).unlink()
    for look in (bundle.check, bundle.golden):
        with pytest.raises(MissingFileError, match=r"lacks the file 'golden.npz' that its manifest lists") as caught:
            look()
        assert isinstance(caught.value, FileNotFoundError)
    (path / GOLDEN).mkdir()
    with pytest.raises(MissingFileError, match=r"lacks the file 'golden.npz'"):
        bundle.check()
    with pytest.raises(MissingFileError, match=r"does not list the file 'other'"):
        bundle.read("other")


def test_an_exception_leaves_nothing(tmp_path):
    path = tmp_path / "tiny.rnnx"
    with pytest.raises(RuntimeError, match="half way"), staging(path) as folder:  # noqa: PT012  (staging is tested)
        (folder / "x").write_bytes(b"x")
        raise RuntimeError("half way")
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_the_old_bundle(path):
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(KeyboardInterrupt), staging(path, overwrite=True) as folder:  # noqa: PT012  (staging is tested)
        (folder / "x").write_bytes(b"x")
        raise KeyboardInterrupt
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert list(path.parent.iterdir()) == [path]


def test_a_bundle_is_replaced_only_when_asked(path):
    with pytest.raises(
        BundleExistsError, match=r"exists already. Choose another name, or replace it with --force"
    ) as caught:
        write(path)
    assert isinstance(caught.value, FileExistsError)
    write(path, manifest(variant("int8")), overwrite=True)
    assert {file.name for file in path.iterdir()} == {MANIFEST, GOLDEN, "int8-offline.onnx"}
    Bundle.open(path).check()
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_bundle_is_never_replaced(tmp_path):
    folder, file = tmp_path / "thesis", tmp_path / "thesis.txt"
    folder.mkdir()
    (folder / "chapter.txt").write_text("years of work")
    file.write_text("more of it")
    for target in (folder, file):
        with pytest.raises(BundleExistsError, match="exists and is no bundle, so it is not replaced"):
            write(target, overwrite=True)
        with pytest.raises(BundleExistsError, match="exists already"):
            check_target(target, overwrite=False)
    assert (folder / "chapter.txt").read_text() == "years of work"
    assert sorted(tmp_path.iterdir()) == [folder, file]


def test_a_folder_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "tiny.rnnx"
    with pytest.raises(BundleExistsError, match="exists already"), staging(path):  # noqa: PT012  (staging is tested)
        path.mkdir()
        (path / "mine").touch()
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "mine").exists()


def test_a_bundle_needs_a_folder_to_stand_in(tmp_path):
    with pytest.raises(BundleError, match=r"the folder '.*nowhere' does not exist. Make it."):
        write(tmp_path / "nowhere" / "tiny.rnnx")


def test_a_bundle_may_be_moved(path, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(path, moved)
    Bundle.open(moved).check()


@pytest.mark.parametrize(
    "whole",
    [
        manifest(),
        manifest(variant("int8", data_files=("weights/a.data", "b.data")), variant("fp32", "streaming", chunks=CHUNKS)),
        manifest(source={}, tools={}, notes=()),
    ],
    ids=["one", "several", "bare"],
)
def test_manifests_are_of_the_published_form(tmp_path, validator, whole):
    path = write(tmp_path / "tiny.rnnx", whole)
    validator.validate(json.loads((path / MANIFEST).read_text(encoding="utf-8")))


# A schema cannot say that one part names another.
@pytest.mark.parametrize("what", [what for what in BREAKS if "of nothing" not in what])
def test_the_published_form_refuses_what_reading_refuses(path, validator, what):
    assert not validator.is_valid(edit(path, BREAKS[what]))


@pytest.mark.parametrize(
    "where", [(), ("signature",), ("variants", 0), ("variants", 0, "tolerance"), ("files", GOLDEN)]
)
def test_the_published_form_has_no_other_keys(path, validator, where):
    def change(data):
        for key in where:
            data = data[key]
        data["other"] = 1

    assert not validator.is_valid(edit(path, change))


def test_every_error_is_ours():
    for error in (BundleNotFoundError, ManifestError, NewerSchemaError, MissingFileError, AlteredFileError):
        assert issubclass(error, BundleError)
    assert issubclass(BundleError, RnnxError)
    assert issubclass(BundleError, ValueError)
