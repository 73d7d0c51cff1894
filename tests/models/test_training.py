"""The one training: its bits, its going on, its averages, its stops, its refusals; and batches."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from rnnx.errors import CheckpointError, InputError, TrainingError
from rnnx.models.training import Recipe, fit, seeded
from rnnx.models.training.batches import buckets, consecutive, shuffled
from rnnx.models.zoo.system import Training

POINTS = np.random.default_rng(0).normal(size=(50, 5, 3)).astype(np.float32)
SUMS = POINTS.sum(axis=(1, 2))
TOKENS = np.random.default_rng(1).integers(0, 7, size=700)


class Sums(nn.Module):
    """A sum of sequences, with chance in its training."""

    def __init__(self, hidden_size=6):
        super().__init__()
        self.recurrent = nn.GRU(3, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(hidden_size, 1)

    def forward(self, x):
        return self.linear(self.dropout(self.recurrent(x)[0][:, -1]))[:, 0]


class Tokens(nn.Module):
    """A language model that goes on from a state."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.recurrent = nn.LSTM(4, 8, batch_first=True)
        self.linear = nn.Linear(8, 7)

    def forward(self, tokens, state):
        output, state = self.recurrent(self.embedding(tokens), state)
        return self.linear(output), state


def points(generator):
    for rows in shuffled(50, 16, generator):
        yield torch.from_numpy(POINTS[rows]), torch.from_numpy(SUMS[rows])


def square(module, batch, _state):
    x, y = batch
    return (module(x) - y).square().mean(), None


def error_on_all(module):
    return (module(torch.from_numpy(POINTS)) - torch.from_numpy(SUMS)).square().mean().item()


def text(_generator):
    return consecutive(TOKENS, 4, 16)


def cross_entropy(module, batch, state):
    logits, state = module(batch[0], state)
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch[1].flatten()), state


def fresh(kind=Sums, seed=0, **sizes):
    with seeded(seed):
        return kind(**sizes)


def equal(left, right):
    left, right = left.state_dict(), right.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class CutError(Exception):
    pass


def cut_at(step):
    def report(now, _steps, _line):
        if now == step:
            raise CutError

    return report


RECIPE = Recipe(steps=40, validate_every=5, learning_rate=1e-2)


def test_it_learns_and_keeps_the_best_weights_in_eval_mode():
    before = error_on_all(fresh().eval())
    recipe = Recipe(steps=80, validate_every=10, learning_rate=3e-2)
    fitted = fit(fresh(), points, square, recipe, validate=error_on_all, higher_is_better=False)
    scores = [record.score for record in fitted.history if record.score is not None]
    assert len(scores) == 8
    assert fitted.best == min(scores) < before / 2
    assert not fitted.module.training
    assert error_on_all(fitted.module) == pytest.approx(fitted.best, rel=1e-6)
    assert fitted.steps == len(fitted.history) == 80


def test_the_best_weights_are_not_the_last_where_it_grew_worse_again():
    at = iter([1.0, 5.0, 2.0, 3.0])
    seen = []

    def score(module):
        seen.append({name: value.clone() for name, value in module.state_dict().items()})
        return next(at)

    fitted = fit(fresh(), points, square, Recipe(steps=4, validate_every=1), validate=score)
    assert fitted.best == 5.0
    assert all(torch.equal(value, seen[1][name]) for name, value in fitted.module.state_dict().items())
    assert not all(torch.equal(value, seen[3][name]) for name, value in fitted.module.state_dict().items())


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
@pytest.mark.parametrize("average", [None, 0.9])
def test_a_training_that_was_cut_off_ends_with_the_same_bits(tmp_path, schedule, average):
    recipe = Recipe(steps=40, validate_every=5, schedule=schedule, average_decay=average)
    options = {"validate": error_on_all, "higher_is_better": False}
    whole = fit(fresh(), points, square, recipe, **options)
    for step in (17, 28):
        with pytest.raises(CutError):
            fit(fresh(), points, square, recipe, **options, folder=tmp_path, report=cut_at(step))
    # 28 was cut after the saving at 25: what came after is not in the log twice.
    steps = []
    again = fit(fresh(seed=9), points, square, recipe, **options, folder=tmp_path, report=lambda s, *_: steps.append(s))
    assert steps == list(range(26, 41))
    assert equal(again.module, whole.module)
    assert again.history == whole.history
    assert again.best == whole.best
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert [line["loss"] for line in lines] == [record.loss for record in whole.history]
    assert all({"grad_norm", "learning_rate"} <= line.keys() for line in lines)
    assert sum("score" in line for line in lines) == 8


def test_a_cut_off_training_goes_on_with_the_state_it_carried(tmp_path):
    recipe = Recipe(steps=40, validate_every=7)  # epochs of 11 batches: a saving falls within an epoch
    whole = fit(fresh(Tokens), text, cross_entropy, recipe)
    with pytest.raises(CutError):
        fit(fresh(Tokens), text, cross_entropy, recipe, folder=tmp_path, report=cut_at(17))
    again = fit(fresh(Tokens, 5), text, cross_entropy, recipe, folder=tmp_path)
    assert equal(again.module, whole.module)
    assert again.history == whole.history


