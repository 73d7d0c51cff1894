"""Each way in which a repository can be broken, made on purpose and found."""

from __future__ import annotations

import shutil

import pytest

from rnnx.errors import DeployError
from rnnx.runtime.deploy.triton import write_repository
from rnnx.runtime.deploy.triton_check import validate


@pytest.fixture(scope="module")
def whole(make_bundle, tmp_path_factory):
    """A repository without faults; its streaming model has names that sort well."""
    out = tmp_path_factory.mktemp("check") / "repository"
    return write_repository(make_bundle(names=("h", "c"), learned=True), out).path


@pytest.fixture
def broken(whole, tmp_path):
    """A copy to break: ``broken(model, old, new)`` edits its configuration and gives what is found."""

    def edit(model, old="", new="", *, change=None):
        folder = tmp_path / "repository"
        shutil.copytree(whole, folder)
        config = folder / model / "config.pbtxt"
        text = config.read_text()
        assert old in text
        config.write_text(text.replace(old, new, 1))
        if change is not None:
            change(folder / model)
        found = validate(folder)
        assert {one.model for one in found} <= {model}
        return [one.problem for one in found]

    return edit


def test_the_whole_one_has_no_fault(whole):
    assert validate(whole) == []


STREAM, OFFLINE = "small.streaming", "small"
H = '    input_name: "h"\n    output_name: "h_next"'
C = '    input_name: "c"\n    output_name: "c_next"'
START_C = '      name: "start of c"\n      data_type: TYPE_FP32\n      dims: [ 2 ]\n      zero_data: true'

OLDEST = "  oldest {"


def control(name, inner):
    return f"  control_input {{ name: '{name}' control {{ {inner} }} }}\n{OLDEST}"


