"""``rnnx.while_loop``: a plain loop in eager PyTorch, one ONNX ``Loop`` when exported, the same answers in both."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch._higher_order_ops import while_loop as torch_while_loop

import rnnx

HIDDEN = 4
SMALL = "x: float32[batch, 4]"


def seeded(module):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return module().eval()


def export(module, tmp_path, inputs, **options):
    return rnnx.exporters.export(module, inputs=inputs, out=tmp_path / "loop.rnnx", streaming="off", **options)


def kinds(exported):
    operators = exported.bundle.manifest.variants[0].operators
    return {kind: n for kind, n in operators.items() if kind in {"Loop", "Scan", "If", "LSTM", "GRU", "RNN"}}


class Halving(nn.Module):
    """Halves each row until all are small, and counts: a state of two dtypes, outputs of two shapes."""

    def forward(self, x):
        def step(state):
            value, count = state
            count = count + (value.abs().amax(1) > 1).long()
            return (value / 2, count), {"value": value, "largest": value.abs().amax(1), "nothing": None}

        state = (x * 20, torch.zeros(x.shape[0], dtype=torch.int64))
        (value, count), steps = rnnx.while_loop(lambda state: (state[0].abs() > 1).any(), step, state)
        return value, count, steps["value"], steps["largest"]


class Decoder(nn.Module):
    """An encoder's memory in the loop, a cell of torch's, a limit that is an input, and a loop within the step."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(3, HIDDEN, batch_first=True)
        self.cell = nn.GRUCell(HIDDEN, HIDDEN)

    def forward(self, source, limit):
        memory, h = self.encoder(source)

        def step(h):
            shares = torch.bmm(memory, h.unsqueeze(-1)).softmax(1)
            h = self.cell((shares * memory).sum(1), h)
            # A sum by a loop of its own: over the hidden units, as a sequence.
            total, _ = rnnx.scan(lambda s, x: (s + x, None), torch.zeros_like(h[:, 0]), h)
            return h, (h, total)

        h, (states, totals) = rnnx.while_loop(lambda h: h.norm() > 0.3, step, h[0], max_steps=limit)
        return h, states, totals


class Within(nn.Module):
    """A loop of steps 0, 1, 2, ... in each step of a scan, and one after it; a limit made from a size; time first."""

    def forward(self, x):
        def step(total, frame):
            grown, _ = rnnx.while_loop(lambda one: (one < 4).any(), lambda one: (one * 2, None), frame.abs() + 0.5)
            return total + grown, grown

        total, grown = rnnx.scan(step, torch.zeros_like(x[:, 0]), x)
        last, each = rnnx.while_loop(
            lambda one: (one > 0).any(), lambda one: (one - 3, one[:, 0]), total, max_steps=x.shape[1] * 2, time_axis=0
        )
        return grown, last, each


def always(_):
    return torch.tensor(data=True)


@pytest.fixture
def x():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def test_in_eager_pytorch_it_is_the_loop_and_has_gradients(x):
    x = x.requires_grad_()
    value, count, steps, largest = Halving()(x)
    expected, counts, n = x.detach().numpy() * 20, np.zeros(3, np.int64), 0
    while (np.abs(expected) > 1).any():
        np.testing.assert_array_equal(steps[:, n].detach().numpy(), expected)
        np.testing.assert_array_equal(largest[:, n].detach().numpy(), np.abs(expected).max(1))
        counts += np.abs(expected).max(1) > 1
        expected, n = expected / 2, n + 1
    assert n > 3
    np.testing.assert_array_equal(value.detach().numpy(), expected)
    np.testing.assert_array_equal(count.numpy(), counts)
    assert steps.shape == (3, n, 4)
    value.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full((3, 4), 20 / 2**n))


def test_no_step_gives_outputs_without_steps(x):
    value, count, steps, largest = Halving()(x * 0)
    assert (steps.shape, largest.shape) == ((3, 0, 4), (3, 0))
    assert not value.any()
    assert not count.any()
    _, steps = rnnx.while_loop(always, lambda s: (s + 1, s), x, max_steps=0, time_axis=0)
    assert steps.shape == (0, 3, 4)


@pytest.mark.parametrize("limit", [3, torch.tensor(3), torch.tensor([3])], ids=["int", "scalar", "one"])
def test_a_limit_ends_it(x, limit):
    state, steps = rnnx.while_loop(always, lambda s: (s + 1, s), x, max_steps=limit)
    torch.testing.assert_close(state, x + 3, rtol=0, atol=1e-6)
    assert steps.shape == (3, 3, 4)