def test_a_state_goes_on_within_an_epoch_alone_and_is_detached():
    states = []

    def loss(module, batch, state):
        states.append(state)
        return cross_entropy(module, batch, state)

    fit(fresh(Tokens), text, loss, Recipe(steps=23))
    assert [state is None for state in states] == [step % 11 == 0 for step in range(23)]
    assert all(not part.requires_grad for state in states if state is not None for part in state)
    assert all(part.abs().sum() > 0 for state in states if state is not None for part in state)


def test_a_finished_training_is_read_and_not_repeated(tmp_path):
    first = fit(fresh(), points, square, RECIPE, validate=error_on_all, higher_is_better=False, folder=tmp_path)
    steps = []
    again = fit(fresh(seed=3), points, square, RECIPE, validate=error_on_all, higher_is_better=False, folder=tmp_path,
                report=lambda *step: steps.append(step))  # fmt: skip
    assert steps == []
    assert equal(first.module, again.module)
    assert (again.best, again.steps, again.history) == (first.best, 40, first.history)


def test_the_seed_decides_and_the_callers_chance_is_untouched():
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    threads = torch.get_num_threads()
    one = fit(fresh(), points, square, RECIPE)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert equal(one.module, fit(fresh(), points, square, RECIPE).module)
    other = Recipe(steps=40, validate_every=5, learning_rate=1e-2, seed=1)
    assert not equal(one.module, fit(fresh(), points, square, other).module)


def test_a_validation_that_draws_does_not_change_the_training():
    def drawing(module):
        return torch.rand(()).item() + error_on_all(module)

    quiet = fit(fresh(), points, square, RECIPE, validate=error_on_all)
    loud = fit(fresh(), points, square, RECIPE, validate=drawing)
    assert [record.loss for record in loud.history] == [record.loss for record in quiet.history]


def test_the_average_is_the_formula_s():
    weights = []

    def loss(module, batch, state):
        weights.append(module.linear.weight.detach().clone())
        return square(module, batch, state)

    fitted = fit(fresh(), points, loss, Recipe(steps=6, average_decay=0.5, schedule="constant", warmup=0))
    last = fit(fresh(), points, square, Recipe(steps=6, schedule="constant", warmup=0)).module.linear.weight.detach()
    average = weights[1]
    for weight in (*weights[2:], last):
        average = 0.5 * average + 0.5 * weight
    torch.testing.assert_close(fitted.module.linear.weight.detach(), average, atol=1e-6, rtol=0)


def test_the_norm_is_logged_before_it_is_clipped():
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 2.0)

    def loss(model, _batch, _state):
        return 50 * model.weight.sum(), None  # its gradient is 50, whatever the weight

    recipe = Recipe(steps=3, clip_norm=0.1, weight_decay=0.0001)
    fitted = fit(module, lambda _: iter([()]), loss, recipe)
    assert [record.grad_norm for record in fitted.history] == [50.0] * 3
    assert fitted.history[0].loss == 100.0


def test_it_stops_when_its_patience_is_over(tmp_path):
    scores = iter([1.0, 3.0, 2.0, 2.0, 9.0])
    recipe = Recipe(steps=50, validate_every=2, patience=2)
    fitted = fit(fresh(), points, square, recipe, validate=lambda _: next(scores), folder=tmp_path)
    assert (fitted.steps, fitted.best) == (8, 3.0)
    again = fit(fresh(), points, square, recipe, validate=lambda _: next(scores), folder=tmp_path)
    assert again.steps == 8
    assert equal(again.module, fitted.module)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_schedules_rise_to_the_highest_rate_at_any_number_of_steps(steps, schedule):
    rates = [r.learning_rate for r in fit(fresh(), points, square, Recipe(steps=steps, schedule=schedule)).history]
    assert len(rates) == steps
    assert all(0 < rate <= 1e-3 * (1 + 1e-6) for rate in rates)


def test_schedules_are_their_formulas():
    def rates(schedule):
        recipe = Recipe(steps=20, schedule=schedule, learning_rate=1.0, warmup=0.2)
        return [record.learning_rate for record in fit(fresh(), points, square, recipe).history]

    rising = [(step + 1) / 5 for step in range(4)]
    assert rates("constant") == pytest.approx([*rising, *[1.0] * 16])
    falling = [(1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)]
    assert rates("cosine") == pytest.approx([*rising, *falling])
    cycle = rates("one_cycle")
    assert np.argmax(cycle) == 3
    assert cycle[0] == pytest.approx(1 / 25)
    assert cycle[-1] < 1e-4


