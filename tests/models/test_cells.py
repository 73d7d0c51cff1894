"""The zoo's cells: each against its formula in NumPy, row by row and step by step, and against what it generalises."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

import rnnx
from rnnx.benchmarks.cell_cases import CELLS, cell_cases
from rnnx.benchmarks.coverage import export_case
from rnnx.benchmarks.layer_cases import seeded
from rnnx.models import cells

CASES = {case.name: case for case in cell_cases()}
ATOL = 1e-5
BATCH, TIME = 3, 11
LENGTHS = [TIME, 1, 6]


# Formulas, in float64: one row, one step. `w` holds the weights by name; without biases those are 0.


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def layer_norm(w, name, a):
    return (a - a.mean()) / np.sqrt(a.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def gate(a, number, of):
    size = len(a) // of
    return a[number * size : (number + 1) * size]


def elman(w, state, x):
    h = np.tanh(w.weight_ih @ x + w.weight_hh @ state[0] + w.bias)
    return (h,), h


def irnn(w, state, x):
    h = np.maximum(w.weight_ih @ x + w.weight_hh @ state[0] + w.bias, 0)
    return (h,), h


def jordan(w, state, x):
    h = np.tanh(w.weight_ih @ x + w.weight_hs @ state[0] + w.bias)
    y = w.weight_ho @ h + w.bias_o
    return (0.5 * state[0] + y,), y


def peephole(w, state, x):
    h, c = state
    a = w.weight_ih @ x + w.weight_hh @ h + w.bias
    i = sigmoid(gate(a, 0, 4) + w.weight_ch[0] * c)
    f = sigmoid(gate(a, 1, 4) + w.weight_ch[1] * c)
    c = f * c + i * np.tanh(gate(a, 2, 4))
    o = sigmoid(gate(a, 3, 4) + w.weight_ch[2] * c)
    h = o * np.tanh(c)
    return (h, c), h


def coupled(w, state, x):
    h, c = state
    a = w.weight_ih @ x + w.weight_hh @ h + w.bias
    f = sigmoid(gate(a, 0, 3))
    i = 1 - f
    c = f * c + i * np.tanh(gate(a, 1, 3))
    h = sigmoid(gate(a, 2, 3)) * np.tanh(c)
    return (h, c), h


def layer_norm_lstm(w, state, x):
    h, c = state
    a = layer_norm(w.all, "norm_ih", w.weight_ih @ x) + layer_norm(w.all, "norm_hh", w.weight_hh @ h) + w.bias
    c = sigmoid(gate(a, 1, 4)) * c + sigmoid(gate(a, 0, 4)) * np.tanh(gate(a, 2, 4))
    h = sigmoid(gate(a, 3, 4)) * np.tanh(layer_norm(w.all, "norm_c", c))
    return (h, c), h


def layer_norm_gru(w, state, x):
    (h,) = state
    size = len(h)
    bias = np.broadcast_to(w.bias, 3 * size)
    from_x, from_h = w.weight_ih @ x, w.weight_hh @ h
    rz = layer_norm(w.all, "norm_ih", from_x[: 2 * size]) + layer_norm(w.all, "norm_hh", from_h[: 2 * size])
    r, z = sigmoid(rz + bias[: 2 * size]).reshape(2, size)
    n_x, n_h = layer_norm(w.all, "norm_in", from_x[2 * size :]), layer_norm(w.all, "norm_hn", from_h[2 * size :])
    h = z * h + (1 - z) * np.tanh(n_x + r * n_h + bias[2 * size :])
    return (h,), h


def projected(w, state, x):
    h, c = state
    a = w.weight_ih @ x + w.weight_hh @ h + w.bias
    c = sigmoid(gate(a, 1, 4)) * c + sigmoid(gate(a, 0, 4)) * np.tanh(gate(a, 2, 4))
    h = w.weight_hr @ (sigmoid(gate(a, 3, 4)) * np.tanh(c))
    return (h, c), h


def minimal(w, state, x):
    (h,) = state
    size = len(h)
    bias = np.broadcast_to(w.bias, 2 * size)
    f = sigmoid(w.weight_ih[:size] @ x + w.weight_hh[:size] @ h + bias[:size])
    n = np.tanh(w.weight_ih[size:] @ x + w.weight_hh[size:] @ (f * h) + bias[size:])
    h = (1 - f) * h + f * n
    return (h,), h


def clockwork(w, state, x):
    h, count = state
    size, new = len(h) // 4, h.copy()
    bias = np.broadcast_to(w.bias, len(h))
    for module, period in enumerate((1, 2, 4, 8)):
        if count % period == 0:
            for unit in range(module * size, (module + 1) * size):
                heard = sum(w.weight_hh[unit, other] * h[other] for other in range(module * size, len(h)))
                new[unit] = np.tanh(w.weight_ih[unit] @ x + heard + bias[unit])
    return (new, count + 1), new


def multiplicative(w, state, x):
    h, c = state
    m = (w.weight_mx @ x) * (w.weight_mh @ h)
    a = w.weight_ih @ x + w.weight_hh @ m + w.bias
    c = sigmoid(gate(a, 1, 4)) * c + sigmoid(gate(a, 0, 4)) * np.tanh(gate(a, 2, 4))
    h = sigmoid(gate(a, 3, 4)) * np.tanh(c)
    return (h, c), h


def convolve(weight, image):
    margin = weight.shape[-1] // 2
    padded = np.pad(image, [(0, 0), (margin, margin), (margin, margin)])
    out = np.zeros((len(weight), *image.shape[1:]))
    for row, column in np.ndindex(image.shape[1:]):
        patch = padded[:, row : row + 2 * margin + 1, column : column + 2 * margin + 1]
        out[:, row, column] = (weight * patch).sum(axis=(1, 2, 3))
    return out


def convolutional(w, state, x):
    h, c = state
    bias = np.broadcast_to(w.bias, len(w.weight_ih))[:, None, None]
    a = convolve(w.weight_ih, x) + convolve(w.weight_hh, h) + bias
    p_i, p_f, p_o = w.all.get("weight_ch", (0, 0, 0))
    i, f = sigmoid(gate(a, 0, 4) + p_i * c), sigmoid(gate(a, 1, 4) + p_f * c)
    c = f * c + i * np.tanh(gate(a, 2, 4))
    h = sigmoid(gate(a, 3, 4) + p_o * c) * np.tanh(c)
    return (h, c), h


FORMULAS = {
    "Elman": elman,
    "IRNN": irnn,
    "Jordan": jordan,
    "PeepholeLSTM": peephole,
    "CoupledLSTM": coupled,
    "LayerNormLSTM": layer_norm_lstm,
    "LayerNormGRU": layer_norm_gru,
    "ProjectedLSTM": projected,
    "MinimalGatedUnit": minimal,
    "Clockwork": clockwork,
    "MultiplicativeLSTM": multiplicative,
    "ConvLSTM": convolutional,
    "ConvLSTM peepholes": convolutional,
}


def by_formula(cell, formula, x, state, lengths, *, reverse):
    """Outputs and final state, a tuple, in float64."""
    found = {name: tensor.detach().double().numpy() for name, tensor in cell.named_parameters()}
    w = SimpleNamespace(**{"bias": 0.0, "bias_o": 0.0, **found}, all=found)
    outputs, finals = [], []
    for row in range(len(x)):
        s = tuple(one[row].astype(np.float64) for one in state)
        steps = {}
        for t in reversed(range(lengths[row])) if reverse else range(lengths[row]):
            s, steps[t] = formula(w, s, x[row, t].astype(np.float64))
        blank = np.zeros_like(steps[0])
        outputs.append(np.stack([steps.get(t, blank) for t in range(x.shape[1])]))
        finals.append(s)
    return np.stack(outputs), tuple(np.stack(one) for one in zip(*finals, strict=True))


def made(name, **options):
    """A cell with no weight at a special value, and an input for it."""
    torch.manual_seed(1)
    cell = CELLS[name].make(**options)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    rest = [{"height": 4, "width": 5}.get(axis) or int(axis) for axis in CELLS[name].x[:-1].split(", ")[2:]]
    return cell, torch.randn(BATCH, TIME, *rest)


def some_state(cell, x):
    """A state as the cell gives it, of random numbers."""
    with torch.no_grad():
        _, state = cell(x)
    return pytree.tree_map(
        lambda one: torch.randint(0, 8, one.shape) if one.dtype == torch.int64 else torch.randn_like(one) / 2, state
    )


def assert_close(found, expected, atol=ATOL):
    for one, other in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), np.asarray(other.detach()), rtol=0, atol=atol)


def test_every_cell_has_a_formula():
    assert FORMULAS.keys() == CELLS.keys()
    kinds = {type(cell.make()).__name__ for cell in CELLS.values()}
    assert kinds | {"Bidirectional", "Stack"} == set(cells.__all__)


@pytest.mark.parametrize("reverse", [False, True], ids=["ahead", "reverse"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("begin", ["zeros", "given", "zeros, no bias"])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_cell_is_its_formula(name, begin, ragged, reverse):
    cell, x = made(name, reverse=reverse, bias="no bias" not in begin)
    given = some_state(cell, x) if begin == "given" else None
    lengths = LENGTHS if ragged else [TIME] * BATCH
    with torch.no_grad():
        zero = pytree.tree_map(torch.zeros_like, cell(x)[1])
        output, state = cell(x, given, torch.tensor(lengths) if ragged else None)
    start = [one.numpy() for one in pytree.tree_leaves(zero if given is None else given)]
    expected, final = by_formula(cell, FORMULAS[name], x.numpy(), start, lengths, reverse=reverse)
    np.testing.assert_allclose(output.numpy(), expected, rtol=0, atol=ATOL)
    assert output.abs().max() > 0.05  # not a formula's zero against a cell's zero
    for found, wanted in zip(pytree.tree_leaves(state), final, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=ATOL)


@pytest.mark.parametrize("name", CELLS)
def test_what_lies_past_a_rows_length_changes_nothing(name):
    cell, x = made(name)
    other = x.clone()
    other[1, LENGTHS[1] :] = 1e3
    lengths = torch.tensor(LENGTHS)
    assert_close(cell(other, None, lengths), cell(x, None, lengths), atol=0)


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_cut_in_two_goes_on_from_its_state(name):
    cell, x = made(name)
    whole, final = cell(x)
    first, state = cell(x[:, :3])
    second, state = cell(x[:, 3:], state)
    assert_close((torch.cat((first, second), dim=1), state), (whole, final), atol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_every_weight_learns(name):
    cell, x = made(name)
    output, state = cell(x, None, torch.tensor(LENGTHS))
    loss = output.square().sum() + sum(one.sum() for one in pytree.tree_leaves(state) if one.is_floating_point())
    loss.backward()
    for parameter_name, parameter in cell.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", [cells.PeepholeLSTM, cells.LayerNormLSTM])
def test_gradients_are_the_differences(kind, reverse):
    torch.manual_seed(0)
    cell = kind(2, 3, reverse=reverse).double()
    names = [name for name, _ in cell.named_parameters()]
    weights = [parameter.detach().requires_grad_() for _, parameter in cell.named_parameters()]
    x, h, c = (torch.randn(*shape, dtype=torch.double).requires_grad_() for shape in ((2, 3, 2), (2, 3), (2, 3)))

    def run(x, h, c, *weights):
        output, (h, c) = functional_call(
            cell, dict(zip(names, weights, strict=True)), (x, (h, c), torch.tensor([3, 2]))
        )
        return output, h, c

    assert torch.autograd.gradcheck(run, (x, h, c, *weights))


# What a cell becomes where its specialty is taken away.


def copy_weights(cell, layer):
    """Give a cell the weights of torch's layer; its one bias is the sum of theirs."""
    with torch.no_grad():
        cell.weight_ih.copy_(layer.weight_ih_l0)
        cell.weight_hh.copy_(layer.weight_hh_l0)
        cell.bias.copy_(layer.bias_ih_l0 + layer.bias_hh_l0)