#: Model, what to replace in its configuration and with what, and what must be found.
FAULTS = {
    "swapped outputs": (STREAM, H, H.replace("h_next", "c_next"), "'c_next' is named more than once"),
    "the initial value's name": (STREAM, '      name: "start of c"\n', "", "'initial_state' of 'c' has no 'name'"),
    "no zeros": (STREAM, "      zero_data: true\n", "", "needs either 'zero_data: true' or a 'data_file'"),
    "zeros that are not": (STREAM, "zero_data: true", "zero_data: false", "has 'zero_data: false'"),
    "no initial state": (
        STREAM,
        "    initial_state {\n" + START_C + "\n    }\n",
        "",
        "state 'c' has no 'initial_state': without one its first step reads whatever is in memory",
    ),
    "two initial states": (
        STREAM,
        "    initial_state {\n" + START_C,
        "    initial_state { name: 'a' data_type: TYPE_FP32 dims: 2 zero_data: true }\n    initial_state {\n" + START_C,
        "state 'c' has 2 times 'initial_state'",
    ),
    "dims of the state": (
        STREAM,
        f"{C}\n    data_type: TYPE_FP32\n    dims: [ 2 ]",
        f"{C}\n data_type: TYPE_FP32\n dims: 3",
        "state input 'c' has dims [3], the graph [2], the batch left out",
    ),
    "rank of the state": (
        STREAM,
        f"{C}\n    data_type: TYPE_FP32\n    dims: [ 2 ]",
        f"{C}\n data_type: TYPE_FP32\n dims: [ 1, 2 ]",
        "state output 'c_next' has dims [1, 2], the graph [2]",
    ),
    "no dims of the state": (
        STREAM,
        f"{C}\n    data_type: TYPE_FP32\n    dims: [ 2 ]",
        f"{C}\n data_type: TYPE_FP32",
        "state 'c' has no 'dims': Triton keeps no bytes for it",
    ),
    "type of the state": (
        STREAM,
        f"{C}\n    data_type: TYPE_FP32",
        f"{C}\n    data_type: TYPE_INT64",
        "state input 'c' is TYPE_INT64, in the graph TYPE_FP32",
    ),
    "unknown type": (
        STREAM,
        f"{C}\n    data_type: TYPE_FP32",
        f"{C}\n    data_type: TYPE_FLOAT",
        "'sequence_batching.state.data_type' is 'TYPE_FLOAT'; the data types are TYPE_BOOL",
    ),
    "dims of the initial value": (
        STREAM,
        START_C,
        START_C.replace("[ 2 ]", "[ 4 ]"),
        "'initial_state' of 'c' has the dims [4]",
    ),
    "dynamic initial value": (
        STREAM,
        START_C,
        START_C.replace("[ 2 ]", "[ -1 ]"),
        "an initial value must have fixed ones",
    ),
    "type of the initial value": (
        STREAM,
        START_C,
        START_C.replace("FP32", "INT32"),
        "'initial_state' of 'c' is TYPE_INT32",
    ),
    "state that is not there": (STREAM, '"c_next"', '"d_next"', "state output 'd_next' is not in the graph"),
    "state that is an input": (
        STREAM,
        "sequence_batching {",
        "input { name: 'c' data_type: TYPE_FP32 dims: 2 }\nsequence_batching {",
        "'c' is named more than once among inputs, controls and states",
    ),
    "control without an input": (
        STREAM,
        OLDEST,
        control("START", "int32_false_true: [ 0, 1 ]"),
        "control 'START' is not an input of the graph",
    ),
    "control of another kind": (STREAM, OLDEST, control("x", "kind: CONTROL_X"), "is of the kind 'CONTROL_X'"),
    "control without values": (
        STREAM,
        OLDEST,
        control("x", "kind: CONTROL_SEQUENCE_END"),
        "control 'x' needs exactly one of int32_false_true",
    ),
    "control of another type": (
        STREAM,
        OLDEST,
        control("x", "int32_false_true: [ 0, 1 ]"),
        "control 'x' is TYPE_INT32, in the graph TYPE_FP32",
    ),
    "control of another shape": (
        STREAM,
        OLDEST,
        control("x", "fp32_false_true: [ 0, 1 ]"),
        "control 'x' has the shape ['batch', 'time', 2] in the graph; Triton gives (batch, 1)",
    ),
    "both strategies": (STREAM, "  oldest {", "  direct { }\n  oldest {", "both 'direct' and 'oldest'"),
    "no candidates": (STREAM, "max_candidate_sequences: 1024", "", "needs a 'max_candidate_sequences' of 1 or more"),
    "both schedulers": (STREAM, "sequence_batching {", "dynamic_batching { }\nsequence_batching {", "by one of them"),
    "misspelt field": (STREAM, "input_name", "inputname", "field 'sequence_batching.state.inputname' is not known"),
    "a number for a message": (
        STREAM,
        "  oldest {\n    max_candidate_sequences: 1024\n  }",
        "  oldest: 4",
        "must be a message",
    ),
    "text that is none": (STREAM, "sequence_batching {", "sequence_batching ", "cannot be read: line"),
    "ragged batches": (
        OFFLINE,
        '  name: "x"\n',
        '  name: "x"\n  allow_ragged_batch: true\n',
        "would be laid end to end",
    ),
    "dims of an input": (
        OFFLINE,
        "dims: [ -1, 2 ]",
        "dims: [ -1, 3 ]",
        "input 'x' has dims [-1, 3], the graph [-1, 2]",
    ),
    "batch within dims": (
        OFFLINE,
        "dims: [ -1, 2 ]",
        "dims: [ -1, -1, 2 ]",
        "input 'x' has dims [-1, -1, 2], the graph [-1, 2]",
    ),
    "dynamic where it is fixed": (OFFLINE, "dims: [ -1, 2 ]", "dims: [ -1, -1 ]", "input 'x' has dims [-1, -1]"),
    "no dims": (OFFLINE, "  dims: [ -1, 2 ]\n", "", "input 'x' has no 'dims'"),
    "type of an input": (OFFLINE, "TYPE_FP32", "TYPE_FP16", "input 'x' is TYPE_FP16, in the graph TYPE_FP32"),
    "lengths without reshape": (OFFLINE, "  reshape {\n  }\n", "", "input 'lengths' has dims [1], the graph []"),
    "input that is not there": (
        OFFLINE,
        'name: "x"',
        'name: "z"',
        "input 'z' is not in the graph, which has 'lengths', 'x'",
    ),
    "input that is left out": (
        OFFLINE,
        'name: "x"',
        'name: "z"',
        "the graph needs 'x', which the configuration has not as an input",
    ),
    "output that is not there": (OFFLINE, 'name: "y"', 'name: "w"', "output 'w' is not in the graph"),
    "another name": (OFFLINE, 'name: "small"', 'name: "big"', "'name' is 'big', the folder is 'small'"),
    "another backend": (OFFLINE, '"onnxruntime"', '"pytorch"', "'backend' is 'pytorch'"),
    "no batch to batch": (
        OFFLINE,
        "max_batch_size: 32",
        "max_batch_size: 0",
        "'dynamic_batching' needs a 'max_batch_size'",
    ),
    "negative batch": (OFFLINE, "max_batch_size: 32", "max_batch_size: -1", "'max_batch_size' is -1"),
    "warm-up without a file": (OFFLINE, '"x.bin"', '"w.bin"', "warm-up of 'x': the file 'warmup/w.bin' is missing"),
    "warm-up of another size": (OFFLINE, "dims: [ 3, 2 ]", "dims: [ 4, 2 ]", "has 24 bytes, its dims say 32"),
    "warm-up of one input": (OFFLINE, '    key: "x"', '    key: "lengths"', "'model_warmup' lacks the inputs 'x'"),
    "warm-up of nothing": (OFFLINE, "batch_size: 1", "batch_size: 0", "'model_warmup' has 'batch_size' 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_configuration_is_found(fault, broken):
    model, old, new, message = FAULTS[fault]
    assert any(message in problem for problem in broken(model, old, new))


def move(old, new):
    return lambda folder: (folder / old).rename(folder / new)


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        (OFFLINE, move("1", "v1"), "there is no version folder such as '1' (found none"),
        (OFFLINE, move("1", "01"), "there is no version folder such as '1' (found '01'; leading zeros are ignored)"),
        (OFFLINE, move("1/model.onnx", "1/m.onnx"), "'1/model.onnx' is missing"),
        (OFFLINE, move("config.pbtxt", "config.txt"), "'config.pbtxt' is missing"),
        (
            OFFLINE,
            lambda folder: (folder / "1/model.onnx").write_bytes(b"no"),
            "ONNX Runtime does not load 'model.onnx'",
        ),
        (OFFLINE, lambda folder: (folder / "config.pbtxt").write_bytes(b"\xff"), "'config.pbtxt' cannot be read"),
        (STREAM, move("initial_state", "initial"), "the file 'initial_state/state000.bin' is missing"),
        (
            STREAM,
            lambda folder: (folder / "initial_state/state000.bin").write_bytes(b"1234"),
            "has 4 bytes, its dims say 8",
        ),
    ],
)
def test_a_fault_in_the_files_is_found(model, change, message, broken):
    assert any(message in problem for problem in broken(model, change=change))


