"""Speech recognition: words, recordings, models, scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import rnnx
from rnnx.errors import RnnxError, StreamingError
from rnnx.models.datasets import asterisk
from rnnx.models.datasets.spoken import Corpus
from rnnx.models.speech import recipe, scoring, second, voices, words
from rnnx.models.speech.augment import STEP, Augmentation, recording
from rnnx.models.speech.held_out import HeldOut, compressed, expanded, load_held_out
from rnnx.models.speech.model import build_offline, build_streaming
from rnnx.models.speech.system import LEAST, SPEECH, SPEECH_STREAMING
from rnnx.models.speech.tempo import retimed
from rnnx.models.speech.varied import varied
from rnnx.models.training import Recipe
from rnnx.models.zoo.running import BundleRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained

QUIET = Augmentation(warp=1.0, tempo=0.0, room=0.0, band=0.0, filter_db=0.0, noise=0.0, coded=0.0)


def test_words_are_classes_and_back():
    assert words.classes("nine million and six") == [
        words.SYMBOLS.index(one) for one in ("nine", "million", "and", "six")
    ]
    assert words.text([0, *words.classes("minus oh"), 0]) == "minus oh"
    assert len(set(words.SYMBOLS)) == 36
    with pytest.raises(KeyError, match="eleventy"):
        words.classes("eleventy")


def test_every_word_is_said_by_every_voice_and_no_voice_is_on_both_sides():
    said = voices.texts(7)
    assert {text.rstrip(".,?!") for text in said[: len(words.WORDS)]} == set(words.WORDS)
    assert voices.texts(7) == said
    assert voices.texts(8) != said
    who = [{voices.person(one) or one.character for one in side()} for side in SIDES]
    assert not who[0] & who[1]
    assert {"heart", "kal", "ked", "rms", "slt", "en-US"} < who[0]
    assert {"awb", "joe", "en-GB"} < who[1]
    assert len(who[0]) > 60
    assert len(who[1]) > 8


SIDES = (voices.training_voices, voices.validation_voices)


def test_a_recording_has_its_clips_where_it_says():
    clips = [np.full(800, 9000, np.int16), np.full(500, -9000, np.int16)]
    sound, spans = recording(clips, QUIET, np.random.default_rng(1))
    assert [end - begin for begin, end in spans] == [800, 500]
    inside = np.zeros(len(sound), bool)
    for begin, end in spans:
        inside[begin + 50 : end - 50] = True
    # The filter is not perfectly flat: a slope is drawn whatever the settings are.
    assert np.abs(sound[inside]).min() > 10 * np.abs(sound[spans[1][1] + 50 :]).max()
    assert np.abs(sound).max() <= 1.0


def test_a_recording_follows_from_the_generator():
    clip = np.random.default_rng(0).integers(-9000, 9000, 900).astype(np.int16)
    one, _ = recording([clip, clip], Augmentation(), np.random.default_rng(5))
    same, _ = recording([clip, clip], Augmentation(), np.random.default_rng(5))
    other, _ = recording([clip, clip], Augmentation(), np.random.default_rng(6))
    np.testing.assert_array_equal(one, same)
    assert len(one) != len(other) or not np.array_equal(one, other)
    nobody, spans = recording([], Augmentation(), np.random.default_rng(5))
    assert not spans
    assert 0 < np.abs(nobody).max() <= 1.0


def test_answers_that_are_known_are_towards_the_end_of_a_word():
    # One word from 3200 to 6400, answers each 320 samples: its last 35% begin at 5280, the doubt at 4240.
    wanted = recipe.targets(8000, [(3200, 6400)], [5])
    assert wanted.tolist() == [0] * 13 + [-100] * 4 + [5] * 4 + [-100] * 3 + [0]
    # A run of several words says nothing of where they are.
    assert recipe.targets(3200, [(640, 1600)], [None]).tolist() == [0, 0] + [-100] * 7 + [0]


def test_answers_may_be_late():
    wanted = recipe.targets(8000, [(3200, 6400)], [5], 2)
    assert wanted.tolist() == [0] * 15 + [-100] * 4 + [5] * 4 + [-100] * 2
    assert len(wanted) == 25


def test_speakers_are_varied_and_parts_hidden():
    torch.manual_seed(0)
    ramp = (1.0 + torch.arange(40.0)).reshape(1, 40, 1).expand(200, 40, 80)
    plain = varied(ramp, (0, 0), tract=0.0, tempo=0.0)
    # Nothing is left but a shift of the bands and a factor: still straight, away from the ends.
    steps = plain[:, 3:37].diff(dim=1)
    assert steps.std(dim=(1, 2)).max() < 1e-4
    assert steps.mean().item() == pytest.approx(1.0, abs=0.03)
    hidden = varied(ramp, (5, 6)) == 0
    assert 0 < hidden.all(2).sum(1).max() <= 5
    assert 6 < hidden.all(1).sum(1).max() <= 12
    stretched = varied(ramp, (0, 0), tract=0.12)[:, 5:35].diff(dim=1).mean((1, 2))
    assert stretched.std() > 1.2 * steps.mean((1, 2)).std()


def test_tempo_leaves_pitch_and_changes_length():
    tone = np.sin(2 * np.pi * 200 / 8000 * np.arange(8000))
    generator = np.random.default_rng(0)
    made = [retimed(tone, 0.5, generator) for _ in range(20)]
    lengths = [len(one) for one in made]
    assert min(lengths) < 7500
    assert max(lengths) > 8500
    for one in made:
        inner = one[240:-480]
        assert np.abs(np.fft.rfft(inner * np.hanning(len(inner)))).argmax() * 8000 / len(inner) == pytest.approx(
            200, abs=2
        )
        assert np.abs(inner).max() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(retimed(tone, 0.0, generator)[:7500], tone[:7500], atol=1e-9)
    assert len(retimed(tone[:50], 0.5, generator)) == 50


def test_each_person_is_drawn_as_often_as_another():
    sizes = [400, 800, 1200, 1600]
    said = [Corpus(texts=voices.texts(0), clips=(np.full(size, 9000, np.int16),) * 47) for size in sizes]
    settings = dataclasses.replace(QUIET, edge_s=0.0)
    plan = recipe.Plan(augmentation=settings, silence=0.0, words=1.0, people=0.5)
    draw = recipe._drawer(said, ["a", "a", "b", None], plan)
    generator = np.random.default_rng(0)
    drawn = np.array([len(draw(generator).sound) - STEP for _ in range(1500)])
    assert [(drawn == size).mean() for size in sizes] == pytest.approx([0.125, 0.125, 0.25, 0.5], abs=0.04)


def test_time_never_runs_backwards():
    torch.manual_seed(0)
    ramp = torch.arange(1.0, 201.0).reshape(1, 1, 200).expand(300, 4, 200)
    moved = varied(ramp, (0, 0))
    assert (moved.diff(dim=2) >= 0).all()
    assert (moved[:, 0] / moved[:, 0, :1] - ramp[:, 0]).abs().max() > 1


@pytest.mark.parametrize(
    ("wanted", "found", "count"),
    [("six", "six", 0), ("", "six", 3), ("seven", "eleven", 2), ("ten", "", 3), ("ab", "ba", 2)],
)
def test_edits(wanted, found, count):
    assert scoring.edit_distance(wanted, found) == count


def test_eight_bits_are_near_the_samples():
    samples = np.concatenate([np.linspace(-1, 1, 1001), [0.001, -0.001]])
    back = expanded(compressed(samples))
    assert np.abs(back - samples).max() < 0.025
    assert np.abs(back - samples)[np.abs(samples) < 0.01].max() < 3e-4


def test_the_held_out_recordings_are_one_of_each_word():
    examples = load_held_out()
    assert examples.words == tuple(asterisk.FILES)
    assert set(examples.words) == set(words.WORDS)
    assert sum(map(len, examples.sounds)) == 257_571
    assert all(0.05 < np.abs(sound).max() <= 1 for sound in examples.sounds)


class Told:
    """A runner that gives each row one word, in the last fifth of its frames."""

    name = "told"

    def __init__(self, answers):
        self.answers = iter(answers)

    def run(self, inputs):
        rows, samples = inputs["samples"].shape
        frames = -(-samples // 320)
        lengths = -(-inputs.get("lengths", np.full(rows, samples)) // 320)
        log_probs = np.full((rows, frames, len(words.SYMBOLS)), -20.0, np.float32)
        log_probs[:, :, 0] = -1e-3
        for row, length in enumerate(lengths):
            for at, word in enumerate(next(self.answers, "").split()):
                log_probs[row, length * 4 // 5 + at, [0, words.SYMBOLS.index(word)]] = [-9.0, -1e-3]
        return {"log_probs": log_probs, "frames": lengths}

    def stream(self):
        raise StreamingError("whole sequences only")


def few():
    examples = load_held_out()
    return HeldOut(words=examples.words[:4], sounds=examples.sounds[:4])


def test_words_are_counted():
    score = scoring.evaluate_offline(Told(["zero", "one", "ten", ""]), few())
    assert (score.value, score.count) == (0.5, 4)
    assert score.details["character error"] == pytest.approx((2 + 5) / 15)
    assert score.details["word error in strings of three"] == 1.0
    assert scoring.evaluate_offline(Told(few().words), few()).details["words for 0 to 90"] == 1.0


def test_a_stream_tells_how_late_it_is():
    examples = HeldOut(words=("one",), sounds=(np.concatenate([np.ones(1600), np.zeros(1600)]).astype(np.float32),))
    score = scoring.evaluate_streaming(Told(["one"]), examples)
    # 3200 samples and as many of silence behind are 20 answers; the 16th needs sample 5120, in the ninth chunk of 640.
    assert score.value == 1.0
    assert score.details["delay, mean ms"] == pytest.approx(9 * 80 - 1599 / 8)


@pytest.fixture(scope="module")
def offline():
    torch.manual_seed(0)
    return build_offline().eval()


def test_a_row_alone_is_answered_as_in_a_batch(offline):
    x = torch.randn(3, 4000) * 0.1
    lengths = torch.tensor([4000, 2500, 801])
    with torch.inference_mode():
        whole, frames = offline(x, lengths)
        for row, length in enumerate(lengths):
            alone, count = offline(x[row : row + 1, :length], length.reshape(1))
            assert count == frames[row] == alone.shape[1]
            torch.testing.assert_close(whole[row, :count], alone[0], rtol=1e-4, atol=1e-5)


def test_the_listening_twin_looks_back_only():
    torch.manual_seed(0)
    model = build_streaming().eval()
    x = torch.randn(2, 4000) * 0.1
    with torch.inference_mode():
        whole = model(x)
        torch.testing.assert_close(model(x[:, :1281])[:, :5], whole[:, :5], rtol=1e-4, atol=1e-5)


def test_the_recipe_trains(monkeypatch, tmp_path):
    generator = np.random.default_rng(0)

    def load(some, first, _folder):
        texts = [voices.texts(first + number) for number in range(len(some))]
        return [
            Corpus(texts=one, clips=tuple(generator.integers(-9000, 9000, 900).astype(np.int16) for _ in one))
            for one in texts
        ]

    monkeypatch.setattr(recipe, "load", load)
    monkeypatch.setattr(recipe, "training_voices", lambda: SIDES[0]()[:2] + SIDES[0]()[-2:])
    monkeypatch.setattr(recipe, "validation_voices", lambda: SIDES[1]()[:1])
    plan = recipe.Plan(recipe=Recipe(steps=3, batch_size=4, validate_every=3))
    lines = []
    report = lambda step, steps, line: lines.append((step, steps, line))  # noqa: E731
    model = recipe.train(build_streaming, Training(folder=tmp_path, report=report), plan)
    fresh = build_streaming()
    assert [step for step, _, _ in lines] == [1, 2, 3]
    assert not torch.equal(model.head.weight, fresh.head.weight)
    assert not torch.equal(model.mean, fresh.mean)
    assert not model.training


def run_all(system, out):
    """The exported bundle's scores by variant, and PyTorch's."""
    face = system.face
    examples = system.held_out()
    scores = {"torch": system.evaluate(TorchRunner(trained(system), face), examples)}
    for mode in ("offline", "streaming") if face.streaming == "on" else ("offline",):
        with rnnx.load(out, provider="cpu", mode=mode) as session:
            scores[mode] = system.evaluate(BundleRunner(session, face), examples)
    return scores


@pytest.mark.slow
def test_recordings_are_recognised_from_the_bundle(zoo_bundle, monkeypatch):
    out = zoo_bundle("speech")
    scores = run_all(SPEECH, out)
    assert scores["offline"] == scores["torch"]
    assert scores["torch"].value >= 31 / 35
    from rnnx.runtime.tasks import load_task

    with load_task(out) as task:
        assert str(task((load_held_out().sounds[7], 8000))) == "seven"
        with pytest.raises(RnnxError, match=str(LEAST)):
            task((np.zeros(3, np.float32), 8000))
    # The command for the second voice, with other sounds for it.
    seven = load_held_out().sounds[7]
    monkeypatch.setattr(second, "number_words", lambda _folder: {"seven": seven, "six": seven})
    said = CliRunner().invoke(second.main, ["speech", str(out)])
    assert said.output.startswith("speech, fp32: 50.0% of 2 words\n")


@pytest.mark.slow
def test_words_are_recognised_while_they_are_said(zoo_bundle):
    scores = run_all(SPEECH_STREAMING, zoo_bundle("speech-streaming"))
    assert scores["streaming"] == scores["offline"] == scores["torch"]
    assert scores["torch"].value >= 31 / 35
