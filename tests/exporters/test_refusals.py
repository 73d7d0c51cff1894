"""What cannot be proven is not written, and the message says where it begins."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnx
from rnnx.bundle import Bundle
from rnnx.errors import (
    BundleError,
    BundleExistsError,
    CaptureError,
    LoweringError,
    ParityError,
    RnnxError,
    ShapeError,
    SignatureError,
)
from rnnx.exporters import export, layers

X = {"x": "float32[batch, time, 3]"}


class Recurrent(nn.Module):
    """The layers of most models here; each has a forward of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.cell = nn.GRUCell(3, 4)


class ExportsOtherwise(Recurrent):
    def forward(self, x):
        y, h_n = self.gru(x)
        if torch.compiler.is_exporting():
            y = y + 1
        return y, h_n


class AloneOtherwise(Recurrent):
    def forward(self, x):
        y, _ = self.gru(x)
        if x.shape[0] == 1:
            y = y + 1
        return y


class NumberLoop(Recurrent):
    """A loop over a size that Python has made a number of. Those that it has not are for test_loops.py."""

    def forward(self, x):
        h, frames = x.new_zeros(x.shape[0], 4), []
        for t in range(x.shape[1].__index__()):  # here: NumberLoop
            h = self.cell(x[:, t], h)
            frames.append(h)
        return torch.stack(frames, 1)


class NumberComprehension(Recurrent):
    def forward(self, x):
        return torch.stack([self.cell(x[:, t]) for t in range(x.shape[1].__index__())], 1)  # here: NumberComprehension