def test_a_repository_must_be_one(tmp_path):
    with pytest.raises(DeployError, match="is no folder"):
        validate(tmp_path / "no")
    (finding,) = validate(tmp_path)
    assert "holds no model" in str(finding)


CONFIG = """
name: "m" backend: "onnxruntime" max_batch_size: {size}
input {{ name: "x" data_type: TYPE_FP32 dims: {x} }}
output {{ name: "y" data_type: TYPE_FP32 dims: {x} }}
sequence_batching {{ {states} }}
"""
STATE = """state {{ input_name: "{0}" output_name: "{1}" data_type: TYPE_FP32 dims: {2}
initial_state {{ name: "i" data_type: TYPE_FP32 dims: {2} zero_data: true }} }}"""


@pytest.fixture
def model(tmp_path):
    """Somebody else's model: ``model(inputs, outputs, config)``, names to shapes; what is found in it."""
    from onnx import TensorProto, helper

    def make(inputs, outputs, config):
        version = tmp_path / "repository/m/1"
        version.mkdir(parents=True)
        sides = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
            for side in (inputs, outputs)
        ]
        nodes = [helper.make_node("Identity", [a], [b]) for a, b in zip(inputs, outputs, strict=False)]
        graph = helper.make_graph(nodes, "g", *sides)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        (version / "model.onnx").write_bytes(made.SerializeToString())
        (version.parent / "config.pbtxt").write_text(config)
        return [one.problem for one in validate(tmp_path / "repository")]

    return make


