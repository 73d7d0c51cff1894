"""Sentiment: its words, its data and how they are parted, the model, the recipe, and what was committed."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

import rnnx
from rnnx.errors import MissingDataError
from rnnx.models.datasets import vader
from rnnx.models.sentiment.data import NEUTRAL_BELOW, HeldOut, load_held_out, part_of, parts, to_held_out
from rnnx.models.sentiment.model import SentimentNet, build
from rnnx.models.sentiment.recipe import train, valences
from rnnx.models.sentiment.scoring import positive, score
from rnnx.models.sentiment.system import SENTIMENT, describe
from rnnx.models.sentiment.words import UNKNOWN, choose_words, cut_apart, load_words, save_words, split, tokenizer
from rnnx.models.zoo.running import TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import Description
from rnnx.runtime.tasks.tokenizers import encoder

#: Held-out texts by genre, and the accuracy of the committed weights.
GENRES = {"products": 473, "movies": 1598, "editorials": 846, "tweets": 610}
ACCURACY = 0.8217


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small():
    """A model of few words with fresh weights."""
    torch.manual_seed(0)
    return SentimentNet(num_words=9, num_own=6, embedding_size=4, hidden_size=3, dropout=(0.5, 0.5)).eval()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder like the unpacked package, with 40 short texts of each kind, taken for the real one."""
    home = tmp_path / "vaderSentiment-3.3.2"
    (home / "vaderSentiment").mkdir(parents=True)
    (home / "additional_resources").mkdir()
    (home / "vaderSentiment" / "vader_lexicon.txt").write_text("great\t3.1\t0.9\t[3, 4]\nawful\t-2.0\t0.4\t[-2, -2]\n")
    lines = [f"{n}\t{3 - 6 * (n % 2)}\tText {n} is {('great', 'awful')[n % 2]}, really." for n in range(1, 41)]
    content = io.BytesIO()
    with gzip.open(content, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name in vader.GENRES.values():
            text = "\r\n".join(f"{line} {name[:3]}" for line in lines).encode() + b"\r\n"
            info = tarfile.TarInfo(f"hutto_ICWSM_2014/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    (home / "additional_resources" / "hutto_ICWSM_2014.tar.gz").write_bytes(content.getvalue())
    monkeypatch.setattr(vader, "PACKAGE", replace(vader.PACKAGE, files=dict.fromkeys(vader.PACKAGE.files, "")))
    return tmp_path


def snippet(text, rating=1.0, genre="movies", source="1"):
    return vader.Snippet(genre=genre, source=source, rating=rating, text=text)


# Words


def test_words_emoticons_and_runs_of_marks_are_tokens():
    assert split("I don\u2019t LIKE it!!! :-( &amp; so... 10/10") == [
        "i", "don't", "like", "it", "!!!", ":-(", "&", "so", "...", "10", "/", "10",
    ]  # fmt: skip


def test_the_committed_table_gives_back_what_was_saved(tmp_path):
    symbols, own = load_words()
    assert symbols[:2] == ("", "\ufffd")
    assert len(symbols) == len(set(symbols)) > own > 10_000
    assert {"wonderful", "awful", "##ing", "##a"} <= set(symbols[:own])
    save_words(symbols[2:own], symbols[own:], tmp_path / "words.txt")
    assert load_words(tmp_path / "words.txt") == (symbols, own)


def test_an_unknown_word_is_cut_into_pieces_and_an_unknown_sign_is_unknown():
    symbols, _ = load_words()
    cut = encoder(tokenizer(symbols))
    assert cut.tokens("unwatchablest") == ["unwatchable", "##st"]
    assert cut.encode("\u2603") == [UNKNOWN]
    assert UNKNOWN not in cut.encode("zxqvjk")  # every letter is a piece


def test_a_table_is_made_of_what_is_seen_twice_and_of_the_lexicon():
    texts = [
        "a good film",
        "a good play",
        *(f"{first}{second}ing" for first in "abcdefgh" for second in "klmnop"),
    ]
    own, others = choose_words(texts, {"good": 1.9, "superb": 3.0, "not bad": 1.0})
    assert {"a", "good"} <= set(own)
    assert "film" not in own
    assert {"##a", "f"} <= set(own)  # every letter, to begin with and to go on with
    assert {"##ing", "##ng"} <= set(own)  # what 48 words end with
    assert "##king" not in own
    assert others == ["superb"]  # "not bad" is two words


def test_known_words_have_pieces_of_their_own():
    symbols = ("", "\ufffd", "claim", "claims", "##s", "c", "##laim")
    # A letter that is a word has no smaller piece.
    assert cut_apart(symbols) == {2: [5, 6], 3: [2, 4], 5: [UNKNOWN]}


# Data


def test_one_review_is_in_one_part_and_twins_are_taken_once():
    found = parts([snippet(f"text {n}", source=str(n // 4)) for n in range(400)] + [snippet("Text 7", source="999")])
    assert sum(map(len, found.values())) == 400
    sources = {part: {one.source for one in rows} for part, rows in found.items()}
    assert not sources["training"] & sources["held out"]
    assert not sources["validation"] & (sources["training"] | sources["held out"])
    assert all(part_of(one) == part for part, rows in found.items() for one in rows)
    assert 0.05 < len(found["held out"]) / 400 < 0.3


def test_the_committed_texts_are_those_of_the_held_out_part():
    held_out = load_held_out()
    assert len(held_out.texts) == len(held_out.ratings) == len(held_out.genres) == 3527
    assert (held_out.ratings != 0).all()
    assert {genre: held_out.genres.count(genre) for genre in vader.GENRES} == GENRES
    assert len({tuple(split(text)) for text in held_out.texts}) == 3527
    assert int((np.abs(held_out.ratings) >= NEUTRAL_BELOW).sum()) == 2928


def test_a_text_without_sign_is_left_out_and_the_lexicon_adds_up():
    made = to_held_out([snippet("good good bad", 2.0), snippet("good", 0.0)], {"good": 1.5, "bad": -2.0})
    assert made.texts == ("good good bad",)
    assert made.by_lexicon.tolist() == [1.0]


def test_missing_texts_are_asked_for_by_their_package(tmp_path):
    with pytest.raises(MissingDataError, match=r"(?s)--no-binary :all:.*vaderSentiment==3\.3\.2.*--data"):
        vader.load_snippets(tmp_path)


# The model


def test_padding_and_neighbours_change_nothing_and_attention_is_a_share(small):
    tokens = torch.tensor([[2, 3, 8, 4, 1], [5, 2, 0, 0, 0]])
    with torch.inference_mode():
        logits, attention = small(tokens, torch.tensor([5, 2]))
        alone, share = small(tokens[1:, :2], torch.tensor([2]))
        other, _ = small(torch.tensor([[2, 3, 8, 4, 1], [5, 2, 7, 7, 7]]), torch.tensor([5, 2]))
    torch.testing.assert_close(logits[1:], alone)
    torch.testing.assert_close(logits, other)
    torch.testing.assert_close(attention[1, :2], share[0])
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2))
    assert attention[1, 2:].tolist() == [0.0, 0.0, 0.0]


def test_words_without_an_embedding_differ_by_their_valence_alone(small):
    lengths = torch.tensor([2])
    with torch.inference_mode():
        before = small(torch.tensor([[2, 7]]), lengths)[0]
        torch.testing.assert_close(small(torch.tensor([[2, UNKNOWN]]), lengths)[0], before)
        small.valence[7] = torch.tensor([1.5, 1.0])
        after = small(torch.tensor([[2, 7]]), lengths)[0]
        small.valence[7] = 0
    assert not torch.allclose(before, after)


def test_valences_stand_where_the_words_do():
    symbols, _ = load_words()
    table = valences({"wonderful": 2.7, "nowhereword": 1.0})
    place = symbols.index("wonderful")
    assert table.shape == (len(symbols), 2)
    assert table[place].tolist() == pytest.approx([1.35, 1.0])
    assert table.abs().sum().item() == pytest.approx(2.35)


# Scoring


class Judge:
    """Calls a text positive if it has an even number of words."""

    name = "judge"

    def run(self, inputs):
        even = inputs["lengths"] % 2 == 0
        return {"logits": np.stack((~even, even), axis=1).astype(np.float32)}


def test_accuracy_is_of_texts_that_are_not_neutral():
    examples = HeldOut(
        texts=("a b", "a", "a b c d", "a b c"),
        ratings=np.array([2.0, 0.7, -0.2, -3.0], dtype=np.float32),
        genres=("movies", "tweets", "tweets", "movies"),
        by_lexicon=np.array([1.0, 0.0, 5.0, -1.0], dtype=np.float32),
    )
    assert positive(Judge(), examples.texts).tolist() == [1.0, -1.0, 1.0, -1.0]
    found = score(Judge(), examples)
    assert (found.value, found.count) == (pytest.approx(2 / 3), 3)
    assert found.details == pytest.approx(
        {
            "any sign": 0.5,
            "strong": 1.0,
            "movies": 1.0,
            "tweets": 0.0,
            "always the more frequent": 2 / 3,
            "lexicon alone": 2.5 / 3,
        }
    )


# The recipe and what is committed


def test_the_recipe_reads_the_package_and_learns(package):
    lines = []
    module = train(Training(steps=25, data=package, report=lambda *line: lines.append(line)))
    assert lines[-1][0] == 25
    losses = [float(line.split()[1]) for _, _, line in lines]
    assert losses[-1] < losses[0] - 0.05
    great, awful = (load_words()[0].index(word) for word in ("great", "awful"))
    assert module.valence[[great, awful]].tolist() == [[pytest.approx(1.55), 1.0], [-1.0, 1.0]]
    assert not module.training


def test_the_description_reads_words_and_shows_attention():
    description = Description.from_bytes(SENTIMENT.assets()["task.json"])
    assert description == describe()
    assert description.write.attention == "attention"


def test_the_committed_weights_judge_as_was_measured():
    found = SENTIMENT.evaluate(TorchRunner(trained(SENTIMENT), SENTIMENT.face), SENTIMENT.held_out())
    assert found.value == pytest.approx(ACCURACY, abs=0.002)
    assert found.count == 2928
    assert found.details["always the more frequent"] < 0.55
    assert found.value > found.details["lexicon alone"] + 0.1


@pytest.mark.slow
def test_the_bundle_tells_good_from_bad(zoo_bundle):
    texts = [
        "What a wonderful, moving film!",
        "Dull, stupid and far too long.",
        "The plot was good, but the acting is not great.",
    ]
    cut = encoder(tokenizer(load_words()[0]))
    expected = positive(TorchRunner(trained(SENTIMENT), SENTIMENT.face), texts)
    with rnnx.load(zoo_bundle("sentiment"), provider="cpu") as session:
        for text, wanted in zip(texts, expected, strict=True):
            outputs = session.run({"tokens": np.array([cut.encode(text)])}, lengths=[len(cut.encode(text))])
            difference = outputs["logits"][0, 1] - outputs["logits"][0, 0]
            assert difference == pytest.approx(wanted, abs=1e-4)
    assert [one > 0 for one in expected] == [True, False, False]


def test_a_fresh_model_has_the_checkpoints_size():
    assert sum(one.numel() for one in build().state_dict().values()) * 4 < 2_400_000
