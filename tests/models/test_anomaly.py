"""Anomalies in signals: what an error is, what a score is, what is found, and the two systems' bundles."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

import rnnx
from rnnx.models.anomaly import recipe, scoring
from rnnx.models.anomaly.model import AnomalyNet
from rnnx.models.anomaly.system import ANOMALY_ECG, ANOMALY_KDD, FACE
from rnnx.models.datasets.anomalies import Signal
from rnnx.models.zoo.running import BundleRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import load_task
from rnnx.runtime.tasks.description import Description

SYSTEMS = pytest.mark.parametrize("system", [ANOMALY_ECG, ANOMALY_KDD], ids=lambda one: one.name)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AnomalyNet(hidden_size=5, num_layers=1, horizon=3, smooth=2, warmup=6).eval()
    model.mean.fill_(2.0)
    model.std.fill_(0.5)
    model.expected_error.copy_(torch.tensor([0.1, -0.2, 0.3]))
    model.whitening.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.4, 2.0, 0.0], [0.1, 0.3, 0.5]]))
    model.alarm.fill_(4.0)
    return model


@pytest.fixture
def signal():
    return torch.from_numpy(np.random.default_rng(1).normal(2, 0.5, (2, 20, 1)).astype(np.float32))


@torch.inference_mode()
def by_hand(model, signal):
    """Scores and expectations of one row, by loops over the definition."""
    foretold = model.foretell(signal).numpy()[0]
    values = (signal.numpy()[0, :, 0] - 2.0) / 0.5
    distances, expected = [], []
    for step, value in enumerate(values):
        told = [foretold[step - ahead, ahead - 1] if step >= ahead else 0.0 for ahead in (1, 2, 3)]
        error = (value - np.array(told) - model.expected_error.numpy()) @ model.whitening.numpy()
        distances.append((error**2).mean())
        expected.append(told[0] * 0.5 + 2.0)
    pairs = zip([0.0, *distances], distances, strict=False)
    smoothed = [sum(pair) / 2 if step >= 6 else 0.0 for step, pair in enumerate(pairs)]
    return np.log2(1 + np.array(smoothed) / 4.0), np.array(expected)


@torch.inference_mode()
def test_scores_and_expectations_are_the_definition_s(tiny, signal):
    scores, expected = tiny(signal)
    for row in range(2):
        by_definition = by_hand(tiny, signal[row : row + 1])
        np.testing.assert_allclose(scores[row], by_definition[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(expected[row], by_definition[1], rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_what_comes_later_changes_no_score(tiny, signal):
    other = signal.clone()
    other[:, 12:] += 3
    before, after = tiny(signal)[0], tiny(other)[0]
    torch.testing.assert_close(before[:, :12], after[:, :12], rtol=0, atol=0)
    assert (before[:, 12] != after[:, 12]).all()


def test_the_area_is_the_share_of_pairs():
    generator = np.random.default_rng(2)
    scores, anomalous = generator.integers(0, 6, 60).astype(float), generator.random(60) < 0.3
    pairs = scores[anomalous][:, None] - scores[~anomalous][None]
    assert scoring.roc_auc(scores, anomalous) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert scoring.roc_auc(anomalous.astype(float), anomalous) == 1.0


def test_the_best_f1_is_the_best_of_all_thresholds():
    generator = np.random.default_rng(3)
    scores, anomalous = generator.integers(0, 9, 50).astype(float), generator.random(50) < 0.3

    def f1(threshold):
        told = scores >= threshold
        return 2 * (told & anomalous).sum() / (told.sum() + anomalous.sum())

    assert scoring.best_f1(scores, anomalous) == pytest.approx(max(f1(one) for one in np.unique(scores)))


def test_runs_have_a_beginning_and_an_end():
    marked = np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool)
    assert scoring.runs(marked).tolist() == [[0, 2], [4, 5], [6, 7]]
    assert scoring.runs(np.zeros(3, dtype=bool)).tolist() == []


class Says:
    name = "scores as given"

    def __init__(self, scores):
        self.scores = scores

    def run(self, inputs):
        assert inputs["signal"].shape == (1, len(self.scores), 1)
        return {"score": self.scores[None]}


def test_alarms_are_counted_as_a_person_would():
    anomalous = np.zeros(1000, dtype=bool)
    anomalous[300:320] = anomalous[600:650] = anomalous[900:910] = True
    scores = np.zeros(1000, dtype=np.float32)
    scores[305:330] = 2  # found after 5 steps, and it rings on
    scores[[610, 700]] = 2  # found after 10; the second alarm comes 50 after its end
    scores[[10, 450, 451, 800]] = 2  # one before the signal counts, and two false ones
    examples = scoring.Examples(signal=np.zeros(1000, dtype=np.float32), anomalous=anomalous, first=100)
    found = scoring.score(Says(scores), examples)
    assert found.count == 900
    assert found.value == pytest.approx(scoring.roc_auc(scores[100:], anomalous[100:]))
    told = {name: found.details[name] for name in ("anomalies", "anomalies with an alarm", "false alarms")}
    assert told == {"anomalies": 3, "anomalies with an alarm": 2, "false alarms": 2}
    assert found.details["mean delay of an alarm, steps"] == 7.5


def test_the_committed_signals_are_what_data_md_says():
    ecg, bleeding = scoring.held_out("ecg"), scoring.held_out("bleeding")
    assert (len(ecg.signal), ecg.first, scoring.runs(ecg.anomalous).tolist()) == (
        10000, 100, [[1560, 1660], [6600, 6700], [6940, 7040]],
    )  # fmt: skip
    assert (len(bleeding.signal), bleeding.first, scoring.runs(bleeding.anomalous).tolist()) == (
        7501, 1200, [[4187, 4199]],
    )  # fmt: skip
    assert ecg.signal.dtype == bleeding.signal.dtype == np.float32


@SYSTEMS
def test_the_checkpoint_reaches_what_its_card_says(system):
    found = system.evaluate(TorchRunner(trained(system), FACE), system.held_out())
    with safe_open(system.checkpoint, framework="pt") as file:
        said = json.loads(file.metadata()["rnnx"])["held_out"]
    assert found.value == pytest.approx(said["value"], abs=1e-5)
    assert found.value > 0.985
    assert found.details["anomalies with an alarm"] == found.details["anomalies"]
    assert found.details["false alarms"] == said["details"]["false alarms"]


@SYSTEMS
def test_its_task_takes_one_column_and_alarms_above_one(system):
    task = Description.from_json(json.loads(system.assets()["task.json"]))
    assert (task.read.tables[0].columns, task.write.output, task.write.threshold) == (("value",), "score", 1.0)


@pytest.fixture
def wave(monkeypatch):
    """A sound signal that is easy to learn, in place of the real ones."""
    values = np.sin(np.arange(1500) / 3) + np.random.default_rng(0).normal(0, 0.05, 1500)
    sound = Signal(values=values.astype(np.float32), anomalous=np.zeros(1500, dtype=bool))
    monkeypatch.setattr(recipe, "load_signals", lambda *_: {"sound": sound})
    return sound.values


@pytest.mark.parametrize("correlated", [False, True])
def test_training_learns_what_is_sound_and_where_the_alarm_lies(wave, correlated):
    settings = replace(recipe.ECG, horizon=5, hidden_size=12, window=80, correlated=correlated)
    model = recipe.train(settings, Training(seed=0, steps=60))
    again = recipe.train(settings, Training(seed=0, steps=60))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    with torch.inference_mode():
        scores = model(torch.from_numpy(wave[None, :, None].copy()))[0][0].numpy()
        broken = wave.copy()
        broken[1300:1330] += 4
        alarms = model(torch.from_numpy(broken[None, :, None].copy()))[0][0].numpy() > 1
    assert scores[1200:].max() == pytest.approx(
        np.log2(1 + 1 / settings.margin), rel=1e-4
    )  # measured on what was left over
    assert alarms[1300:1340].any()
    assert not alarms[100:1300].any()


def test_the_score_is_the_mahalanobis_distance_of_the_errors():
    noise = np.random.default_rng(0).normal(0, 1, 2001).astype(np.float32)
    sound = noise[1:] + 0.7 * noise[:-1]
    settings = replace(recipe.ECG, horizon=4, hidden_size=8, window=80, smooth=1, margin=1.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = settings.build()
    recipe.calibrate(model, sound, 200, settings)
    with torch.inference_mode():
        signal = torch.from_numpy(sound[None, :, None])
        errors = model.errors(signal)[0][0, 200:].double().numpy()
        scores = model(signal)[0][0, 200:].numpy()
    covariance = np.cov(errors.T)
    covariance += 1e-4 * covariance.diagonal().mean() * np.eye(4)
    rest = errors - errors.mean(axis=0)
    distances = np.einsum("ti,ij,tj->t", rest, np.linalg.inv(covariance), rest) / 4
    np.testing.assert_allclose(2**scores - 1, distances / distances.max(), rtol=2e-3, atol=1e-4)


@pytest.mark.slow
def test_its_stream_gives_the_whole_signal_s_scores(zoo_bundle):
    bundle = zoo_bundle("anomaly-kdd")
    values = scoring.held_out("bleeding").signal[None, 4000:4300, None]
    whole = TorchRunner(trained(ANOMALY_KDD), FACE).run({"signal": values})
    with rnnx.load(bundle, mode="streaming", provider="cpu", threads=1) as session:
        stream = BundleRunner(session, FACE).stream()
        parts = [stream.push({"signal": part}) for part in np.split(values, [1, 2, 50, 187, 188, 260], axis=1)]
    for name in ("score", "expected"):
        joined = np.concatenate([part[name] for part in parts], axis=1)
        np.testing.assert_allclose(joined, whole[name], rtol=1e-3, atol=1e-3)
    with load_task(bundle, provider="cpu", threads=1) as task:
        table = "value\n" + "\n".join(map(str, values[0, :, 0].tolist()))
        told = task(table.encode())
    np.testing.assert_allclose(told.scores, whole["score"][0], rtol=1e-3, atol=1e-3)
    assert np.flatnonzero(told.scores > told.threshold)[0] == 188  # the anomaly begins at 4187
