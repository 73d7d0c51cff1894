"""``rnnx quantize``: its options, its table, and what it says where it is used wrongly."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from rnnx.cli.main import main
from rnnx.exporters import export


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("gru") / "gru.rnnx"
    export(nn.GRU(24, 32, batch_first=True), inputs={"input": "float32[batch, time, 24]"}, out=out)
    return out


def run(*arguments):
    return CliRunner().invoke(main, ["quantize", *map(str, arguments)])


def test_the_table_names_nodes_costs_sizes_and_the_budget(bundle, tmp_path):
    result = run(bundle, "-o", tmp_path / "q.rnnx")
    assert result.exit_code == 0, result.output
    assert "GRU" in result.output
    assert "within at least 30.0 dB" in result.output
    assert "measured on the bundle's golden vectors" in result.output
    assert "int8-offline" in result.output
    # The log is there to go on from, beside the bundle.
    assert sorted(one.name for one in tmp_path.iterdir()) == ["q.int8-search.json", "q.rnnx"]
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "q.rnnx")]).output
    assert re.search(r"int8-offline: [\d.]+ dB of at least 30, on the bundle's golden vectors; 1 nodes\n", shown)
    again = run(bundle, "-o", tmp_path / "q.rnnx")
    assert again.exit_code == 1
    assert "exists already. Choose another name, or replace it with --force." in again.output
    assert "0 measurements" in run(bundle, "-o", tmp_path / "q.rnnx", "--force").output


def test_json_is_the_same_result(bundle, tmp_path):
    result = run(bundle, "-o", tmp_path / "q.rnnx", "--budget-drift", "0.3", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["budget"] == {"kind": "drift", "limit": 0.3}
    assert 0 < found["loss"] <= 0.3
    assert [one["precision"] for one in found["nodes"]] == ["int8"]
    assert found["size_bytes"]["int8-offline"] < 0.6 * found["size_bytes"]["fp32-offline"]


def test_a_metric_from_a_file(bundle, tmp_path):
    (tmp_path / "evaluate.py").write_text(
        "def score(session):\n    return 0.75 if session.variant.precision == 'int8' else 0.8\n"
    )
    metric = f"accuracy={tmp_path / 'evaluate.py'}:score"
    made = run(bundle, "-o", tmp_path / "q.rnnx", "--budget", "6%", "--metric", metric)
    assert made.exit_code == 0, made.output
    assert "lost on the whole: 0.05 accuracy lost, allowed is at most 0.06 accuracy lost" in made.output
    refused = run(bundle, "-o", tmp_path / "r.rnnx", "--budget", "0.5%", "--metric", metric)
    assert refused.exit_code == 1
    assert "with it the model comes to 0.05 accuracy lost" in refused.output
    assert not (tmp_path / "r.rnnx").exists()


def test_fp16_beside_int8_and_its_own_log(bundle, tmp_path):
    assert run(bundle, "-o", tmp_path / "q.rnnx").exit_code == 0
    made = run(tmp_path / "q.rnnx", "--precision", "fp16", "--fp16-interface")
    assert made.exit_code == 0, made.output
    assert re.search(r"l0 +GRU +5,376 +fp16 +- +within at least 30\.0 dB", made.output)
    assert "int8-offline" in made.output
    assert "fp16-streaming" in made.output
    assert (tmp_path / "q.fp16-search.json").is_file()
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "q.rnnx")]).output
    assert re.search(r"input: float16\[batch, time, 24\]|input +input: float16", shown)
    assert CliRunner().invoke(main, ["verify", str(tmp_path / "q.rnnx"), "--provider", "cpu"]).exit_code == 0
    again = run(tmp_path / "q.rnnx", "--precision", "fp16")
    assert again.exit_code == 1
    assert "has fp16 variants already. Replace them with --force" in again.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--budget", "0.5%"], 2, "--budget together with --metric"),
        (["--budget-sqnr", "30", "--budget-drift", "0.1"], 2, "give one of"),
        (["--budget", "1%", "--metric", "accuracy=nosuch.py:score"], 1, "'nosuch.py' does not exist"),
        (["--precision", "int4"], 1, "precision 'int4' cannot be made here; allowed are int8, fp16"),
        (["--budget-sqnr", "200"], 1, "no node of"),
        (["--precision", "fp16", "--budget-sqnr", "200"], 1, "can be fp16 within the budget of at least 200.0 dB"),
        (["--fp16-interface"], 1, "a float16 interface belongs to precision 'fp16'"),
    ],
)
def test_wrong_use(arguments, code, message, bundle, tmp_path):
    result = run(bundle, "-o", tmp_path / "q.rnnx", *arguments)
    assert result.exit_code == code, result.output
    assert message in result.output


def test_data_of_the_wrong_shape(bundle, tmp_path):
    np.savez(tmp_path / "data.npz", input=np.zeros((1, 5, 25), np.float32))
    result = run(bundle, "-o", tmp_path / "q.rnnx", "--data", tmp_path / "data.npz")
    assert result.exit_code == 1
    assert "data.npz does not fit the model: axis 2 of input 'input' is 25" in result.output
