"""A repository from a bundle: what is in it, and that a server that keeps Triton's rules gives the bundle's answers."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import click.testing
import numpy as np
import pytest

import rnnx
from rnnx.cli.main import main
from rnnx.errors import AlteredFileError, BundleNotFoundError, DeployError, DeployExistsError, VariantError
from rnnx.manifest import Chunks
from rnnx.runtime.deploy import triton
from rnnx.runtime.deploy.text_format import parse
from rnnx.runtime.deploy.triton import write_repository
from rnnx.runtime.deploy.triton_check import validate
from rnnx.runtime.deploy.triton_plan import in_pairs, plan
from rnnx.signature import AxisRange, Signature, StateSpec, parse_tensor


@pytest.fixture(scope="module")
def repository(make_bundle, tmp_path_factory):
    """The repository of a bundle whose first state is learned, and the bundle."""
    bundle = make_bundle(learned=True)
    out = tmp_path_factory.mktemp("triton") / "repository"
    return write_repository(bundle, out, max_batch_size=3), bundle


def stream_answers(bundle, x):
    with rnnx.load(bundle, mode="streaming", provider="cpu") as session, session.stream(batch=x.shape[0]) as stream:
        return np.concatenate([stream.push(x[:, at : at + 2])["y"] for at in range(0, x.shape[1], 2)], axis=1)


def test_sequences_that_run_together_answer_as_their_own_streams(repository, fake_triton):
    written, bundle = repository
    server = fake_triton(written.path / "small.streaming")
    x = np.random.default_rng(0).integers(-3, 4, (5, 8, 2)).astype(np.float32)
    alone = np.concatenate([stream_answers(bundle, row[None]) for row in x])
    got = [[] for _ in x]
    # Rows 0 to 2 run together, 3 and 4 begin later and join others: every batch is of other points of sequences.
    for rows in ([0, 1, 2], [0, 3], [1, 4], [2, 3], [0, 4, 1], [3], [2], [4]):
        step = {row: 2 * len(got[row]) for row in rows}
        answers = server.infer(
            *((row + 1, {"x": x[row : row + 1, step[row] : step[row] + 2]}, step[row] == 0, False) for row in rows)
        )
        for row, answer in zip(rows, answers, strict=True):
            got[row].append(answer["y"])
    for row, parts in enumerate(got):
        given = np.concatenate(parts, axis=1)
        assert given.shape[1] >= 4
        np.testing.assert_array_equal(given, alone[row : row + 1, : given.shape[1]])


def test_a_sequence_that_begins_again_begins_at_the_learned_value(repository, fake_triton):
    server = fake_triton(repository[0].path / "small.streaming")
    x = np.ones((1, 2, 2), np.float32)
    first = server.infer((9, {"x": x}, True, False))[0]["y"]
    assert not np.array_equal(server.infer((9, {"x": x}, False, True))[0]["y"], first)
    again = server.infer((9, {"x": x}, True, True))[0]["y"]
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(again, x + np.array([0.5, -2], np.float32))  # b starts from zeros
    assert server.sequences == {}


def test_names_that_sort_badly_are_renamed(repository):
    written, bundle = repository
    assert not in_pairs([("s1", "s1_next"), ("s10", "s10_next")])
    assert in_pairs([("h_0", "h_n"), ("c_0", "c_n")])
    (states,) = [one.states for one in written.models if one.is_streaming]
    assert [(one.input, one.given) for one in states] == [("s1", "next0000.s1"), ("s10", "next0001.s10")]
    plain = write_repository(bundle, written.path.parent / "again", mode="streaming", name="x", overwrite=True)
    assert plain.models[0].name == "x.streaming"


def test_names_that_sort_well_stay(make_bundle, tmp_path):
    bundle = make_bundle(names=("h", "c"))
    (model,) = write_repository(bundle, tmp_path / "r", mode="streaming").models
    assert [one.given for one in model.states] == ["h_next", "c_next"]
    # Nothing had to change, so the bytes are the bundle's own.
    raw = (bundle / "fp32-streaming.onnx").read_bytes()
    assert (tmp_path / "r/small.streaming/1/model.onnx").read_bytes() == raw


def test_the_offline_model_batches_with_lengths(repository, fake_triton):
    written, bundle = repository
    config = parse((written.path / "small/config.pbtxt").read_text())
    assert (config.integer("max_batch_size"), len(config.messages("dynamic_batching"))) == (3, 1)
    (lengths,) = [one for one in config.messages("input") if one.text("name") == "lengths"]
    assert (lengths.text("data_type"), lengths.integers("dims")) == ("TYPE_INT64", [1])
    assert [one.fields for one in lengths.messages("reshape")] == [[]]
    server = fake_triton(written.path / "small")
    x = np.random.default_rng(1).standard_normal((3, 4, 2)).astype(np.float32)
    sizes = np.array([[4], [2], [3]])
    answers = server.infer(*((0, {"x": x[i : i + 1], "lengths": sizes[i : i + 1]}, True, False) for i in range(3)))
    with rnnx.load(bundle, provider="cpu") as session:
        for row, answer in enumerate(answers):
            alone = session.run({"x": x[row : row + 1]}, lengths=sizes[row])
            np.testing.assert_array_equal(answer["y"], alone["y"])
            np.testing.assert_array_equal(answer["seen"], sizes[row])


def test_the_warm_up_is_a_golden_vector(repository):
    folder = repository[0].path / "small"
    (warmup,) = parse((folder / "config.pbtxt").read_text()).messages("model_warmup")
    entries = {one.text("key"): one.messages("value")[0] for one in warmup.messages("inputs")}
    assert {key: one.integers("dims") for key, one in entries.items()} == {"x": [3, 2], "lengths": [1]}
    raw = (folder / "warmup" / entries["x"].text("input_data_file")).read_bytes()
    np.testing.assert_array_equal(np.frombuffer(raw, np.float32), np.arange(6))
    assert np.frombuffer((folder / "warmup/lengths.bin").read_bytes(), np.int64).tolist() == [3]
    assert not (repository[0].path / "small.streaming/warmup").exists()


def test_it_says_where_it_is_from(repository):
    written, bundle = repository
    sha256 = rnnx.Bundle.open(bundle).sha256
    about = json.loads((written.path / "rnnx.json").read_text())
    assert about["bundle_sha256"] == written.bundle == sha256
    assert about["models"] == {"small": "fp32-offline", "small.streaming": "fp32-streaming"}
    for one in written.models:
        config = parse((written.path / one.name / "config.pbtxt").read_text())
        (parameter,) = config.messages("parameters")
        assert parameter.text("key") == "rnnx.bundle_sha256"
        assert parameter.messages("value")[0].text("string_value") == sha256
    readme = (written.path / "README.md").read_text()
    assert sha256 in readme
    assert "`lengths`, int64 of the shape `(batch, 1)`" in readme
    assert validate(written.path) == []


def test_instances_and_gpus(make_bundle, tmp_path):
    write_repository(make_bundle(), tmp_path / "r", instances=4, gpu=True)
    (group,) = parse((tmp_path / "r/small/config.pbtxt").read_text()).messages("instance_group")
    assert (group.text("kind"), group.integer("count")) == ("KIND_GPU", 4)
    assert "--gpus all" in (tmp_path / "r/README.md").read_text()


def test_the_signature_limits_the_batch(make_bundle, tmp_path):
    assert write_repository(make_bundle(), tmp_path / "r", mode="offline").models[0].max_batch_size == 32
    with pytest.raises(DeployError, match=r"--max-batch-size is 33; the bundle allows 1 <= batch <= 32"):
        write_repository(make_bundle(), tmp_path / "s", mode="offline", max_batch_size=33)
    (model,) = write_repository(make_bundle(), tmp_path / "t", mode="offline", max_batch_size=0).models
    assert (model.max_batch_size, model.reason) == (0, "--max-batch-size is 0")
    assert not parse((tmp_path / "t/small/config.pbtxt").read_text()).messages("dynamic_batching")


X = parse_tensor("x: float32[batch, time, 2]")


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        (
            ["x: float32[batch, time, 2]"],
            ["h: float32[1, batch, 2]"],
            "output 'h: .*' does not have 'batch' as its first",
        ),
        (["x: float32[batch, time, 2]", "w: int64[1]"], ["y: float32[batch, time, 2]"], "input 'w: .*' does not have"),
        (["x: float32[4, time, 2]"], ["y: float32[4, time, 2]"], "the first axis of 'x' is 4, always"),
        (["x: float32[time, batch, 2]"], ["y: float32[time, batch, 2]"], "nothing says that 'time', the first axis"),
        (["x: float32[rows, 2]"], ["y: float32[rows, 2]"], "nothing says that 'rows'"),
    ],
)
def test_what_has_no_batch_first_is_not_batched(inputs, outputs, reason, make_bundle):
    bundle = rnnx.Bundle.open(make_bundle())
    face = Signature(inputs=tuple(map(parse_tensor, inputs)), outputs=tuple(map(parse_tensor, outputs)))
    made = plan(bundle, replace(bundle.variant(), signature=face), name="m", max_batch_size=8)
    assert made.max_batch_size == 0
    assert re.search(reason, made.reason)
    assert made.dims(face.inputs[0]) == [axis if isinstance(axis, int) else -1 for axis in face.inputs[0].axes]


def test_batches_that_must_be_even_are_not_made(make_bundle):
    bundle = rnnx.Bundle.open(make_bundle())
    face = Signature(inputs=(X,), outputs=(replace(X, name="y"),), ranges=(AxisRange(name="batch", multiple_of=2),))
    made = plan(bundle, replace(bundle.variant(), signature=face), name="m")
    assert (made.max_batch_size, "a multiple of 2" in made.reason) == (0, True)


def states(*declared, output=True, **more):
    specs = tuple(parse_tensor(one) for one in declared)
    return Signature(
        inputs=(X, *specs),
        outputs=(replace(X, name="y"), *(replace(one, name=f"{one.name}_next") for one in specs)),
        states=tuple(StateSpec(name=one.name, output=f"{one.name}_next" if output else None) for one in specs),
        **more,
    )


@pytest.mark.parametrize(
    ("face", "message"),
    [
        (states("h: float32[batch, cells]"), "state 'h' .* has the dynamic axis 'cells' beside its batch"),
        (states("h: float32[batch, 2]", output=False), "state 'h' .* has no output that gives its next value"),
        (replace(states("h: float32[batch, 2]"), outputs=(parse_tensor("n: int64[]"),)), "'n' .* is a single number"),
    ],
)
def test_what_triton_cannot_say_is_refused(face, message, make_bundle):
    bundle = rnnx.Bundle.open(make_bundle())
    with pytest.raises(DeployError, match=message):
        plan(bundle, replace(bundle.variant(mode="streaming"), signature=face), name="m")


@pytest.mark.parametrize(
    ("face", "reason", "rows"),
    [
        (states("n: int64[batch]"), "state 'n' is one number a stream", 1),
        (
            states("n: int64[batch]", ranges=(AxisRange(name="batch", minimum=3, multiple_of=2),)),
            "batches of any size",
            4,
        ),
    ],
)
def test_streams_that_triton_must_not_batch(face, reason, rows, make_bundle):
    bundle = rnnx.Bundle.open(make_bundle())
    made = plan(bundle, replace(bundle.variant(mode="streaming"), signature=face), name="m")
    assert (made.max_batch_size, reason in made.reason, made.rows) == (0, True, rows)
    assert made.dims(face.inputs[0]) == [rows, -1, 2]
    assert made.dims(face.inputs[1]) == [rows]


def test_many_streams_at_once_have_no_common_end(make_bundle):
    bundle = rnnx.Bundle.open(make_bundle())
    face = states("h: float32[2, 3]")
    face = replace(
        face,
        inputs=(*face.inputs, parse_tensor("stream.ending: int64[2]")),
        states=(*face.states, StateSpec(name="stream.ending")),
    )
    variant = replace(bundle.variant(mode="streaming"), signature=face, chunks=Chunks(axis="time"))
    with pytest.raises(DeployError, match="is of 2 streams that go on together"):
        plan(bundle, variant, name="m")


def test_what_is_left_out_is_said(make_bundle, tmp_path):
    written = write_repository(make_bundle(modes=("offline",)), tmp_path / "r")
    assert list(written.left_out) == ["streaming"]
    assert "has no variant" in written.left_out["streaming"]
    assert "## Not here" in (tmp_path / "r/README.md").read_text()
    with pytest.raises(VariantError, match="has no variant 'auto-streaming'"):
        write_repository(make_bundle(modes=("offline",)), tmp_path / "s", mode="streaming")
    assert not (tmp_path / "s").exists()


def test_nothing_is_replaced_but_a_repository_of_ours(make_bundle, tmp_path):
    bundle, mine = make_bundle(), tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    for overwrite, message in ((False, "exists already"), (True, "no repository that rnnx wrote")):
        with pytest.raises(DeployExistsError, match=message):
            write_repository(bundle, mine, overwrite=overwrite)
    assert (mine / "thesis.txt").read_text() == "years"
    write_repository(bundle, tmp_path / "r")
    with pytest.raises(DeployExistsError, match="exists already"):
        write_repository(bundle, tmp_path / "r")
    write_repository(bundle, tmp_path / "r", mode="offline", overwrite=True)
    assert {one.name for one in (tmp_path / "r").iterdir()} == {"small", "README.md", "rnnx.json"}
    with pytest.raises(DeployError, match=r"does not exist\. Make it"):
        write_repository(bundle, tmp_path / "no" / "r")


def test_a_failure_leaves_nothing_and_the_old_one(make_bundle, tmp_path, monkeypatch):
    bundle = make_bundle()
    write_repository(bundle, tmp_path / "r", name="old")
    monkeypatch.setattr(triton, "validate", lambda _: ["m: broken"])
    with pytest.raises(DeployError, match="breaks Triton's rules:\n  m: broken"):
        write_repository(bundle, tmp_path / "r", name="new", overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == ["r"]
    assert (tmp_path / "r/old").is_dir()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"name": "a/b"}, "no model name"), ({"instances": 0}, "from 1"), ({"mode": "both"}, "mode 'both' is not known")],
)
def test_wrong_options(options, message, make_bundle, tmp_path):
    with pytest.raises(DeployError, match=message):
        write_repository(make_bundle(), tmp_path / "r", **options)


def test_no_bundle(tmp_path):
    with pytest.raises(BundleNotFoundError, match="is no bundle"):
        write_repository(tmp_path, tmp_path / "r")


def run(*arguments):
    return click.testing.CliRunner().invoke(main, ["triton", *map(str, arguments)])


def test_the_command(make_bundle, tmp_path):
    done = run(make_bundle(), "-o", tmp_path / "r", "--max-batch-size", 8)
    assert done.exit_code == 0
    assert "small.streaming" in done.output
    assert run("--check", tmp_path / "r").exit_code == 0
    config = tmp_path / "r/small.streaming/config.pbtxt"
    config.write_text(config.read_text().replace("next0000.s1", "next0001.s10", 1))
    done = run("--check", tmp_path / "r", "--json")
    assert done.exit_code == 1
    assert {one["model"] for one in json.loads(done.output)} == {"small.streaming"}
    assert json.loads(run(make_bundle(), "-o", tmp_path / "s", "--json").output)["models"][1]["states"] == 2
    for wrong in ((), (tmp_path,), (tmp_path, "--check", tmp_path), ("--check", tmp_path, "-o", tmp_path)):
        assert run(*wrong).exit_code == 2
    done = run(tmp_path / "r", "-o", tmp_path / "t")
    assert (done.exit_code, "is no bundle" in done.output) == (1, True)


def test_the_stand_in_swaps_as_triton_does(repository, fake_triton, tmp_path):
    """Without the renaming the second answer is another model's, and without an initial value the first is garbage."""
    written, bundle = repository
    folder = shutil.copytree(written.path / "small.streaming", tmp_path / "small.streaming")
    (folder / "1/model.onnx").write_bytes((bundle / "fp32-streaming.onnx").read_bytes())
    config = folder / "config.pbtxt"
    text = config.read_text().replace("next0000.s1", "s1_next").replace("next0001.s10", "s10_next")
    config.write_text(text)
    x = np.ones((1, 4, 2), np.float32)
    expected = stream_answers(bundle, x)
    server = fake_triton(folder)
    answers = [server.infer((1, {"x": x[:, at : at + 2]}, at == 0, False))[0]["y"] for at in (0, 2)]
    np.testing.assert_array_equal(answers[0], expected[:, :2])
    assert not np.array_equal(answers[1], expected[:, 2:])
    assert any("Triton pairs states by the order" in one.problem for one in validate(tmp_path))
    config.write_text(text.replace("zero_data: true", ""))
    assert not np.array_equal(fake_triton(folder).infer((1, {"x": x[:, :2]}, True, False))[0]["y"], expected[:, :2])


def test_weights_beside_the_graph_come_along(make_lstm, tmp_path):
    (model,) = write_repository(make_lstm(external=True), tmp_path / "r", instances=2).models
    assert (model.name, model.max_batch_size) == ("lstm", 0)
    assert "'h_0: float32[1, batch, 4]' does not have 'batch' as its first axis" in model.reason
    assert sorted(one.name for one in (tmp_path / "r/lstm/1").iterdir()) == ["fp32-offline.data", "model.onnx"]
    assert validate(tmp_path / "r") == []


def test_an_altered_bundle_is_not_deployed(make_lstm, tmp_path):
    bundle = make_lstm()
    raw = (bundle / "fp32-offline.onnx").read_bytes()
    (bundle / "fp32-offline.onnx").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(AlteredFileError, match="has SHA-256"):
        write_repository(bundle, tmp_path / "r")
    assert not (tmp_path / "r").exists()
