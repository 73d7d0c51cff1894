"""``rnnx.scan``: a plain loop in eager PyTorch, one ONNX ``Scan`` when exported, the same answers in both."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import rnnx

FEATURES, HIDDEN = 3, 4
X = [f"x: float32[batch, time, {FEATURES}]"]


class Elman(nn.Module):
    def __init__(self, features=FEATURES, *, reverse=False):
        super().__init__()
        self.input, self.hidden = nn.Linear(features, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.reverse = reverse

    def step(self, h, x):
        h = torch.tanh(self.input(x) + self.hidden(h))
        return h, h

    def forward(self, x, lengths=None):
        h_n, y = rnnx.scan(self.step, x.new_zeros(x.size(0), HIDDEN), x, lengths=lengths, reverse=self.reverse)
        return y, h_n


class Attentive(nn.Module):
    """A decoder that looks at all of an encoder's answer at every step: a captured activation."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.cell = nn.GRUCell(FEATURES + HIDDEN, HIDDEN)

    def forward(self, source, target):
        memory, _ = self.encoder(source)

        def step(h, x):
            weights = torch.bmm(memory, h.unsqueeze(-1)).squeeze(-1).softmax(-1)
            context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
            h = self.cell(torch.cat([x, context], -1), h)
            return h, {"hidden": h, "weights": weights}

        h_n, answers = rnnx.scan(step, memory[:, -1], target)
        return answers["hidden"], answers["weights"], h_n


class Nested(nn.Module):
    """A scan in a scan, over (batch, time, 2, features)."""

    def __init__(self):
        super().__init__()
        self.inner = Elman()

    def forward(self, x):
        def step(h, frame):
            h, parts = rnnx.scan(self.inner.step, h, frame)
            return h, parts.sum(1)

        return rnnx.scan(step, x.new_zeros(x.size(0), HIDDEN), x)[1]


class Counting(nn.Module):
    """A state of several tensors of other dtypes, several sequences, a constant, and work in place."""

    def forward(self, x, mask):
        def step(state, inputs, scale):
            frame, valid = inputs
            total = state["total"].clone()
            total.add_(frame * scale * valid.unsqueeze(-1))
            return {"total": total, "count": state["count"] + valid.long()}, (total > 0, None)

        zeros = {"total": torch.zeros(x.size(0), FEATURES), "count": torch.zeros(x.size(0), dtype=torch.int64)}
        state, (positive, _) = rnnx.scan(step, zeros, (x, mask), 2.0)
        return state["total"], state["count"], positive


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Elman(), Elman(HIDDEN)

    def forward(self, x):
        y, _ = self.second(self.first(x)[0])
        z, _ = self.second(y)
        return z


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.forwards, self.backwards = Elman(), Elman(reverse=True)

    def forward(self, x, lengths):
        return torch.cat([self.forwards(x, lengths)[0], self.backwards(x, lengths)[0]], -1)