def assert_is_layer(cell, layer, state_shapes):
    x = torch.randn(BATCH, TIME, 5)
    states = [torch.randn(BATCH, size) for size in state_shapes]
    given = [one.unsqueeze(0) for one in states]
    with torch.no_grad():
        expected = layer(x, tuple(given) if len(given) > 1 else given[0])
        found = cell(x, tuple(states) if len(states) > 1 else states[0])
    assert_close(found[0], expected[0], atol=1e-6)
    assert_close(found[1], pytree.tree_map(lambda one: one[0], expected[1]), atol=1e-6)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_an_elman_network_is_torchs_rnn(nonlinearity):
    torch.manual_seed(0)
    cell = cells.Elman(5, 4, nonlinearity=nonlinearity)
    layer = nn.RNN(5, 4, nonlinearity=nonlinearity, batch_first=True)
    copy_weights(cell, layer)
    assert_is_layer(cell, layer, (4,))


def test_elmans_own_units_are_logistic():
    torch.manual_seed(0)
    cell, x = cells.Elman(5, 4, nonlinearity="sigmoid"), torch.randn(2, 1, 5)
    with torch.no_grad():
        expected = sigmoid((x[:, 0] @ cell.weight_ih.T + cell.bias).numpy())
        np.testing.assert_allclose(cell(x)[0][:, 0].numpy(), expected, rtol=0, atol=1e-6)