def test_a_loop_that_data_ends_is_one_loop(tmp_path, x):
    exported = export(Halving(), tmp_path, [SMALL], outputs=["value", "count", "values", "largest"])
    assert kinds(exported) == {"Loop": 1}
    axes = {spec.name: spec.axes for spec in exported.bundle.manifest.signature.outputs}
    assert axes["values"] == ("batch", "steps", 4)
    assert axes["largest"] == ("batch", "steps")
    with rnnx.load(exported.bundle.path) as session:
        for given in (x, x[:1] * 1e6, x * 0):  # some steps, many, none
            answers = session.run({"x": given.numpy()})
            for answer, expected in zip(answers.values(), Halving()(given), strict=True):
                np.testing.assert_array_equal(answer, expected.numpy())


def test_a_memory_a_cell_and_a_scan_within_a_loop(tmp_path):
    exported = export(
        seeded(Decoder), tmp_path, ["source: float32[batch, source, 3]", "limit: int64[] < 9"], outputs=["h", "y", "z"]
    )
    assert kinds(exported) == {"GRU": 2, "Loop": 1, "Scan": 1}
    assert not exported.parity.undefined
    graph = ir.load(exported.bundle.path / "fp32-offline.onnx").graph
    (loop,) = (node for node in graph if node.op_type == "Loop")
    # The memory is the outer graph's own value, and so are the weights: nothing is carried but the state.
    assert len(loop.inputs) == 3
    constants = loop.attributes["body"].as_graph().initializers.values()
    assert max((one.const_value.size for one in constants), default=0) < HIDDEN


def test_loops_within_a_scan_and_after_it(tmp_path):
    exported = export(Within(), tmp_path, ["x: float32[batch, time, 4]"])
    assert kinds(exported) == {"Scan": 1, "Loop": 2}
    assert exported.bundle.manifest.signature.outputs[2].axes == ("steps", "batch")


class Endless(nn.Module):
    """Loops without a limit after a layer of which only the state is used: ours, and torch's own."""

    def __init__(self):
        super().__init__()
        self.gru, self.layer = nn.GRU(3, HIDDEN, batch_first=True), nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x):
        _, h = self.gru(x)
        h, _ = rnnx.while_loop(lambda h: (h.abs() < 3).any(), lambda h: (h * 2 + 0.1, None), h[0].abs())
        count, h = torch_while_loop(
            lambda count, _: count < 5, lambda count, h: (count + 1, self.layer(h).tanh()), (torch.tensor(0), h)
        )
        return h, count


def test_loops_without_a_limit_and_torchs_own(tmp_path):
    assert kinds(export(seeded(Endless), tmp_path, ["x: float32[batch, time, 3]"])) == {"GRU": 1, "Loop": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"condition": lambda s: s > 0}, r"condition of a while_loop gave torch\.bool \(3, 4\); .* one element"),
        ({"condition": lambda s: s.sum()}, r"condition of a while_loop gave torch\.float32 \(\)"),
        ({"condition": lambda _: True}, "condition of a while_loop gave bool"),
        ({"step": lambda s: (s[:, :2], s)}, r"was given a state torch\.float32 \(3, 4\) and returned .* \(3, 2\)"),
        ({"step": lambda s: (s.double(), s)}, r"returned torch\.float64 \(3, 4\)"),
        ({"step": lambda s: ((s, s), s)}, "step of a while_loop was given a state .* and returned"),
        ({"max_steps": 2.5}, r"max_steps is 2\.5; it must be a whole number"),
        ({"max_steps": True}, "max_steps is True"),
        ({"max_steps": torch.tensor([1, 2])}, r"max_steps is a tensor torch\.int64 \(2,\); it must be one whole"),
        ({"time_axis": 2}, "time axis 2; steps are stacked along axis 0 or 1"),
    ],
)
def test_wrong_use_is_refused(x, changes, message):
    given = {"condition": always, "step": lambda s: (s, s), "max_steps": 2, "time_axis": 1} | changes
    with pytest.raises(rnnx.errors.InputError, match=message):
        rnnx.while_loop(given.pop("condition"), given.pop("step"), x, **given)


class Growing(nn.Module):
    def forward(self, x):
        return rnnx.while_loop(lambda s: (s < 9).all(), lambda s: (torch.cat([s, s], 1), None), x)[0]


def test_a_state_that_grows_is_refused_by_the_export_too(tmp_path, x):
    with pytest.raises(rnnx.errors.CaptureError, match=r"step of a while_loop was given a state .* returned"):
        export(Growing(), tmp_path, [SMALL])
    assert not (tmp_path / "loop.rnnx").exists()
