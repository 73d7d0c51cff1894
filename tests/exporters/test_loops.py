"""Python loops over time become scans by themselves, or are refused with their line and the ``rnnx.scan`` to write."""

from __future__ import annotations

import functools
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import rnnx
from rnnx.benchmarks.coverage import export_case
from rnnx.benchmarks.layer_cases import seeded
from rnnx.benchmarks.loop_cases import loop_cases
from rnnx.benchmarks.loop_models import Ranged, run_cell
from rnnx.errors import CaptureError, ParityError
from rnnx.exporters import export
from rnnx.exporters.loops import called, converting, sequences
from rnnx.exporters.loops.converting import functions_of

FEATURES, HIDDEN = 3, 4
X = {"x": f"float32[batch, time, {FEATURES}]"}
CASES = {case.name: case for case in loop_cases()}
RECURRENT = {"LSTM", "GRU", "RNN", "Scan", "Loop"}
#: Forward loops whose steps look at nothing but their own frame: they stream as any layer does.
STREAMING = {"loop range", "loop unbind, state None", "loop over a tensor, two lists", "loop in a function"}
QUICK = {"loop unbind, state None", "loops that fill tensors"}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(FEATURES, HIDDEN)
        self.input, self.hidden = nn.Linear(FEATURES, HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.output = nn.Linear(HIDDEN, FEATURES)

    def start(self, x):
        return x.new_zeros(x.size(0), HIDDEN)


class Pair(NamedTuple):
    h: torch.Tensor
    c: torch.Tensor


def decorated(function):
    """A decorator that keeps the function to itself."""

    @functools.wraps(function)
    def inner(self, *args, **kwargs):
        return function(self, *args, **kwargs)

    return inner


class Python(Recurrent):
    """What a method may be in Python: decorated, with super(), private names, defaults, a property, a static method."""

    @property
    def __zero(self):
        return 0.0

    @staticmethod
    def fold(cell, x, h):
        for x_t in x.transpose(0, 1):
            h = cell(x_t, h)
        return h

    @decorated
    def start(self, x, *, scale=0.5, **more):
        first = super().start(x) + self.__zero
        for _ in range(x.size(1)):
            first = super().start(x) + torch.tanh(first + scale)
        return first

    def forward(self, x):
        """Not only a docstring."""
        state = Pair(self.start(x), self.fold(self.cell, x, super().start(x)))
        outs: dict[str, list] = {"h": [], "c": []}
        for i, (x_t, y_t) in enumerate(zip(x.unbind(1), x.flip(-1).unbind(1), strict=True)):
            state = Pair(self.cell(x_t, state.h), self.cell(y_t, state.c) + i * 0)
            outs["h"].append(state.h)
            outs["c"].append(state.c)
        return torch.stack(outs["h"], 1), torch.stack(tuple(c + 1 for c in outs["c"]), 1), state.c


class Buffers(Recurrent):
    """A tensor filled by halves, a step added to, a place read one step back, a part of the time."""

    def forward(self, x):
        batch, time, _ = x.shape
        both, sums, late = torch.zeros(batch, time, 2 * HIDDEN), torch.ones(batch, time, HIDDEN), x.new_zeros(x.shape)
        before = torch.zeros(batch, time + 1, HIDDEN)
        h, b = self.start(x), self.start(x)
        for t in range(time):
            h = self.cell(x[:, t], h)
            both[:, t, :HIDDEN] = h
            sums[:, t] += self.input(x[:, t])
            before[:, t + 1] = torch.tanh(self.input(x[:, t]) + self.hidden(before[:, t]))
        for t in range(time - 1, -1, -1):
            b = self.cell(x[:, t], b)
            both[:, t, HIDDEN:] = b
        for t in range(2, time):
            late[:, t] = x[:, t] - x[:, t - 2]
        return both, sums, before[:, 1:], late


class Numbers(Recurrent):
    """Step numbers in arithmetic, a while loop that counts, a step of two, several appends, what is left behind."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Embedding(600, HIDDEN)

    def forward(self, x):
        batch, time, _ = x.shape
        h, g, outs, places, evens, turned = self.start(x), self.start(x), [], [], [], []
        for t in range(int(time)):
            place = self.positions(torch.full((batch,), t)) + self.positions(torch.tensor([t]))
            h = self.cell(x[:, t], h) * (t + 1) / time
            places.append(place)
            outs.append(h)
            outs.append(2 * h)
            if not self.training:
                continue
            raise AssertionError
        step = 0
        while step < time:
            g = self.cell(x[:, step], g)
            step += 1
        for t in range(0, time, 2):
            even = x[:, t]
            evens.append(even)
        for t, x_t in enumerate(reversed(x.chunk(time, dim=1))):
            turned = [*turned, x_t[:, 0] + t]
            last = x_t
        y = turned[0] + turned[-1] + g.sum(-1, keepdim=True) + step
        return (
            torch.stack(outs, 1),
            torch.stack(places, 1),
            torch.stack(evens, 1),
            torch.cat(turned, -1)[:0].sum() + y + last[:, 0],
        )


class Decoding(Recurrent):
    """A decoder without a sequence of its own: it feeds its answer back and looks at all of an encoder's."""

    def forward(self, x):
        memory = self.input(x)
        h, y, answers, looks = memory.mean(1), x.new_zeros(x.size(0), FEATURES), [], []
        for _ in range(x.size(1)):
            weights = torch.softmax(torch.einsum("bth,bh->bt", memory, h), 1)
            context = (weights.unsqueeze(-1) * memory).sum(1)
            h = torch.tanh(self.input(y) + self.hidden(context) + h)
            y = self.output(h)
            answers.append(y)
            looks.append(weights)
        return torch.stack(answers, 1), torch.stack(looks, 1)


class Choices(Recurrent):
    """What is decided by a step's number or by values: both branches run, and one is chosen."""

    def forward(self, x):
        outs, counts, state = [], [], {"h": [self.start(x)]}
        count = 0
        for t in range(x.size(1)):
            if t == 0:  # noqa: SIM108  (as it is written)
                h = torch.tanh(self.input(x[:, t]))
            else:
                h = torch.tanh(self.input(x[:, t]) + self.hidden(h))
            if h.sum() > 0:
                state["h"][0] = state["h"][0] + h
                count += 1
            elif t % 3 == 1:
                h = h / 2
            outs.append(h if t != 2 else -h)
            counts.append(count + x[:, t])
        return torch.stack(outs, 1), torch.stack(counts, 1), state["h"][0], x.new_ones(2) * count


class Pairs(Recurrent):
    """Tuples that are unzipped after the loop, a tuple that grows, a window of states."""

    def forward(self, x):
        h, pairs, states, window = self.start(x), [], (), [self.start(x) for _ in range(3)]
        for a, (b, t) in zip(x.unbind(1), zip(x.flip(1).unbind(1), range(x.size(1)), strict=True), strict=True):
            h = self.cell(a * b, h) + window[0] / (t + 1)
            window.pop(0)
            window.append(h)
            pairs.append((h, h.mean(-1)))
            states += (-h,)
        hidden, means = zip(*pairs)  # noqa: B905  (as it is written)
        return torch.stack(hidden, 1), torch.stack(means, 1), torch.stack(states), window[1]


def scans_of(exported):
    graph = ir.load(exported.bundle.path / exported.bundle.manifest.variants[0].file).graph
    return [node for node in ir.traversal.RecursiveGraphIterator(graph) if node.op_type == "Scan"]


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_every_kind_of_loop_becomes_a_scan(name, tmp_path):
    case = CASES[name]
    exported = export_case(case, tmp_path / "case.rnnx")
    operators = exported.bundle.manifest.variants[0].operators
    assert {kind: n for kind, n in operators.items() if kind in RECURRENT} == dict(case.recurrent)
    assert not exported.parity.undefined
    assert max(row.max_abs_diff for row in exported.parity.rows) < 1e-6
    assert (exported.streaming is not None) == (name in STREAMING | {"loop with lengths"})


def test_an_answer_equals_the_loop_at_a_size_that_no_matrix_has(tmp_path):
    case = CASES["loop range"]
    module = seeded(case)
    exported = export_case(case, tmp_path / "case.rnnx")
    x = torch.randn(4, 19, 6)
    with torch.no_grad():
        expected = module(x)
    with rnnx.load(exported.bundle.path, provider="cpu") as session:
        found = session.run({"x": x.numpy()})
    for one, reference in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(one, reference.numpy(), rtol=0, atol=1e-6)
    (scan,) = scans_of(exported)
    assert scan.name == "scan"
    # Steps of x are a sequence of the scan: nothing is picked by number, so that the model streams.
    assert {"Gather", "GatherND", "Slice"}.isdisjoint(exported.bundle.manifest.variants[0].operators)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "scans"),
    [(Python, 4), (Buffers, 3), (Numbers, 4), (Decoding, 1), (Choices, 1), (Pairs, 1)],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_people_write(kind, scans, tmp_path):
    exported = export(kind().eval(), inputs=X, out=tmp_path / "m.rnnx", streaming="off")
    assert len(scans_of(exported)) == scans
    assert not exported.parity.undefined