def test_without_peepholes_it_is_torchs_lstm():
    torch.manual_seed(0)
    cell, layer = cells.PeepholeLSTM(5, 4), nn.LSTM(5, 4, batch_first=True)
    copy_weights(cell, layer)
    nn.init.zeros_(cell.weight_ch)
    assert_is_layer(cell, layer, (4, 4))


# torch's own remark on its own layer.
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
def test_a_projected_lstm_is_torchs():
    torch.manual_seed(0)
    cell, layer = cells.ProjectedLSTM(5, 4, 2), nn.LSTM(5, 4, proj_size=2, batch_first=True)
    copy_weights(cell, layer)
    with torch.no_grad():
        cell.weight_hr.copy_(layer.weight_hr_l0)
    assert_is_layer(cell, layer, (2, 4))


def test_a_multiplicative_lstm_whose_factor_is_one_is_torchs_lstm():
    torch.manual_seed(0)
    cell, layer = cells.MultiplicativeLSTM(5, 4), nn.LSTM(5, 4, batch_first=True)
    copy_weights(cell, layer)
    x = torch.randn(BATCH, TIME, 5)
    x[:, :, 0] = 1
    with torch.no_grad():
        cell.weight_mx.copy_(torch.eye(5)[:1].expand(4, 5))  # the first feature, always one
        cell.weight_mh.copy_(torch.eye(4))
        assert_close(cell(x)[0], layer(x)[0], atol=1e-6)


