"""The recurrent operators run as torch's own layers, and stand in for them only while a model is captured."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import rnn as torch_rnn

from rnnx.exporters.observed import Observed
from rnnx.exporters.standins import capturing


def run_of(module):
    return Observed(module_names={id(one): name for name, one in module.named_modules()})


@pytest.fixture
def x():
    return torch.randn(7, 3, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_real_kernel_is_torchs_layer(make, bidirectional, x):
    module = make(6, 8, 2, bidirectional=bidirectional).eval()
    lengths = torch.tensor([2, 7, 4])
    with torch.no_grad():
        plain, state = module(x)
        packed = torch_rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        ragged, ragged_state = module(packed)
        ragged, _ = torch_rnn.pad_packed_sequence(ragged, total_length=7)
        with capturing(run_of(module)):
            ours, our_state = module(x)
            our_packed, our_ragged_state = module(torch_rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))
            our_ragged, _ = torch_rnn.pad_packed_sequence(our_packed, total_length=7)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-6)
    torch.testing.assert_close(our_ragged, ragged, rtol=0, atol=1e-6)
    for mine, theirs in ((our_state, state), (our_ragged_state, ragged_state)):
        for one, other in zip(
            torch.utils._pytree.tree_leaves(mine), torch.utils._pytree.tree_leaves(theirs), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_the_operators_pass_torchs_own_check(x):
    lstm = nn.LSTM(6, 8, proj_size=3)
    weights = [weight.detach() for weight in lstm._flat_weights]
    arguments = (x, torch.tensor([2, 7, 4]), None, None, weights, 8, 1, True, "lstm.l0")
    torch.library.opcheck(torch.ops.rnnx.lstm.default, arguments, test_utils=("test_schema", "test_faketensor"))


def test_everything_is_as_before_afterwards():
    code = torch_rnn.pack_padded_sequence.__code__, torch_rnn.pad_packed_sequence.__code__
    forwards = nn.LSTM.forward, nn.GRU.forward, nn.RNN.forward, nn.LSTMCell.forward
    module = nn.LSTM(6, 8)
    during = []

    def fail():
        with capturing(run_of(module)):
            during.append(nn.LSTM.forward)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert during[0] is not forwards[0]
    assert code == (torch_rnn.pack_padded_sequence.__code__, torch_rnn.pad_packed_sequence.__code__)
    assert forwards == (nn.LSTM.forward, nn.GRU.forward, nn.RNN.forward, nn.LSTMCell.forward)


def test_another_thread_keeps_torchs_own_answers(x):
    module = nn.GRU(6, 8).eval()
    results = {}

    def elsewhere():
        packed = torch_rnn.pack_padded_sequence(x, torch.tensor([2, 7, 4]), enforce_sorted=False)
        results["data"] = packed.data
        results["output"] = module(packed)[0].data

    with capturing(run_of(module)):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        here = torch_rnn.pack_padded_sequence(x, torch.tensor([2, 7, 4]), enforce_sorted=False)
    assert results["data"].shape == (13, 6)  # packed: as many rows as frames
    assert here.data.shape == (7, 3, 6)  # captured: padded
    expected = module(torch_rnn.pack_padded_sequence(x, torch.tensor([2, 7, 4]), enforce_sorted=False))[0].data
    torch.testing.assert_close(results["output"], expected, rtol=0, atol=0)


def test_a_subclass_that_calls_super_is_captured(tmp_path):
    import rnnx

    class Scaled(nn.LSTM):
        def forward(self, input, hx=None):  # noqa: A002
            y, state = super().forward(input * 2, hx)
            return y, state

    exported = rnnx.exporters.export(Scaled(6, 8), inputs=["input: float32[time, batch, 6]"], out=tmp_path / "s.rnnx")
    assert exported.bundle.manifest.variants[0].operators["LSTM"] == 1
