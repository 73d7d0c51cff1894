"""Activity recognition: how windows are varied, who is asked, how answers are counted, and its bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

import rnnx
from rnnx.models.activity import cross_validate, data, recipe, scoring
from rnnx.models.activity.augment import MIRRORED, Augmentation, rotation, window
from rnnx.models.activity.model import LABELS, STRIDE
from rnnx.models.activity.system import ACTIVITY, FACE, NAMES
from rnnx.models.datasets.watch import Recording
from rnnx.models.zoo.running import BundleRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import load_task
from rnnx.runtime.tasks.description import Description

STILL = Augmentation(speed=0, turn_degrees=0, strength=0, noise=0, mirror=0)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def module():
    return trained(ACTIVITY)


@pytest.fixture
def signals():
    return np.random.default_rng(0).normal(0, 1, (700, 6)).astype(np.float32)


def vary(signals, augmentation, seed=0):
    return window(signals, 200, np.ones(6, dtype=np.float32), augmentation, np.random.default_rng(seed))


def test_a_window_that_is_not_varied_is_a_piece_of_the_recording(signals):
    found = vary(signals, STILL)
    start = np.flatnonzero(signals[:, 0] == found[0, 0])[0]
    np.testing.assert_allclose(found, signals[start : start + 200], rtol=0, atol=1e-6)


def test_another_speed_turns_faster_and_reads_further():
    ramp = np.tile(np.arange(700, dtype=np.float32)[:, None], (1, 6))
    speeds = []
    for seed in range(5):
        found = vary(ramp, Augmentation(speed=0.3, turn_degrees=0, strength=0, noise=0, mirror=0), seed)
        slopes = np.diff(found, axis=0)
        speeds.append(slopes[0, 0])
        np.testing.assert_allclose(slopes[:, :3], speeds[-1], rtol=1e-2)
        # So many radians per second more as it goes faster.
        np.testing.assert_allclose(found[:, 3:], found[:, :3] * speeds[-1], rtol=1e-2)
    assert np.std(speeds) > 0.05


def test_a_recording_that_is_hardly_longer_than_a_window_is_not_read_beyond_its_end(signals):
    for seed in range(20):
        found = vary(signals[:203], Augmentation(speed=2.0), seed)
        assert found.shape == (200, 6)
        assert np.isfinite(found).all()


def test_the_other_arm_is_a_mirror_image(signals):
    plain, mirrored = vary(signals, STILL), vary(signals, Augmentation(
        speed=0, turn_degrees=0, strength=0, noise=0, mirror=1
    ))  # fmt: skip
    np.testing.assert_allclose(mirrored, plain * [-1, 1, 1, 1, -1, -1], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(MIRRORED**2, 1)


def test_turning_the_watch_changes_no_lengths(signals):
    plain, turned = vary(signals, STILL), vary(signals, Augmentation(
        speed=0, turn_degrees=30, strength=0, noise=0, mirror=0
    ))  # fmt: skip
    for part in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(
            np.linalg.norm(turned[:, part], axis=1), np.linalg.norm(plain[:, part], axis=1), rtol=1e-4
        )
    assert np.abs(turned - plain).max() > 0.1


def test_a_quarter_turn_about_z():
    np.testing.assert_allclose(rotation(np.array([0, 0, np.pi / 2])) @ [1, 2, 3], [-2, 1, 3], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(rotation(np.zeros(3)), np.eye(3))


def test_who_is_asked_was_not_learned_from():
    assert not set(data.TEST_SUBJECTS) & set(data.TRAIN_SUBJECTS)
    assert {*data.TEST_SUBJECTS, *data.TRAIN_SUBJECTS} == set(range(1, 11))
    examples = data.held_out()
    assert set(examples.subjects.tolist()) == set(data.TEST_SUBJECTS)
    assert np.bincount(examples.exercises).tolist() == [6] * 7
    assert {one.shape for one in examples.signals} == {(1000, 6)}
    # At rest a watch feels gravity; most of these movements are slow.
    lengths = np.linalg.norm(np.concatenate(examples.signals)[:, :3], axis=1)
    assert np.median(lengths) == pytest.approx(1.0, abs=0.1)


def test_what_is_committed_is_read_as_it_was():
    generator = np.random.default_rng(0)
    signals = tuple(generator.normal(0, 3, (1100, 6)).astype(np.float32) for _ in range(3))
    examples = data.Examples(signals=signals, exercises=np.arange(3), subjects=np.array([8, 9, 9]))
    packed = data.pack(examples)
    whole = packed["differences"].transpose(0, 2, 1).cumsum(axis=1)
    for one, found in zip(signals, whole, strict=True):
        np.testing.assert_allclose(found[:, :3] / 256, one[:1000, :3], rtol=0, atol=1 / 500)
        np.testing.assert_allclose(found[:, 3:] / 64, one[:1000, 3:], rtol=0, atol=1 / 120)


def test_windows_overlap_by_half():
    signals = np.arange(450 * 6, dtype=np.float32).reshape(450, 6)
    found = data.windows(signals)
    assert found.shape == (3, 200, 6)
    np.testing.assert_array_equal(found[2], signals[200:400])


class Knows:
    name = "the exercise is written in the signal"

    def run(self, inputs):
        told = inputs["signals"][:, STRIDE - 1 :: STRIDE, 0].astype(int)
        return {"logits": np.eye(7, dtype=np.float32)[told]}


def test_answers_are_counted():
    def recording(told, steps=460):
        return np.tile(np.float32(told), (steps, 6))

    half = recording(3)
    half[:300] = 5  # wrong in the first window and a half: right at the end of windows 2 and 3
    examples = data.Examples(
        signals=(recording(2), half, recording(4)), exercises=np.array([2, 3, 6]), subjects=np.array([8, 8, 9])
    )
    found = scoring.score(Knows(), examples)
    # Windows end at steps 200, 300 and 400; that of `half` which ends at 300 still says 5.
    assert found.count == 9
    assert found.value == pytest.approx(4 / 9)
    assert (found.details["subject 8"], found.details["subject 9"]) == (pytest.approx(4 / 6), 0.0)
    assert found.details["answers after 4 s of a recording"] == pytest.approx((65 + 40) / 195)
    assert found.details["recordings"] == pytest.approx(2 / 3)
    assert found.details["F1, mean of the exercises"] == pytest.approx((1 + 0.5) / 7)


def test_the_checkpoint_reaches_what_its_card_says(module):
    found = ACTIVITY.evaluate(TorchRunner(module, FACE), ACTIVITY.held_out())
    with safe_open(ACTIVITY.checkpoint, framework="pt") as file:
        said = json.loads(file.metadata()["rnnx"])["held_out"]
    assert found.value == pytest.approx(said["value"], abs=1e-6)
    assert found.value > 0.85
    assert found.count == 378


@torch.inference_mode()
def test_what_comes_later_changes_no_answer(module, signals):
    whole = module(torch.from_numpy(signals[None]))
    part = module(torch.from_numpy(signals[None, :402]))
    assert whole.shape == (1, 175, 7)
    torch.testing.assert_close(part, whole[:, :100], rtol=0, atol=1e-5)


def test_every_subject_is_left_out_once():
    pairs = list(cross_validate.folds(range(1, 8), 2))
    assert [asked for _, asked in pairs] == [(1, 2), (3, 4), (5, 6), (7,)]
    assert all(not set(learn) & set(asked) and len(learn) + len(asked) == 7 for learn, asked in pairs)


def test_its_task_names_the_signals_and_the_exercises():
    task = Description.from_json(json.loads(ACTIVITY.assets()["task.json"]))
    assert task.read.tables[0].columns == ("ax", "ay", "az", "wx", "wy", "wz")
    assert len(task.write.labels) == len(LABELS)
    assert task.write.over_time == "last"


@pytest.fixture
def made(monkeypatch):
    """Recordings of subjects 1 to 7 in which each exercise has a tilt of its own."""
    generator = np.random.default_rng(0)
    recordings = [
        Recording(
            signals=(generator.normal(0, 0.1, (300, 6)) + np.eye(7, 6)[exercise]).astype(np.float32),
            exercise=exercise,
            subject=subject,
            right=True,
        )
        for subject in range(1, 11)
        for exercise in range(7)
    ]
    monkeypatch.setattr(recipe, "load_recordings", lambda _folder: tuple(recordings))
    return recordings


def test_training_learns_and_repeats(made):
    lines = []
    first, again = (recipe.train(Training(seed=2, steps=12, report=lambda *line: lines.append(line))) for _ in range(2))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    losses = [float(line[2].split()[1]) for line in lines[:12]]
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.slow
def test_its_stream_gives_the_whole_recording_s_answers(module, zoo_bundle):
    bundle = zoo_bundle("activity")
    signals = np.stack(data.held_out().signals[:3])
    whole = TorchRunner(module, FACE).run({"signals": signals})["logits"]
    with rnnx.load(bundle, mode="streaming", provider="cpu", threads=1) as session:
        stream = BundleRunner(session, FACE).stream()
        parts = [stream.push({"signals": part}) for part in np.split(signals, [4, 200, 208, 600], axis=1)]
        parts.append(stream.finish())
    joined = np.concatenate([part["logits"] for part in parts if part], axis=1)
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-4)
    with load_task(bundle, provider="cpu", threads=1) as task:
        ranked = task(signals[0]).ranked
    assert ranked[0][0] == NAMES[LABELS[whole[0, -1].argmax()]]
