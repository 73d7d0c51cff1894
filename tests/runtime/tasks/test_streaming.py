"""Chunk by chunk: together the answer to the whole."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper

from rnnx.cli.main import main
from rnnx.errors import InputError, TaskError, VariantError
from rnnx.runtime.tasks import load_task
from rnnx.runtime.tasks.description import (
    AudioRead,
    CtcWrite,
    Description,
    LabelsWrite,
    ScoresWrite,
    SeriesRead,
    Table,
    TagsWrite,
)


@pytest.fixture
def summing(make):
    """Running sums of each column, which go on from chunk to chunk; read by the description that is given."""

    def write(read, answer, columns=1, mode="streaming"):
        nodes = [
            helper.make_node("CumSum", ["x", "one"], ["sums"]),
            helper.make_node("Unsqueeze", ["h_0", "ones"], ["before"]),
            helper.make_node("Add", ["sums", "before"], ["y"]),
            helper.make_node("Gather", ["y", "last"], ["h_n"], axis=1),
        ]
        return make(
            [f"x: float32[batch, time, {columns}]", f"h_0: float32[batch, {columns}]"],
            [f"y: float32[batch, time, {columns}]", f"h_n: float32[batch, {columns}]"],
            nodes,
            {"one": np.array(1), "ones": np.array([1]), "last": np.array(-1)},
            states=(("h_0", "h_n"),),
            mode=mode,
            description=Description(task="summing", read=read, write=answer),
        )

    return write


def table(*columns):
    return SeriesRead(tables=(Table(input="x", columns=columns, rows="all"),))


SCORES = ScoresWrite(output="y", threshold=5)


@pytest.mark.parametrize("steps", [None, 1, 2, 3, 10])
def test_scores(summing, steps):
    task = load_task(summing(table("v"), SCORES), mode="streaming")
    found = list(task.stream(np.array([1.0, 2, 3, -4, 5, 6]), steps))
    np.testing.assert_array_equal(np.concatenate([one.scores for one in found]), [1, 3, 6, 2, 7, 13])
    assert [one.first for one in found] == list(range(0, 6, steps or 1))
    if steps == 2:
        assert str(found[1]) == "anomaly at 3, highest score 6\n1 of 2 steps are above 5"
        assert str(found[2]) == "anomaly at 5-6, highest score 13\n2 of 2 steps are above 5"
        assert (found[1].to_json()["before"], "before" in found[0].to_json()) == (2, False)


def test_tags(summing):
    task = load_task(summing(table("p", "q"), TagsWrite(output="y", labels=("walk", "sit")), 2), mode="streaming")
    rows = np.array([[2.0, 0], [0, 1], [0, 3], [0, 0], [9, 0]])
    found = list(task.stream(rows, 3))
    assert [label for one in found for label in one.labels] == ["walk", "walk", "sit", "sit", "walk"]
    assert str(found[1]) == "4  sit\n5  walk"


def test_labels_as_they_are_by_now(summing):
    write = LabelsWrite(output="y", labels=("walk", "sit"), over_time="last")
    task = load_task(summing(table("p", "q"), write, 2), mode="streaming")
    assert [one.label for one in task.stream(np.array([[2.0, 0], [0, 3], [2, 0]]), 1)] == ["walk", "sit", "walk"]


@pytest.mark.parametrize("steps", [None, 1, 7])
def test_text_of_sound(make, steps):
    """Samples above 0.5 are a, below -0.5 b, else blank; the first label's logit is lifted by a state that is 0."""
    nodes = [
        helper.make_node("Mul", ["x", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["plain"]),
        helper.make_node("Unsqueeze", ["h_0", "ones"], ["before"]),
        helper.make_node("Add", ["plain", "before"], ["y"]),
        helper.make_node("Identity", ["h_0"], ["h_n"]),
    ]
    path = make(
        ["x: float32[batch, time, 1]", "h_0: float32[batch, 3]"],
        ["y: float32[batch, time, 3]", "h_n: float32[batch, 3]"],
        nodes,
        {
            "weights": np.array([0, 10, -10], np.float32),
            "bias": np.array([5, 0, 0], np.float32),
            "ones": np.array([1]),
        },
        states=(("h_0", "h_n"),),
        mode="streaming",
        description=Description(
            task="letters",
            read=AudioRead(input="x", sample_rate=100),
            write=CtcWrite(output="y", symbols=("", "a", "b"), form="logits", join=" "),
        ),
    )
    sound = np.repeat([0, 0.9, 0, 0.9, -0.9, 0], 9)
    task = load_task(path, mode="streaming")
    found = list(task.stream((sound, 100), steps))
    assert "".join(one.text for one in found) == "a a b"
    assert load_task(path, mode="streaming").session.variant.mode == "streaming"


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_chunks_that_are_none(summing, steps):
    with pytest.raises(InputError, match=r"a chunk has .* steps; it must be a whole number from 1"):
        next(load_task(summing(table("v"), SCORES), mode="streaming").stream(np.ones(3), steps))


def test_what_does_not_stream(summing, counting):
    with pytest.raises(VariantError, match="runs on the streaming variant"):
        load_task(summing(table("v"), SCORES, mode="offline")).stream(np.ones(3))
    with pytest.raises(TaskError, match="reads text and answers labels as a whole"):
        load_task(counting).stream("a")
    search = CtcWrite(output="y", symbols=("", "a"), beam_width=2)
    with pytest.raises(TaskError, match="a search of 2 prefixes has its answer at the end"):
        load_task(summing(table("p", "q"), search, 2), mode="streaming").stream(np.ones((3, 2)))


def test_the_command(summing, tmp_path):
    path = str(summing(table("v"), SCORES))
    (tmp_path / "x.csv").write_text("v\n1\n5\n-5\n")

    def invoke(*arguments):
        return CliRunner().invoke(main, ["run", path, "--csv", str(tmp_path / "x.csv"), *arguments])

    shown = invoke("--stream", "--chunk", "2")
    assert shown.exit_code == 0, shown.output
    assert shown.output == ("anomaly at 2, highest score 6\n1 of 2 steps are above 5\nanomaly at 3: 1, not above 5\n")
    lines = invoke("--stream", "--json").output.splitlines()
    assert [json.loads(one)["scores"] for one in lines] == [[1], [6], [1]]
    for wrong, message in (
        (["--chunk", "2"], "--chunk goes with --stream"),
        (["--stream", "--csv", "y.csv"], "--stream takes one source"),
        (["--stream", "--option", "a=3"], "--stream takes one source"),
    ):
        assert message in invoke(*wrong).stderr
        assert invoke(*wrong).exit_code == 2
