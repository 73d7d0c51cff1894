"""A system's way: weights, bundle, scores of every variant, a checkpoint of one's own."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import rnnx
from rnnx.cli.main import main
from rnnx.cli.zoo import _block
from rnnx.errors import BundleError, CheckpointError, MissingDataError, StreamingError, ZooError
from rnnx.models.zoo import exporting, registry
from rnnx.models.zoo.cards import card, measure
from rnnx.models.zoo.evaluating import evaluate_bundle, system_of
from rnnx.models.zoo.exporting import export_system
from rnnx.models.zoo.recording import Recorder
from rnnx.models.zoo.running import BundleRunner, ChunkRunner, TorchRunner
from rnnx.models.zoo.system import Metric
from rnnx.models.zoo.timing import latencies_ms
from rnnx.models.zoo.training import train_system
from rnnx.models.zoo.weights import trained


def test_a_system_becomes_a_bundle_whose_variants_score_as_the_model_does(bundle):
    keys = [one.key for one in bundle.manifest.variants]
    assert {"fp32-offline", "fp32-streaming", "int8-offline", "int8-streaming"} == set(keys)
    assert system_of(bundle) == "tones"
    found = evaluate_bundle(bundle.path)
    torch_result, *others = found.results
    assert torch_result.runner == "torch"
    assert {one.runner for one in others} == set(keys)
    for one in others:
        exact = one.runner.startswith("fp32")
        assert one.score.value == pytest.approx(torch_result.score.value, abs=0 if exact else 0.1)
        # what each frame is, over all rows: a row's own frames, whatever lies beyond its length
        tolerance = 1e-4 if exact else 0.5
        assert one.score.details["frames"] == pytest.approx(torch_result.score.details["frames"], abs=tolerance)
        assert one.size_bytes > 0
    assert found.to_json()["metric"]["name"] == "share of ones"


def test_chunks_of_ragged_rows_give_the_whole_runs_answer(bundle):
    system = registry.system("tones")
    examples = system.held_out()
    whole = TorchRunner(trained(system), system.face).run(examples)
    with rnnx.load(bundle.path, mode="streaming") as session:
        chunks = ChunkRunner(session, bundle.manifest.signature, "time").run(examples)
    np.testing.assert_allclose(chunks["logits"], whole["logits"], atol=1e-6)
    for row, length in enumerate(examples["lengths"]):
        np.testing.assert_allclose(chunks["frames"][row, :length], whole["frames"][row, :length], atol=1e-6)


def test_what_cannot_stream_is_skipped_with_its_reason(bundle, monkeypatch, zoo):
    system = registry.system("tones")
    with pytest.raises(StreamingError, match="takes no states"):
        TorchRunner(trained(system), system.face).stream()
    with (
        rnnx.load(bundle.path) as session,
        pytest.raises(StreamingError, match=r"'fp32-offline' answers whole sequences only"),
    ):
        BundleRunner(session, system.face).stream()


def test_what_cannot_be_measured_has_no_int8_variant_and_says_why(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "TONES", zoo.UNMEASURED)
    made = export_system("tones", tmp_path / "out.rnnx")
    assert {one.precision for one in made.bundle.manifest.variants} == {"fp32"}
    (note,) = made.notes
    assert note.startswith("No int8 variant")
    assert "pip download tones" in note


def test_examples_that_are_not_committed_come_from_a_folder(zoo, bundle, tmp_path, monkeypatch):
    with pytest.raises(
        ZooError, match=r"the held-out examples of 'tones' are rnnx's own, and '.*' is given\. Leave it"
    ):
        evaluate_bundle(bundle.path, data=tmp_path)
    asked, examples = [], zoo.TONES.held_out()

    def there(folder):
        asked.append(folder)
        return examples

    monkeypatch.setattr(zoo, "TONES", dataclasses.replace(zoo.UNMEASURED, held_out_in=there))
    with pytest.raises(MissingDataError, match="pip download tones"):
        evaluate_bundle(bundle.path)
    with pytest.raises(MissingDataError, match="pip download tones"):
        train_system("tones", tmp_path / "a.safetensors")
    expected = {one.key for one in bundle.manifest.variants} | {"torch"}
    assert {one.runner for one in evaluate_bundle(bundle.path, data=tmp_path).results} == expected
    assert train_system("tones", tmp_path / "a.safetensors", data=tmp_path).score.count == 24
    made = export_system("tones", tmp_path / "out.rnnx", data=tmp_path)
    assert made.notes == ()
    assert asked == [tmp_path] * 3


def test_an_int8_variant_that_may_choose_otherwise_is_told_of(zoo, tmp_path, monkeypatch):
    real = exporting.quantize

    def choosing(*arguments, **options):
        made = real(*arguments, **options)
        entry = dataclasses.replace(made.entry, reference=0.25, reached=0.243, agreement=0.9375)
        return dataclasses.replace(made, entry=entry)

    monkeypatch.setattr(exporting, "quantize", choosing)
    (note,) = export_system("tones", tmp_path / "out.rnnx").notes
    assert note.startswith("int8 may choose otherwise than fp32: what proves it is the share of ones, 24.3% on the")
    assert "where fp32 has 25.0%. Of the choices in fp32's golden vectors 93.8% are the same; it has golden" in note


def test_a_recorder_keeps_the_first_rows_and_changes_nothing(zoo):
    system = registry.system("tones")
    runner = TorchRunner(trained(system), system.face)
    recorder = Recorder(runner, count=1, rows=3)
    examples = system.held_out()
    np.testing.assert_array_equal(recorder.run(examples)["logits"], runner.run(examples)["logits"])
    recorder.run(examples)
    (feed,) = recorder.feeds
    np.testing.assert_array_equal(feed["features"], examples["features"][:3])
    assert recorder.name == "torch"
    assert len(latencies_ms([runner, recorder], feed, rounds=1)) == 2


def test_training_writes_a_checkpoint_that_exports(zoo, tmp_path):
    lines = []
    made = train_system("tones", tmp_path / "own.safetensors", seed=3, report=lambda *one: lines.append(one))
    assert lines == [(1, 1, "loss 0.5")]
    assert made.score.count == 24
    again = train_system("tones", tmp_path / "again.safetensors", seed=3)
    assert again.sha256 == made.sha256
    other = train_system("tones", tmp_path / "other.safetensors", seed=4)
    assert other.sha256 != made.sha256
    bundle = export_system("tones", tmp_path / "own.rnnx", checkpoint=made.file, int8=False).bundle
    found = evaluate_bundle(bundle.path, checkpoint=made.file)
    assert found.results[0].score.value == made.score.value


def test_a_training_that_did_not_begin_leaves_no_folder(zoo, tmp_path, monkeypatch):
    def train(training):
        if training.steps:
            (training.folder / "training.pt").touch()
        raise MissingDataError("the tones are not here")

    monkeypatch.setattr(zoo, "TONES", dataclasses.replace(zoo.TONES, train=train))
    for steps, left in ((None, []), (3, ["kept"])):
        with pytest.raises(MissingDataError):
            train_system("tones", tmp_path / "own.safetensors", steps=steps, folder=tmp_path / "kept")
        assert [one.name for one in tmp_path.iterdir()] == left


def test_wrong_use_is_told(zoo, tmp_path, monkeypatch):
    with pytest.raises(ZooError, match=r"no system 'speeker'; it has .*speaker"):
        registry.system("speeker")
    with pytest.raises(CheckpointError, match="does not exist"):
        export_system("tones", tmp_path / "a.rnnx", checkpoint=tmp_path / "none.safetensors")
    assert not (tmp_path / "a.rnnx").exists()
    with pytest.raises(BundleError, match=r"the folder .* does not exist"):
        export_system("tones", tmp_path / "no" / "a.rnnx")
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    with pytest.raises(ZooError, match="exists already"):
        train_system("tones", tmp_path / "there.safetensors")
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"
    monkeypatch.setattr(zoo.TONES.__class__, "home", tmp_path)
    with pytest.raises(ZooError, match=r"no committed weights .* rnnx zoo train tones"):
        export_system("tones", tmp_path / "a.rnnx")


def test_a_score_step_by_step_is_told_of_what_goes_step_by_step(zoo, bundle, monkeypatch):
    monkeypatch.setattr(zoo, "TONES", zoo.STREAMS)
    found = evaluate_bundle(bundle.path)
    assert [one.runner for one in found.results] == ["fp32-streaming", "int8-streaming"]
    assert set(found.skipped) == {"torch", "fp32-offline", "int8-offline"}
    assert "takes no states" in found.skipped["torch"]


def test_a_score_that_is_no_number_is_an_error(zoo, bundle, monkeypatch):
    monkeypatch.setattr(zoo, "TONES", zoo.BROKEN)
    with pytest.raises(ZooError, match=r"'tones' scored nan by torch"):
        evaluate_bundle(bundle.path)


def test_the_command(zoo, bundle, tmp_path):
    run = CliRunner().invoke
    listed = run(main, ["zoo", "list"])
    assert listed.exit_code == 0, listed.output
    assert "25.0% share of ones" in listed.output
    assert (
        _block(
            {
                "name": "n",
                "task": "t",
                "architecture": "a",
                "metric": "m",
                "size_bytes": 1234567,
                "data": "d",
                "licence": "l",
            }
        )
        == "n: t\n  m, 1.23 MB\n  a\n  data: d; l"
    )
    as_json = json.loads(run(main, ["zoo", "list", "--json"]).output)
    assert next(one for one in as_json if one["name"] == "tones")["size_bytes"] == 1234
    out = str(tmp_path / "out.rnnx")
    exported = run(main, ["zoo", "export", "tones", "-o", out, "--no-int8"])
    assert exported.exit_code == 0, exported.output
    assert "fp32-streaming" in exported.output
    again = run(main, ["zoo", "export", "tones", "-o", out, "--no-int8"])
    assert again.exit_code == 1
    assert "exists already" in again.output
    scored = run(main, ["zoo", "eval", str(bundle.path)])
    assert scored.exit_code == 0, scored.output
    assert "torch" in scored.output
    assert "fp32-streaming" in scored.output
    report = json.loads(run(main, ["zoo", "eval", out, "--json"]).stdout)
    assert [one["runner"] for one in report["results"]] == ["torch", "fp32-offline", "fp32-streaming"]
    file = str(tmp_path / "new.safetensors")
    taught = run(main, ["zoo", "train", "tones", "-o", file, "--folder", str(tmp_path / "kept")])
    assert taught.exit_code == 0, taught.output
    assert "share of ones on 24 held-out examples" in taught.output
    unknown = run(main, ["zoo", "export", "speeker", "-o", str(tmp_path / "b.rnnx")])
    assert unknown.exit_code == 1
    assert "'speeker'" in unknown.output


def test_a_bundle_of_somebody_elses_is_not_scored_by_chance(bundle, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "out.rnnx")
    manifest = tmp_path / "out.rnnx" / "manifest.json"
    data = json.loads(manifest.read_text())
    del data["source"]["zoo"]
    manifest.write_text(json.dumps(data))
    with pytest.raises(ZooError, match="does not come from the zoo"):
        evaluate_bundle(tmp_path / "out.rnnx")
    with pytest.raises(ZooError, match=r"is of the system 'tones', and 'speaker' is given\. Leave it out"):
        evaluate_bundle(bundle.path, name="speaker")
    assert evaluate_bundle(tmp_path / "out.rnnx", name="tones").results[0].runner == "torch"


def test_metrics_for_people():
    assert Metric(name="accuracy", unit="%", digits=1).show(0.9865) == "98.7%"
    assert Metric(name="bits per character", unit="bits", higher_is_better=False).show(1.905) == "1.91 bits"
    assert Metric(name="AUC", digits=3).show(0.9871) == "0.987"


def test_a_card_says_what_was_measured(zoo, tmp_path):
    measured = measure("tones", tmp_path)
    runners = [one["runner"] for one in measured["results"]]
    assert runners == ["torch", "fp32-offline", "fp32-streaming", "int8-offline", "int8-streaming"]
    assert all(one["latency_ms"] > 0 for one in measured["results"])
    assert 0 < measured["max_abs_diff"]["fp32-offline"] < 1e-5
    assert measured["quantization"]["int8"] >= 1
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    text = card("tones", registry.entry("tones"), measured, registry.system("tones"))
    assert f"{measured['parameters']:,} parameters" in text
    assert "It was never trained." in text
    assert text.count("| int8-streaming |") == 2  # its row, and the column of its details
