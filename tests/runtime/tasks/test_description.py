"""``task.json``: what is written is read again, and nothing else is."""

import json
from dataclasses import replace

import pytest

from rnnx.errors import TaskError
from rnnx.runtime.tasks.description import (
    AudioRead,
    AudioWrite,
    Characters,
    CtcWrite,
    Description,
    ForecastWrite,
    GenerateWrite,
    ImageRead,
    LabelsWrite,
    Letters,
    Mel,
    Pieces,
    ScoresWrite,
    SeriesRead,
    Table,
    TagsWrite,
    TextRead,
    TokensWrite,
    VideoRead,
    Words,
)

CHARACTERS = Characters(
    symbols=("", "a", "<end>"), lower=True, normal_form="NFKC", end=2, unknown=0, replace={"\u2019": "'"}
)
READS = [
    TextRead(input="tokens", tokenizer=CHARACTERS),
    TextRead(input="tokens", tokenizer=Words(symbols=("?", "hi", "##s"), unknown=0, continuing="##")),
    TextRead(input="", tokenizer=Words(pattern=r"\w+", letters=Letters(input="x", symbols=("", "a"), most=9))),
    TextRead(input="tokens", tokenizer=Pieces(symbols=("▁a", "b"), unknown=1), split=True),
    AudioRead(input="audio", sample_rate=8000, channels="refuse", least_samples=9, most_seconds=2, silence_samples=80),
    ImageRead(input="image", height=32, channels=1, layout="NWH", scale=1, invert=True),
    VideoRead(input="frames", height=3, width=4, layout="NTHWC", frames=5, fit="pad"),
    SeriesRead(
        tables=(
            Table(input="x", columns=("a", "b"), mask="m", gaps="g", fill="last"),
            Table(input="y", columns=("c",)),
        ),
        horizon=3,
        missing="mask",
        time="day",
        categories={"b": {"f": 1, "m": 0}},
    ),
]
WRITES = [
    LabelsWrite(output="y", labels=("a", "b"), form="probabilities", over_time="mean", attention="w"),
    TagsWrite(output="y", labels=("a", "b"), join=True),
    TokensWrite(output="y", symbols=("a", "b"), join=" ", mark="▁", end=0, skip=(1,), lengths="n", scores="s"),
    CtcWrite(output="y", symbols=("", "b"), beam_width=4, lengths="n"),
    ForecastWrite(output="y", quantiles=(0.1, 0.9), unit="MW"),
    ForecastWrite(output="y", over_time="last"),
    ScoresWrite(output="y", threshold=2, form="logit"),
    AudioWrite(output="y", sample_rate=8000, mel=Mel(fft_size=256, hop=80, mels=40, window=200, lead=199), lengths="n"),
]


def described(**changes):
    data = {
        "version": 1,
        "task": "t",
        "read": {"kind": "text", "input": "x", "tokenizer": {"kind": "characters", "symbols": ["a"]}},
        "write": {"kind": "labels", "output": "y", "labels": ["no", "yes"]},
    }
    return data | changes


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("write", WRITES)
def test_round_trip(read, write):
    made = Description(task="t", about="All.", read=read, write=write, options={"beam_width": 4}, samples=("x",))
    assert Description.from_bytes(made.to_bytes()) == made
    assert Description.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_generate_round_trip():
    write = GenerateWrite(output="y", temperature=0.5, top_k=3, end=2, forbidden=(0,), start="\n")
    read = TextRead(input="tokens", tokenizer=replace(CHARACTERS, end=None))
    made = Description(task="t", read=read, write=write)
    assert Description.from_bytes(made.to_bytes()) == made
    with pytest.raises(TaskError, match="its tokenizer must put no end behind it"):
        Description(task="t", read=READS[0], write=write)