def test_coupled_gates_are_an_lstm_whose_input_gate_is_what_is_not_forgotten():
    torch.manual_seed(0)
    cell, layer = cells.CoupledLSTM(5, 4), nn.LSTM(5, 4, batch_first=True)
    with torch.no_grad():
        for full, coupled_ones in (
            (layer.weight_ih_l0, cell.weight_ih),
            (layer.weight_hh_l0, cell.weight_hh),
            (layer.bias_ih_l0, cell.bias),
        ):
            f, g, o = coupled_ones.chunk(3)
            full.copy_(torch.cat((-f, f, g, o)))  # sigmoid(-a) is 1 - sigmoid(a)
        layer.bias_hh_l0.zero_()
    assert_is_layer(cell, layer, (4, 4))


def test_an_open_minimal_unit_and_a_clockwork_of_one_period_are_elmans():
    torch.manual_seed(0)
    elman_cell, unit, clock = cells.Elman(5, 4), cells.MinimalGatedUnit(5, 4), cells.Clockwork(5, 4, periods=(1,))
    x = torch.randn(BATCH, TIME, 5)
    with torch.no_grad():
        for target, source in (
            (unit.weight_ih, elman_cell.weight_ih),
            (unit.weight_hh, elman_cell.weight_hh),
            (unit.bias, elman_cell.bias),
        ):
            target[4:] = source
        unit.bias[:4] = 50
        clock.load_state_dict(elman_cell.state_dict())
        expected, _ = elman_cell(x)
        assert_close(unit(x)[0], expected, atol=1e-6)
        assert_close(clock(x)[0], expected, atol=1e-6)