class Nested(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


class Deeper(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.stack = nn.Sequential(nn.Linear(3, 3), model)

    def forward(self, x):
        return self.stack(x)


class FixedReshape(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(33, 2)

    def forward(self, x):
        return self.head(x.reshape(x.shape[0], 33))


class FixedBuffer(Recurrent):
    def __init__(self):
        super().__init__()
        self.register_buffer("positions", torch.randn(11, 3))

    def forward(self, x):
        y, _ = self.gru(x + self.positions)
        return y


class Packed(Recurrent):
    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        return y


class PackedList(Recurrent):
    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.tolist(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        return y


class Convolved(Recurrent):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 5)

    def forward(self, x):
        y, _ = self.gru(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return y


class Stacked(nn.Module):
    """Four frames become one, as speech recognizers do to be faster."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(12, 4, batch_first=True)

    def forward(self, x):
        y, _ = self.gru(x.reshape(x.shape[0], x.shape[1] // 4, 12))
        return y


class ElevenOnly(Recurrent):
    def forward(self, x):
        if not torch.compiler.is_exporting() and x.shape[1] != 11:
            raise RuntimeError("eleven steps only")
        return self.gru(x)[0]


class Trained(nn.Module):
    """Everything that answers otherwise in train mode, and a part that is kept in eval mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(3, 4, num_layers=2, dropout=0.5, batch_first=True)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.drop(self.norm(y.transpose(1, 2)))


def refused(error, message, model, tmp_path, **options):
    """The export fails with this message, and the folder is as it was."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(error, match=message) as caught:
        export(model, **({"inputs": X, "out": tmp_path / "model.rnnx"} | options))
    assert isinstance(caught.value, RnnxError)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    return str(caught.value)


def place(kind):
    """``file:line: `code` `` of the line that is marked with this class's name."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.endswith(f"# here: {kind}"))
    return f"{__file__}:{number}: `{lines[number - 1].strip()}`"


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("LSTM", "front"),
        ("GRU", "encoder"),
    ],
)
def test_a_wrong_layer_is_named(tagger, tmp_path, monkeypatch, kind, layer):
    gates = {"LSTM": (0, 1, 2, 3), "GRU": (0, 1, 2)}[kind]
    monkeypatch.setitem(layers.GATES, kind, gates)
    message = refused(ParityError, "^no bundle was written: ", tagger, tmp_path)
    found = re.fullmatch(
        r"no bundle was written: (\d+) of 15 cases differ from the source\. The farthest is output 'scores' at "
        r"batch=(\d) time=(\d+): max_abs_diff (\S+) at \((\d), (\d+), ([01])\), allowed is (\S+)\. "
        rf"The first layer whose output differs is '{layer}' \({kind}\): max_abs_diff (\S+)\.",
        message,
    )
    assert found, message
    missed, batch, time, distance, row, step, _, allowed, in_layer = found.groups()
    assert int(missed) >= 14
    assert int(row) < int(batch)
    assert int(step) < int(time)
    assert float(distance) > 1000 * float(allowed) > 0
    assert float(in_layer) > 1e-3


def test_a_wrong_layer_is_named_without_onnxsim_too(tagger, tmp_path, monkeypatch):
    monkeypatch.setitem(layers.GATES, "GRU", (0, 1, 2))
    message = r"The first layer whose output differs is 'encoder' \(GRU\): max_abs_diff"
    refused(ParityError, message, tagger, tmp_path, simplify=False)


def test_a_model_that_answers_otherwise_while_it_is_exported(tmp_path):
    message = refused(ParityError, "^no bundle was written: 15 of 15 cases differ", ExportsOtherwise(), tmp_path)
    # The output is one too large everywhere.
    assert re.search(r"The farthest is output 'y' at batch=\d time=\d+: max_abs_diff 1 at ", message)
    assert "first layer whose output differs" not in message, "every layer is right"
    assert "difference is in the " in message


def test_a_model_that_answers_otherwise_to_one_row(tmp_path):
    """Traced with three rows, and never asked about one: only the matrix sees it."""
    message = refused(ParityError, "^no bundle was written: 5 of 15 cases differ", AloneOtherwise(), tmp_path)
    assert re.search(r"The farthest is output 'y' at batch=1 time=\d+: max_abs_diff 1 at \(0, ", message)


def test_a_source_that_refuses_every_case(tmp_path):
    message = "refuses all 15 cases of the parity matrix, such as with 'RuntimeError: eleven steps only'"
    refused(ParityError, message, ElevenOnly(), tmp_path)


def test_what_stands_there_is_kept(standing, tmp_path, monkeypatch):
    def content():
        return {path.name: path.read_bytes() for path in standing.iterdir()}

    before = content()
    exists = r"standing.rnnx' exists already. Choose another name, or replace it with --force.$"
    refused(BundleExistsError, exists, AloneOtherwise(), tmp_path, out=standing)
    # A miss, a model that cannot be captured, and an error in the middle of writing.
    refused(ParityError, "no bundle was written", AloneOtherwise(), tmp_path, out=standing, overwrite=True)
    refused(CaptureError, "loops over the axis", NumberLoop(), tmp_path, out=standing, overwrite=True)
    assert content() == before
    Bundle.open(standing).check()
    export(Recurrent().gru, inputs={"input": X["x"]}, out=standing, overwrite=True)
    assert content().keys() == before.keys()
    assert content() != before
    assert [path.name for path in tmp_path.iterdir()] == ["standing.rnnx"]


def test_only_bundles_are_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "file"):
        message = rf"{name}' exists and is no bundle, so it is not replaced. Choose another name.$"
        refused(BundleExistsError, message, Recurrent().gru, tmp_path, out=tmp_path / name, overwrite=True)
    assert (tmp_path / "folder" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    message = r"cannot write '.*model.rnnx': the folder '.*no' does not exist. Make it.$"
    refused(BundleError, message, Recurrent().gru, tmp_path, out=tmp_path / "no" / "model.rnnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"inputs": {"features": "float32[batch, time, 3]"}},
            r"^input 'features' goes to the argument 'features', which Packed.forward does not have; it takes 'x', 'l",
        ),
        ({}, r"^Packed.forward needs the argument 'lengths', which no input goes to. Declare it: --input \"lengths: "),
        (
            {"inputs": X | {"lengths": "float32[batch]"}, "lengths": "lengths"},
            r"^lengths 'lengths' must be an int64\[batch\] input; found 'lengths: float32\[batch\]'.$",
        ),
        (
            {"inputs": X | {"lengths": "int64[batch, time]"}, "lengths": "lengths"},
            r"^lengths 'lengths' must be an int64\[batch\] input; found 'lengths: int64\[batch, time\]'.$",
        ),
        ({"lengths": "lengths:frames"}, r"^lengths 'lengths' measure the axis 'frames', which no input has"),
        ({"lengths": "lengths", "ranges": {"frames": (1, 2)}}, r"^a range is given for the axis 'frames'; the dynamic"),
        ({"lengths": "lengths", "ranges": {"time": (9, 2)}}, r"^the range 9 to 2 of the axis 'time' is empty"),
        ({"lengths": "lengths", "example": {"frames": 2}}, r"^the example gives a size for the axis 'frames'; the dyn"),
        (
            {"lengths": "lengths", "example": {"time": 8}, "ranges": {"time": (1, 4)}},
            r"size 8 for 'time' is not within",
        ),
        ({"lengths": "lengths", "outputs": ["a", "b"]}, r"^the model has 1 outputs, but 2 names are given: a, b.$"),
        ({"lengths": "lengths", "opset": 12}, r"^opset 12 cannot be written; allowed are 17 to \d\d, the newest"),
        (
            {"lengths": "lengths", "inputs": {"x": "float[batch]"}},
            r"^dtype 'float' in 'x: float\[batch\]' is not known",
        ),
    ],
)
def test_declarations_that_do_not_fit(tmp_path, options, message):
    refused(SignatureError, message, Packed(), tmp_path, **options)


