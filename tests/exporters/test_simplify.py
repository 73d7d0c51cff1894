"""What onnxsim is given, and what comes back."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import rnnx
from rnnx.exporters import export
from rnnx.exporters.passes.simplify import SimplifyPass


class Continues(nn.Module):
    """An encoder of which only the state is read, and a decoder that begins with it and is of no given lengths."""

    def __init__(self, cell):
        super().__init__()
        self.encoder = cell(3, 4, batch_first=True)
        self.decoder = cell(2, 4, batch_first=True)

    def forward(self, past, ahead):
        _, state = self.encoder(past)
        hidden, _ = self.decoder(ahead, state)
        return hidden


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM, nn.RNN])
def test_an_output_that_nobody_reads_does_not_become_an_input_that_was_left_out(cell, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Continues(cell).eval()
    inputs = ("past: float32[batch, time, 3]", "ahead: float32[batch, horizon, 2]")
    export(module, inputs=inputs, outputs=("hidden",), streaming="off", out=tmp_path / "c.rnnx")
    generator = np.random.default_rng(0)
    feed = {
        "past": generator.standard_normal((2, 5, 3), dtype=np.float32),
        "ahead": generator.standard_normal((2, 7, 2), dtype=np.float32),
    }
    with torch.no_grad():
        expected = module(*map(torch.from_numpy, feed.values())).numpy()
    with rnnx.load(tmp_path / "c.rnnx", provider="cpu", threads=1) as session:
        np.testing.assert_allclose(session.run(feed)["hidden"], expected, rtol=0, atol=1e-6)
    graph = ir.load(tmp_path / "c.rnnx" / "fp32-offline.onnx").graph
    unread = [value.name for node in graph for value in node.outputs if not value.uses()]
    assert set(unread) == {"", "hidden"}  # as before: nobody is made to compute what nobody reads


def test_names_for_what_nobody_reads_do_not_stay_in_the_model_that_was_given():
    x = ir.Value(name="x", shape=ir.Shape(["t", 1, 3]), type=ir.TensorType(ir.DataType.FLOAT))
    weights = [
        ir.Value(name=name, const_value=ir.tensor(np.zeros(shape, np.float32), name=name))
        for name, shape in (("w", (1, 12, 3)), ("r", (1, 12, 4)))
    ]
    node = ir.Node("", "GRU", [x, *weights], [ir.AttrInt64("hidden_size", 4)], num_outputs=2, name="gru")
    node.outputs[0].name, node.outputs[1].name = "", "h"
    node.outputs[1].shape, node.outputs[1].type = ir.Shape([1, 1, 4]), ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph([x], [node.outputs[1]], nodes=[node], initializers=weights, opset_imports={"": 20}, name="g")
    model = ir.Model(graph, ir_version=10)
    after = SimplifyPass()(model).model
    assert [[value.name for value in one.outputs] for one in graph] == [["", "h"]]
    assert [[value.name for value in one.outputs] for one in after.graph] == [["", "h"]]