def test_a_jordan_network_that_puts_out_its_hidden_layer_is_elmans():
    torch.manual_seed(0)
    cell, other, x = cells.Jordan(5, 4, 4), cells.Elman(5, 4), torch.randn(BATCH, TIME, 5)
    with torch.no_grad():
        cell.weight_ho.copy_(torch.eye(4))
        cell.bias_o.zero_()
        other.load_state_dict({"weight_ih": cell.weight_ih, "weight_hh": cell.weight_hs, "bias": cell.bias})
        assert_close(cell(x), other(x), atol=1e-6)


def test_a_convolutional_lstm_over_one_pixel_is_a_peephole_lstm():
    torch.manual_seed(0)
    cell, other = cells.ConvLSTM(5, 4, kernel_size=1, image_size=(1, 1)), cells.PeepholeLSTM(5, 4)
    x = torch.randn(BATCH, TIME, 5)
    with torch.no_grad():
        other.load_state_dict({name: one.flatten(2).squeeze(-1) if one.dim() > 2 else one
                               for name, one in cell.state_dict().items()})  # fmt: skip
        output, _ = cell(x[..., None, None])
        assert_close(output[..., 0, 0], other(x)[0], atol=1e-6)


def test_an_irnn_begins_as_the_identity():
    cell = cells.IRNN(5, 4)
    assert torch.equal(cell.weight_hh, torch.eye(4))
    assert torch.equal(cell.bias, torch.zeros(4))
    assert cell.weight_ih.abs().max() < 0.01
    assert torch.equal(cells.IRNN(5, 4, scale=0.01).weight_hh, 0.01 * torch.eye(4))
    h_0 = torch.rand(2, 4)
    output, h_n = cell(torch.zeros(2, 100, 5), h_0)
    assert torch.equal(h_n, h_0)  # nothing in, nothing forgotten
    assert torch.equal(output[:, 50], h_0)


@pytest.mark.parametrize("kind", [cells.LayerNormLSTM, cells.LayerNormGRU])
def test_a_normalised_cell_does_not_see_the_scale_of_its_weights(kind):
    torch.manual_seed(0)
    cell, x = kind(5, 4, gain=0.3, eps=1e-12).double(), torch.randn(2, 6, 5, dtype=torch.double)
    before, _ = cell(x)
    with torch.no_grad():
        cell.weight_ih.mul_(100)
        cell.weight_hh.mul_(10)
    after, _ = cell(x)
    assert_close(after, before, atol=1e-8)


def test_a_clockworks_slow_modules_stand_still():
    torch.manual_seed(0)
    cell = cells.Clockwork(5, 8, periods=(1, 2, 4, 8))
    output, (_, count) = cell(torch.randn(1, 9, 5))
    changes = (output[0, 1:] != output[0, :-1]).reshape(8, 4, 2).all(dim=2)
    assert changes.T.int().tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [0, 1, 0, 1, 0, 1, 0, 1],
        [0, 0, 0, 1, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]
    assert count.tolist() == [9]


