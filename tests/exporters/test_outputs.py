"""Outputs bear the names that the source's own ``forward`` gives them."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from rnnx.errors import SignatureError
from rnnx.exporters import export
from rnnx.exporters.capture import capture
from rnnx.exporters.exporter import declare
from rnnx.exporters.outputs import flatten_outputs, output_specs

X = "x: float32[batch, time, 3]"


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)


class Nested(Layers):
    def forward(self, x):
        y, (h_n, c_n) = self.lstm(x)
        return y, (h_n, c_n)


class NestedState(Layers):
    def forward(self, x):
        y, hx = self.lstm(x)
        return y, hx


class AsList(Layers):
    def forward(self, x):
        scores, last = self.gru(x)
        return [scores, last]


class AsDict(Layers):
    def forward(self, x):
        y, h = self.gru(x)
        return {"logits": self.head(y), "last state": h, "all": {"frames": y, "mean": y.mean(1)}}


class AsNumberedDict(Layers):
    def forward(self, x):
        y, h = self.gru(x)
        return {0: y, 1: h}


class Pair(NamedTuple):
    frames: torch.Tensor
    last: torch.Tensor


class AsNamedTuple(Layers):
    def forward(self, x):
        y, h = self.gru(x)
        return Pair(y, h)


class ReturnsLayer(Layers):
    def forward(self, x):
        return self.lstm(x)


class ReturnsLayerOfThis(Layers):
    def forward(this, x):  # noqa: N805
        return this.gru(x)


class ReturnsHead(Layers):
    def forward(self, x):
        return self.head(self.gru(x)[0])


class OneExpression(Layers):
    def forward(self, x):
        y, h = self.gru(x)
        return self.head(y), h


class TwoExpressions(Layers):
    def forward(self, x):
        y, h = self.gru(x)
        return self.head(y), h, y + 1


class OutputAndExpression(Layers):
    def forward(self, x):
        output, _ = self.gru(x)
        return self.head(output), output


class Twice(Layers):
    def forward(self, x):
        y, _ = self.gru(x)
        z = y + 1
        return y, (y, z)


class TwoReturns(Layers):
    def forward(self, x):
        y, h = self.gru(x)
        if self.training:
            return y
        return y, h


class InnerReturn(Layers):
    def forward(self, x):
        def twice(value):
            return value * 2

        y, _ = self.gru(x)
        return twice(y)


class Clash(Layers):
    def forward(self, x, h):
        y, h = self.gru(x, h)
        x = y + 1
        return x, h


def specs(module, names=None, inputs=(X,)):
    captured = capture(module.eval(), declare(list(inputs)))
    return output_specs(module, captured, names)


def names(module, *arguments, **options):
    return [spec.name for spec in specs(module, *arguments, **options)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Nested, ["y", "h_n", "c_n"]),
        (NestedState, ["y", "hx_0", "hx_1"]),
        (AsList, ["scores", "last"]),
        (AsDict, ["logits", "last_state", "all_frames", "all_mean"]),
        (AsNumberedDict, ["output_0", "output_1"]),
        (AsNamedTuple, ["frames", "last"]),
        (ReturnsLayer, ["output", "h_n", "c_n"]),
        (ReturnsLayerOfThis, ["output", "h_n"]),
        (ReturnsHead, ["output"]),
        (OneExpression, ["output", "h"]),
        (TwoExpressions, ["output_0", "h", "output_2"]),
        (OutputAndExpression, ["output_0", "output"]),
        (Twice, ["output_0", "output_1_0", "output_1_1"]),
        (TwoReturns, ["output_0", "output_1"]),
        (InnerReturn, ["output"]),
    ],
)
def test_names_come_from_the_source(kind, expected):
    assert names(kind()) == expected


@pytest.mark.parametrize(
    ("module", "inputs", "expected"),
    [
        (nn.LSTM(3, 4), ["input: float32[time, batch, 3]"], ["output", "h_n", "c_n"]),
        (nn.GRU(3, 4), ["input: float32[time, batch, 3]"], ["output", "h_n"]),
        (nn.RNN(3, 4), ["input: float32[time, batch, 3]"], ["output", "h_n"]),
        (nn.LSTMCell(3, 4), ["input: float32[batch, 3]"], ["h_n", "c_n"]),
        (nn.GRUCell(3, 4), ["input: float32[batch, 3]"], ["h_n"]),
        (nn.RNNCell(3, 4), ["input: float32[batch, 3]"], ["h_n"]),
    ],
)
def test_bare_modules_use_the_words_of_torch(module, inputs, expected):
    assert names(module, inputs=inputs) == expected


def test_names_axes_and_dtypes_belong_together():
    assert [str(spec) for spec in specs(Nested())] == [
        "y: float32[batch, time, 4]",
        "h_n: float32[1, batch, 4]",
        "c_n: float32[1, batch, 4]",
    ]

    class Counts(Layers):
        def forward(self, x):
            y, _ = self.gru(x)
            best = y.argmax(-1)
            loud = best > 1
            return best, loud, y[:, ::2]

    found = [str(spec) for spec in specs(Counts())]
    assert found[:2] == ["best: int64[batch, time]", "loud: bool[batch, time]"]
    assert found[2].startswith("output: float32[batch, ")


def test_the_order_is_the_sources():
    """Names stand at the values they belong to: dicts are flattened in the order of their making."""
    module = AsDict().eval()
    x = torch.randn(2, 5, 3)
    with torch.no_grad():
        found = dict(zip(names(module), flatten_outputs(module(x)), strict=True))
        y, h = module.gru(x)
        expected = {"logits": module.head(y), "last_state": h, "all_frames": y, "all_mean": y.mean(1)}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)


def test_a_name_that_an_input_has():
    inputs = [X, "h: float32[1, batch, 4]"]
    assert names(Clash(), inputs=inputs) == ["x_out", "h_out"]
    with pytest.raises(SignatureError, match=r"^the output name 'h' is used twice. Give each input and output its own"):
        names(Clash(), ["y", "h"], inputs=inputs)


def test_given_names():
    assert names(Nested(), ["frames", "h", "c"]) == ["frames", "h", "c"]
    assert names(TwoReturns(), ["frames", "h.0"]) == ["frames", "h.0"]
    assert names(ReturnsHead(), "logits") == ["logits"]
    assert names(Nested(), []) == ["y", "h_n", "c_n"], "none given is as if none were asked for"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "b"], "the model has 3 outputs, but 2 names are given: a, b."),
        (["a", "b", "c", "d"], "the model has 3 outputs, but 4 names are given: a, b, c, d."),
        (["a", "b", "a"], "the output name 'a' is used twice. Give each input and output its own name."),
        (["a", "b", "x"], "the output name 'x' is used twice. Give each input and output its own name."),
        (["a", "b", "../c"], "'../c' is no name for an output. Names are made of letters, digits and '_'."),
        (["a", "b", ""], "'' is no name for an output. Names are made of letters, digits and '_'."),
        (["a", "b", "2c"], "'2c' is no name for an output. Names are made of letters, digits and '_'."),
    ],
)
def test_wrong_names(given, message):
    with pytest.raises(SignatureError) as caught:
        names(Nested(), given)
    assert str(caught.value) == message


def test_without_source_code():
    """A class from a notebook or a compiled file: positions are all that is known."""
    space = {"Layers": Layers}
    exec("class Hidden(Layers):\n    def forward(self, x):\n        y, h = self.gru(x)\n        return y, h\n", space)  # noqa: S102
    assert names(space["Hidden"]()) == ["output_0", "output_1"]
    exec("class One(Layers):\n    def forward(self, x):\n        return self.head(self.gru(x)[0])\n", space)  # noqa: S102
    assert names(space["One"]()) == ["output"]


class Parts(nn.Module):
    """Torch writes a floored quotient with the remainder in it, which is also an answer of its own."""

    def forward(self, x):
        return x // 7, x % 7


def test_an_answer_that_another_one_is_made_of(tmp_path):
    out = tmp_path / "m.rnnx"
    exported = export(Parts(), inputs=["x: int64[batch, time] >= -9, < 1000000000000"], out=out)
    assert {spec.dtype for spec in exported.bundle.manifest.signature.outputs} == {"int64"}
    assert exported.parity.passed
