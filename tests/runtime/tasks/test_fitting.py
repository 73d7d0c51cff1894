"""Descriptions that do not fit the model are refused before anything is run."""

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
    ScoresWrite,
    SeriesRead,
    Table,
    TagsWrite,
    TextRead,
    TokensWrite,
    Words,
)
from rnnx.runtime.tasks.fitting import check_description
from rnnx.signature import LengthsSpec, Signature, StateSpec, parse_tensor

TEXT = TextRead(input="tokens", tokenizer=Characters(symbols=("a", "b", "c")))
LABELS = LabelsWrite(output="logits", labels=("x", "y"))
TASK = Description(task="t", read=TEXT, write=LABELS)
INPUTS = ["tokens: int64[batch, time] < 3", "lengths: int64[batch]", "h: float32[batch, 4]"]
OUTPUTS = ["logits: float32[batch, 2]", "steps: float32[batch, time, 2]", "ids: int64[batch, time]"]


def signature(*more, without=(), outputs=()):
    return Signature(
        inputs=tuple(parse_tensor(one) for one in [*INPUTS, *more] if one.split(":")[0] not in without),
        outputs=tuple(parse_tensor(one) for one in [*OUTPUTS, *outputs]),
        lengths=(LengthsSpec(name="lengths", axis="time"),),
        states=(StateSpec(name="h"),),
    )


@pytest.mark.parametrize(
    "write",
    [
        LABELS,
        LabelsWrite(output="steps", labels=("x", "y"), over_time="last"),
        TagsWrite(output="steps", labels=("x", "y")),
        TagsWrite(output="ids", labels=("x", "y", "z")),
        TokensWrite(output="ids", symbols=("x",), scores="logits"),
        CtcWrite(output="steps", symbols=("", "y")),
        ForecastWrite(output="steps", quantiles=(0.1, 0.9)),
        ForecastWrite(output="logits"),
        ScoresWrite(output="logits", threshold=1),
        AudioWrite(output="logits", sample_rate=8000),
        AudioWrite(output="steps", sample_rate=8000, mel=Mel(fft_size=16, hop=4, mels=2)),
    ],
)
def test_what_fits(write):
    check_description(replace(TASK, write=write), signature())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"read": TextRead(input="words", tokenizer=TEXT.tokenizer)},
            "reads into 'words'; the model's inputs are 'tokens', 'len",
        ),
        (
            {"read": TextRead(input="h", tokenizer=TEXT.tokenizer)},
            r"'h: float32\[batch, 4\]' does not fit the task: it must have 2 axes",
        ),
        ({"read": AudioRead(input="tokens", sample_rate=1)}, "be one of float32, float64, float16"),
        ({"read": ImageRead(input="tokens", height=3)}, "must have 4 axes"),
        ({"read": SeriesRead(tables=(Table(input="tokens", columns=("a", "b")),))}, "must have 3 axes"),
        (
            {
                "read": TextRead(
                    input="tokens",
                    tokenizer=Words(symbols=("a",), unknown=0, letters=Letters(input="x", symbols=("",))),
                )
            },
            "reads into 'x'",
        ),
        (
            {"read": TextRead(input="tokens", tokenizer=Characters(symbols=tuple("abcd")))},
            "has 4 symbols for .* which takes ids below 3",
        ),
        ({"options": {"beam": 3}}, "has the option 'beam', which is no free input"),
        ({"options": {"tokens": 3}}, "has the option 'tokens', which is no free input"),
        ({"options": {"h": 3}}, "only a scalar or one number a row"),
        ({"write": LabelsWrite(output="y", labels=("x",))}, "answers from 'y'; the model's outputs are 'logits'"),
        ({"write": LabelsWrite(output="logits", labels=("x", "y"), attention="w")}, "answers from 'w'"),
        ({"write": LabelsWrite(output="logits", labels=("x",))}, "has 2 classes, the task names 1"),
        ({"write": LabelsWrite(output="steps", labels=("x", "y"))}, "must have 2 axes"),
        ({"write": TagsWrite(output="logits", labels=("x", "y"))}, "must have 3 axes"),
        ({"write": TokensWrite(output="steps", symbols=("x",))}, "be one of int64, int32"),
        ({"write": CtcWrite(output="steps", symbols=("x", "y", "z"))}, "has 2 classes, the task names 3"),
        ({"write": ForecastWrite(output="steps", quantiles=(0.1,))}, "has 2 classes, the task names 1"),
        ({"write": AudioWrite(output="steps", sample_rate=8000, mel=Mel(fft_size=16, hop=4, mels=3))}, "has 2 classes"),
        ({"write": GenerateWrite(output="steps")}, "has 2 classes, the task names 3"),
    ],
)
def test_what_does_not_fit(changes, message):
    with pytest.raises(TaskError, match=message):
        check_description(replace(TASK, **changes), signature())


def test_every_input_is_fed():
    with pytest.raises(
        TaskError, match="nothing feeds the input 'width': it is neither read, an option, lengths nor a"
    ):
        check_description(TASK, signature("width: int64[]"))
    check_description(replace(TASK, options={"width": 3}), signature("width: int64[]"))
    check_description(replace(TASK, options={"width": 3}), signature("width: float32[batch]"))
