"""What NVIDIA's own client makes of the configurations: it parses them, with its own protobuf in its own environment.

The environment's python is named by ``RNNX_TRITONCLIENT_PYTHON``, or made by the slow test from PyPI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnx.runtime.deploy.text_format import Message, parse
from rnnx.runtime.deploy.triton import write_repository
from rnnx.runtime.deploy.triton_fields import DATA_TYPES, FIELDS

VARIABLE = "RNNX_TRITONCLIENT_PYTHON"
#: Prints each configuration as JSON, then the fields of every message and the data types.
READ = """
import json, sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as pb
parsed = {}
for path in sys.argv[1:]:
    message = text_format.Parse(open(path).read(), pb.ModelConfig())
    parsed[path] = json_format.MessageToDict(message, preserving_proto_field_name=True)
def walk(kind):
    yield kind
    for inner in kind.nested_types:
        yield from walk(inner)
kinds = {one.full_name: [field.name for field in one.fields]
         for top in pb.DESCRIPTOR.message_types_by_name.values() for one in walk(top)}
print(json.dumps([parsed, kinds, pb.DataType.keys()]))
"""
#: Which of its messages is each of ours.
KINDS = {
    "StrategyDirect": "ModelSequenceBatching.StrategyDirect",
    "StrategyOldest": "ModelSequenceBatching.StrategyOldest",
    "ControlInput": "ModelSequenceBatching.ControlInput",
    "Control": "ModelSequenceBatching.Control",
    "State": "ModelSequenceBatching.State",
    "InitialState": "ModelSequenceBatching.InitialState",
    "WarmupEntry": "ModelWarmup.InputsEntry",
    "WarmupInput": "ModelWarmup.Input",
}


def plain(message):
    """A message of ours as protobuf's JSON has it, names and nesting; values as text."""
    out = {}
    for name, value in message.fields:
        out.setdefault(name, []).append(plain(value) if isinstance(value, Message) else str(value).lower())
    return out


def flat(value):
    """What protobuf gives, in the form of `plain`; its maps are lists of entries."""
    if isinstance(value, dict):
        out = {}
        for key, inner in value.items():
            if key in {"parameters", "inputs"} and isinstance(inner, dict):
                out[key] = [{"key": [name.lower()], "value": [flat(one)]} for name, one in inner.items()]
            else:
                out[key] = [flat(one) for one in inner] if isinstance(inner, list) else [flat(inner)]
        return out
    return str(value).lower()


def same(ours, theirs):
    """Whether two such mappings are equal, up to the order of entries and to zeros, which protobuf leaves out."""
    ours = {key: value for key, value in ours.items() if value not in (["0"], ["control_sequence_start"])}
    if ours.keys() != theirs.keys():
        return False
    for key, mine in ours.items():
        left = list(theirs[key])
        for one in mine:
            found = [at for at, two in enumerate(left) if (same(one, two) if isinstance(one, dict) else one == two)]
            if not found:
                return False
            left.pop(found[0])
        if left:
            return False
    return True


def check(python, make_bundle, tmp_path):
    write_repository(make_bundle(learned=True), tmp_path / "r")
    write_repository(make_bundle(name="more", names=("h", "c")), tmp_path / "s", max_batch_size=0, gpu=True)
    paths = sorted(map(str, tmp_path.glob("*/*/config.pbtxt")))
    assert len(paths) == 4
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [python, "-c", READ, *paths], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    parsed, kinds, data_types = json.loads(done.stdout)
    for path in paths:
        assert same(plain(parse(Path(path).read_text(encoding="utf-8"))), flat(parsed[path])), path
    assert set(data_types) == {"TYPE_INVALID", *DATA_TYPES}
    for ours, fields in FIELDS.items():
        assert set(fields) == set(kinds[f"inference.{KINDS.get(ours, ours)}"]), ours
    broken = tmp_path / "broken.pbtxt"
    broken.write_text('name: "a" sequence_batching { states { } }')
    done = subprocess.run(
        [python, "-c", READ, broken], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert "states" in done.stderr


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no python that has tritonclient")
def test_the_clients_protobuf_reads_what_we_write(make_bundle, tmp_path):
    check(os.environ[VARIABLE], make_bundle, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(VARIABLE in os.environ, reason="the environment is there already")
def test_the_clients_protobuf_from_pypi_reads_what_we_write(make_bundle, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    # It pins protobuf below 7 and ml-dtypes, so it gets no constraints of ours.
    install = [python, "-m", "pip", "install", "--quiet", "tritonclient[grpc]>=2.50"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(python, make_bundle, tmp_path)