# Wrappers.


def test_both_directions_of_a_ragged_batch_are_each_rows_own():
    torch.manual_seed(0)
    ahead, back = cells.Elman(5, 4), cells.MinimalGatedUnit(5, 3, reverse=True)
    both, x = cells.Bidirectional(ahead, back), torch.randn(BATCH, TIME, 5)
    with torch.no_grad():
        output, (ahead_n, back_n) = both(x, None, torch.tensor(LENGTHS))
        back.reverse = False
        for row, length in enumerate(LENGTHS):
            own = x[row : row + 1, :length]
            first, first_n = ahead(own)
            second, second_n = back(own.flip(1))
            expected = torch.cat((first, second.flip(1)), dim=2)
            assert_close(output[row : row + 1, :length], expected, atol=1e-6)
            assert not output[row, length:].any()
            assert_close((ahead_n[row], back_n[row]), (first_n[0], second_n[0]), atol=1e-6)


def test_bidirectional_peepholes_without_peepholes_are_torchs_bidirectional_lstm():
    torch.manual_seed(0)
    layer = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    both = cells.Bidirectional(cells.PeepholeLSTM(5, 4), cells.PeepholeLSTM(5, 4, reverse=True))
    x, h_0, c_0 = torch.randn(BATCH, TIME, 5), torch.randn(2, BATCH, 4), torch.randn(2, BATCH, 4)
    with torch.no_grad():
        for cell, end in ((both.forward_cell, ""), (both.backward_cell, "_reverse")):
            cell.weight_ih.copy_(getattr(layer, f"weight_ih_l0{end}"))
            cell.weight_hh.copy_(getattr(layer, f"weight_hh_l0{end}"))
            cell.bias.copy_(getattr(layer, f"bias_ih_l0{end}") + getattr(layer, f"bias_hh_l0{end}"))
            cell.weight_ch.zero_()
        expected, (h_n, c_n) = layer(x, (h_0, c_0))
        found, states = both(x, ((h_0[0], c_0[0]), (h_0[1], c_0[1])))
    assert_close(found, expected, atol=1e-6)
    assert_close(states, ((h_n[0], c_n[0]), (h_n[1], c_n[1])), atol=1e-6)


def test_a_stack_is_one_cell_upon_the_other():
    torch.manual_seed(0)
    low, high = cells.CoupledLSTM(5, 4), cells.Elman(4, 3)
    x, lengths = torch.randn(BATCH, TIME, 5), torch.tensor(LENGTHS)
    given = ((torch.randn(BATCH, 4), torch.randn(BATCH, 4)), torch.randn(BATCH, 3))
    middle, low_n = low(x, given[0], lengths)
    top, high_n = high(middle, given[1], lengths)
    assert_close(cells.Stack(low, high)(x, given, lengths), (top, (low_n, high_n)), atol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cells.Elman(5, 4, nonlinearity="step"), r"no nonlinearity 'step'; it has 'tanh', 'sigmoid', 'relu'"),
        (lambda: cells.Clockwork(5, 6), r"layer of 6 cannot be cut into 4 equal modules"),
        (lambda: cells.Clockwork(5, 4, periods=(2, 1)), r"periods of a clockwork are \(2, 1\)"),
        (lambda: cells.Clockwork(5, 4, periods=(0, 1)), r"periods of a clockwork are \(0, 1\)"),
        (lambda: cells.Clockwork(5, 4, periods=()), r"periods of a clockwork are \(\)"),
        (lambda: cells.ConvLSTM(5, 4, kernel_size=2), r"kernel of 2 does not keep height and width; take an odd one"),
        (cells.Stack, r"given no cells"),
        (
            lambda: cells.Bidirectional(cells.Elman(5, 4), cells.Elman(5, 4)),
            r"second cell of a Bidirectional \(Elman\) has reverse=False; make it with reverse=True",
        ),
        (
            lambda: cells.Bidirectional(cells.Elman(5, 4, reverse=True), cells.Elman(5, 4, reverse=True)),
            r"first cell of a Bidirectional \(Elman\) has reverse=True; make it with reverse=False",
        ),
    ],
)
def test_wrong_cells_are_refused(make, message):
    with pytest.raises(rnnx.errors.InputError, match=message):
        make()