def seeded(module, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module().eval()


@pytest.fixture
def x():
    return torch.randn(3, 7, FEATURES, generator=torch.Generator().manual_seed(0))


def by_hand(module, row):
    """The Elman recurrence over one row, ``(time, features)``, in NumPy."""
    w, b = module.input.weight.detach().numpy().astype(np.float64), module.input.bias.detach().numpy()
    u, c = module.hidden.weight.detach().numpy().astype(np.float64), module.hidden.bias.detach().numpy()
    h, answers = np.zeros(HIDDEN), []
    for frame in row.numpy().astype(np.float64):
        h = np.tanh(w @ frame + b + u @ h + c)
        answers.append(h)
    return np.stack(answers)


class TestEager:
    def test_it_is_the_loop(self, x):
        module = seeded(Elman)
        y, h_n = module(x)
        for row in range(3):
            np.testing.assert_allclose(y[row].detach(), by_hand(module, x[row]), rtol=0, atol=1e-6)
        torch.testing.assert_close(h_n, y[:, -1], rtol=0, atol=0)

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_ragged_batch_is_its_single_rows(self, x, reverse):
        module = seeded(lambda: Elman(reverse=reverse))
        lengths = torch.tensor([2, 7, 5])
        y, h_n = module(x, lengths)
        for row, length in enumerate(lengths):
            alone, h_alone = module(x[row : row + 1, :length])
            torch.testing.assert_close(y[row, :length], alone[0], rtol=0, atol=1e-6)
            torch.testing.assert_close(h_n[row], h_alone[0], rtol=0, atol=1e-6)
            assert torch.equal(y[row, length:], torch.zeros(7 - length, HIDDEN))

    def test_gradients_are_the_loops(self, x):
        module = seeded(Elman).double()
        module(x.double())[0].square().sum().backward()
        ours = [parameter.grad.clone() for parameter in module.parameters()]
        module.zero_grad()
        h, answers = torch.zeros(3, HIDDEN, dtype=torch.float64), []
        for t in range(7):
            h, y = module.step(h, x.double()[:, t])
            answers.append(y)
        torch.stack(answers, 1).square().sum().backward()
        for mine, parameter in zip(ours, module.parameters(), strict=True):
            torch.testing.assert_close(mine, parameter.grad, rtol=1e-12, atol=0)

    def test_time_may_come_first(self, x):
        module = seeded(Elman)
        h_0 = torch.zeros(3, HIDDEN)
        _, batch_first = rnnx.scan(module.step, h_0, x)
        _, time_first = rnnx.scan(module.step, h_0, x.transpose(0, 1), time_axis=0)
        torch.testing.assert_close(time_first.transpose(0, 1), batch_first, rtol=0, atol=0)

    @pytest.mark.parametrize(
        ("state", "sequence", "step", "message"),
        [
            (torch.zeros(3, 2), [], None, "the sequence holds nothing"),
            (torch.zeros(3, 2), ["frames"], None, "the sequence holds str"),
            (torch.zeros(3, 2), torch.zeros(3), None, r"axis 1 of tensors \(3,\)"),
            (torch.zeros(3, 2), (torch.zeros(3, 4), torch.zeros(3, 5)), None, "sequences of 4 and 5 steps"),
            (torch.zeros(3, 2), torch.zeros(3, 0, 2), None, "a sequence of no steps"),
            (torch.zeros(3, 2), torch.zeros(3, 4, 2), lambda h, x: ((h, h), x), "Return the same structure"),
            (torch.zeros(1, 2), torch.zeros(3, 4, 2), lambda h, x: (h + x, x), r"\(1, 2\) and returned .*\(3, 2\)"),
            (torch.zeros(3, 2), torch.zeros(3, 4, 2), lambda h, x: (h.double(), x), "returned torch.float64"),
            (0.0, torch.zeros(3, 4, 2), lambda h, x: (h, x), "holds a float; it may hold tensors only"),
        ],
    )
    def test_wrong_use_is_refused(self, state, sequence, step, message):
        with pytest.raises(rnnx.errors.InputError, match=message):
            rnnx.scan(step or (lambda h, x: (h, x)), state, sequence)


def scans_of(exported):
    graph = ir.load(exported.bundle.path / exported.bundle.manifest.variants[0].file).graph
    return [node for node in ir.traversal.RecursiveGraphIterator(graph) if node.op_type == "Scan"]


MASKED = [*X, "mask: bool[batch, time]"]
PAIR = [f"source: float32[batch, source, {FEATURES}]", f"target: float32[batch, target, {FEATURES}]"]


@pytest.mark.parametrize(
    ("module", "inputs", "lengths", "count"),
    [
        (Elman, X, None, 1),
        (Elman, X, "lengths", 1),
        (lambda: Elman(reverse=True), X, "lengths", 1),
        (Both, X, "lengths", 2),
        (Twice, X, None, 3),
        (Attentive, PAIR, None, 1),
        (Nested, [f"x: float32[batch, time, 2, {FEATURES}]"], None, 2),
        (Counting, MASKED, None, 1),
    ],
    ids=["plain", "lengths", "reverse", "both directions", "twice", "memory", "nested", "pytrees"],
)
def test_exported_it_is_one_scan_a_call(module, inputs, lengths, count, tmp_path):
    exported = rnnx.exporters.export(seeded(module), inputs=inputs, lengths=lengths, out=tmp_path / "s.rnnx")
    assert len(scans_of(exported)) == count
    assert "Loop" not in exported.bundle.manifest.variants[0].operators
    assert not exported.parity.undefined
    assert max(row.max_abs_diff for row in exported.parity.rows) < 2e-6


def test_weights_of_a_step_are_stored_once_and_outside(tmp_path):
    exported = rnnx.exporters.export(seeded(Twice), inputs=X, out=tmp_path / "s.rnnx")
    graph = ir.load(exported.bundle.path / exported.bundle.manifest.variants[0].file).graph
    assert sum(name.startswith("second.hidden.weight") for name in graph.initializers) == 1
    assert all(not node.attributes["body"].as_graph().initializers for node in scans_of(exported))
    assert {node.name for node in scans_of(exported)} == {"first.scan", "second.scan", "second.scan.call2"}


def test_a_cell_in_a_step_is_a_fused_layer(tmp_path):
    exported = rnnx.exporters.export(seeded(Attentive), inputs=PAIR, out=tmp_path / "s.rnnx")
    (scan,) = scans_of(exported)
    inside = [node.op_type for node in scan.attributes["body"].as_graph()]
    assert inside.count("GRU") == 1
    # Its weights are packed once, outside: no step rearranges gates.
    assert not {"Split", "Concat"} & set(inside) - {"Concat"}
    assert inside.count("Concat") == 1  # the model's own


def test_a_step_that_branches_on_values_is_refused_with_its_line(tmp_path):
    class Branching(nn.Module):
        def forward(self, x):
            def step(h, frame):
                return (h + frame if frame.sum() > 0 else h), frame  # here: branching

            return rnnx.scan(step, torch.zeros(x.size(0), FEATURES), x)[1]

    with pytest.raises(rnnx.errors.CaptureError, match=r"test_scanning\.py:\d+: `return \(h \+ frame if"):
        rnnx.exporters.export(Branching(), inputs=X, out=tmp_path / "s.rnnx")
    assert list(tmp_path.iterdir()) == []


def test_a_scan_that_stacks_nothing_has_no_empty_attributes(tmp_path, caplog):
    class Sum(nn.Module):
        def forward(self, x):
            total, _ = rnnx.scan(lambda h, frame: (h + frame, None), torch.zeros(x.size(0), FEATURES), x)
            return total

    exported = rnnx.exporters.export(Sum(), inputs=X, out=tmp_path / "s.rnnx")
    (scan,) = scans_of(exported)
    assert "scan_output_axes" not in scan.attributes
    assert "empty sequence" not in caplog.text


def test_a_number_made_from_a_size_is_refused_and_what_the_message_says_works(tmp_path):
    class Scaled(nn.Module):
        def __init__(self, *, tensor):
            super().__init__()
            self.tensor = tensor

        def forward(self, x):
            root = x.size(1) ** 0.5
            root = torch.full((), root) if self.tensor else root
            return rnnx.scan(lambda h, frame: (h + frame / root, h), torch.zeros(x.size(0), FEATURES), x)[1]

    with pytest.raises(rnnx.errors.CaptureError, match=r"a number made from a size.*torch\.full\(\(\), number\)"):
        rnnx.exporters.export(Scaled(tensor=False), inputs=X, out=tmp_path / "s.rnnx")
    assert rnnx.exporters.export(Scaled(tensor=True), inputs=X, out=tmp_path / "s.rnnx").parity.passed
