"""``rnnx run BUNDLE --text ...`` and ``rnnx inspect``: what a person types, and what a person sees."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper

from rnnx.cli.main import main
from rnnx.runtime.tasks.description import (
    AudioRead,
    AudioWrite,
    Characters,
    Description,
    ImageRead,
    ScoresWrite,
    SeriesRead,
    Table,
    TextRead,
    TokensWrite,
)
from rnnx.runtime.tasks.wav import read_wav, wav_bytes


def invoke(*arguments, code=0, entered=None):
    done = CliRunner().invoke(main, [str(one) for one in arguments], input=entered)
    assert done.exit_code == code, done.output + repr(done.exception)
    if code and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
def louder(make):
    """Sound, twice as loud."""
    return make(
        ["audio: float32[batch, time]"],
        ["samples: float32[batch, time]"],
        [helper.make_node("Add", ["audio", "audio"], ["samples"])],
        description=Description(
            task="louder",
            read=AudioRead(input="audio", sample_rate=8000),
            write=AudioWrite(output="samples", sample_rate=8000),
        ),
    )


@pytest.fixture
def series(make):
    return make(
        ["x: float32[batch, time]"],
        ["y: float32[batch, time]"],
        [helper.make_node("Identity", ["x"], ["y"])],
        description=Description(
            task="watching",
            read=SeriesRead(tables=(Table(input="x", columns=("v",), rows="all"),)),
            write=ScoresWrite(output="y", threshold=2),
        ),
    )


def test_one_text(counting):
    assert invoke("run", counting, "--text", "abb").output == (
        "b   66.5%\na   24.5%\nlooked at: a 1.00, b 1.00, b 1.00\n"
    )
    assert invoke("run", counting, "--text", "abb", "--top", 1).output.startswith("b   66.5%\nlooked")


def test_several_texts_and_standard_input(counting):
    found = invoke("run", counting, "--text", "aaaa", "--text", "-", "--top", 1, entered="cccc\n").output
    assert found.splitlines() == [
        "aaaa:",
        "  a   96.5%",
        "  looked at: a 1.00, a 1.00, a 1.00, a 1.00",
        "cccc:",
        "  c   96.5%",
        "  looked at: c 1.00, c 1.00, c 1.00, c 1.00",
    ]


def test_standard_input_that_is_no_text(counting):
    done = invoke("run", counting, "--text", "-", code=2, entered=b"ab\xff")
    assert "standard input is no text in UTF-8: 'utf-8' codec can't decode byte 0xff" in done.stderr


def test_json(counting):
    report = json.loads(invoke("run", counting, "--text", "a", "--text", "bb", "--json").output)
    assert (report["task"], report["variant"]) == ("counting", "fp32-offline")
    assert [(one["input"], one["label"]) for one in report["results"]] == [("a", "a"), ("bb", "b")]
    assert report["provider"]["name"] == "cpu"


def test_generated_text_follows_its_beginning(alphabet):
    assert invoke("run", alphabet, "--text", "a", "--temperature", 0).output == "abcd\n"
    assert invoke("run", alphabet, "--text", "a", "--temperature", 0, "--length", 2).output == "abc\n"
    drawn = ["--text", "a", "--length", 30, "--temperature", 3, "--seed", 5]
    assert invoke("run", alphabet, *drawn).output == invoke("run", alphabet, *drawn).output
    assert invoke("run", alphabet, "--text", "a", "--top-k", 1, "--text", "b").output == "abcd\n\nbcd\n"
    assert invoke("run", alphabet, "--text", "", "--temperature", 0).output == "abcd\n"
    assert invoke("run", alphabet, "--text", "ax", code=1).stdout == ""
    for option in ("length=2.5", "top_k=0", "temperature=nan"):
        assert invoke("run", alphabet, "--text", "a", "--option", option, code=1).stdout == "", "nothing before it"
    assert invoke("run", alphabet, "--text", "a", "--temperature", 0, "--option", "length=2").output == "abc\n"
    report = json.loads(invoke("run", alphabet, "--text", "a", "--temperature", 0, "--json").output)
    assert report["results"] == [{"input": "a", "text": "bcd"}]


def test_what_the_model_does_not_know_is_said(spelling):
    done = invoke("run", spelling, "--text", "abЖ c")
    assert done.stdout == "abЖ  even\nc    even\n"
    assert done.stderr == "note: the model does not know 'Ж'; it was read as something unknown.\n"
    report = json.loads(invoke("run", spelling, "--text", "abЖ c", "--text", "c", "--json").stdout)
    assert [one.get("unknown") for one in report["results"]] == [["Ж"], None]
    assert "knows nothing of the text 'ЖЖ'" in invoke("run", spelling, "--text", "ЖЖ", code=1).stderr


@pytest.mark.parametrize("split", [False, True])
def test_an_answer_that_was_cut_off_is_marked(make, split):
    """A model that says the text again, to its end if it has one."""
    copy = make(
        ["tokens: int64[batch, time] < 3"],
        ["ids: int64[batch, time]"],
        [helper.make_node("Mod", ["tokens", "two"], ["ids"])],
        {"two": np.array(2)},
        description=Description(
            task="copy",
            read=TextRead(input="tokens", tokenizer=Characters(symbols=("", "a", ".")), split=split),
            write=TokensWrite(output="ids", symbols=("<end>", "a"), end=0),
        ),
    )
    whole, cut = invoke("run", copy, "--text", "aa."), invoke("run", copy, "--text", "aaa")
    assert "aa" in whole.stdout
    assert whole.stderr == ""
    assert cut.stderr == "note: the answer was cut off: the model did not come to an end. It may be wrong.\n"
    report = json.loads(invoke("run", copy, "--text", "aa.", "--text", "aaa", "--json").stdout)["results"]
    told = [one["words"][0] if split else one for one in report]
    assert [one.get("ended", True) for one in told] == [True, False]


def test_sound(louder, tmp_path):
    for number in (1, 2):
        (tmp_path / f"in{number}.wav").write_bytes(wav_bytes(np.full(800, 0.1 * number), 8000))
    out = tmp_path / "out.wav"
    assert invoke("run", louder, "--audio", tmp_path / "in1.wav").output == "0.10 s of sound at 8000 Hz\n"
    shown = invoke("run", louder, "--audio", tmp_path / "in1.wav", "-o", out).output
    assert shown == f"0.10 s of sound at 8000 Hz, in '{out}'\n"
    np.testing.assert_allclose(read_wav(out.read_bytes())[0], 0.2, atol=1e-4)
    both = ["--audio", tmp_path / "in1.wav", "--audio", tmp_path / "in2.wav", "-o", out, "--json"]
    report = json.loads(invoke("run", louder, *both).output)
    assert [one["file"] for one in report["results"]] == [str(tmp_path / f"out-{number}.wav") for number in (1, 2)]
    np.testing.assert_allclose(read_wav((tmp_path / "out-2.wav").read_bytes())[0], 0.4, atol=1e-4)


def test_tables(series, tmp_path):
    (tmp_path / "a.csv").write_text("v\n1\n3\n")
    (tmp_path / "b.csv").write_text("v\n1\n\n3\n")
    assert invoke("run", series, "--csv", tmp_path / "a.csv").output == (
        "anomaly at 2, highest score 3\n1 of 2 steps are above 2\n"
    )
    done = invoke("run", series, "--csv", tmp_path / "b.csv", code=1)
    assert "has no value in row 2 of 'v'; this model takes no gaps" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", ""], "the text is empty"),
        (["--text", "abx"], "the model does not know: 'x' (at 3), counted from 1. It knows 3 characters: 'abc'."),
        (["--text", "a", "--length", 3], "the task has no option 'length'; its options are: none"),
        (["--text", "a", "--option", "width=3"], "the task has no option 'width'"),
        (["--audio", "x.wav"], "takes --text TEXT (its task is counting), and --audio is given. Run: rnnx run"),
    ],
)
def test_what_the_task_refuses(counting, arguments, message):
    assert message in invoke("run", counting, *arguments, code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a", "--audio", "x.wav"], "--text and --audio are given. Give sources of one kind."),
        (["--text", "-", "--text", "-"], "--text - is given twice"),
        (["--text", "a", "--input", "x=3"], "--output-dir go without --text"),
        (["--text", "a", "--output-dir", "x"], "--output-dir go without --text"),
        (["--text", "a", "-o", "x.wav"], "answers labels. Leave it out."),
        (["--temperature", 1], "options of a task are given, and nothing to read"),
        (["--text", "a", "--option", "width"], "'width' must be NAME=NUMBER"),
        ([], "Missing option '--input', or '--text' and the like."),
        (["--input", "x=3"], "Missing option '--output-dir'."),
        (["--text", "a", "--top", 0], "0 is not in the range"),
    ],
)
def test_usage(counting, arguments, message):
    assert message in invoke("run", counting, *arguments, code=2).stderr


def test_a_bundle_without_a_task(make):
    node = helper.make_node("Identity", ["x"], ["y"])
    path = make(["x: float32[batch, 2]"], ["y: float32[batch, 2]"], [node])
    assert "has no task" in invoke("run", path, "--text", "a", code=1).stderr
    assert "task:" not in invoke("inspect", path).output


def test_inspect_tells_the_task(counting):
    found = invoke("inspect", counting).output
    assert 'task: counting: --text TEXT -> labels\nTells which letter there is most of.\ntry: --text "abba"\n' in found
    assert "assets/task.json" in found


def test_inspect_tells_what_a_table_or_a_sound_must_be(make, louder):
    read = SeriesRead(
        tables=(Table(input="x", columns=("v",)), Table(input="ahead", columns=("w",), rows="future")),
        horizon=2,
        time="day",
        least_rows=3,
        missing="mask",
    )
    path = make(
        ["x: float32[batch, time]", "ahead: float32[batch, steps]"],
        ["y: float32[batch, time]"],
        [helper.make_node("Identity", ["x"], ["y"])],
        description=Description(task="watching", read=read, write=ScoresWrite(output="y", threshold=2)),
    )
    found = invoke("inspect", path).output
    assert "columns: day, v, w\nrows: at least 3, and 2 rows of the future behind them; cells may be empty\n" in found
    assert "sound: 8000 Hz, others are resampled; at least 1 samples of these\n" in invoke("inspect", louder).output


def test_inspect_names_a_file_to_try_where_it_lies(make):
    from rnnx.bundle import Bundle, write_manifest

    task = Description(
        task="looking",
        read=ImageRead(input="x", height=2, width=2, layout="NHWC"),
        write=ScoresWrite(output="y", threshold=0),
        samples=("a.png",),
    )
    path = make(
        ["x: float32[batch, 2, 2, 3]"],
        ["y: float32[batch]"],
        [helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=0)],
        {"axes": np.array([1, 2, 3])},
        description=task,
    )
    (path / "assets" / "a.png").write_bytes(b"")
    write_manifest(path, Bundle.open(path).manifest)
    assert f'try: --image "{path / "assets" / "a.png"}"\n' in invoke("inspect", path).output


def test_inspect_shows_a_bundle_whose_task_is_newer(counting):
    from rnnx.bundle import Bundle, write_manifest

    file = counting / "assets" / "task.json"
    file.write_bytes(file.read_bytes().replace(b'"version": 1', b'"version": 2'))
    write_manifest(counting, Bundle.open(counting).manifest)
    found = invoke("inspect", counting).output
    assert "task: 'task.json' has version 2; this rnnx reads version 1. It was written by a newer rnnx" in found
    assert "signature" in found
