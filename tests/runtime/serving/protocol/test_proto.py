"""The interface of the gRPC service: equal to what its clients speak, and generated from the text beside it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from rnnx.runtime.serving.protocol import proto
from rnnx.runtime.serving.protocol.proto import generate, inference_pb2, inference_pb2_grpc
from rnnx.runtime.serving.protocol.proto.pool import POOL

FOLDER = Path(proto.__file__).parent
#: What tritonclient 2.73 speaks, of the messages, fields and methods that are ours, too.
INTERFACE = json.loads((Path(__file__).parent / "interface.json").read_text(encoding="utf-8"))
TYPES = {number: name[5:].lower() for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()}


def interface() -> dict:
    """The same facts of our descriptors."""
    found: dict = {"messages": {}, "enums": {}, "services": {}}

    def visit(message):
        found["messages"][message.full_name] = {
            one.name: [
                one.number,
                one.type,
                (one.message_type or one.enum_type).full_name if one.message_type or one.enum_type else "",
                int(one.is_repeated),
                one.containing_oneof.name if one.containing_oneof else "",
            ]
            for one in message.fields
        }
        for enum in message.enum_types:
            found["enums"][enum.full_name] = {one.name: one.number for one in enum.values}
        for inner in message.nested_types:
            visit(inner)

    file = inference_pb2.DESCRIPTOR
    for message in file.message_types_by_name.values():
        visit(message)
    for enum in file.enum_types_by_name.values():
        found["enums"][enum.full_name] = {one.name: one.number for one in enum.values}
    for service in file.services_by_name.values():
        found["services"][service.full_name] = {
            one.name: [one.input_type.full_name, one.output_type.full_name, one.client_streaming, one.server_streaming]
            for one in service.methods
        }
    return found


@pytest.mark.parametrize("kind", ["messages", "enums", "services"])
def test_names_numbers_and_types_are_the_protocols(kind):
    assert interface()[kind] == INTERFACE[kind]


def declared() -> dict[str, dict[str, tuple[int, str]]]:
    """The fields of each message in the text: name to number and type. A reader for the little that our text uses."""
    text = re.sub(r"//.*", "", (FOLDER / "inference.proto").read_text(encoding="utf-8"))
    text = re.sub(r"service \w+ \{.*?\n\}", "", text, flags=re.DOTALL)
    found: dict[str, dict[str, tuple[int, str]]] = {}
    scopes: list[tuple[str, str]] = []
    token = re.compile(r"(message|enum|oneof) (\w+) \{|([\w<>, .]+?) (\w+) = (\d+);|(\w+) = (\d+);|(\})")
    for match in token.finditer(text):
        opened, name, kind, field, number, _, _, closed = match.groups()
        if opened:
            scopes.append((opened, name))
            if opened == "message":
                found[".".join(one for what, one in scopes if what == "message")] = {}
        elif closed:
            scopes.pop()
        elif field and scopes[-1][0] != "enum":
            found[".".join(one for what, one in scopes if what == "message")][field] = (int(number), kind.strip())
    return found


def generated() -> dict[str, dict[str, tuple[int, str]]]:
    found = {}

    def kind_of(field) -> str:
        inner = field.message_type or field.enum_type
        if field.message_type and field.message_type.GetOptions().map_entry:
            key, value = (field.message_type.fields_by_name[one] for one in ("key", "value"))
            return f"map<{kind_of(key)}, {kind_of(value)}>"
        name = inner.name if inner else TYPES[field.type]
        return f"repeated {name}" if field.is_repeated else name

    def visit(message):
        path = message.full_name.removeprefix("inference.")
        found[path] = {one.name: (one.number, kind_of(one)) for one in message.fields}
        for inner in message.nested_types:
            if not inner.GetOptions().map_entry:
                visit(inner)

    for message in inference_pb2.DESCRIPTOR.message_types_by_name.values():
        visit(message)
    return found


def test_the_generated_code_is_of_the_text():
    assert len(declared()) == len(re.findall(r"^\s*message ", (FOLDER / "inference.proto").read_text(), re.MULTILINE))
    assert declared() == generated()


@pytest.mark.skipif(util.find_spec("grpc_tools") is None, reason="grpcio-tools is not installed")
def test_the_generated_code_is_what_protoc_makes_of_the_text(tmp_path):
    out = tmp_path / "out.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{FOLDER}", f"--descriptor_set_out={out}", generate.PROTO]
    subprocess.run(command, check=True)
    (made,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    ours = descriptor_pb2.FileDescriptorProto()
    inference_pb2.DESCRIPTOR.CopyToProto(ours)
    waiting = list(made.message_type)
    while waiting:
        one = waiting.pop()
        waiting += one.nested_type
        for field in one.field:
            field.ClearField("json_name")  # protoc writes what everybody derives
    assert ours == made


def test_the_generated_code_runs_with_the_oldest_protobuf_that_is_allowed():
    text = (FOLDER / "inference_pb2.py").read_text(encoding="utf-8")
    major, minor = map(int, re.search(r"Protobuf Python Version: (\d+)\.(\d+)\.", text).groups())
    assert (major, minor) <= generate.NEWEST
    # A runtime takes code of its own major version and of the one before; 8 is not allowed.
    assert major + 1 >= 7


def test_generating_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"pip install 'grpcio-tools==1\.78"):
        generate.generate(tmp_path)


@pytest.mark.skipif(util.find_spec("grpc_tools") is None, reason="grpcio-tools is not installed")
def test_generating_makes_what_stands_here_or_refuses_newer_tools(tmp_path):
    version = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "--version"], capture_output=True, text=True, check=True
    ).stdout
    if int(re.search(r"(\d+)\.", version)[1]) > generate.NEWEST[1]:
        with pytest.raises(RuntimeError, match=r"Take grpcio-tools 1\.78"):
            generate.generate(tmp_path)
    else:
        for name, text in generate.generate(tmp_path).items():
            assert text == (FOLDER / name).read_text(encoding="utf-8")


def test_another_librarys_messages_of_the_same_names_may_live_beside_ours():
    file = descriptor_pb2.FileDescriptorProto(name="grpc_service.proto", package="inference", syntax="proto3")
    file.message_type.add(name="ModelInferRequest").field.add(name="other", number=1, type=9, label=1)
    with pytest.raises(TypeError, match=r"(?i)duplicate|conflict"):
        POOL.AddSerializedFile(file.SerializeToString())
    theirs = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    assert "other" in theirs.message_types_by_name["ModelInferRequest"].fields_by_name
    assert "other" not in inference_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name


def test_the_service_has_its_methods():
    assert set(INTERFACE["services"]["inference.GRPCInferenceService"]) <= set(
        vars(inference_pb2_grpc.GRPCInferenceServiceServicer)
    )


def test_messages_know_their_module():
    assert inference_pb2.ModelInferRequest.__module__ == inference_pb2.__name__
