"""The form ``step``: one frame a run and no ``Scan``; frame by frame the plain streaming variant's answers."""

import shutil

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

import rnnx
from rnnx.bundle import Bundle
from rnnx.errors import LoweringError, ParityError, ShapeError, SignatureError, StateError, VariantError
from rnnx.exporters import export
from rnnx.exporters.forms import add_forms
from rnnx.exporters.passes import step_form
from rnnx.exporters.passes.int8 import Int8Pass
from rnnx.exporters.passes.step_form import StepFormPass
from rnnx.exporters.quantization.budgets import Budget
from rnnx.exporters.quantization.quantize import quantize
from rnnx.runtime.ort import cpu_session
from rnnx.runtime.verify import verify

EVERYTHING = Budget(limit=-1000.0)
SIZE, FRAMES = 32, 7
HEAD = '<ir_version: 10, opset_import: ["": 20]>'


class Stack(nn.Module):
    """Layers that int8 makes scans of, between a product that it keeps and a head."""

    def __init__(self, kind, **options):
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.Linear(SIZE, SIZE)
        self.layers = kind(SIZE, SIZE, batch_first=True, **options)
        self.head = nn.Linear(SIZE, 40)

    def forward(self, x):
        scores = self.head(self.layers(torch.relu(self.front(x)))[0])
        return scores  # noqa: RET504  (the output is called so)


class Cell(nn.Module):
    """A recurrence of one's own: two states of different shapes, one passed on, and a constant from outside."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(SIZE + 6, SIZE)
        self.decay = nn.Parameter(torch.rand(SIZE))

    def forward(self, x):
        def step(state, frame):
            h, (before, total) = state
            h = torch.tanh(self.mix(torch.cat([frame, before], -1))) + self.decay * h
            return (h, (frame[:, :6], total + 1)), (h, before)

        begin = (x.new_zeros(x.shape[0], SIZE), (x.new_zeros(x.shape[0], 6), x.new_zeros(x.shape[0], 1)))
        _, (scores, before) = rnnx.scan(step, begin, x)
        return scores, before


class Loop(nn.Module):
    """A Python loop over time, which export converts."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(SIZE, SIZE)

    def forward(self, x):
        h = torch.zeros(x.shape[0], SIZE)
        outputs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            outputs.append(h)
        scores = torch.stack(outputs, 1)
        return scores  # noqa: RET504  (the output is called so)