def test_a_state_that_is_none_is_told(tmp_path):
    exported = export_case(CASES["loop unbind, state None"], tmp_path / "case.rnnx")
    (note,) = exported.bundle.manifest.notes
    assert re.fullmatch(
        r"'state' in the loop at loop_models\.py:\d+ is None before its first step; it starts from zeros here\.", note
    )
    assert exported.streaming is not None


# What is refused.


class Attribute(Recurrent):
    def forward(self, x):
        self.h, outs = self.start(x), []
        for t in range(x.size(1)):
            self.h = self.cell(x[:, t], self.h)  # here
            outs.append(self.h)
        return torch.stack(outs, 1)


class Hidden(Recurrent):
    def advance(self, x_t):
        self.h = self.cell(x_t, self.h)
        return self.h

    def forward(self, x):
        self.h = self.start(x)
        return torch.stack([self.advance(x_t) for x_t in x.unbind(1)], 1)


class Kept(Recurrent):
    def __init__(self):
        super().__init__()
        self.kept = []

    def forward(self, x):
        h = self.start(x)
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            self.kept.append(h)
        y = torch.stack(self.kept, 1)
        self.kept.clear()
        return y


class Breaking(Recurrent):
    def forward(self, x):
        h = self.start(x)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            if (h > 2).all():
                break  # here
        return h


