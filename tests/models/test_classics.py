"""The classics: grammars, series and sums against their definitions; checkpoints; bundles."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch

from rnnx import load as load_bundle
from rnnx.errors import MissingDataError
from rnnx.models.classics import adding, baselines, digits, plain, reber, series
from rnnx.models.classics.grammar import SYMBOLS, draw, encode, held_out, right, strings, successors
from rnnx.models.classics.networks import Stepwise, Symbolwise, weights_of
from rnnx.models.classics.system import ADDING, DIGITS, EMBEDDED_REBER, MACKEY_GLASS, REBER
from rnnx.models.zoo.running import BundleRunner, ChunkRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained

SYSTEMS = {one.name: one for one in (REBER, EMBEDDED_REBER, MACKEY_GLASS, DIGITS, ADDING)}


class Answering:
    """A runner that answers what it is told."""

    name = "answering"

    def __init__(self, answer):
        self.run = answer


# Grammars


def test_strings_of_the_grammar_are_reber_s():
    # From the figure of Cleeremans et al. (1989).
    for string in ("BTXSE", "BPVVE", "BTSSXXTVVE", "BPTVPXVVE", "BTXXTTVPSE"):
        successors(string, embedded=False)
    for string in ("BTE", "BTXVE", "BPXSE"):
        with pytest.raises(KeyError):
            successors(string, embedded=False)
    with pytest.raises(KeyError):
        successors("BTBTXSEPE", embedded=True)  # its last symbol but one is not its second


def test_every_drawn_string_is_of_its_grammar_and_both_ends_are_alike():
    generator = np.random.default_rng(0)
    for _ in range(100):
        string = draw(generator, embedded=True)
        may = successors(string, embedded=True)
        assert may[np.arange(len(may)), encode(string)[1:]].all()
        assert string[1] == string[-2] in "TP"
        assert successors(string[2:-2], embedded=False).sum(axis=1).max() == 2
        assert may[-2].sum() == 1


def test_no_string_is_both_held_out_and_learned_from():
    kept = set(held_out(300, embedded=True))
    assert len(kept) == 300
    learned = set(islice(strings(np.random.default_rng(5), embedded=True, held_out=False), 3000))
    assert not kept & learned
    assert kept & set(islice(strings(np.random.default_rng(5), embedded=True, held_out=True), 3000))


def test_a_step_is_right_where_what_may_come_scores_above_the_rest():
    may = successors("BTXSE", embedded=False)
    scores = may * 1.0
    assert right([scores], ["BTXSE"], embedded=False)[0].tolist() == [True] * 4
    scores[1, SYMBOLS.index("E")] = 1.0  # as high as one that may come
    longer = np.vstack([scores, np.zeros((3, 7))])
    assert right([longer], ["BTXSE"], embedded=False)[0].tolist() == [True, False, True, True]


def test_a_runner_that_knows_the_grammar_is_right_and_one_that_forgets_the_second_symbol_is_half_right():
    examples = reber.examples(embedded=True)[:100]
    known = {tuple(encode(string)[:-1]): successors(string, embedded=True) for string in examples}

    def know(inputs, *, forget=False):
        tokens = inputs["tokens"]
        logits = np.zeros((*tokens.shape, 7), np.float32)
        for row, ids in zip(logits, tokens, strict=True):
            for prefix, may in known.items():
                if tuple(ids[: len(prefix)]) == prefix and len(prefix) == len(np.trim_zeros(ids[1:], "b")) + 1:
                    row[: len(may)] = may
                    if forget:
                        row[len(may) - 2] = np.eye(7)[1]  # always T
        return {"logits": logits}

    assert reber.evaluate_embedded(Answering(know), examples).value == 1.0
    half = reber.evaluate_embedded(Answering(lambda inputs: know(inputs, forget=True)), examples)
    assert half.value == half.details["last symbol but one"] == np.mean([string[1] == "T" for string in examples])


# The series, and the sums


def test_the_series_is_the_equation_s():
    # A solver of another kind, Euler's at thousandths, agrees while chaos has not yet driven them apart.
    start, units, per = np.array([0.5, 1.2]), 40, 1000
    delay = 17 * per
    x = np.empty((delay + units * per + 1, 2))
    x[: delay + 1] = start
    for now in range(delay, delay + units * per):
        past = x[now - delay]
        x[now + 1] = x[now] + (0.2 * past / (1 + past**10) - 0.1 * x[now]) / per
    found = series.integrate(start, units)
    np.testing.assert_allclose(found, x[delay :: per // 10], atol=1e-3)
    assert np.ptp(found[:, 0]) > 0.4


def test_series_are_read_every_six_units_after_they_have_settled():
    drawn = series.draw(np.random.default_rng(3), 2, 40)
    whole = series.integrate(np.random.default_rng(3).uniform(0.4, 1.4, size=2), 300 + 240)
    assert np.array_equal(drawn, whole[np.arange(3060, 5401, 60)].T.astype(np.float32))


def test_a_runner_that_knows_the_future_has_no_error_and_one_that_repeats_has_the_baseline_s():
    examples = series.held_out()[:20]

    class Knowing:
        name = "knowing"

        def __init__(self, shift):
            self.shift = shift

        def stream(self):
            self.at = 0
            return self

        def push(self, inputs):
            steps = inputs["x"].shape[1]
            rows = np.arange(self.at, self.at + steps) + self.shift
            self.at += steps
            return {"forecast": np.repeat(examples[:, rows, None], 8, axis=2)}

    best = series.evaluate(Knowing(1), examples)
    assert best.value == best.details["next value"] == 0
    late = series.evaluate(Knowing(0), examples)
    assert late.details["next value"] == late.details["next value, by the last one"] > 0.5


def test_sums_have_one_mark_in_the_first_ten_and_one_in_the_first_half():
    x, total = adding.draw(np.random.default_rng(0), 50)
    assert x.shape == (50, 210, 2)
    marks = x[..., 1] == 1
    assert (marks.sum(axis=1) == 2).all()
    assert (marks[:, :10].sum(axis=1) == 1).all()
    assert not marks[:, 105:].any()
    np.testing.assert_allclose((x[..., 0] * marks).sum(axis=1), total, atol=1e-6)
    assert not np.array_equal(adding.held_out()[1][:50], total) or np.array_equal(x, adding.held_out()[0][:50])


def test_sums_are_right_within_four_hundredths():
    x, total = adding.held_out()
    off = np.where(np.arange(len(total)) % 4 == 0, 0.05, 0.03).astype(np.float32)
    known = {row.tobytes(): value for row, value in zip(x, total + off, strict=True)}

    def answer(inputs):
        found = np.array([known[row.tobytes()] for row in inputs["x"]], np.float32)
        return {"total": np.repeat(found[:, None, None], 210, axis=1)}

    score = adding.evaluate(Answering(answer), (x, total))
    assert score.value == 0.75
    assert score.details["mean square error"] == pytest.approx(np.square(off).mean(), rel=1e-3)
    assert score.details["always 1, mean square error"] == pytest.approx(1 / 6, rel=0.1)


# Digits


def test_the_held_out_digits_are_as_committed():
    pixels, labels = digits.held_out()
    assert pixels.shape == (450, 256, 1)
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)
    assert np.bincount(labels).tolist() == [43, 46, 43, 47, 48, 45, 47, 45, 41, 45]


def test_digits_are_enlarged_as_a_picture_that_is_handed_over():
    images = pytest.importorskip("PIL.Image")
    given = np.random.default_rng(0).integers(0, 17, (1, 64)).astype(np.uint8)
    ours, _ = digits.prepare(given, np.zeros(1, np.int64))
    picture = images.fromarray(np.rint(255 / 16 * given.reshape(8, 8)).astype(np.uint8))
    theirs = np.asarray(picture.resize((16, 16), images.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(ours.reshape(16, 16), theirs, atol=1 / 255)


def test_no_pixel_is_darker_than_ink_or_lighter_than_paper():
    module = trained(DIGITS)
    x = torch.randn(2, 40, 1)
    with torch.no_grad():
        torch.testing.assert_close(module(3 * x), module((3 * x).clamp(0, 1)))
        assert not torch.allclose(module(x.abs().clamp(0, 1)), module(0.5 * x.abs().clamp(0, 1)))


def test_digits_that_are_missing_are_asked_for(tmp_path):
    try:
        digits.digits.load(None)
    except MissingDataError:
        pass
    else:
        pytest.skip("scikit-learn is installed")
    with pytest.raises(MissingDataError, match=r"scikit-learn==1\.9\.1[\s\S]*--data data/scikit-learn"):
        digits.train(Training(data=tmp_path))


# Networks, checkpoints, bundles


@pytest.mark.parametrize("layer", ["tanh", "relu", "irnn", "elman", "gru", "lstm"])
def test_a_network_in_numpy_is_the_one_that_was_trained(layer):
    torch.manual_seed(0)
    module = Stepwise(layer, features=3, hidden_size=5, outputs=2)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.1 * torch.randn(value.shape))  # biases begin at zero, and would hide where they belong
    x = np.random.default_rng(0).normal(size=(4, 9, 3)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
        last = module.last(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(plain.Plain(weights=weights_of(module), layer=layer).run(x), expected, atol=1e-6)
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-6)


def test_simple_units_begin_alike_but_for_the_matrix_among_them():
    layers = {}
    for name in ("irnn", "relu", "tanh"):
        torch.manual_seed(0)
        layers[name] = Stepwise(name, features=3, hidden_size=64, outputs=2).recurrent
    assert torch.equal(layers["irnn"].weight_hh_l0, torch.eye(64))
    assert torch.equal(layers["relu"].weight_hh_l0, layers["tanh"].weight_hh_l0)
    assert layers["relu"].weight_hh_l0.std().item() == pytest.approx(64**-0.5, rel=0.05)
    for layer in layers.values():
        assert layer.weight_ih_l0.std().item() == pytest.approx(0.1, rel=0.15)
        assert not layer.bias_ih_l0.any()
        assert not layer.bias_hh_l0.any()
    assert [layers[name].nonlinearity for name in layers] == ["relu", "relu", "tanh"]


def test_symbols_go_in_as_unit_vectors():
    torch.manual_seed(0)
    module = Symbolwise("elman", symbols=7, hidden_size=4)
    tokens = torch.tensor([[0, 3, 6]])
    units = torch.nn.functional.one_hot(tokens, 7).float()
    torch.testing.assert_close(module(tokens), module.head(module.recurrent(units)[0]))


def test_units_that_remember_begin_with_open_forget_gates():
    torch.manual_seed(0)
    layer = Stepwise("remembering", features=2, hidden_size=64, outputs=1).recurrent
    bias = (layer.bias_ih_l0 + layer.bias_hh_l0).detach()
    keep = 1 / (1 - torch.sigmoid(bias[64:128]))  # steps until a unit has lost most of what it held
    assert keep.min() > 1.9
    assert 150 < keep.max() < 202
    torch.testing.assert_close(bias[:64], -bias[64:128])


@pytest.mark.parametrize(("layer", "gates"), [("remembering gru", 3), ("keeping", 4)])
def test_a_gate_that_is_to_keep_begins_open(layer, gates):
    torch.manual_seed(0)
    module = Stepwise(layer, features=2, hidden_size=64, outputs=1)
    bias = (module.recurrent.bias_ih_l0 + module.recurrent.bias_hh_l0).detach().reshape(gates, 64)
    assert bias[1].min() >= (1 if layer == "keeping" else np.log(1.9))
    assert abs(bias[[0, 2]]).max() < 0.3
    # Open means that a state of ones is still there after a step without an input.
    h = torch.ones(1, 1, 64)
    with torch.no_grad():
        for value in (module.recurrent.weight_ih_l0, module.recurrent.weight_hh_l0):
            value.zero_()
        state = h if gates == 3 else (h, h)
        after = module.recurrent(torch.zeros(1, 1, 2), state)[1]
    kept = (after if gates == 3 else after[1])[0, 0]
    np.testing.assert_allclose(kept, torch.sigmoid(bias[1]), atol=0.2)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_checkpoint_reaches_its_recorded_score(name):
    system = SYSTEMS[name]
    score = system.evaluate(TorchRunner(trained(system), system.face), system.held_out())
    facts = _facts(system)
    assert score.value == pytest.approx(facts["held_out"]["value"], abs=0.005)
    assert score.count == facts["held_out"]["count"]
    assert dict(score.details) == pytest.approx(facts["held_out"]["details"], abs=0.005)


def _facts(system):
    content = system.checkpoint.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["rnnx"])


def test_the_identity_holds_what_units_begun_at_random_do_not():
    score = _facts(DIGITS)["held_out"]
    assert score["value"] > 0.7
    assert score["value"] > score["details"]["ReLU begun at random"] + 0.1
    assert score["value"] > score["details"]["tanh begun at random"] + 0.1


def test_gates_hold_what_elman_s_network_does_not():
    far = _facts(ADDING)["held_out"]
    assert far["value"] > 0.95
    assert far["details"]["Elman's network, mean square error"] > 0.8 * far["details"]["always 1, mean square error"]
    embedded = _facts(EMBEDDED_REBER)["held_out"]
    assert embedded["value"] > 0.98
    assert embedded["details"]["Elman's network, last symbol but one"] < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_its_bundle_scores_the_same_whole_and_in_chunks(name, zoo_bundle):
    system, path = SYSTEMS[name], zoo_bundle(name)
    module, face = trained(system), system.face
    examples = system.held_out()
    examples = tuple(part[:60] for part in examples) if isinstance(examples[0], np.ndarray) else examples[:60]
    if name == "mackey-glass":
        examples = system.held_out()[:60]
    expected = system.evaluate(TorchRunner(module, face), examples).value
    with load_bundle(path) as session:
        signature = session.signature
        assert system.evaluate(BundleRunner(session, face), examples).value == pytest.approx(expected, abs=0.02)
    with load_bundle(path, mode="streaming") as session:
        runner = ChunkRunner(session, signature, face.time)
        assert system.evaluate(runner, examples).value == pytest.approx(expected, abs=0.02)


# Trainings


def test_a_few_steps_teach_something():
    lines = {}

    def report(name):
        return lambda step, _steps, line: lines.setdefault(name, []).append((step, float(line.split()[1])))

    reber.train(Training(steps=120, report=report("reber")))
    series.train(Training(steps=30, report=report("series")))
    adding.train(Training(steps=3, report=report("adding")))
    for name in ("reber", "series"):
        losses = [loss for _, loss in lines[name]]
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    assert [step for step, _ in lines["adding"]] == [1, 2, 3]


def test_every_baseline_that_is_compared_with_can_be_made_again():
    made = {path.stem for path in REBER.home.glob("*.npz")} - {"digits"}
    assert made == set(baselines.BASELINES)