def test_defaults_are_left_out():
    assert Description.from_json(described()).to_json() == described()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "written by a newer rnnx"),
        ({"version": True}, "has version True; this rnnx reads version 1"),
        ({"task": ""}, "the task has no name"),
        ({"author": "me"}, "task has the key 'author', which is not known here; known are 'task', 'read'"),
        ({"read": {"kind": "smell"}}, "task.read.kind is 'smell'; it must be one of 'text', 'audio'"),
        ({"read": {"kind": "audio", "input": "x"}}, "task.read lacks 'sample_rate'"),
        ({"read": {"kind": "audio", "input": "x", "sample_rate": 8000.5}}, "sample_rate is 8000.5; it must be a whole"),
        (
            {"read": {"kind": "audio", "input": "x", "sample_rate": 0}},
            "sample_rate is 0; it must be a whole number from 1",
        ),
        ({"read": {"kind": "audio", "input": 3, "sample_rate": 1}}, "task.read.input is 3; it must be a text"),
        ({"write": {"kind": "labels", "output": "y", "labels": "ab"}}, "task.write.labels is 'ab'; it must be a list"),
        (
            {"write": {"kind": "labels", "output": "y", "labels": ["a", 1]}},
            r"task.write.labels\[1\] is 1; it must be a text",
        ),
        ({"write": {"kind": "labels", "output": "y", "labels": ["a", "a"]}}, "the symbol 'a' stands twice"),
        ({"write": {"kind": "labels", "output": "y", "labels": [], "form": "odds"}}, "one of 'logits', 'log_probs'"),
        (
            {"write": {"kind": "scores", "output": "y", "threshold": float("nan")}},
            "threshold is nan; it must be a finite",
        ),
        (
            {"write": {"kind": "generate", "output": "y"}, "read": {"kind": "audio", "input": "x", "sample_rate": 1}},
            "must read text",
        ),
        ({"options": {"beam": "4"}}, "task.options.beam is '4'; it must be a finite number"),
        ({"options": []}, r"task.options is \[\]; it must be an object"),
    ],
)
def test_wrong_files_are_refused(changes, message):
    with pytest.raises(TaskError, match=message):
        Description.from_json(described(**changes))


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b'{"version": 1'])
def test_what_is_no_description(content):
    with pytest.raises(TaskError, match=r"'task\.json' (is no JSON|holds list)"):
        Description.from_bytes(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Characters(symbols=("a",), unknown=1),
            "unknown is 1; there are 1 symbols, so allowed is 0 <= unknown < 1",
        ),
        (lambda: Words(pattern="(", symbols=("a",)), r"the pattern '\(' is no regular expression"),
        (Words, "neither symbols nor letters"),
        (lambda: Words(symbols=("a",), continuing=""), "pieces of words need symbols and a mark"),
        (lambda: TextRead(input="", tokenizer=CHARACTERS), "has an input where its tokenizer has symbols"),
        (lambda: ImageRead(input="x", height=0), "height is 0"),
        (
            lambda: ImageRead(input="x", height=8, layout="NHW"),
            "layout 'NHW' must be 'N' and then the letters of one of 'CHW'",
        ),
        (lambda: ImageRead(input="x", height=8, layout="NPC", channels=1), "layout 'NPC' needs a width"),
        (lambda: VideoRead(input="x", height=8, width=8, layout="NCHW"), "layout 'NCHW' must be"),
        (lambda: VideoRead(input="x", height=8, width=8, frames=0), "frames is 0"),
        (lambda: Table(input="x", columns=("a", "a")), "each named once"),
        (lambda: SeriesRead(tables=()), "has no tables"),
        (lambda: SeriesRead(tables=(Table(input="x", columns=("a",), rows="future"),)), "horizon is 0"),
        (lambda: CtcWrite(output="y", symbols=("a",), blank=1), "blank is 1; there are 1 symbols"),
        (lambda: CtcWrite(output="y", symbols=("a",), beam_width=0), "beam_width is 0"),
        (lambda: ForecastWrite(output="y", quantiles=(0.9,), over_time="last"), "Leave 'over_time' or 'quantiles' out"),
        (lambda: ForecastWrite(output="y", quantiles=(0.9, 0.1)), "must grow and lie between 0 and 1"),
        (lambda: Mel(fft_size=256, hop=300, mels=40), "hop 300, window 256 and fft_size 256 must grow"),
        (lambda: Mel(fft_size=256, hop=80, mels=40, lead=256), "lead is 256"),
        (lambda: GenerateWrite(output="y", temperature=-1), "temperature from 0"),
        (lambda: LabelsWrite(output=3, labels=("a",)), "LabelsWrite.output is 3; it must be a text"),
    ],
)
def test_parts_that_do_not_fit_together(make, message):
    with pytest.raises(TaskError, match=message):
        make()