class Returning(Recurrent):
    def forward(self, x):
        h, c = self.start(x), self.start(x)
        for x_t in x.unbind(1):
            h, c = self.cell(x_t, c), h
            if (h > 2).all():
                return h  # here
        return c


class FirstApart(Recurrent):
    def forward(self, x):
        h, outs = self.start(x), []
        for t in range(x.size(1) - 1, -1, -1):
            if t > 0 and t < 5:  # here
                h = h + 1
            h = self.cell(x[:, t], h)
            outs.append((h, -h))
        return torch.stack([one for one, _ in outs], 1)


class ByData(Recurrent):
    def forward(self, x):
        h, out = self.start(x), x.new_zeros(x.size(0), x.size(1), HIDDEN)
        for t in range(x.size(1)):
            new = self.cell(x[:, t], h)
            while new.sum() > 3:  # here
                new = new / 2
            h = new
            out[:, t] = h
        return out


class AllBefore(Recurrent):
    def forward(self, x):
        h = self.start(x)
        outs = [h]
        for x_t in x.unbind(1):
            h = self.cell(x_t, h) + torch.stack(outs).mean(0)
            outs.append(h)
        return torch.stack(outs, 1)


class Wider(Recurrent):
    def forward(self, x):
        h = self.start(x)
        memory = h.unsqueeze(1)
        for x_t in x.unbind(1):
            h = self.cell(x_t, h) + memory.mean(1)
            memory = torch.cat([memory, h.unsqueeze(1)], 1)
        return memory


