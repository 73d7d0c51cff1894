"""Translation: the texts and how they are parted, the pieces, the scores, the committed model and its bundle."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

import rnnx
from rnnx.models.datasets import translations
from rnnx.models.datasets.catalogues import Message
from rnnx.models.seq2seq.answering import answer
from rnnx.models.translation import held_out, pieces, recipe, scoring, system, texts, vocabulary
from rnnx.models.translation.texts import Asked, Pair
from rnnx.models.zoo.running import TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import load_task

#: Held-out BLEU of the committed model; the quick try's was 14.6.
REACHED = 24.6


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def asked():
    return held_out.load()


# Texts

#: Ends of words, none of them taken for a plural.
ENDS = [f"{one}{other}" for one in "abcdefghijklmnopqrst" for other in "abcdefghijklm"]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("~File", "File"),
        ("Acc_ept with:", "Accept with:"),
        ("a_b_c", "a_b_c"),  # no key has two marks
        ("\u201cName\u201d\u2026 it\u2019s", '"Name"... it\'s'),
        ("Date\u202f: \u00a0x\n", "Date : x"),
        ("e\u0301te\u0301", "été"),
    ],
)
def test_texts_are_cleaned(text, cleaned):
    assert texts.clean(text) == cleaned


def test_pairs_are_chosen_once_and_without_what_teaches_nothing():
    def pair(english, french):
        return Message("context", english, french)

    messages = [
        pair("~Open", "~Ouvrir"),
        pair("Open", "Ouvrir"),
        pair("Open", "Ouvert"),
        pair("IPMT", "INTPER"),
        pair("Я is a letter", "Я est une lettre"),
        pair("x" * 161, "y"),
        pair("Bold", ""),
        pair("Pica", "Pica"),
    ]
    found = texts.choose("office", messages)
    assert [(one.english, one.french) for one in found] == [("Open", "Ouvrir"), ("Open", "Ouvert"), ("Pica", "Pica")]
    assert texts.choose("name", messages)[-1].english == "Open"


def test_near_twins_stay_together_in_either_language():
    assert texts.stem("Rows: 3, the \u201cÉté\u201d!") == texts.stem("row THE ete") == "row the ete"
    one = [Pair(kind="office", english=f"Delete word{n}", french=f"Supprimer mot{n}") for n in ENDS]
    other = [Pair(kind="office", english=f"Remove {n} {n}", french=f"Supprimer: mot{n}s") for n in ENDS]
    third = [Pair(kind="office", english=f"REMOVE {n}s {n}", french=f"Enlever {n}") for n in ENDS]
    chains = [*one, *other, *third]
    parts = texts.parted(chains)
    where = {pair.english: part for part, pairs in parts.items() for pair in pairs}
    assert len(where) == len(chains)
    for n in ENDS:
        assert where[f"Delete word{n}"] == where[f"Remove {n} {n}"] == where[f"REMOVE {n}s {n}"]
    assert len(set(where.values())) > 1


def test_parts_do_not_depend_on_the_order_and_are_of_the_sizes_that_were_meant():
    pairs = [
        Pair(
            kind="office",
            english=f"a{chr(97 + n // 26 % 26)}{chr(97 + n % 26)} {chr(97 + n // 676)}x",
            french=f"b{n // 676 * 'c'} {chr(97 + n // 26 % 26)}{chr(97 + n % 26)}z",
        )
        for n in range(2000)
    ]
    parts, backwards = texts.parted(pairs), texts.parted(pairs[::-1])
    assert {part: set(found) for part, found in parts.items()} == {
        part: set(found) for part, found in backwards.items()
    }
    assert 30 <= len(parts["held-out"]) <= 90  # 60 are meant
    assert 20 <= len(parts["validation"]) <= 60  # 40 are meant


def test_the_committed_texts_are_whole(asked, tmp_path):
    assert len(asked) == 614
    assert [sum(text.kind == kind for text in asked) for kind in ("office", "name")] == [507, 107]
    assert sum(len(text.french) for text in asked) == 630
    assert all(text.english == texts.clean(text.english) for text in asked)
    path = tmp_path / "again.npz"
    path.write_bytes(held_out.pack(asked))
    assert held_out.load(path) == asked
    # The recipe's own parting puts each of them on the held-out side, alone.
    pairs = [Pair(kind=text.kind, english=text.english, french=french) for text in asked for french in text.french]
    assert texts.grouped(pairs) == asked


# Pieces


def test_frequent_pairs_become_pieces_and_none_goes_beyond_a_word():
    found = vocabulary.learn(["low low low lower l'eau, l'eau 12", "newest newest newest 12"] * 5, 60, least=5)
    assert set("▁lowernsta',12u") <= set(found)
    assert {"▁low", "▁newest", "▁l'"} <= set(found)
    assert "12" not in found
    assert not any("," in one and len(one) > 1 for one in found)
    assert len(set(found)) == len(found)
    assert vocabulary.learn(["ab ab ab"], 2, least=1) == vocabulary.learn(["ab ab ab"], 2, least=1)
    assert len(vocabulary.learn(["abc abc abd"], 4, least=1)) == 4


def test_the_first_merge_is_the_most_frequent_pair():
    # Sennrich et al., 2016, algorithm 1, on their own example.
    words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    merges = [one for one in vocabulary.learn([" ".join(words)], 20, least=2) if len(one) > 1]
    assert merges[:2] == ["es", "est"]


def test_texts_survive_their_pieces(asked):
    assert len(pieces.symbols()) == 2000
    assert pieces.symbols()[: pieces.SPECIAL] == ("", "", "")
    lost = 0
    for text in asked:
        for one in (text.english, *text.french):
            ids = pieces.encoder().encode(one)
            lost += pieces.UNKNOWN in ids
            assert pieces.UNKNOWN in ids or pieces.encoder().decode(ids) == one
    assert lost < 8


# Scores: the figures are sacreBLEU 2.6.0's (corpus_bleu without smoothing, corpus_chrf).

SAID = ["The file (v1.5) is  saved.", "Open 3 files, now!", "a-b c's 10-20", "x"]
REFERENCES = [
    ["Le file (v1.5) is saved.", "The file (v1.5) was saved, yes."],
    ["Open 3 files, now!"],
    ["a-b c's 10-20 d", "a b c"],
    ["y z"],
]


def test_scores_are_those_of_sacrebleu(asked):
    assert scoring.bleu(SAID, REFERENCES) == pytest.approx(89.33084727025519, rel=1e-12)
    assert scoring.chrf(SAID, REFERENCES) == pytest.approx(93.97781203710792, rel=1e-12)
    copied, french = [text.english for text in asked], [text.french for text in asked]
    assert scoring.bleu(copied, french) == pytest.approx(5.880794211556378, rel=1e-12)
    assert scoring.chrf(copied, french) == pytest.approx(27.5265929368792, rel=1e-12)


def test_scores_of_the_right_text_and_of_nothing():
    french = [["un deux trois quatre"], ["cinq"]]
    assert scoring.bleu(["un deux trois quatre", "cinq"], french) == pytest.approx(100)
    assert scoring.chrf(["un deux trois quatre", "cinq"], french) == pytest.approx(100)
    assert scoring.bleu(["", ""], french) == scoring.chrf(["", ""], french) == 0.0
    # Right as far as it goes: Papineni's brevity penalty exp(1 - 6/4) is all that is lost.
    assert scoring.bleu(["a b c d"], [["a b c d e f"]]) == pytest.approx(100 * np.exp(1 - 6 / 4))
    for score in (scoring.bleu, scoring.chrf):
        with pytest.raises(rnnx.errors.InputError, match="1 translations for 2 texts"):
            score(["x"], french)
        with pytest.raises(rnnx.errors.InputError, match="at least one reference"):
            score(["x"], [[]])


# The committed model


def test_it_reaches_its_score(asked):
    runner = TorchRunner(trained(system.TRANSLATION), system.TRANSLATION.face)
    score = system.evaluate(runner, asked[::5])
    assert score.count == 123
    # A fifth of the texts; the whole score stands in DATA.md and is held by the zoo's own tests.
    assert score.value == pytest.approx(REACHED, abs=8)
    assert score.value > 2 * score.details["BLEU of copying"]
    assert score.details["chrF"] > score.details["chrF of copying"] + 10
    text = (system.TRANSLATION.home / "DATA.md").read_text(encoding="utf-8")
    for path in (system.TRANSLATION.checkpoint, held_out.HELD_OUT, pieces.TABLE):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text, path.name


def test_the_score_tells_kinds_apart():
    asked = [
        Asked(kind="office", english="Open the file now", french=("Ouvrir le fichier maintenant",)),
        Asked(kind="name", english="Ancient Greek of the islands", french=("Grec ancien des îles",)),
    ]

    class Office:
        name = "right in one kind"

        def run(self, inputs):
            right = pieces.encoder().encode("Ouvrir le fichier maintenant")
            tokens = np.array([[[*right, pieces.END]]] * len(inputs["source"]))
            return {"tokens": tokens, "lengths_out": np.full((len(tokens), 1), tokens.shape[-1])}

    score = system.evaluate(Office(), asked)
    assert score.details["BLEU, texts of programs"] == pytest.approx(100)
    assert score.details["BLEU, names"] == 0.0
    assert score.details["exactly right"] == 0.5


def test_training_goes_from_catalogues_to_a_model(monkeypatch):
    words = ["open", "close", "file", "table", "row", "cell", "name", "size", "page", "line"]
    french = ["ouvrir", "fermer", "fichier", "tableau", "ligne", "cellule", "nom", "taille", "page", "trait"]
    both = [Message("", f"{a} {b} {c}", f"{x} {y} {z}")
            for a, x in zip(words, french, strict=True)
            for b, y in zip(words, french, strict=True)
            for c, z in zip(words, french, strict=True)]  # fmt: skip
    monkeypatch.setattr(translations, "office", lambda _folder: both)
    monkeypatch.setattr(translations, "names", lambda _folder: [Message("", "Greek", "Grec")])
    lines = []
    model = recipe.train(Training(seed=1, steps=2, report=lambda *line: lines.append(line)))
    assert [line[:2] for line in lines] == [(1, 2), (2, 2)]
    assert "val" in lines[1][2]
    assert not model.training
    assert model.state_dict().keys() == system.TRANSLATION.build().state_dict().keys()


@pytest.mark.slow
def test_the_bundle_takes_text_and_answers_in_french(zoo_bundle):
    runner = TorchRunner(trained(system.TRANSLATION), system.TRANSLATION.face)
    english = "Open the  file…"
    with load_task(zoo_bundle("translation")) as task:
        found = task(english)
        ids = np.array(pieces.encoder().encode("Open the file..."))
        (expected,) = answer(runner, [ids], end=pieces.END, options=system.OPTIONS)
        assert str(found) == pieces.encoder().decode(expected)
        assert len(found.alternatives) == 3
        assert task(english, beam_width=1).alternatives == ()
        assert task("Open \u4e2d").text  # an unknown character has an id of its own
        with pytest.raises(rnnx.errors.InputError, match="knows nothing of the text '\u4e2d'"):
            task("\u4e2d")
        with pytest.raises(rnnx.errors.InputError, match="the text is empty"):
            task(" ")
