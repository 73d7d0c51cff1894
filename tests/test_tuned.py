"""Tuned entries: chosen for a machine and a use, kept in the manifest without touching anything else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from rnnx.bundle import Bundle, staging, write_manifest
from rnnx.errors import BundleError, InputError, ManifestError, TuningError
from rnnx.manifest import MANIFEST, Manifest, Tolerance, Variant
from rnnx.signature import Signature, parse_tensor
from rnnx.tuned import Measured, Tuned, Wish, choose, settings_text, with_entry

ENTRY = Tuned(
    cpu="Abacus 3000",
    cores=2,
    provider="cpu",
    mode="offline",
    batch=1,
    time=100,
    sizes={"source": 20},
    objective="p99",
    precision="int8",
    form="scan",
    threads=1,
    session_options={"session.intra_op.allow_spinning": "0", "enable_mem_pattern": False},
    provider_options={},
    graph_sha256="0" * 64,
    onnxruntime="1.32.0",
    measured=Measured(tuned=0.5, default=1.0, ratio=2.0, low=1.9, high=2.1),
    max_loss="0.5%",
    date="2026-01-02T03:04:05+00:00",
)


def write(path):
    variants = [
        Variant(
            precision=precision,
            mode="offline",
            file=f"{precision}.onnx",
            opset=20,
            tolerance=Tolerance(atol=1e-5, floor=1e-3),
            operators={"LSTM": 1},
        )
        for precision in ("fp32", "int8")
    ]
    signature = Signature(
        inputs=(parse_tensor("x: float32[batch, time, 3]"),), outputs=(parse_tensor("y: float32[batch, time, 2]"),)
    )
    with staging(path) as folder:
        for one in variants:
            (folder / one.file).write_bytes(one.precision.encode())
        write_manifest(folder, Manifest(name="tiny é", signature=signature, variants=tuple(variants)))
    return path


@pytest.fixture
def bundle(tmp_path):
    return Bundle.open(write(tmp_path / "tiny.rnnx"))


def find(entries, wish="", **where):
    given = {"cpu": "Abacus 3000", "cores": 2, "gpu": "", "provider": "cpu", "mode": "offline", "where": "a.rnnx"}
    return choose(entries, Wish.parse(wish), **(given | where))


def test_an_entry_survives_json():
    assert Tuned.from_json(json.loads(json.dumps(ENTRY.to_json()))) == ENTRY
    assert (ENTRY.label, ENTRY.machine) == ("p99 1x100", "Abacus 3000, 2 cores")
    assert ENTRY.settings == "1 thread, enable_mem_pattern=False, session.intra_op.allow_spinning=0"
    assert settings_text(None, {}, {"a": "b"}) == "default threads, a=b"


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("p99 1x100", Wish(objective="p99", batch=1, time=100)),
        ("16x1 throughput", Wish(objective="throughput", batch=16, time=1)),
        ("p50", Wish(objective="p50")),
        ("2x3", Wish(batch=2, time=3)),
        ("", Wish()),
    ],
)
def test_what_is_wanted_is_read(text, wish):
    assert Wish.parse(text) == wish


@pytest.mark.parametrize("text", ["p98", "p99 p50", "1x1 1x2", "0x1", "1x", "1X1", "p99,1x1"])
def test_nonsense_is_not_wanted(text):
    with pytest.raises(InputError, match=r"it must be an objective \(p50, p99, throughput\), BATCHxTIME, or both"):
        Wish.parse(text)


def test_the_one_entry_of_this_machine_is_chosen():
    other = replace(ENTRY, cpu="Slide rule")
    streaming = replace(ENTRY, mode="streaming")
    assert find([other, ENTRY, streaming]) is ENTRY
    assert find([other, ENTRY, streaming], mode="streaming") is streaming
    assert find([other, ENTRY], cpu="Slide rule") is other


def test_with_several_entries_one_must_be_named():
    p50, batch = replace(ENTRY, objective="p50"), replace(ENTRY, batch=16)
    with pytest.raises(
        TuningError, match=r"tuned for 'p99 1x100', 'p50 1x100', 'p99 16x100' here: say for which, such as"
    ):
        find([ENTRY, p50, batch])
    assert find([ENTRY, p50, batch], "p50") is p50
    assert find([ENTRY, p50, batch], "16x100") is batch
    assert find([ENTRY, p50, batch], "p99 1x100") is ENTRY
    with pytest.raises(TuningError, match=r"tuned for 'p99 1x100', 'p50 1x100' here"):
        find([ENTRY, p50, batch], "1x100")
    with pytest.raises(TuningError, match=r"not tuned for what tuned= names; it is for 'p99 1x100', 'p50 1x100'"):
        find([ENTRY, p50], "throughput")


def test_where_nothing_fits_the_message_says_what_there_is():
    entries = [ENTRY, replace(ENTRY, cpu="Slide rule", cores=1), replace(ENTRY, time=1)]
    with pytest.raises(TuningError) as caught:
        find(entries, cpu="Brain")
    assert str(caught.value) == (
        "bundle 'a.rnnx' is not tuned for 'Brain, 2 cores'; it is for 'Abacus 3000, 2 cores', 'Slide rule, 1 core'. "
        "Run: rnnx tune a.rnnx --provider cpu --mode offline"
    )
    assert isinstance(caught.value, LookupError)
    with pytest.raises(TuningError, match=r"not tuned for 'Abacus 3000, 4 cores'; it is for"):
        find(entries, cores=4)
    with pytest.raises(TuningError, match="not tuned for 'Abacus 3000, 2 cores, Big GPU'"):
        find(entries, gpu="Big GPU")
    with pytest.raises(TuningError, match=r"it is for no machine at all\. Run: rnnx tune a.rnnx"):
        find([])
    other = r"'cpu streaming' on this machine; it is for 'cpu offline'\. .* --mode streaming"
    with pytest.raises(TuningError, match=other):
        find(entries, mode="streaming")


def test_an_entry_replaces_that_of_the_same_key_only():
    newer = replace(ENTRY, precision="fp32", threads=2)
    changes = {
        "cpu": "b", "cores": 3, "gpu": "g", "provider": "cuda", "mode": "streaming", "batch": 2, "time": 1,
        "objective": "p50",
    }  # fmt: skip
    others = [replace(ENTRY, **{name: value}) for name, value in changes.items()]
    assert with_entry([*others, ENTRY], newer) == (*others, newer)


def test_keeping_an_entry_changes_nothing_else(bundle, request):
    before = (bundle.path / MANIFEST).read_bytes()
    files = {path.name: path.read_bytes() for path in bundle.path.iterdir() if path.name != MANIFEST}
    (bundle.path / MANIFEST).chmod(0o640)
    kept = bundle.keep_tuned(ENTRY)
    assert kept.manifest.tuned == (ENTRY,)
    assert {path.name: path.read_bytes() for path in bundle.path.iterdir() if path.name != MANIFEST} == files
    assert (bundle.path / MANIFEST).stat().st_mode & 0o777 == 0o640
    data = json.loads((bundle.path / MANIFEST).read_bytes())
    schema = json.loads((request.config.rootpath / "bundle.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(data)
    assert data.pop("tuned") == [ENTRY.to_json()]
    assert data == json.loads(before)
    assert kept.manifest == replace(bundle.manifest, tuned=(ENTRY,))


def test_what_a_bundle_is_does_not_change_with_tuning(bundle):
    assert bundle.sha256 == hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest()
    kept = bundle.keep_tuned(ENTRY)
    assert kept.sha256 == bundle.sha256
    assert kept.keep_tuned(replace(ENTRY, time=1)).sha256 == bundle.sha256
    # Whoever changes anything else has another bundle.
    data = json.loads((bundle.path / MANIFEST).read_bytes())
    (bundle.path / MANIFEST).write_text(json.dumps(data | {"name": "other"}), encoding="utf-8")
    assert Bundle.open(bundle.path).sha256 != bundle.sha256


def test_a_manifest_that_somebody_laid_out_anew_is_the_same(bundle):
    file = bundle.path / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_bytes()), indent=4, ensure_ascii=False), encoding="utf-8")
    assert Bundle.open(bundle.path).sha256 == bundle.sha256
    assert Bundle.open(bundle.path).keep_tuned(ENTRY).sha256 == bundle.sha256


def test_what_others_tuned_meanwhile_stays(bundle):
    theirs = replace(ENTRY, objective="p50")
    Bundle.open(bundle.path).keep_tuned(theirs)
    assert bundle.keep_tuned(ENTRY).manifest.tuned == (theirs, ENTRY)


def test_a_bundle_that_changed_meanwhile_is_left_alone(bundle):
    data = json.loads((bundle.path / MANIFEST).read_bytes())
    changed = json.dumps(data | {"notes": ["Another."]}).encode()
    (bundle.path / MANIFEST).write_bytes(changed)
    with pytest.raises(BundleError, match=r"was changed while it was tuned, so nothing is kept\. Tune it again\."):
        bundle.keep_tuned(ENTRY)
    assert (bundle.path / MANIFEST).read_bytes() == changed


def test_a_bundle_that_cannot_be_written_to(bundle, monkeypatch):
    before = (bundle.path / MANIFEST).read_bytes()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(BundleError, match=r"cannot be written to \(Permission denied\), .*: --dry-run\."):
        bundle.keep_tuned(ENTRY)
    assert (bundle.path / MANIFEST).read_bytes() == before
    assert [path.name for path in bundle.path.iterdir() if path.name.startswith(".")] == []


BREAKS = {
    "no processor": lambda entry: entry.pop("cpu"),
    "no core": lambda entry: entry.update(cores=0),
    "half a thread": lambda entry: entry.update(threads=0.5),
    "a batch of nothing": lambda entry: entry.update(batch=0),
    "time is text": lambda entry: entry.update(time="1"),
    "options are a list": lambda entry: entry.update(session_options=["a"]),
    "nothing measured": lambda entry: entry["measured"].pop("ratio"),
    "a negative duration": lambda entry: entry["measured"].update(tuned=-1),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS)
def test_entries_that_break_their_schema(bundle, change, request):
    bundle.keep_tuned(ENTRY)
    data = json.loads((bundle.path / MANIFEST).read_bytes())
    change(data["tuned"][0])
    (bundle.path / MANIFEST).write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ManifestError, match="breaks its schema: "):
        Bundle.open(bundle.path)
    schema = json.loads((request.config.rootpath / "bundle.schema.json").read_text(encoding="utf-8"))
    assert not jsonschema.Draft202012Validator(schema).is_valid(data)


def test_numbers_that_json_does_not_have(bundle):
    bundle.keep_tuned(ENTRY)
    raw = (bundle.path / MANIFEST).read_bytes()
    (bundle.path / MANIFEST).write_bytes(raw.replace(b'"ratio": 2.0', b'"ratio": NaN'))
    with pytest.raises(ManifestError, match=r"is not a manifest \(NaN is no number\)"):
        Bundle.open(bundle.path)


def test_a_variant_made_again_is_another_graph(bundle):
    fp32, int8 = bundle.manifest.variants
    assert bundle.graph_sha256(fp32) != bundle.graph_sha256(int8)
    (bundle.path / "int8.onnx").write_bytes(b"made again")
    write_manifest(bundle.path, bundle.manifest)
    again = Bundle.open(bundle.path)
    assert again.graph_sha256(fp32) == bundle.graph_sha256(fp32)
    assert again.graph_sha256(int8) != bundle.graph_sha256(int8)
