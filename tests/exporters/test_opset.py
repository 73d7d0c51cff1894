"""Operator sets from 17 to the newest, and weights outside of the graph's file."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

import rnnx
from rnnx.benchmarks.layer_cases import layer_cases, seeded
from rnnx.exporters.passes.opset import newest_opset

CASES = {case.name: case for case in layer_cases()}


def export(name, out, **options):
    case = CASES[name]
    return rnnx.exporters.export(
        seeded(case), inputs=case.inputs, lengths=case.lengths, states=case.states, out=out, **options
    ).bundle


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LSTM packed", "LSTM proj_size packed", "strided convolution", "LSTMCell"])
@pytest.mark.parametrize("opset", range(17, newest_opset() + 1))
def test_every_opset_is_written_and_proven(name, opset, tmp_path):
    bundle = export(name, tmp_path / "case.rnnx", opset=opset)
    model = onnx.load(bundle.path / bundle.manifest.variants[0].file)
    assert {one.domain: one.version for one in model.opset_import} == {"": opset}
    assert bundle.manifest.variants[0].opset == opset


@pytest.mark.parametrize("opset", [16, newest_opset() + 1])
def test_other_opsets_are_refused(opset, tmp_path):
    with pytest.raises(rnnx.errors.SignatureError, match=f"opset {opset} cannot be written; allowed are 17 to"):
        export("LSTM layers=1", tmp_path / "case.rnnx", opset=opset)


def test_without_simplification_the_answers_are_the_same(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 9, 6)).astype(np.float32)
    answers = {}
    for simplify in (True, False):
        bundle = export("GRU layers=1", tmp_path / f"{simplify}.rnnx", simplify=simplify)
        with rnnx.load(bundle.path, provider="cpu") as session:
            answers[simplify] = session.run({"x": x})["output"]
        assert any("onnxsim was switched off" in note for note in bundle.manifest.notes) is not simplify
    np.testing.assert_allclose(answers[True], answers[False], rtol=0, atol=1e-7)


def test_large_weights_go_to_a_hashed_file_of_their_own(tmp_path):
    module = torch.nn.LSTM(6, 32).eval()
    out = tmp_path / "large.rnnx"
    bundle = rnnx.exporters.export(
        module, inputs=["input: float32[time, batch, 6]"], out=out, external_data_bytes=1000
    ).bundle
    variant = bundle.manifest.variants[0]
    (data,) = variant.data_files
    assert (out / data).stat().st_size > 4 * 4 * 32 * 32
    assert (out / variant.file).stat().st_size < 4000
    assert set(bundle.manifest.files) >= {variant.file, data}
    x = torch.randn(5, 2, 6)
    with rnnx.load(out, provider="cpu") as session, torch.no_grad():
        found = session.run({"input": x.numpy()})["output"]
        np.testing.assert_allclose(found, module(x)[0].numpy(), rtol=0, atol=1e-6)
    with (out / data).open("r+b") as stream:
        stream.seek(100)
        stream.write(b"\xff")
    with pytest.raises(rnnx.errors.AlteredFileError, match=data):
        rnnx.load(out)