class UpToHere(Recurrent):
    def forward(self, x):
        return torch.stack([x[:, : t + 1].mean(1) for t in range(x.size(1))], 1)


class Choosing(Recurrent):
    def forward(self, x):
        return torch.stack([x_t for t, x_t in enumerate(x.unbind(1)) if t != 3], 1)


class ByLayer(Recurrent):
    def forward(self, x):
        cells, h = [self.cell, self.cell], self.start(x)
        for t in range(x.size(1)):
            h = cells[t % 2](x[:, t], h)  # here
        return h


class Beside(Recurrent):
    def forward(self, x):
        h = self.start(x)
        for x_t, cell in zip(x.unbind(1), [self.cell] * 11):  # noqa: B905  (as it is written)
            h = cell(x_t, h)
        return h


class Returned(Recurrent):
    def forward(self, x):
        return [self.input(x_t) for x_t in x.unbind(1)]


class Mapped(Recurrent):
    def forward(self, x):
        return torch.stack([*map(self.input, x.unbind(1))], 1)


class Unseen(Recurrent):
    def __init__(self):
        super().__init__()
        self.register_buffer("last", torch.zeros(3, HIDDEN))

    def forward(self, x):
        outs = []
        for x_t in x.unbind(1):
            self.last.copy_(self.cell(x_t, self.last))
            outs.append(self.last * 2)
        return torch.stack(outs, 1)


class Mutating(Recurrent):
    def forward(self, x):
        h = self.start(x)
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            if h.sum() > 0:
                h.mul_(2)
        return h


class AppendingSometimes(Recurrent):
    def forward(self, x):
        outs = []
        for t in range(x.size(1)):
            if t % 2 == 0:
                outs.append(self.input(x[:, t]))  # noqa: PERF401
        return torch.stack(outs, 1)


class WritingSometimes(Recurrent):
    def forward(self, x):
        out = torch.zeros_like(x)
        for t in range(x.size(1)):
            if t > 2:
                out[:, t] = x[:, t]
        return out


SHELF = []


class Elsewhere(Recurrent):
    def forward(self, x):
        SHELF.clear()
        for x_t in x.unbind(1):
            SHELF.append(self.input(x_t))  # noqa: PERF401
        return torch.stack(SHELF, 1)


class UntilDone(Recurrent):
    def forward(self, x):
        h = self.start(x)
        while not (h > 0.5).all():
            h = h + 0.1
        return h + x.sum((1, 2)).unsqueeze(1)


class ToLongest(Recurrent):
    def forward(self, x):
        h = self.start(x)
        for t in range(int((x.sum(-1) > -100).sum(1).max())):
            h = self.cell(x[:, t], h)
        return h


BY_VALUE = (
    "Python decides by the values of a tensor, or by the number of the step; choose with torch.where, or do the first "
    "step before the loop"
)
WHILE = "A loop whose end depends on data is final, outputs = rnnx.while_loop(condition, step, state)"
ATTRIBUTE = "and a graph has no attributes; let the state go in and come out as a value"


def written(state, frame, output, call, given=None):
    """The scan that the message tells to write."""
    unpacked = f"        {state} = state\n" if given else ""
    return (
        f"    def step({given or state}, {frame}):\n{unpacked}        ...  # the body of the loop, for one step\n"
        f"        return {state}, {output}\n    {call}"
    )


