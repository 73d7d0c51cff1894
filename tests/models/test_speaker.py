"""Speaker recognition: the data, the model, its committed checkpoint and the recipe that made it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file

from rnnx.atomic import write_atomically
from rnnx.models.ragged import pad
from rnnx.models.speaker import augment, convert, cross_validate, evaluate, train
from rnnx.models.speaker.data import DATA, load
from rnnx.models.speaker.model import CHECKPOINT, build, predictor
from rnnx.models.speaker.model import load as load_model

CORRECT = 365  # of 370
STILL = augment.Augmentation(session=0.0, gain=0.0, noise=0.0, warp=1.0)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def few():
    """Six utterances of each speaker."""
    split = load("train")
    return split.select(np.flatnonzero(np.arange(len(split.labels)) % 30 < 6))


def facts():
    with safe_open(CHECKPOINT, framework="np") as file:
        return json.loads(file.metadata()["rnnx"])


# Data


@pytest.mark.parametrize(
    ("name", "per_speaker", "frames", "longest", "first", "last"),
    [
        # The numbers of utterances are those of the data set's own description.
        ("train", [30] * 9, 4274, 26, [1.860936, -0.207383, 0.261557], [-0.089183, 0.16625, 0.173642]),
        (
            "test",
            [31, 35, 88, 44, 29, 24, 40, 50, 29],
            5687,
            29,
            [1.635533, 0.024848, 0.432087],
            [-0.001849, -0.016634, 0.224688],
        ),
    ],
)
def test_the_data_are_whole(*, name, per_speaker, frames, longest, first, last):
    split = load(name)
    assert np.bincount(split.labels).tolist() == per_speaker
    assert len(split.utterances) == len(split.labels) == sum(per_speaker)
    assert split.labels.dtype == np.int64
    assert {(one.dtype.name, one.shape[1]) for one in split.utterances} == {("float32", 12)}
    lengths = [len(one) for one in split.utterances]
    assert (sum(lengths), min(lengths), max(lengths)) == (frames, 7, longest)
    # Exactly: float32 nearest to the source's six decimals.
    np.testing.assert_array_equal(split.utterances[0][0, :3], np.float32(first))
    np.testing.assert_array_equal(split.utterances[-1][-1, -3:], np.float32(last))


def test_no_utterance_is_in_both_splits():
    train_set, test_set = ({one.tobytes() for one in load(name).utterances} for name in ("train", "test"))
    assert len(train_set) == 270
    assert len(test_set) == 370
    assert not train_set & test_set


def test_an_archive_with_a_pickle_is_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, test_frames=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load("test", path)


def test_the_document_names_the_files_as_they_are():
    text = DATA.with_name("DATA.md").read_text(encoding="utf-8")
    for path in (DATA, CHECKPOINT):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text, f"DATA.md has another SHA-256 for '{path.name}'"
    assert f"{CORRECT} of 370" in text


def test_padding_keeps_the_frames_and_adds_zeros():
    utterances = [np.full((time, 12), time, dtype=np.float32) for time in (3, 1)]
    features, lengths = pad(utterances)
    assert features.dtype == np.float32
    assert lengths.tolist() == [3, 1]
    np.testing.assert_array_equal(features[:, :, 0], [[3, 3, 3], [1, 0, 0]])


def test_data_and_evaluation_need_no_torch():
    code = "import sys, rnnx.models.speaker.data, rnnx.models.speaker.evaluate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Conversion


def ts(*lines):
    return "\n".join(["# a comment", "@data", *lines])


def test_a_ts_file_is_read_by_dimension():
    line = ":".join(f"{d}.5,-{d}.25" for d in range(12))
    (utterance,), labels = convert.read_ts(ts(f"{line}:9"))
    assert utterance.dtype == np.float32
    np.testing.assert_array_equal(utterance, [[d + 0.5 for d in range(12)], [-d - 0.25 for d in range(12)]])
    assert labels.tolist() == [8]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2:3,4:1", r"line 3 has dimensions of lengths \[2, 2\]; 12 equal ones are needed"),
        (":".join(["1,2"] * 11 + ["1"]) + ":1", r"line 3 has dimensions of lengths \[2, .*, 1\]"),
        (":".join(["1,2"] * 12) + ":10", "line 3 has the label '10'; 1 to 9 are known"),
    ],
)
def test_a_broken_ts_file_is_refused(line, message):
    with pytest.raises(ValueError, match=message):
        convert.read_ts(ts(line))


def test_only_the_original_files_are_converted(tmp_path):
    result = CliRunner().invoke(convert.main, [str(tmp_path)])
    assert result.exit_code == 1
    assert f"'JapaneseVowels_TRAIN.ts' is not under '{tmp_path}'" in result.output
    (tmp_path / "JapaneseVowels_TRAIN.ts").write_text(ts())
    with pytest.raises(ValueError, match=r"'.*TRAIN.ts' has the SHA-256 .*; the file of aeon 1.6.0 has 68a430ea"):
        convert.convert(tmp_path)


def test_an_archive_is_the_same_on_every_write(tmp_path):
    with np.load(DATA, allow_pickle=False) as archive:
        arrays = dict(archive)
    for name in ("one.npz", "two.npz"):
        convert.write(arrays, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    for name in ("train", "test"):
        for left, right in zip(load(name).utterances, load(name, tmp_path / "one.npz").utterances, strict=True):
            np.testing.assert_array_equal(left, right)


# Model and checkpoint


def test_the_checkpoint_fits_the_default_model_exactly():
    weights = load_file(CHECKPOINT)
    expected = build().state_dict()
    assert {name: (one.shape, one.dtype) for name, one in weights.items()} == {
        name: (one.shape, one.dtype) for name, one in expected.items()
    }
    loaded = load_model()
    assert not loaded.training
    assert all(torch.equal(one, weights[name]) for name, one in loaded.state_dict().items())


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    other = build(hidden_size=8)
    path.write_bytes(train.checkpoint(other, train.Recipe(), evaluate.Score(correct=0, total=1)))
    with pytest.raises(RuntimeError, match=r"size mismatch for lstm\.weight_ih_l0"):
        load_model(path)


def test_the_checkpoint_reaches_its_recorded_accuracy():
    result = evaluate.score(predictor(load_model()), load("test"))
    assert result == evaluate.Score(correct=CORRECT, total=370)
    assert facts()["held_out"] == {"split": "test", "correct": CORRECT, "total": 370}


def test_the_checkpoint_was_made_by_the_recipe_as_it_stands():
    assert facts()["recipe"] == json.loads(json.dumps(dataclasses.asdict(train.Recipe())))


def test_the_checkpoint_normalises_by_the_training_frames():
    frames = np.concatenate(load("train").utterances).astype(np.float64)
    model = load_model()
    np.testing.assert_allclose(model.mean.numpy(), frames.mean(axis=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.std.numpy(), frames.std(axis=0), rtol=0, atol=1e-5)


@torch.no_grad()
def test_an_answer_depends_on_neither_padding_nor_companions():
    model = load_model()
    utterances = load("test").utterances[::6]
    alone = torch.cat([model(torch.from_numpy(one)[None], torch.tensor([len(one)])) for one in utterances])
    features, lengths = (torch.from_numpy(array) for array in pad(utterances))
    together = model(features, lengths)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)

    # Anything may stand in the padding, and there may be more of it than the longest utterance needs.
    wide = torch.full((len(lengths), features.size(1) + 9, 12), 1e4)
    for row, one in zip(wide, utterances, strict=True):
        row[: len(one)] = torch.from_numpy(one)
    torch.testing.assert_close(model(wide, lengths), alone, rtol=0, atol=1e-5)

    order = torch.from_numpy(np.random.default_rng(0).permutation(len(lengths)))
    torch.testing.assert_close(model(features[order], lengths[order]), alone[order], rtol=0, atol=1e-5)
    # The comparison above could not fail if the model said the same of everybody.
    assert (alone[0] - alone[-1]).abs().max() > 1


@torch.no_grad()
def test_the_forward_pass_is_the_formula():
    torch.manual_seed(0)
    model = build(hidden_size=5).eval()
    model.mean.uniform_(-1, 1)
    model.std.uniform_(0.5, 2)
    features = torch.randn(2, 6, 12)
    logits = model(features, torch.tensor([6, 4]))
    for row, length in enumerate((6, 4)):
        hidden, _ = model.lstm((features[row : row + 1, :length] - model.mean) / model.std)
        pooled = torch.cat((hidden.mean(dim=1), hidden.amax(dim=1)), dim=1)
        torch.testing.assert_close(logits[row : row + 1], model.classifier(pooled), rtol=0, atol=1e-6)


# Evaluation


def test_accuracy_is_the_share_of_highest_scores_at_the_label():
    logits = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [5.0, 4.0]])
    assert evaluate.accuracy(logits, np.array([1, 0, 0, 1])) == 0.5


def test_every_utterance_is_scored_once_in_batches(few):
    seen = []

    def predict(utterances):
        seen.append(len(utterances))
        return np.eye(9)[[0] * len(utterances)]

    assert evaluate.score(predict, few, batch_size=25) == evaluate.Score(correct=6, total=54)
    assert seen == [25, 25, 4]


def test_missing_answers_are_refused(few):
    with pytest.raises(ValueError, match="there are 1 rows of logits for 54 labels"):
        evaluate.score(lambda _: np.zeros((1, 9)), few)


# Augmentation


def test_no_augmentation_leaves_an_utterance_as_it_is(few):
    variation = augment.measure(few, points=STILL.points)
    varied = augment.augment(few.utterances[0], variation, STILL, np.random.default_rng(0))
    np.testing.assert_allclose(varied, few.utterances[0], rtol=0, atol=1e-6)


def test_a_session_shift_has_the_covariance_seen_within_speakers(few):
    settings = augment.Augmentation(session=1.0, points=2, gain=0.0, noise=0.0, warp=1.0)
    variation = augment.measure(few, points=2)
    generator = np.random.default_rng(0)
    utterance = few.utterances[0]
    shifts = np.stack([augment.augment(utterance, variation, settings, generator) - utterance for _ in range(4000)])
    # In between, a shift is interpolated from its two ends.
    middle = len(utterance) // 2
    share = middle / (len(utterance) - 1)
    expected = (1 - share) * shifts[:, 0] + share * shifts[:, -1]
    np.testing.assert_allclose(shifts[:, middle], expected, rtol=0, atol=1e-5)
    ends = shifts[:, [0, -1]].reshape(len(shifts), -1)
    covariance = variation.residuals.T @ variation.residuals / len(few.labels)
    # 4000 draws know a covariance to about 1/sqrt(4000) of its variances.
    scale = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    assert np.abs((np.cov(ends.T, bias=True) - covariance) / scale).max() < 0.1


def test_resampling_is_linear():
    frames = np.array([[0.0, 10.0], [1.0, 20.0], [4.0, 0.0]])
    np.testing.assert_allclose(
        augment.resample(frames, 5), [[0, 10], [0.5, 15], [1, 20], [2.5, 10], [4, 0]], rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(augment.resample(frames[:1], 2), [[0, 10], [0, 10]])


# Recipe


def test_training_is_deterministic_and_learns(few):
    def run(seed, steps=60):
        lines = []
        model = train.train(few, train.Recipe(seed=seed, steps=steps), lambda _, __, line: lines.append(line))
        return model.state_dict(), [float(line.split()[1]) for line in lines]

    before = torch.get_rng_state()
    (first, losses), (again, losses_again), (other, _) = run(0), run(0), run(1, steps=2)
    assert torch.equal(before, torch.get_rng_state()), "training must leave the caller's random numbers alone"
    assert losses == losses_again
    assert all(torch.equal(one, again[name]) for name, one in first.items())
    assert not torch.equal(first["lstm.weight_ih_l0"], other["lstm.weight_ih_l0"])
    assert len(losses) == 60
    # Chance is log(9) = 2.20.
    assert np.mean(losses[:4]) > 2.0
    assert np.mean(losses[-4:]) < 1.5


@pytest.mark.slow
def test_a_tenth_of_the_recipe_answers_nearly_all():
    model = train.train(load("train"), train.Recipe(steps=160))
    assert evaluate.score(predictor(model), load("test")).accuracy > 0.9


def test_the_command_writes_the_same_checkpoint_twice(tmp_path):
    contents = []
    for name in ("one.safetensors", "two.safetensors"):
        path = tmp_path / name
        # A process each: safetensors orders its metadata by a hash that is seeded per process.
        command = [sys.executable, "-m", "rnnx.models.speaker.train", "--output", str(path), "--steps", "3"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        contents.append(path.read_bytes())
        assert "training: step 3 of 3, loss " in done.stderr
        assert " of 370 held-out utterances right" in done.stdout
        assert hashlib.sha256(contents[-1]).hexdigest() in done.stdout
    assert contents[0] == contents[1]
    load_model(tmp_path / "one.safetensors")


def test_a_missing_folder_is_found_before_training(tmp_path):
    result = CliRunner().invoke(train.main, ["--output", str(tmp_path / "no" / "speaker.safetensors")])
    assert result.exit_code == 2
    assert "is no folder. Make it first." in result.output


@pytest.mark.parametrize("few_only", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_folds_have_every_speaker_and_answer_every_utterance(shuffle, few_only):
    split = load("train")
    folding = cross_validate.Folding(folds=5, shuffle=shuffle, few=few_only)
    pairs = list(cross_validate.split_folds(split, folding))
    answered = [one.tobytes() for _, answer in pairs for one in answer.utterances]
    assert len(pairs) == 5
    assert len(answered) == 270 * (4 if few_only else 1)
    assert len(set(answered)) == 270
    for learn, answer in pairs:
        assert np.bincount(learn.labels).tolist() == [6 if few_only else 24] * 9
        assert not {one.tobytes() for one in learn.utterances} & {one.tobytes() for one in answer.utterances}
    # Successive utterances are in one fold, unless they are shuffled.
    first = pairs[0][0 if few_only else 1]
    in_order = all(np.array_equal(a, b) for a, b in zip(first.utterances[:6], split.utterances[:6], strict=True))
    assert in_order is not shuffle


# Writing


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "speaker.safetensors"
    write_atomically(path, b"old")

    def fail(self, target):
        raise OSError("the disk is gone")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path], "no temporary file is left behind"


def test_a_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "speaker.safetensors"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644