class Nested(nn.Module):
    """A scan over the parts of each frame within the scan over frames: its four steps stay a scan."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(16, 8)

    def forward(self, x):
        def frame_step(state, frame):
            def part_step(inner, part):
                inner = torch.tanh(self.inner(torch.cat([inner, part], -1)))
                return inner, inner

            state, parts = rnnx.scan(part_step, state, frame.reshape(frame.shape[0], 4, 8))
            return state, parts.sum(1)

        _, scores = rnnx.scan(frame_step, x.new_zeros(x.shape[0], 8), x)
        return scores


MODELS = {
    "gru": lambda: Stack(nn.GRU, num_layers=2),
    "rnn": lambda: Stack(nn.RNN, num_layers=2, nonlinearity="relu"),
    "cell": Cell,
    "loop": Loop,
    "nested": Nested,
}
#: The precisions in which each has a scan over time.
SCANS = {"gru": ("int8",), "rnn": ("int8",), "cell": ("fp32", "int8"), "loop": ("fp32", "int8"), "nested": ("fp32",)}


@pytest.fixture(scope="module", params=MODELS)
def made(request, tmp_path_factory):
    """A bundle with its step forms: name, model, path, what was told."""
    name = request.param
    path = tmp_path_factory.mktemp("step") / f"{name}.rnnx"
    model = MODELS[name]().eval()
    export(model, inputs={"x": f"float32[batch, time, {SIZE}]"}, out=path, streaming="on")
    if "int8" in SCANS[name]:
        quantize(path, budget=EVERYTHING)
    told = []
    add_forms(path, mode="streaming", forms=["step"], progress=told.append)
    return name, model, path, told


def streaming(path, precision, form="", **options):
    return rnnx.load(path, provider="cpu", mode="streaming", precision=precision, form=form, threads=1, **options)


def frames(batch=2, count=FRAMES):
    return np.random.default_rng(1).standard_normal((batch, count, SIZE)).astype(np.float32)


def pushed(session, x):
    with session.stream(len(x)) as stream:
        return [stream.push({"x": x[:, t : t + 1]}) for t in range(x.shape[1])]


def test_frame_by_frame_the_plain_variant_s_answers_and_torch_s(made):
    name, model, path, _ = made
    x = frames()
    with torch.no_grad():
        expected = model(torch.from_numpy(x))
    expected = {"scores": expected} if name != "cell" else dict(zip(("scores", "before"), expected, strict=True))
    for precision in SCANS[name]:
        with streaming(path, precision) as plain, streaming(path, precision, "step") as step:
            pairs = list(zip(pushed(plain, x), pushed(step, x), strict=True))
        names = dict(zip(pairs[0][0], expected.values(), strict=True))
        for output, reference in names.items():
            for t, (one, other) in enumerate(pairs):
                assert other[output].shape == one[output].shape == (2, 1, *reference.shape[2:])
                np.testing.assert_allclose(other[output], one[output], rtol=0, atol=1e-6)
                near = 1e-5 if precision == "fp32" else 0.15
                np.testing.assert_allclose(other[output][:, 0], reference[:, t].numpy(), rtol=0, atol=near)


def sizes(values):
    return [[one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim] for value in values]


def test_no_scan_over_time_is_left(made):
    name, _, path, told = made
    for precision in SCANS[name]:
        variant = Bundle.open(path).variant(precision, "streaming", "step")
        assert variant.key == f"{precision}-streaming-step"
        assert variant.operators.get("Scan", 0) == (1 if name == "nested" else 0)
        assert str(variant.signature.range("time")) == "1 <= time <= 1"
        graph = onnx.load(path / variant.file).graph
        assert sizes(graph.input)[0] == ["batch", 1, SIZE]
        plain = onnx.load(path / Bundle.open(path).variant(precision, "streaming").file).graph
        assert sizes(graph.output) == [[1 if one == "time" else one for one in axes] for axes in sizes(plain.output)]
    assert [line for line in told if line.endswith("the form 'step'")] == [
        f"{one}-streaming: the form 'step'" for one in SCANS[name]
    ]


def test_it_verifies(made):
    _, _, path, _ = made
    report = verify(path, provider="cpu")
    assert report.passed
    assert any(row.variant.endswith("-step") for row in report.rows)


def test_a_stream_goes_on_with_the_other_form(made):
    name, _, path, _ = made
    x, precision = frames(), SCANS[name][-1]
    with streaming(path, precision) as plain, streaming(path, precision, "step") as step:
        expected = pushed(plain, x)
        with plain.stream(2) as first, step.stream(2) as second:
            first.push({"x": x[:, :3]})
            second.state = rnnx.State.from_bytes(first.state.to_bytes())
            answers = [second.push({"x": x[:, t : t + 1]}) for t in (3, 4)]
            first.state = second.state
            last = first.push({"x": x[:, 5:]})
        for output, found in last.items():
            if found.ndim == 3:
                whole = np.concatenate([answers[0][output], answers[1][output], found], 1)
                beside = np.concatenate([one[output] for one in expected[3:]], 1)
                np.testing.assert_allclose(whole, beside, rtol=0, atol=1e-6 if precision == "fp32" else 0.1)
    other = "int8" if precision == "fp32" else "fp32"
    if any(one.precision == other for one in Bundle.open(path).manifest.variants):
        with streaming(path, other) as session:
            foreign = session.initial_state(2)
        with (
            streaming(path, precision, "step") as step,
            pytest.raises(StateError, match="another bundle or variant"),
        ):
            step.step({"x": x[:, :1]}, foreign)


def test_other_chunks_are_refused_with_what_to_do(made):
    name, _, path, _ = made
    precision = SCANS[name][0]
    match = (
        rf"axis 'time' of input 'x' is 3, .*allowed is 1 <= time <= 1\. Variant '{precision}-streaming-step' is made "
        rf"for that alone\. For other sizes load '{precision}-streaming': leave out form='step'\."
    )
    with streaming(path, precision, "step") as session:
        with session.stream(2) as stream:
            with pytest.raises(ShapeError, match=match):
                stream.push({"x": frames()[:, :3]})
            stream.push({"x": frames()[:, :1]})
            assert stream.finish()[session.signature.outputs[0].name].shape[:2] == (2, 0)
        with pytest.raises(ShapeError, match=match):
            session.step({"x": frames()[:, :3]}, session.initial_state(2))


@pytest.fixture(scope="module")
def gru(tmp_path_factory):
    path = tmp_path_factory.mktemp("step") / "gru.rnnx"
    export(MODELS["gru"]().eval(), inputs={"x": f"float32[batch, time, {SIZE}]"}, out=path, streaming="on")
    quantize(path, budget=EVERYTHING)
    return path


@pytest.fixture
def bundle(gru, tmp_path):
    return shutil.copytree(gru, tmp_path / "gru.rnnx")


def test_it_is_made_once_and_goes_when_int8_is_made_anew(bundle):
    told = []
    first = add_forms(bundle, mode="streaming", precisions=["int8"], progress=told.append)
    assert ([one.key for one in first], told) == (["int8-streaming-step"], ["int8-streaming: the form 'step'"])
    sha256 = Bundle.open(bundle).sha256
    assert add_forms(bundle, mode="streaming", precisions=["int8"]) == first
    assert Bundle.open(bundle).sha256 == sha256
    quantize(bundle, budget=EVERYTHING, overwrite=True)
    after = Bundle.open(bundle)
    after.check()
    assert "int8-streaming-step" not in {one.key for one in after.manifest.variants}
    assert not (bundle / "int8-streaming-step.onnx").exists()
    assert b"int8-streaming-step" not in after.read("parity.json")


def test_what_cannot_be_made_says_why(bundle):
    with pytest.raises(LoweringError, match=r"'fp32-streaming' of .* has no form 'step': it has no Scan over time to"):
        add_forms(bundle, mode="streaming", forms=["step"], precisions=["fp32"])
    with pytest.raises(LoweringError, match=r"there is no other form of a variant of .* that are asked for"):
        add_forms(bundle, mode="offline", forms=["step"])
    with pytest.raises(SignatureError, match=r"the form 'leap' is not known; allowed are 'scan', 'step'"):
        add_forms(bundle, mode="streaming", forms=["leap"])
    with pytest.raises(VariantError, match=r"no variant 'fp16-streaming'"):
        add_forms(bundle, mode="streaming", precisions=["fp16"])


def test_a_scan_over_something_else_stays():
    """Without a state, and of as many steps as nobody knows: there is nothing to take apart."""
    text = f"""{HEAD} graph (float[batch, time, 3] x, float[parts, 3] p)
    => (float[batch, time, 3] y, float[parts, 3] z) {{
        y = Neg(x)
        z = Scan <num_scan_inputs = 1, body = body (float[3] b_p) => (float[3] b_z) {{ b_z = Abs(b_p) }}>(p)
    }}"""
    steps = StepFormPass(time="time", states=[])
    assert steps(ir.from_proto(onnx.parser.parse_model(text))).model.graph.num_nodes() == 2
    assert steps.inlined == []


def test_a_model_that_skips_frames_keeps_its_form(tmp_path):
    class Strided(Stack):
        def __init__(self):
            super().__init__(nn.GRU)
            self.conv = nn.Conv1d(SIZE, SIZE, 2, stride=2)

        def forward(self, x):
            return self.layers(self.conv(x.mT).mT)[0]

    path = tmp_path / "strided.rnnx"
    export(Strided().eval(), inputs={"x": f"float32[batch, time, {SIZE}]"}, out=path, streaming="on")
    with pytest.raises(LoweringError, match=r"has no form 'step', whose every run takes one frame .* 2 at a time"):
        add_forms(path, mode="streaming", forms=["step"])


def test_a_form_that_is_wrong_is_not_written(bundle, monkeypatch):
    sha256 = Bundle.open(bundle).sha256
    right = step_form.inline

    def wrong(model, node):
        h = node.inputs[0]
        negated = ir.Node("", "Neg", [h], num_outputs=1, name=f"{node.name}/wrong")
        model.graph.insert_before(node, [negated])
        negated.outputs[0].type = h.type
        node.replace_input_with(0, negated.outputs[0])
        right(model, node)

    monkeypatch.setattr(step_form, "inline", wrong)
    match = r"'int8-streaming-step' of .* is not what 'int8-streaming' answers: output 'scores' at .*max_abs_diff"
    with pytest.raises(ParityError, match=match):
        add_forms(bundle, mode="streaming", forms=["step"])
    assert Bundle.open(bundle).sha256 == sha256


def test_other_axes_reverse_and_what_is_passed_on():
    """What streams here do not have, but a ``Scan`` may: other axes, reverse, states and outputs that are inputs."""
    text = f"""{HEAD} graph (float[batch, 3] h, float[batch, time, 3] x, float[3] w)
    => (float[batch, 3] h_next, float[batch, 3] kept_next, float[batch, time, 3] y, float[batch, 3, time] z) {{
        h_next, kept_next, y, z = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1, -1],
            scan_input_directions = [1], scan_output_directions = [1, 1], body = body (
                float[batch, 3] b_h, float[batch, 3] b_kept, float[batch, 3] b_x)
            => (float[batch, 3] b_next, float[batch, 3] b_x, float[batch, 3] b_y, float[batch, 3] b_h) {{
                b_scaled = Mul(b_x, w)
                b_next = Add(b_scaled, b_h)
                b_y = Identity(b_next)
            }}>(h, h, x)
    }}"""
    model = ir.from_proto(onnx.parser.parse_model(text))
    steps = StepFormPass(time="time", states=["h"])
    assert steps(model).modified
    assert len(steps.inlined) == 1
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    assert "Scan" not in {node.op_type for node in proto.graph.node}
    generator = np.random.default_rng(0)
    feed = {
        name: generator.standard_normal(shape).astype(np.float32)
        for name, shape in (("h", (2, 3)), ("x", (2, 1, 3)), ("w", (3,)))
    }
    after = cpu_session(proto.SerializeToString())
    # One step, by NumPy: ONNX Runtime takes no Scan whose body gives out what it takes in.
    h_next = feed["x"][:, 0] * feed["w"] + feed["h"]
    expected = {"h_next": h_next, "kept_next": feed["x"][:, 0], "y": h_next[:, None], "z": feed["h"][:, :, None]}
    for name, found in zip(expected, after.run(list(expected), feed), strict=True):
        np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("reset_last", [0, 1])
def test_both_reset_gates_of_a_gru(reset_last):
    """Against ONNX Runtime's own GRU in fp32, and against the int8 ``Scan`` to the last bit."""
    generator, hidden = np.random.default_rng(0), 24
    shapes = {"w": (1, 3 * hidden, hidden), "r": (1, 3 * hidden, hidden), "b": (1, 6 * hidden)}
    weights = [
        onnx.numpy_helper.from_array(generator.uniform(-0.3, 0.3, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    text = f"""{HEAD} graph (float[time, batch, {hidden}] x, float[1, batch, {hidden}] h)
    => (float[time, 1, batch, {hidden}] y, float[1, batch, {hidden}] h_next) {{
        y, h_next = GRU <hidden_size = {hidden}, linear_before_reset = {reset_last}> (x, w, r, b, , h)
    }}"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(weights)
    proto.opset_import.add(domain="com.microsoft", version=1)
    fp32 = cpu_session(proto.SerializeToString())
    model = Int8Pass()(ir.from_proto(proto)).model
    scanned = cpu_session(ir.to_proto(model).SerializeToString())
    assert StepFormPass(time="time", states=["h"])(model).modified
    step = cpu_session(ir.to_proto(model).SerializeToString())
    feed = {
        "x": generator.standard_normal((1, 3, hidden)).astype(np.float32),
        "h": generator.uniform(-1, 1, (1, 3, hidden)).astype(np.float32),
    }
    for reference, one, other in zip(*(session.run(None, feed) for session in (fp32, scanned, step)), strict=True):
        np.testing.assert_array_equal(other, one)
        np.testing.assert_allclose(other, reference, rtol=0, atol=0.05)