REFUSED = {
    Attribute: (
        f"it keeps state in the attribute 'self.h', {ATTRIBUTE}",
        written("h", "x_t", "h", "self.h, outs = rnnx.scan(step, self.h, x)"),
    ),
    Breaking: (f"it breaks off. {WHILE}", written("h", "x_t", "None", "h, outputs = rnnx.scan(step, h, x)")),
    Returning: (
        f"it returns from within. {WHILE}",
        written("(h, c)", "x_t", "None", "(h, c), outputs = rnnx.scan(step, (h, c), x)", "state"),
    ),
    FirstApart: (BY_VALUE, written("h", "x_t", "(h, -h)", "h, outs = rnnx.scan(step, h, x, reverse=True)")),
    ByData: (BY_VALUE, written("h", "x_t", "h", "h, out = rnnx.scan(step, h, x)")),
    ByLayer: (
        "a step picks from a list by its own number",
        written("h", "x_t", "None", "h, outputs = rnnx.scan(step, h, x)"),
    ),
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda one: one.__name__)
def test_a_loop_that_cannot_be_converted(kind, tmp_path):
    reason, instead = REFUSED[kind]
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(f"class {kind.__name__}("))
    loop = next(n for n in range(first, len(lines)) if "for " in lines[n])
    line = next(n for n in range(first, len(lines)) if lines[n].endswith("# here"))
    with pytest.raises(CaptureError) as caught:
        export(Nested(kind()).eval(), inputs=X, out=tmp_path / "m.rnnx")
    assert str(caught.value) == (
        f"module 'encoder' loops over a dynamic axis in Python ({__file__}:{loop + 1}: `{lines[loop].strip()}`), and "
        f"the loop cannot become a scan by itself: {reason} (line {line + 1}: `{lines[line].strip()}`). "
        f"Write it so:\n{instead}"
    )
    assert list(tmp_path.iterdir()) == []