@pytest.mark.parametrize(
    ("declaration", "reason"),
    [
        ("float32[batch, time, 7]", r"RuntimeError: input.size\(-1\) must be equal to input_size. Expected 3, got 7"),
        ("float64[batch, time, 3]", r"ValueError: RNN input dtype \(torch.float64\) does not match weight dtype"),
        ("float32[batch, time, 3, 1]", r"ValueError: GRU: Expected input to be 2D or 3D, got 4D instead"),
    ],
)
def test_inputs_that_the_model_does_not_take(tmp_path, declaration, reason):
    message = f"^the model itself fails on example inputs with batch=3, time=11: {reason}.*Check the declared inputs"
    refused(CaptureError, message, AloneOtherwise(), tmp_path, inputs={"x": declaration})


@pytest.mark.parametrize(
    ("model", "kind", "whose"),
    [
        (NumberLoop, NumberLoop, "the model"),
        (NumberComprehension, NumberComprehension, "the model"),
        (lambda: Nested(NumberLoop()), NumberLoop, "module 'encoder'"),
        (lambda: Deeper(Nested(NumberLoop())), NumberLoop, "module 'stack.1.encoder'"),
    ],
)
def test_a_python_loop_over_time(tmp_path, model, kind, whose):
    message = refused(CaptureError, "loops over the axis", model(), tmp_path)
    assert message == (
        f"{whose} loops over the axis 'time' in Python ({place(kind.__name__)}). The loop would be unrolled to the "
        "example's 11 steps. Write it with nn.LSTM, nn.GRU or nn.RNN over the whole sequence, or a "
        "cell of your own with state, outputs = rnnx.scan(step, state, sequence)."
    )


@pytest.mark.parametrize("kind", [FixedReshape, FixedBuffer])
def test_a_frozen_axis(tmp_path, kind):
    message = refused(CaptureError, "^the model freezes the axis 'time' at the example's size 11", kind(), tmp_path)
    assert message.endswith("if 'time' is always 11, declare it as 11.")


