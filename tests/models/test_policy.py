"""The control policy: a simulator that is Gymnasium's, a teacher, a score over streams, and its bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from rnnx import load as load_bundle
from rnnx.models.policy import memoryless, recipe
from rnnx.models.policy.cartpole import EDGE, LEANING, SECONDS, STEPS, CartPoles
from rnnx.models.policy.episodes import FIRST_LEARNED, HELD_OUT, VALIDATION, last
from rnnx.models.policy.expert import gain, wanted
from rnnx.models.policy.model import build
from rnnx.models.policy.system import FACE, POLICY
from rnnx.models.zoo.running import BundleRunner, ChunkRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained


def test_the_simulator_is_gymnasium_s_to_the_last_bit():
    gymnasium = pytest.importorskip("gymnasium")
    environment = gymnasium.make("CartPole-v1")
    generator = np.random.default_rng(0)
    ends = []
    for seed in range(8):
        observation, _ = environment.reset(seed=seed)
        poles, rewards, over = CartPoles([seed]), 0.0, False
        assert np.array_equal(poles.observe()[0], observation[[0, 2]])
        while not over:
            chance = generator.random() < 0.15 * (seed % 4)
            right = generator.random() < 0.5 if chance else wanted(poles.state)[0] > 0
            observation, reward, fallen, late, _ = environment.step(int(right))
            poles.push(np.array([right]))
            rewards, over = rewards + reward, fallen or late
            assert np.array_equal(poles.state[0], environment.unwrapped.state)
            assert np.array_equal(poles.observe()[0], observation[[0, 2]])
            assert poles.running[0] != over
        assert poles.steps[0] == rewards
        ends.append(fallen)
    assert set(ends) == {True, False}, "both ways to end must have been seen"


def test_a_step_is_the_formula():
    poles = CartPoles([0])
    poles.state = np.array([[0.1, -0.2, 0.05, 0.3]])
    poles.push(np.array([True]))
    # Florian (2007), equations 23 and 24 without friction, written anew; the pole's half length is 0.5 m.
    gravity, pole, total, half, theta, omega = 9.8, 0.1, 1.1, 0.5, 0.05, 0.3
    force = 10 + pole * half * omega**2 * np.sin(theta)
    angular = (gravity * np.sin(theta) - np.cos(theta) * force / total) / (
        half * (4 / 3 - pole * np.cos(theta) ** 2 / total)
    )
    linear = (force - pole * half * angular * np.cos(theta)) / total
    expected = [0.1 - 0.2 * SECONDS, -0.2 + SECONDS * linear, 0.05 + 0.3 * SECONDS, 0.3 + SECONDS * angular]
    np.testing.assert_allclose(poles.state[0], expected, rtol=0, atol=1e-12)


def test_episodes_beside_each_other_are_the_single_ones_and_stay_as_they_ended():
    together = CartPoles(range(6))
    alone = [CartPoles([seed]) for seed in range(6)]
    for step in range(40):
        right = np.array([(step + seed) % (seed + 2) == 0 for seed in range(6)])
        together.push(right)
        for one, push in zip(alone, right, strict=True):
            one.push(np.array([push]))
    assert np.array_equal(together.state, np.concatenate([one.state for one in alone]))
    assert np.array_equal(together.steps, np.concatenate([one.steps for one in alone]))
    over = ~together.running
    assert over.any()
    assert ((np.abs(together.state[over, 0]) > EDGE) | (np.abs(together.state[over, 2]) > LEANING)).all()


def test_the_teacher_is_optimal_and_lasts():
    # The gain is a fixed point: it stabilises the motion around upright.
    step = 1e-6
    columns = []
    for unit in np.eye(4):
        poles = CartPoles([0])
        poles.state = step * unit[np.newaxis]
        # A push of any size: linear in the force, between the two that there are.
        share = float(-(gain() @ poles.state[0]))
        ends = []
        for right in (True, False):
            both = CartPoles([0])
            both.state = poles.state.copy()
            both.push(np.array([right]))
            ends.append(both.state[0])
        columns.append((ends[0] * (1 + share / 10) / 2 + ends[1] * (1 - share / 10) / 2) / step)
    assert np.abs(np.linalg.eigvals(np.stack(columns, axis=1))).max() < 1
    poles = CartPoles(range(20))
    while poles.running.any():
        poles.push(wanted(poles.state) > 0)
    assert (poles.steps == STEPS).all()


def test_no_episode_is_on_two_sides():
    assert not set(HELD_OUT) & set(VALIDATION)
    assert max(*HELD_OUT, *VALIDATION) < FIRST_LEARNED


def test_chance_decides_its_share_of_the_pushes():
    asked = []

    def always(seen):
        asked.append(seen)
        return np.ones(len(seen), bool)

    falling = last(always, range(10))
    assert falling.max() < 15
    assert np.array_equal(last(always, range(10), wobble=0.5), last(always, range(10), wobble=0.5))
    assert last(always, range(10), wobble=0.5).mean() > falling.mean()


def test_the_checkpoint_lasts_where_the_same_without_memory_falls():
    score = POLICY.evaluate(TorchRunner(trained(POLICY), FACE), POLICY.held_out())
    assert (score.value, score.count) == (500.0, 100)
    assert score.details["episodes that last to the end"] == 1.0
    assert score.details["without memory"] < 60
    assert score.details["20% of the pushes by chance"] > 450


def test_the_baseline_in_numpy_is_the_network():
    network = memoryless.Memoryless()
    with np.load(memoryless.WEIGHTS, allow_pickle=False) as archive:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in archive.items()})
    seen = np.random.default_rng(0).normal(size=(200, 2), scale=[1, 0.1]).astype(np.float32)
    with torch.no_grad():
        logits = network(torch.from_numpy(seen)[:, None], torch.zeros(200, 1, 1))[0][:, 0].numpy()
    clear = np.abs(logits[:, 1] - logits[:, 0]) > 1e-4
    assert clear.sum() > 190
    assert np.array_equal(memoryless.load()(seen)[clear], (logits[:, 1] > logits[:, 0])[clear])


def test_a_state_goes_on_where_the_steps_before_ended():
    module = trained(POLICY)
    seen = torch.randn(3, 20, 2) * 0.1
    with torch.no_grad():
        whole, end = module(seen)
        first, state = module(seen[:, :7])
        second, again = module(seen[:, 7:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(again, end, atol=1e-5, rtol=0)


def test_every_variant_of_its_bundle_lasts(zoo_bundle):
    few = range(5)
    with load_bundle(zoo_bundle("policy")) as session:
        signature = session.signature
        assert POLICY.evaluate(BundleRunner(session, FACE), few).value == 500
    with load_bundle(zoo_bundle("policy"), mode="streaming") as session:
        assert POLICY.evaluate(ChunkRunner(session, signature, FACE.time), few).value == 500


def test_its_task_is_a_push():
    task = json.loads(POLICY.assets()["task.json"])
    assert task["read"]["tables"][0]["columns"] == ["position", "angle"]
    assert task["write"]["labels"] == ["left", "right"]
    assert task["write"]["over_time"] == "last"


def test_a_cut_off_training_ends_with_the_same_bits(tmp_path, monkeypatch):
    short = recipe.Recipe(steps=6, batch_size=4, learning_rate=1e-2, validate_every=2)
    monkeypatch.setattr(recipe, "RECIPE", short)
    monkeypatch.setattr(recipe, "VALIDATION", range(1_000, 1_003))

    class CutError(Exception):
        pass

    def cut(step, _steps, _line):
        if step == 5:
            raise CutError

    whole = recipe.train(Training())
    with pytest.raises(CutError):
        recipe.train(Training(folder=tmp_path, report=cut))
    steps = []
    again = recipe.train(Training(folder=tmp_path, report=lambda step, *_: steps.append(step))).state_dict()
    assert steps == [5, 6]
    assert all(torch.equal(value, again[name]) for name, value in whole.state_dict().items())


@pytest.mark.slow
def test_a_short_training_lasts_longer_than_without_memory():
    policy = recipe.train(Training(seed=4, steps=100))
    steps = recipe.judge(policy)
    assert steps > 200
    assert not policy.training
    assert build().state_dict().keys() == policy.state_dict().keys()