class Nested(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        return self.encoder(x)


PLACELESS = {
    Hidden: r"a step changes the attribute 'h' of a Hidden, and a graph has no attributes",
    Kept: r"a step changes the attribute 'kept' of a Kept, and a graph has no attributes",
    AllBefore: r"a step reads or changes other places of the list 'outs' that it appends to",
    Wider: r"'memory' is torch.float32 \(s\d+, 2, 4\) before a step and torch.float32 \(s\d+, 3, 4\) behind it",
    UpToHere: r"a step takes a slice whose ends depend on its own number",
    Choosing: r"it leaves steps out by a condition",
    Beside: r"^zip goes over a dynamic axis and over something of a fixed length.* \(.*test_loops\.py:\d+: `for x_t, c",
    Returned: r"it returns the list of a loop over time.* Return torch.stack\(outputs, dim=1\)",
    Mapped: r"the list of a loop over time is gone through in a place that cannot be converted \(.*`return torch",
    Unseen: r"a step changes a tensor in place that is no name of its own",
    Mutating: r"a step changes a tensor in place under a condition that only its values decide",
    AppendingSometimes: r"a step appends to 'outs' under a condition that only its values decide",
    WritingSometimes: r"a step writes to a place of a tensor under a condition that only its values decide",
    Elsewhere: r"it changes 'SHELF', which is no name of its own function",
    UntilDone: r"while not .* A loop whose end depends on data is final, outputs = rnnx.while_loop\(condition, step, s",
    ToLongest: r"for t in range\(int.* state, outputs = rnnx.scan\(step, state, sequence, lengths=lengths\)",
}


@pytest.mark.parametrize("kind", PLACELESS, ids=lambda one: one.__name__)
def test_what_a_graph_has_no_place_for(kind, tmp_path):
    module = kind().eval()
    with pytest.raises(CaptureError, match=PLACELESS[kind]):
        export(module, inputs=X if kind is not Unseen else {"x": "float32[3, time, 3]"}, out=tmp_path / "m.rnnx")
    assert list(tmp_path.iterdir()) == []
    if kind is Kept:
        assert module.kept == []


def test_a_first_step_that_zeros_do_not_stand_for_is_never_written(tmp_path):
    class Learned(Recurrent):
        def forward(self, x):
            h = None
            for x_t in x.unbind(1):
                if h is None:
                    h = torch.ones(x.size(0), HIDDEN)
                h = self.cell(x_t, h)
            return h

    with pytest.raises(ParityError, match=r"starts from zeros here \('h' in the loop at test_loops\.py:\d+\)"):
        export(Learned().eval(), inputs=X, out=tmp_path / "m.rnnx")


# Python stays what it was.


def test_code_is_back_after_an_export_and_after_an_error(tmp_path):
    module, other = seeded(CASES["loop range"]), Breaking()
    functions = [*functions_of(module), *functions_of(other)]
    assert {Ranged.forward, Breaking.forward} <= set(functions)
    before = [one.__code__ for one in functions]
    with converting.converting(module):
        assert Ranged.forward.__code__ not in before
        assert Ranged.forward.__code__.co_filename == before[functions.index(Ranged.forward)].co_filename
    export_case(CASES["loop range"], tmp_path / "case.rnnx")
    with pytest.raises(CaptureError):
        export(other, inputs=X, out=tmp_path / "m.rnnx")
    assert all(one.__code__ is code for one, code in zip(functions, before, strict=True))
    assert called.SITES == {}


def test_functions_that_are_found():
    found = functions_of(CASES["loop in a function"].build())
    assert run_cell in found
    assert not {one for one in found if one.__module__.startswith(("torch", "rnnx.exporters"))}
    names = {one.__qualname__ for one in functions_of(Python())}
    assert {"Python.fold", "Python.start", "Python.__zero", "Recurrent.start"} <= names


@pytest.mark.parametrize(
    "kind", [Python, Buffers, Numbers, Choices, Pairs, Breaking, FirstApart, ByLayer, Hidden, AllBefore]
)
def test_rewritten_code_does_what_it_did_where_nothing_is_captured(kind):
    """As other threads run it while one captures."""
    module = kind().eval()
    x = torch.randn(2, 11, FEATURES)
    with torch.no_grad():
        expected = module(x)
        with converting.converting(module):
            found = module(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_gradients_flow_through_rewritten_code():
    module, x = Numbers().eval(), torch.randn(2, 5, FEATURES)

    def gradients():
        module.zero_grad()
        sum(one.square().sum() for one in module(x)).backward()
        return [one.grad.clone() for one in module.parameters() if one.grad is not None]

    expected = gradients()
    with converting.converting(module):
        found = gradients()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_another_thread_runs_its_loops_while_one_is_converted(tmp_path, monkeypatch):
    # Of another model of the same class: torch itself puts stand-ins in place of this one's weights.
    module, other, x = seeded(CASES["loop range"]), seeded(CASES["loop range"]), torch.randn(2, 5, 6)
    with torch.no_grad():
        expected = module(x)
    answers = []
    settle = sequences.Sequences.settle

    def meanwhile(self):
        def run():
            with torch.no_grad():
                answers.append(other(x))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return settle(self)

    monkeypatch.setattr(sequences.Sequences, "settle", meanwhile)
    export(module, inputs={"x": "float32[batch, time, 6]"}, out=tmp_path / "m.rnnx", streaming="off")
    assert answers
    for answer in answers:
        torch.testing.assert_close(answer, expected, rtol=0, atol=0)


def test_a_file_that_was_edited_since_is_left_alone(tmp_path):
    file = tmp_path / "edited.py"
    text = "def run(x, h):\n    for t in range(x.size(1)):\n        h = h + x[:, t]\n    return h\n"
    file.write_text(text)
    names = {}
    exec(compile(text, str(file), "exec"), names)  # noqa: S102  (a module of the test's own)
    assert converting._rewritten(names["run"], lambda _: 0) is not None
    file.write_text(text.replace("h + x", "h - x"))
    converting.linecache.checkcache(str(file))
    assert converting._rewritten(names["run"], lambda _: 0) is None


def test_a_wrong_conversion_is_caught(tmp_path, monkeypatch):
    """Steps in the wrong order: the parity gate sees it."""
    wrong = sequences.Sequences._place

    def place(self, owner, axis, at):
        found = wrong(self, owner, axis, at)
        return replace(found, owner=owner.flip(axis))

    monkeypatch.setattr(sequences.Sequences, "_place", place)
    with pytest.raises(ParityError, match="no bundle was written"):
        export_case(CASES["loop range"], tmp_path / "case.rnnx")
