"""The judge: what passes, what does not, and what it says of it. Runners here are fakes."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from rnnx.exporters.exporter import declare
from rnnx.exporters.matrix import Case, build_matrix
from rnnx.exporters.parity import FP32, Answers, ask, golden_cases, judge, source_runner
from rnnx.manifest import Tolerance
from rnnx.signature import LengthsSpec, Signature, parse_tensor

X, LENGTHS = parse_tensor("x: float32[batch, time, 2]"), parse_tensor("lengths: int64[batch]")
OUTPUTS = (parse_tensor("y: float32[batch, time, 2]"), parse_tensor("best: int64[batch, time]"))
PLAIN = Signature(inputs=(X,), outputs=OUTPUTS)
RAGGED = Signature(inputs=(X, LENGTHS), outputs=OUTPUTS, lengths=(LengthsSpec(name="lengths", axis="time"),))


def make_case(batch=2, time=3, lengths=""):
    x = np.random.default_rng([batch, time]).standard_normal((batch, time, 2)).astype(np.float32)
    inputs = {"x": x} | ({"lengths": np.full(batch, time)} if lengths else {})
    return Case(sizes={"batch": batch, "time": time}, lengths=lengths, states="", inputs=inputs)


def double(inputs):
    """What every fake source here answers."""
    y = inputs["x"] * np.float32(2)
    return {"y": y, "best": y.argmax(-1)}


def changed(output, change):
    """A variant that answers right but for one output."""

    def run(inputs):
        answer = double(inputs)
        return answer | {output: change(answer[output])}

    return run


def judged(candidate, source=double, *, cases=None, signature=PLAIN, **options):
    return judge(ask(source, cases or [make_case()]), candidate, signature, variant="fp32-offline", **options)


def only_miss(report):
    """The only row that did not pass."""
    assert not report.passed
    (row,) = report.misses
    return row


def put(index, value):
    """A change of one element."""

    def change(array):
        copy = array.copy()
        copy[index] = value
        return copy

    return change


def test_equal_answers_pass():
    cases = [make_case(), make_case(1, 5)]
    report = judged(double, cases=cases)
    assert report.passed
    assert report.misses == []
    assert [(row.case, row.output) for row in report.rows] == [
        ("batch=2 time=3", "y"),
        ("batch=1 time=5", "y"),
        ("batch=2 time=3", "best"),
        ("batch=1 time=5", "best"),
    ]
    assert all(row.max_abs_diff == 0 and row.passed and row.reason == "" for row in report.rows)
    assert report.undefined == {}


@pytest.mark.parametrize("where", [(0, 0, 0), (1, 2, 1)])
def test_nan_in_the_candidate_never_passes(where):
    row = only_miss(judged(changed("y", put(where, np.nan))))
    assert (row.output, row.reason, row.max_abs_diff) == ("y", "NaN in the candidate", math.inf)


def test_nan_in_the_reference_never_passes():
    source = changed("y", put((0, 0, 0), np.nan))
    row = only_miss(judged(double, source))
    assert (row.output, row.reason, row.max_abs_diff) == ("y", "NaN in the reference", math.inf)
    assert not judged(source, source).passed, "not even against itself"


def test_infinities_are_equal_to_themselves_only():
    source = changed("y", put((0, 0, 0), -np.inf))
    assert judged(source, source).passed
    for wrong in (np.inf, -3e38, 0.0):
        assert only_miss(judged(changed("y", put((0, 0, 0), wrong)), source)).max_abs_diff == math.inf


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda y: y[:, :2], "shape (2, 2, 2) instead of (2, 3, 2)"),
        (lambda y: y[:1], "shape (1, 3, 2) instead of (2, 3, 2)"),
        (lambda y: y[..., :1], "shape (2, 3, 1) instead of (2, 3, 2)"),
        (lambda y: y[None], "shape (1, 2, 3, 2) instead of (2, 3, 2)"),
        (lambda y: np.concatenate([y, y], axis=1), "shape (2, 6, 2) instead of (2, 3, 2)"),
        (lambda y: y.transpose(1, 0, 2), "shape (3, 2, 2) instead of (2, 3, 2)"),
        (lambda y: y.astype(np.float64), "dtype float64 instead of float32"),
        (lambda y: y.astype(np.float16), "dtype float16 instead of float32"),
    ],
)
def test_another_shape_or_dtype_is_a_miss(change, reason):
    row = only_miss(judged(changed("y", change)))
    assert (row.output, row.reason, row.max_abs_diff, row.index) == ("y", reason, math.inf, None)


def test_integers_are_exact():
    report = judged(changed("best", lambda best: best + (np.arange(3) == 1)))
    row = only_miss(report)
    assert (row.output, row.max_abs_diff, row.allowed) == ("best", 1.0, 0.0)
    huge = np.int64(2**53)
    source = changed("best", lambda best: np.full_like(best, huge))
    assert only_miss(judged(changed("best", lambda best: np.full_like(best, huge + 1)), source)).max_abs_diff == 1
    assert only_miss(judged(changed("best", lambda best: best.astype(np.int32)))).reason == (
        "dtype int32 instead of int64"
    )


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e-2])
def test_floats_are_held_to_the_outputs_magnitude(scale):
    def source(inputs):
        y = np.full_like(inputs["x"], 0.5 * scale)
        y[0, 0, 0] = -scale
        return double(inputs) | {"y": y}

    def off(by):
        return lambda inputs: source(inputs) | {"y": source(inputs)["y"] + np.float32(by * scale)}

    assert judged(off(0.9e-5), source).passed
    row = only_miss(judged(off(1.2e-5), source))
    assert row.allowed == pytest.approx(1e-5 * scale, rel=1e-6)
    assert row.max_abs_diff == pytest.approx(1.2e-5 * scale, rel=1e-2)


def test_zeros_have_a_floor():
    def zeros(by):
        return changed("y", lambda y: np.full_like(y, by))

    assert Tolerance(atol=1e-5, floor=1e-3) == FP32
    assert judged(zeros(0.9e-8), zeros(0)).passed
    row = only_miss(judged(zeros(1.1e-8), zeros(0)))
    assert row.allowed == pytest.approx(1e-8)


def test_the_magnitude_is_that_of_all_cases():
    """A nearly silent case is not held to less than what a loud one of the same output is."""
    quiet, loud = make_case(), make_case(1, 4)
    loud.inputs["x"][0, 0, 0] = 500
    off = changed("y", lambda y: y + np.float32(5e-3) * (y.shape[0] == 2))
    assert judged(off, cases=[quiet, loud]).passed
    assert not judged(off, cases=[quiet]).passed


def test_the_tolerance_can_be_another():
    off = changed("y", lambda y: y + np.float32(1e-3))
    assert not judged(off).passed
    assert judged(off, tolerance=Tolerance(atol=1e-2, floor=1e-3)).passed


def test_what_the_source_cut_off_is_not_compared():
    """A source unpacks to its longest row; the variant keeps the padded axis, with anything in the padding."""
    cut = changed("y", lambda y: y[:, :2])
    padded = changed("y", put((slice(None), slice(2, None)), np.nan))
    case = make_case(lengths="short")
    assert judged(padded, cut, cases=[case], signature=RAGGED).passed
    # What both have is compared.
    wrong = changed("y", put((1, 1, 0), 99))
    row = only_miss(judged(wrong, cut, cases=[case], signature=RAGGED))
    assert row.index == (1, 1, 0)
    # Only along the measured axis, and only where it is the source that is shorter.
    narrow, few = changed("y", lambda y: y[..., :1]), changed("y", lambda y: y[:1])
    assert only_miss(judged(double, narrow, cases=[case], signature=RAGGED)).reason.startswith("shape (2, 3, 2)")
    assert only_miss(judged(double, few, cases=[case], signature=RAGGED)).reason.startswith("shape (2, 3, 2)")
    assert only_miss(judged(cut, double, cases=[case], signature=RAGGED)).reason.startswith("shape (2, 2, 2)")
    # Without lengths nothing is padding.
    assert only_miss(judged(double, cut)).reason == "shape (2, 3, 2) instead of (2, 2, 2)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no such kernel\nat line 3", "no such kernel"),
        ("", ""),
    ],
)
def test_a_candidate_that_fails_misses_all_its_outputs(text, shown):
    calls = []

    def failing(inputs):
        calls.append(inputs["x"].shape)
        if inputs["x"].shape[0] == 1:
            raise RuntimeError(text)
        return double(inputs)

    report = judged(failing, cases=[make_case(1, 2), make_case(2, 2)])
    assert not report.passed
    assert {(row.case, row.output) for row in report.misses} == {("batch=1 time=2", "y"), ("batch=1 time=2", "best")}
    for row in report.misses:
        assert row.max_abs_diff == math.inf
        assert row.reason.startswith("the variant fails")
        assert shown in row.reason
        assert "line 3" not in row.reason
    assert calls == [(1, 2, 2), (2, 2, 2)], "everything is run before anything is judged"


def test_misses_are_sorted_and_located():
    cases = [make_case(), make_case(1, 4), make_case(1, 5)]

    def off(inputs):
        y = double(inputs)["y"]
        by = {3: 0.25, 4: 4.0, 5: 0.0}[y.shape[1]]
        return double(inputs) | {"y": put((0, 1, 1), y[0, 1, 1] + np.float32(by))(y)}

    report = judged(off, cases=cases)
    assert [row.case for row in report.misses] == ["batch=1 time=4", "batch=2 time=3"]
    assert [row.index for row in report.misses] == [(0, 1, 1)] * 2
    assert [row.max_abs_diff for row in report.misses] == pytest.approx([4.0, 0.25])


def picky(inputs):
    if inputs["x"].shape[0] == 1:
        raise ValueError("wants a crowd\nof two")
    return double(inputs)


def test_cases_that_the_source_refuses_are_reported():
    seen = []

    def candidate(inputs):
        seen.append(inputs["x"].shape[0])
        return double(inputs)

    report = judged(candidate, picky, cases=[make_case(1, 2), make_case(2, 2)])
    assert report.passed
    assert dict(report.undefined) == {"batch=1 time=2": "ValueError: wants a crowd"}
    assert {row.case for row in report.rows} == {"batch=2 time=2"}
    assert seen == [2], "what the source refuses is not asked of the variant"


def test_nothing_to_judge_does_not_pass():
    report = judged(double, picky, cases=[make_case(1, 2), make_case(1, 3)])
    assert not report.passed
    assert report.rows == ()
    assert report.misses == []
    assert list(report.undefined) == ["batch=1 time=2", "batch=1 time=3"]
    empty = Answers(cases=[], references=[], undefined={})
    assert not judge(empty, double, PLAIN, variant="fp32-offline").passed


def test_answers_are_kept_by_value():
    """A source may answer with one buffer again and again."""
    buffer = np.zeros((1, 2, 2), np.float32)

    def reuses(inputs):
        np.multiply(inputs["x"], 2, out=buffer)
        return {"y": buffer, "best": buffer.argmax(-1)}

    cases = [make_case(1, 2), Case(sizes={}, lengths="", states="", inputs={"x": np.ones((1, 2, 2), np.float32)})]
    assert judged(double, reuses, cases=cases).passed


def test_progress_is_told_of_every_case():
    told = []
    cases = [make_case(1, 2), make_case(2, 2)]
    answers = ask(picky, cases, lambda: told.append("source"))
    judge(answers, double, PLAIN, variant="fp32-offline", progress=lambda: told.append("variant"))
    assert told == ["source", "source", "variant"]


def test_the_report_as_json():
    def candidate(inputs):
        if inputs["x"].shape[1] == 4:
            raise RuntimeError("no")
        return changed("y", put((0, 0, 0), np.nan))(inputs)

    def source(inputs):
        return picky(inputs) | {"y": put((1, 0, 0), np.inf)(double(inputs)["y"])}

    cases = [make_case(1, 2), make_case(2, 3), make_case(2, 4)]
    report = judged(candidate, source, cases=cases)
    answers = np.concatenate([source(case.inputs)["y"].ravel() for case in cases[1:]])
    magnitude = float(np.abs(answers[np.isfinite(answers)]).max())
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["variant"] == "fp32-offline"
    assert data["passed"] is False
    assert data["tolerance"] == {"atol": 1e-5, "floor": 1e-3}
    assert data["undefined"] == {"batch=1 time=2": "ValueError: wants a crowd"}
    assert [case["max_abs_diff"] for case in data["cases"]] == [None, None, 0.0, None]
    assert data["cases"][0] == {
        "sizes": {"batch": 2, "time": 3},
        "lengths": "",
        "states": "",
        "chunks": "",
        "output": "y",
        "max_abs_diff": None,
        "allowed": pytest.approx(1e-5 * magnitude),
        "passed": False,
        "reason": "NaN in the candidate",
    }


def test_golden_cases_are_few_and_small():
    signature = declare(["x: float32[batch, time, 2]"], lengths="lengths", states=["h: float32[batch, 2]"])
    answers = ask(double, build_matrix(signature, traced={}))
    cases = golden_cases(answers)
    assert 2 <= len(cases) <= 4
    for case in cases:
        batch, time, _ = case.inputs["x"].shape
        assert time <= 33
        assert batch >= 2
        assert case.inputs["x"].nbytes < 4096
        np.testing.assert_array_equal(case.outputs["y"], case.inputs["x"] * 2)
    ragged = [case for case in cases if len(set(case.inputs["lengths"].tolist())) > 1]
    assert ragged, "rows of different lengths are what tells most"
    assert {"h" in case.inputs for case in cases} == {True, False}, "with a state and without"


def test_one_golden_case_is_kept_even_if_all_are_large():
    def wide(inputs):
        y = np.zeros((*inputs["x"].shape[:2], 1 << 20), np.float32)
        return {"y": y}

    answers = ask(wide, [make_case(2, 2), make_case(2, 1)])
    (case,) = golden_cases(answers)
    assert case.inputs["x"].shape in {(2, 1, 2), (2, 2, 2)}
    assert golden_cases(Answers(cases=[], references=[], undefined={})) == []


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(2, 3, batch_first=True)

    def forward(self, x, hx=None, *, scale=1.0):
        y, h = self.gru(x, None if hx is None else hx[0])
        return {"y": y * scale, "nested": (h,)}


def test_the_source_as_a_runner():
    module = Recurrent().eval()
    inputs = ["x: float32[batch, time, 2]", "h -> hx.0: float32[1, batch, 3]"]
    declared = declare(inputs)
    outputs = (parse_tensor("y: float32[batch, time, 3]"), parse_tensor("h_n: float32[1, batch, 3]"))
    run = source_runner(module, Signature(inputs=declared.inputs, outputs=outputs))
    x = torch.randn(2, 4, 2)
    h = torch.randn(1, 2, 3)
    for state in (None, h):
        found = run({"x": x.numpy()} | ({} if state is None else {"h": state.numpy()}))
        with torch.no_grad():
            y, h_n = module.gru(x, state)
        assert found.keys() == {"y", "h_n"}
        np.testing.assert_allclose(found["y"], y.numpy(), rtol=0, atol=1e-7)
        np.testing.assert_allclose(found["h_n"], h_n.numpy(), rtol=0, atol=1e-7)
