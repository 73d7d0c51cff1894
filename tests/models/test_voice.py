"""Speech generation: attention, decoder, frames, and what is read back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnnx.models.datasets.spoken import Corpus
from rnnx.models.training import Recipe
from rnnx.models.voice import recipe, scoring, texts
from rnnx.models.voice.attention import NARROWEST, Centres, ForwardAttention
from rnnx.models.voice.model import GROUP, MAX_STEPS, State, build
from rnnx.models.voice.sound import FLOOR, HOP, MELS, SAMPLE_RATE, WRITE
from rnnx.models.voice.system import VOICE
from rnnx.models.voice.text import END, SYMBOLS, letters
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import load_task
from rnnx.runtime.tasks.griffin_lim import mel_to_samples


def test_attention_is_the_formula():
    torch.manual_seed(0)
    attention = ForwardAttention(5, components=3)
    query, values = torch.randn(2, 5), torch.randn(2, 6, 4)
    centres = Centres(whole=torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]]), part=torch.rand(2, 3))
    context, moved = attention(query, centres, values, torch.tensor([6, 4]))
    given = attention.parameters_of(torch.tanh(attention.hidden(query))).detach().numpy().astype(np.float64)
    for row, length in enumerate((6, 4)):
        shares = np.exp(given[row, :3]) / np.exp(given[row, :3]).sum()
        centre = (centres.whole + centres.part)[row].numpy() + np.log1p(np.exp(given[row, 3:6]))
        width = np.log1p(np.exp(given[row, 6:])) + NARROWEST
        weights = [
            sum(
                share * np.exp(-((j - c) ** 2) / (2 * w * w)) / (w * np.sqrt(2 * np.pi))
                for share, c, w in zip(shares, centre, width, strict=True)
            )
            for j in range(length)
        ]
        np.testing.assert_allclose((moved.whole + moved.part)[row].detach().numpy(), centre, rtol=1e-5)
        seen = np.array(weights) @ values[row, :length].numpy()
        np.testing.assert_allclose(context[row].detach().numpy(), seen, rtol=1e-4, atol=1e-6)
    assert (moved.whole + moved.part > centres.whole + centres.part).all()


def test_centres_gather_no_rounding_over_a_long_way():
    generator = torch.Generator().manual_seed(0)
    steps = torch.rand(1000, 1, 1, generator=generator)
    centres, plain = Centres(whole=torch.zeros(1, 1), part=torch.zeros(1, 1)), torch.zeros(1, 1)
    for step in steps:
        centres, plain = centres.moved(step), plain + step
    true = steps.double().sum().item()
    assert centres.whole.item() == int(true)
    assert abs(centres.part.item() - true % 1) < 5e-6
    assert abs(plain.item() - true) > 5e-6  # one number for both would


def test_letters():
    assert [SYMBOLS[one] for one in letters("six ten")] == [*"six ten", "<end>"]
    with pytest.raises(KeyError, match="j"):
        letters("jam")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    made = build().eval()
    with torch.no_grad():
        made.stop.bias.fill_(-0.05)
        made.stop.weight.mul_(6.0)
    return made


def test_rows_end_by_themselves_and_do_not_meet(model):
    rows = [letters(text) for text in ("one", "seven hundred", "six", "nine thousand and ten")]
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = torch.tensor(row)
    with torch.inference_mode():
        mel, frames = model(padded, lengths)
        assert len(set(frames.tolist())) > 1  # otherwise this shows nothing
        assert mel.shape == (4, int(frames.max()), MELS)
        assert frames.max() <= MAX_STEPS * GROUP
        for row in range(4):
            alone, count = model(padded[row : row + 1, : lengths[row]], lengths[row : row + 1])
            assert count == frames[row] == alone.shape[1]
            torch.testing.assert_close(mel[row, :count], alone[0], rtol=1e-3, atol=1e-4)
            assert torch.allclose(mel[row, count:], torch.tensor(np.log(FLOOR), dtype=torch.float32), atol=1e-5)


def test_it_stops_in_any_case():
    torch.manual_seed(0)
    made = build().eval()
    with torch.no_grad():
        made.stop.bias.fill_(-100.0)
        _, frames = made(torch.tensor([letters("one")]), torch.tensor([4]))
    assert frames.tolist() == [MAX_STEPS * GROUP]


def test_roundings_do_not_grow_while_it_speaks():
    """What differs by a millionth after two steps stays small, whatever the letters: the decoder is not chaotic."""
    model = trained(VOICE).double()
    rows, steps, nudge = 30, 100, 1e-6
    generator = torch.Generator().manual_seed(3)
    lengths = torch.full((rows,), 80)
    worst = torch.zeros(rows)
    with torch.inference_mode():
        values = model.encode(torch.randint(len(SYMBOLS), (rows, 80), generator=generator), lengths)
        one = other = model.begin(values)
        for step in range(steps):
            if step == 2:
                noise = [torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in one.parts()]
                other = State.of([part + nudge * off for part, off in zip(one.parts(), noise, strict=True)])
            frames, _, one = model.step(one, values, lengths)
            others, _, other = model.step(other, values, lengths)
            worst = worst.maximum((frames - others).abs().amax(-1) / nudge)
    assert 0.1 < worst.median() < 30
    assert worst.max() < 300


def test_frames_are_undone_by_what_the_task_says():
    time = np.arange(8000) / SAMPLE_RATE
    sound = (0.3 * np.sin(2 * np.pi * (300 + 200 * time) * time)).astype(np.float32)
    front = recipe.front_end()
    frames = front(torch.from_numpy(sound)[None])[0].numpy()
    back = mel_to_samples(frames, WRITE.mel, SAMPLE_RATE)
    assert back.shape == (len(frames) * HOP,)
    again = front(torch.from_numpy(back)[None])[0].numpy()
    # In decibels, where there is sound.
    loud = frames > frames.max() - 5
    assert np.abs(again - frames)[loud].mean() * 10 / np.log(10) < 2.5


def spoken(monkeypatch):
    """Stand-ins for what flite says: a tone for each letter."""

    def corpus(_voice, texts, _folder):
        clips = []
        for text in texts:
            hertz = np.repeat([200 + 100 * number for number in letters(text)[:-1]], 400)
            clips.append((9000 * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)).astype(np.int16))
        return Corpus(texts=tuple(texts), clips=tuple(clips))

    monkeypatch.setattr(recipe, "corpus", corpus)


def test_examples_are_whole_groups_of_frames_with_silence_behind(monkeypatch):
    spoken(monkeypatch)
    (one,) = recipe.load(["six ten"], None)
    assert one.letters.tolist() == letters("six ten")
    assert len(one.frames) % GROUP == 0
    assert len(one.frames) * HOP >= 7 * 400 + 600
    np.testing.assert_allclose(one.frames[-1], np.log(FLOOR), atol=1e-4)
    assert one.frames[10].max() > 0


def test_the_recipe_learns(monkeypatch):
    spoken(monkeypatch)
    texts = ("one", "two", "six", "ten") * 20
    monkeypatch.setattr(recipe, "training_texts", lambda: texts)
    plan = recipe.Plan(recipe=Recipe(steps=12, batch_size=10, learning_rate=5e-3, validate_every=3, warmup=0.2))
    losses = []
    report = lambda _step, _steps, line: losses.append(float(line.split()[1]))  # noqa: E731
    model = recipe.train(Training(report=report), plan)
    assert losses[-1] < 0.8 * losses[0]
    assert not model.training
    assert model.mean.abs().sum() > 0


class Silent:
    """A runner that says nothing but silence, one group for each text."""

    name = "silent"

    def run(self, inputs):
        rows = len(inputs["letters"])
        assert inputs["letters"][0, inputs["lengths"][0] - 1] == END
        silence = np.full((rows, GROUP, MELS), np.log(FLOOR), np.float32)
        return {"mel": silence, "frames": np.full(rows, GROUP)}


def test_what_is_said_is_turned_into_sound():
    sounds = scoring.speak(Silent(), ["one", "twenty two"])
    assert [len(sound) for sound in sounds] == [GROUP * HOP] * 2
    assert max(np.abs(sound).max() for sound in sounds) < 0.01


def test_the_texts_to_score_were_not_trained_on():
    scored = texts.held_out()
    runs = [text for text in scored if " " in text]
    assert len(runs) == 60
    assert not set(texts.training_texts()) & set(runs)
    assert len(texts.training_texts()) > 1000
    assert texts.held_out() == scored


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (19, "nineteen"),
        (20, "twenty"),
        (42, "forty two"),
        (105, "one hundred and five"),
        (3010, "three thousand ten"),
        (120_200, "one hundred and twenty thousand two hundred"),
    ],
)
def test_numbers_are_spelled(number, words):
    assert texts.spelled(number) == words
    assert texts.spelled(number, joined=False) == words.replace(" and", "")


@pytest.mark.slow
def test_it_is_understood_from_the_bundle(zoo_bundle):
    said = ("Forty-two", "three, five, nine", "one thousand, one hundred and five")
    with load_task(zoo_bundle("voice")) as task:
        told = task.batch(said)
    for one in told:
        assert 0.2 < np.abs(one.samples).max() <= 1.0
    # About as long as people who are in no hurry say it.
    assert [one.seconds for one in told] == pytest.approx([1.1, 1.5, 2.5], rel=0.15)
    assert scoring.heard([one.samples for one in told[:2]]) == [["forty", "two"], ["three", "five", "nine"]]
