"""Video captioning: clips and their sentences, what training never shows, independence of the batch, and the score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rnnx
from rnnx.models.captions.sentences import END
from rnnx.models.captions.things import THINGS
from rnnx.models.videos import clips, recipe, scoring, system, words
from rnnx.models.zoo.running import BundleRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import load_task

NAMES = [thing.name for thing in THINGS]
#: Least shares of clips that the committed model tells right, a little below those in DATA.md.
LEAST = {"seen": 0.98, "two events": 0.98, "unseen acts": 0.93, "unseen orders": 0.96}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def story(*events):
    return clips.Story(events=tuple(clips.Event(NAMES.index(name), clips.DOES.index(does)) for name, does in events))


# Clips


def test_a_sentence_tells_who_does_what():
    told = story(("green apple", "moves right"), ("orange book", "jumps")).caption
    assert told == "a green apple moves right then an orange book jumps"


def test_training_never_shows_what_is_told_apart():
    generator = np.random.default_rng(0)
    seen = [clips.invent(generator) for _ in range(2000)]
    acts = {event for one in seen for event in one.events}
    assert not any(clips.is_unseen_act(event) for event in acts)
    assert 0.08 < np.mean([clips.is_unseen_act(clips.Event(a, b)) for a in range(53) for b in range(8)]) < 0.17
    orders = {tuple(event.thing for event in one.events) for one in seen if len(one.events) == 2}
    for _ in range(200):
        assert not set(clips.invent(generator, ("unseen acts",)).events) <= acts
        unseen = clips.invent(generator, ("unseen orders",))
        assert set(unseen.events) <= {clips.Event(a, b) for a in range(53) for b in range(8)} - {
            event for event in unseen.events if clips.is_unseen_act(event)
        }
        assert tuple(event.thing for event in unseen.events) not in orders


def test_the_words_are_enough_and_go_both_ways():
    generator = np.random.default_rng(1)
    captions = [clips.invent(generator, (part,)).caption for part in clips.PARTS for _ in range(200)]
    rows = words.SENTENCES.encode(captions)
    assert (rows[:, -1] == END).all()
    assert [words.SENTENCES.decode(row) for row in rows.tolist()] == captions
    with pytest.raises(rnnx.errors.InputError, match=r"\['sleeps'\] are no words"):
        words.SENTENCES.encode(["a dog sleeps"])


def still(does, generator):
    """Frames of one red heart on a plain white ground."""
    back = np.ones((clips.SIDE, clips.SIDE, 3), np.float32)
    event = clips.Event(NAMES.index("red heart"), clips.DOES.index(does))
    frames = np.stack(clips._event(event, back, generator))
    return 1 - frames[..., 1]  # red on white: what is not green


@pytest.mark.parametrize("does", clips.DOES)
def test_a_thing_does_what_is_told(does):
    generator = np.random.default_rng(2)
    for _ in range(20):
        ink = still(does, generator)
        amount = ink.sum((1, 2))
        assert clips.FRAMES[0] <= len(ink) <= clips.FRAMES[1]
        if does == "blinks":
            np.testing.assert_array_equal(amount > 1, np.arange(len(ink)) % 2 == 0)
            continue
        row = (ink.sum(2) * np.arange(clips.SIDE)).sum(1) / amount
        column = (ink.sum(1) * np.arange(clips.SIDE)).sum(1) / amount
        down, across = row[-1] - row[0], column[-1] - column[0]
        if does.startswith("moves"):
            way = {"left": -across, "right": across, "up": -down, "down": down}[does.split()[1]]
            assert way > 14
            assert min(abs(down), abs(across)) < 1.5
        elif does == "jumps":
            assert abs(down) < 1.5
            assert row.min() < row[0] - 10
        else:
            assert (np.diff(amount) > 0).all() if does == "grows" else (np.diff(amount) < 0).all()
            assert max(amount[0], amount[-1]) > 4 * min(amount[0], amount[-1])


# The model


@pytest.fixture(scope="module")
def fresh():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return recipe.build().eval()


def test_a_clip_is_told_alike_alone_and_beside_longer_ones(fresh):
    examples = scoring.CLIPS.examples(10, 7)
    frames, lengths = scoring.feed([one.shown for one in examples]).values()
    frames[np.arange(frames.shape[1]) >= lengths[:, None]] = 9  # nobody looks there
    with torch.inference_mode():
        both = fresh.encode(torch.from_numpy(frames), torch.from_numpy(lengths))
        for row, one in enumerate(examples):
            alone = fresh.encode(*map(torch.from_numpy, scoring.feed([one.shown]).values()))
            torch.testing.assert_close(both.outputs[row, : len(one.shown)], alone.outputs[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(both.summary[row], alone.summary[0], atol=1e-5, rtol=1e-4)


def test_centres_follow_what_maps_see(fresh):
    maps = torch.full((3, 1, 12, 12), -40.0)
    maps[0, 0, 0, 0] = maps[1, 0, 11, 5] = 40
    maps[2, 0, 3, 0] = maps[2, 0, 3, 11] = 40
    row, column, spread, most = (one[:, 0] for one in fresh.frames.centres(maps.flatten(2)))
    torch.testing.assert_close(row, torch.tensor([-1, 1, -1 + 6 / 11]))
    torch.testing.assert_close(column, torch.tensor([-1, -1 + 10 / 11, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(spread, torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(most, torch.tanh(torch.tensor([5.0, 5.0, 5.0])))


def test_training_makes_a_model_that_repeats_itself(monkeypatch):
    monkeypatch.setattr(recipe, "_EPOCH", 40)
    monkeypatch.setattr(recipe, "_CHOOSING", 8)
    training = Training(seed=1, steps=2)
    first, second = recipe.train(training), recipe.train(training)
    assert not first.training
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


# The score and the committed model


def test_the_score_counts_whole_sentences_of_each_part():
    draw = scoring.CLIPS.examples
    examples = draw(6, 8) + draw(4, 9, "unseen acts") + draw(4, 10, "unseen orders")
    sentences = {example.shown.tobytes(): example.caption for example in examples if example.part != "unseen orders"}

    class Knowing:
        name = "knowing"

        def run(self, inputs):
            rows = np.round(inputs["frames"] * 255).astype(np.uint8)
            keys = [row[:length].tobytes() for row, length in zip(rows, inputs["lengths"], strict=True)]
            return {"tokens": words.SENTENCES.encode(sentences.get(key, "a") for key in keys)}

    score = system.evaluate(Knowing(), examples)
    assert (score.value, score.count) == (1.0, 6)
    assert score.details == {"two events": 1.0, "unseen acts": 1.0, "unseen orders": 0.0}


@pytest.fixture(scope="module")
def committed():
    return trained(system.VIDEOS)


@pytest.mark.slow
def test_the_committed_model_tells_new_clips(committed):
    score = system.evaluate(TorchRunner(committed, system.FACE), scoring.CLIPS.held_out())
    shares = {"seen": score.value, **score.details}
    assert shares.keys() == LEAST.keys()
    assert all(shares[part] >= LEAST[part] for part in LEAST), shares


@pytest.mark.slow
def test_the_bundle_tells_clips(committed, zoo_bundle):
    out = zoo_bundle("videos")
    examples = scoring.CLIPS.examples(16, 5)
    with rnnx.load(out, provider="cpu") as session:
        mine = scoring.CLIPS.right(BundleRunner(session, system.FACE), examples)
    np.testing.assert_array_equal(mine, scoring.CLIPS.right(TorchRunner(committed, system.FACE), examples))
    pytest.importorskip("PIL")
    with load_task(out) as task:
        assert task(system.SAMPLE.read_bytes()).text == "a green apple moves right then a dog jumps"