@pytest.mark.parametrize("name", CELLS)
def test_an_input_without_a_batch_or_of_other_features_is_refused(name):
    cell, x = made(name)
    takes = f"takes (batch, time, {x.shape[2]}"
    for wrong in (x[0], x[..., None], x[:, :, 1:]):
        with pytest.raises(rnnx.errors.ShapeError, match=re.escape(takes)) as raised:
            cell(wrong)
        assert f"given an input {tuple(wrong.shape)}" in str(raised.value)


def test_states_that_are_not_one_a_cell_are_refused():
    stack = cells.Stack(cells.Elman(5, 4), cells.Elman(4, 3))
    with pytest.raises(rnnx.errors.InputError, match=r"2 cells were given 1 states\. Give one a cell"):
        stack(torch.zeros(1, 2, 5), (torch.zeros(1, 4),))
    both = cells.Bidirectional(cells.Elman(5, 4), cells.Elman(5, 4, reverse=True))
    with pytest.raises(rnnx.errors.InputError, match=r"2 cells were given 3 states"):
        both(torch.zeros(1, 2, 5), [torch.zeros(1, 4)] * 3)


def test_the_package_is_light_and_names_what_it_has():
    code = "import sys, rnnx.models.cells\nassert not {'torch', 'onnx', 'onnx_ir'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert [getattr(cells, name).__name__ for name in cells.__all__] == cells.__all__
    with pytest.raises(AttributeError, match="has no attribute 'Hopfield'"):
        _ = cells.Hopfield


# Exports. Each export holds the graph against the cell over the whole parity matrix before it writes anything.


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_cell_exports_to_scans(name, tmp_path):
    case = CASES[name]
    exported = export_case(case, tmp_path / "case.rnnx")
    (variant,) = (one for one in exported.bundle.manifest.variants if one.mode == "offline")
    recurrent = {kind: n for kind, n in variant.operators.items() if kind in {"Scan", "Loop", "LSTM", "GRU", "RNN"}}
    assert recurrent == dict(case.recurrent)
    assert exported.parity.passed
    assert not exported.parity.undefined
    assert max(row.max_abs_diff for row in exported.parity.rows) < ATOL
    graph = onnx.load(exported.bundle.path / variant.file).graph
    (x,) = (one for one in graph.input if one.name in {"x", "input"})
    assert [dim.dim_param for dim in x.type.tensor_type.shape.dim[:2]] == ["batch", "time"]
    assert Counter(node.op_type for node in graph.node)["Scan"] == case.recurrent["Scan"]  # none inside another


@pytest.mark.parametrize("name", ["PeepholeLSTM lengths, state", "Clockwork lengths, state"])
def test_a_bundle_answers_as_the_cell_at_a_size_that_no_matrix_has(name, tmp_path):
    case = CASES[name]
    export_case(case, tmp_path / "case.rnnx")
    cell = seeded(case)
    x, lengths = torch.randn(4, 19, 6), torch.tensor([19, 1, 8, 13])
    state = some_state(cell, x)
    with torch.no_grad():
        expected = pytree.tree_leaves(cell(x, state, lengths))
    names = [declared.split()[0] for declared in case.states]
    with rnnx.load(tmp_path / "case.rnnx", provider="cpu") as session:
        found = session.run(
            {"x": x.numpy(), "lengths": lengths.numpy()}
            | {one: tensor.numpy() for one, tensor in zip(names, state, strict=True)}
        )
        outputs = [spec.name for spec in session.signature.outputs]
    for output, reference in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found[output], reference.numpy(), rtol=0, atol=1e-6)
