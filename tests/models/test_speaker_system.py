"""The speaker model as a system of the zoo: its score, its bundle, its training that can be cut off."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from rnnx import load as load_bundle
from rnnx.models.speaker import data
from rnnx.models.speaker.system import FACE, SPEAKER
from rnnx.models.zoo.running import BundleRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained


def test_its_score_is_the_checkpoint_s_recorded_one():
    score = SPEAKER.evaluate(TorchRunner(trained(SPEAKER), FACE), SPEAKER.held_out())
    assert (round(score.value * 370), score.count) == (365, 370)
    assert score.details == {"always the most frequent speaker": 88 / 370}


def test_its_score_counts_right_answers():
    class Ninth:
        name = "always the ninth"

        def run(self, inputs):
            return {"logits": np.tile(np.arange(9, dtype=np.float32), (len(inputs["lengths"]), 1))}

    labels = data.load("test").labels
    assert SPEAKER.evaluate(Ninth(), SPEAKER.held_out()).value == (labels == 8).mean()


def test_its_bundle_answers_as_it_does(zoo_bundle):
    few = SPEAKER.held_out().select(range(0, 370, 5))
    expected = SPEAKER.evaluate(TorchRunner(trained(SPEAKER), FACE), few)
    with load_bundle(zoo_bundle("speaker")) as session:
        assert SPEAKER.evaluate(BundleRunner(session, FACE), few) == expected


def test_it_shows_who_was_taken_for_whom(zoo_bundle):
    pytest.importorskip("matplotlib")
    confusions, turned, missed = SPEAKER.exhibit(zoo_bundle("speaker")).pieces
    assert confusions.about.startswith("365 of 370 are right; one each was taken: ")
    assert confusions.about.count(" for ") == 5
    assert len({one.png for one in (confusions, turned, missed)}) == 3
    assert turned.about.startswith("Right in the end: speaker ")
    assert missed.about.startswith("Wrong in the end: speaker ")
    shares = [[int(one) for one in re.findall(r"(\d+)%", piece.about)] for piece in (turned, missed)]
    assert shares[0][1] > shares[0][0]
    assert shares[1][1] < 50


def test_its_task_names_twelve_columns_and_the_source_s_speakers():
    task = json.loads(SPEAKER.assets()["task.json"])
    assert len(task["read"]["tables"][0]["columns"]) == 12
    assert task["write"]["labels"] == [f"speaker {number}" for number in range(1, 10)]


def test_a_cut_off_training_ends_with_the_same_bits(tmp_path):
    class CutError(Exception):
        pass

    def cut(step, _steps, _line):
        if step == 25:
            raise CutError

    whole = SPEAKER.train(Training(seed=3, steps=30))
    with pytest.raises(CutError):
        SPEAKER.train(Training(seed=3, steps=30, folder=tmp_path, report=cut))
    steps = []
    again = SPEAKER.train(
        Training(seed=3, steps=30, folder=tmp_path, report=lambda step, *_: steps.append(step))
    ).state_dict()
    assert steps == list(range(25, 31))
    assert all(torch.equal(value, again[name]) for name, value in whole.state_dict().items())