SHAPE = ["batch", 4]


def test_states_are_paired_by_sorted_names_whatever_is_written(model):
    names = [("h", "out_h"), ("c", "a_c")]
    faces = {"x": SHAPE, "h": SHAPE, "c": SHAPE}, {"y": SHAPE, "out_h": SHAPE, "a_c": SHAPE}
    text = " ".join(STATE.format(*one, 4) for one in names)
    found = model(*faces, CONFIG.format(size=8, x=4, states=text))
    assert found == []  # c -> a_c and h -> out_h is what sorting gives


@pytest.mark.parametrize("order", [1, -1])
def test_states_that_sort_otherwise_are_swapped_silently(model, order):
    names = [("h", "a_h"), ("c", "out_c")][::order]
    faces = {"x": SHAPE, "h": SHAPE, "c": SHAPE}, {"y": SHAPE, "a_h": SHAPE, "out_c": SHAPE}
    found = model(*faces, CONFIG.format(size=8, x=4, states=" ".join(STATE.format(*one, 4) for one in names)))
    assert len(found) == 1
    assert "Triton pairs states by the order of their sorted names" in found[0]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (2, "state input 'h' has the batch at axis 1 in the graph ([2, 'batch', 4])"),
        (
            "layers",
            "state input 'h' begins with the axis 'layers' in the graph (['layers', 'batch', 4]), not with the batch",
        ),
    ],
)
def test_a_state_whose_batch_is_not_first_is_found(layers, message, model):
    """torch's (layers, batch, hidden): it loads, and answers rightly until two clients come at once."""
    state = [layers, "batch", 4]
    found = model(
        {"x": SHAPE, "h": state},
        {"y": SHAPE, "h_n": state},
        CONFIG.format(size=8, x=4, states=STATE.format("h", "h_n", "[ 2, 4 ]")),
    )
    assert any(message in one for one in found)
    assert any(message.replace("input 'h'", "output 'h_n'") in one for one in found)


def test_a_fixed_batch_cannot_be_batched(model):
    found = model({"x": [1, 4]}, {"y": [1, 4]}, CONFIG.format(size=8, x=4, states=""))
    assert "input 'x' has a first axis of 1, always, in the graph ([1, 4])" in found[0]
    assert len(found) == 2


def test_a_control_that_the_graph_needs_is_missed(model):
    faces = {"x": ["batch", 4], "stream.end": ["batch"]}, {"y": ["batch", 4]}
    found = model(*faces, CONFIG.format(size=0, x="[ 1, 4 ]", states=""))
    assert found == [
        "the graph needs 'stream.end', which the configuration has as neither an input nor a control nor a state"
    ]


def test_streams_at_different_points_are_not_batched(model):
    faces = {"x": SHAPE, "stream.begun": ["batch", 1]}, {"y": SHAPE, "stream.begun_next": ["batch", 1]}
    text = STATE.format("stream.begun", "stream.begun_next", 1)
    found = model(*faces, CONFIG.format(size=8, x=4, states=text))
    assert len(found) == 1
    assert "the graph has 'stream.begun', which must be the same for all streams of a run" in found[0]


def test_an_empty_reshape_needs_a_batch(model):
    config = CONFIG.format(size=0, x="1 reshape { shape: [ ] }", states="").replace("sequence_batching {  }", "")
    found = model({"x": ["batch"]}, {"y": ["batch"]}, config)
    assert "input 'x' has an empty 'reshape', which only a batched model may have" in found