def test_a_loss_that_is_not_finite_names_its_step():
    count = 0

    def loss(module, batch, state):
        nonlocal count
        count += 1
        value, state = square(module, batch, state)
        return value * (math.nan if count == 7 else 1), state

    with pytest.raises(TrainingError, match="the loss at step 7 is nan"):
        fit(fresh(), points, loss, RECIPE)
    with pytest.raises(TrainingError, match="the score of the validation at step 5 is inf"):
        fit(fresh(), points, square, RECIPE, validate=lambda _: math.inf)

    def steep(module, batch, state):
        value, state = square(module, batch, state)
        return (value - value.detach()).sqrt(), state  # 0, with an infinite slope

    with pytest.raises(TrainingError, match=r"the norm of the gradient at step 1 is (nan|inf)"):
        fit(fresh(), points, steep, RECIPE)


def test_an_epoch_without_batches_is_refused():
    with pytest.raises(TrainingError, match="no batch for epoch 0"):
        fit(fresh(), lambda _: iter(()), square, RECIPE)


def test_another_training_s_folder_is_refused(tmp_path):
    fit(fresh(), points, square, RECIPE, folder=tmp_path)
    other = Recipe(steps=41, validate_every=5, learning_rate=1e-2)
    with pytest.raises(CheckpointError, match=r"another recipe: 'steps' 40 there and 41 here. Give another folder"):
        fit(fresh(), points, square, other, folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"another model: 'linear.weight' torch.float32 \(1, 6\) there and"):
        fit(fresh(hidden_size=7), points, square, RECIPE, folder=tmp_path)
    (tmp_path / "training.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="is no saved training"):
        fit(fresh(), points, square, RECIPE, folder=tmp_path)


def test_a_training_does_not_go_on_with_fewer_batches(tmp_path):
    recipe = Recipe(steps=9, validate_every=3)
    with pytest.raises(CutError):
        fit(fresh(), points, square, recipe, folder=tmp_path, report=cut_at(4))
    with pytest.raises(TrainingError, match="epoch 0 has 1 batches and 3 of it were taken"):
        fit(fresh(), lambda generator: [next(points(generator))], square, recipe, folder=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "'steps' is 0; more than 0"),
        ({"schedule": "linear"}, "'schedule' is 'linear'; it may be 'one_cycle', 'cosine', 'constant'"),
        ({"warmup": 1.0}, "'warmup' is 1.0; 0 to below 1"),
        ({"average_decay": 1.5}, "'average_decay' is 1.5"),
        ({"seed": -1}, "'seed' is -1"),
        ({"clip_norm": math.nan}, "'clip_norm' is nan"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Recipe(**{"steps": 10, **wrong})


def test_devices_and_modules_that_cannot_be_trained_are_refused():
    with pytest.raises(InputError, match="'device' is 'abacus'"):
        fit(fresh(), points, square, Recipe(steps=1, device="abacus"))
    with pytest.raises(InputError, match="'Identity' has no parameter to train"):
        fit(nn.Identity(), points, square, Recipe(steps=1))


def test_the_user_s_seed_and_steps_are_put_in():
    assert RECIPE.for_training(Training(seed=4)) == Recipe(steps=40, validate_every=5, learning_rate=1e-2, seed=4)
    assert RECIPE.for_training(Training(steps=7)).steps == 7


def test_frozen_parameters_stay():
    module = fresh()
    module.linear.weight.requires_grad_(requires_grad=False)
    before = module.linear.weight.clone()
    fitted = fit(module, points, square, RECIPE)
    assert torch.equal(fitted.module.linear.weight, before)
    assert not torch.equal(fitted.module.linear.bias, fresh().linear.bias)


def test_buckets_hold_like_lengths_and_each_example_once():
    lengths = np.random.default_rng(3).integers(1, 40, size=101)
    parts = buckets(lengths, 8, np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(range(101))
    assert {len(part) for part in parts} == {7, 8}
    spans = sorted((lengths[part].min(), lengths[part].max()) for part in parts)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    again, other = (buckets(lengths, 8, np.random.default_rng(seed)) for seed in (0, 1))
    assert all(np.array_equal(one, two) for one, two in zip(parts, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(parts, other, strict=False))
    assert [lengths[part].min() for part in parts] != sorted(lengths[part].min() for part in parts)
    with pytest.raises(InputError, match="0 examples in batches of 8"):
        buckets([], 8, np.random.default_rng(0))


def test_shuffled_holds_each_example_once():
    parts = shuffled(10, 4, np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(range(10))
    assert [len(part) for part in parts] == [4, 3, 3]


def test_rows_of_consecutive_batches_go_on_where_they_ended():
    batches = list(consecutive(np.arange(33), 4, 3))
    inputs = torch.cat([batch[0] for batch in batches], dim=1)
    targets = torch.cat([batch[1] for batch in batches], dim=1)
    assert torch.equal(inputs, torch.arange(32).reshape(4, 8))
    assert torch.equal(targets, inputs + 1)
    assert [batch[0].shape for batch in batches] == [(4, 3), (4, 3), (4, 2)]
    with pytest.raises(InputError, match="4 tokens are too few for 4 rows; at least 5"):
        next(consecutive(np.arange(4), 4, 3))