def test_a_frozen_axis_may_be_declared_as_it_is(tmp_path):
    exported = export(FixedBuffer(), inputs={"x": "float32[batch, 11, 3]"}, out=tmp_path / "model.rnnx")
    assert str(exported.bundle.manifest.signature.outputs[0]) == "y: float32[batch, 11, 4]"


def test_lengths_as_python_numbers(tmp_path):
    message = r"^pack_padded_sequence was given lengths as Python numbers, .*Pass the lengths tensor itself"
    refused(CaptureError, message, PackedList(), tmp_path, lengths="lengths")


def test_double_precision(tmp_path):
    model = AloneOtherwise().double()
    message = r"^layer 'gru.l0' has DOUBLE weights; recurrent layers are exported in float32. Convert the model first"
    refused(LoweringError, message, model, tmp_path, inputs={"x": "float64[batch, time, 3]"})


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_lengths_have_their_dtype(tmp_path, dtype):
    model = Packed()
    declared = {} if dtype == "int64" else {"lengths": f"{dtype}[batch]"}
    exported = export(model, inputs=X | declared, lengths="lengths", out=tmp_path / "model.rnnx")
    assert str(exported.bundle.manifest.signature.input("lengths")) == f"lengths: {dtype}[batch]"
    x = torch.randn(3, 6, 3)
    with torch.no_grad():
        expected = model(x, torch.tensor([2, 6, 1]))
    with rnnx.load(exported.bundle.path, provider="cpu") as session:
        found = session.run({"x": x.numpy()}, lengths=np.array([2, 6, 1], dtype))
    np.testing.assert_allclose(found["y"], expected.numpy(), rtol=0, atol=1e-6)


def test_ranges_that_capture_finds(tmp_path):
    for model, options, allowed, wrong, right in (
        (Convolved(), {}, "time >= 5", 4, 5),
        (Stacked(), {"example": {"time": 12}}, "time >= 4, a multiple of 4", 6, 8),
    ):
        out = tmp_path / f"{type(model).__name__}.rnnx"
        exported = export(model, inputs=X, out=out, **options)
        assert [str(one) for one in exported.bundle.manifest.signature.ranges] == ["batch >= 1", allowed]
        assert f"The model takes {allowed}." in exported.bundle.manifest.notes
        assert exported.parity.undefined == {}
        x = torch.randn(2, right, 3)
        with torch.no_grad():
            expected = model(x)
        with rnnx.load(out, provider="cpu") as session:
            (found,) = session.run({"x": x.numpy()}).values()
            np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-6)
            with pytest.raises(ShapeError, match=f"axis 'time' of input 'x' is {wrong}, .* allowed is {allowed}"):
                session.run({"x": np.zeros((2, wrong, 3), np.float32)})


def test_a_size_that_the_example_cannot_have(tmp_path):
    message = r"fails on example inputs with batch=3, time=11: .* or give sizes that it takes: --example time=12.$"
    refused(CaptureError, message, Stacked(), tmp_path)


def test_train_mode_is_left_and_entered_again(tmp_path):
    model = Trained()
    for _ in range(3):
        model(torch.randn(4, 9, 3))  # the norm's running statistics are not their initial ones
    model.norm.eval()
    modes = {name: one.training for name, one in model.named_modules()}
    assert modes == {"": True, "lstm": True, "norm": False, "drop": True}
    exported = export(model, inputs=X, out=tmp_path / "model.rnnx")
    assert {name: one.training for name, one in model.named_modules()} == modes
    refused(SignatureError, "2 names are given", model, tmp_path, out=tmp_path / "other.rnnx", outputs=["a", "b"])
    assert {name: one.training for name, one in model.named_modules()} == modes, "after a failure too"
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        expected = model.eval()(x)
    with rnnx.load(exported.bundle.path, provider="cpu") as session:
        (found,) = session.run({"x": x.numpy()}).values()
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-6)
