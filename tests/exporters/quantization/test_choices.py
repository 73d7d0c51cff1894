"""Which outputs hang on choices: through graphs, loops and branches, from the nodes whose rounding is meant."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from rnnx.exporters.quantization.choices import chosen_outputs

HEAD = '<ir_version: 10, opset_import: ["" : 20]>'

CASES = {
    "the index of the largest, and what is looked up with it": (
        """agraph (float[n,4] x, float[4,4] w, float[4,2] t) => (int64[n] best, float[n,2] row, float[n,4] y) {
            [product] y = MatMul(x, w)
            best = ArgMax<axis = 1, keepdims = 0>(y)
            row = Gather(t, best)
        }""",
        {"best", "row"},
    ),
    "values of the largest are no choice, their places are": (
        """agraph (float[n,4] x, float[4,4] w, int64[1] k) => (float[n,2] values, int64[n,2] places) {
            [product] y = MatMul(x, w)
            values, places = TopK(y, k)
        }""",
        {"places"},
    ),
    "a comparison and what is taken by it": (
        """agraph (float[n,4] x, float[4,4] w, float zero) => (float[n,4] taken, bool[n,4] more) {
            [product] y = MatMul(x, w)
            more = Greater(y, zero)
            taken = Where(more, y, x)
        }""",
        {"taken", "more"},
    ),
    "numbers that are rounded": (
        """agraph (float[n,4] x, float[4,4] w) => (float[n,4] whole, int64[n,4] cast) {
            [product] y = MatMul(x, w)
            whole = Round(y)
            cast = Cast<to = 7>(y)
        }""",
        {"whole", "cast"},
    ),
    "lengths and sizes follow from the inputs alone": (
        """agraph (float[n,4] x, float[4,4] w, int64[n] lengths, int64 two)
            => (int64[n] half, int64[2] size, bool[n] any) {
            [product] y = MatMul(x, w)
            half = Div(lengths, two)
            size = Shape(y)
            any = Greater(lengths, two)
        }""",
        set(),
    ),
    "a choice before the nodes is none of theirs": (
        """agraph (float[n,4] x, float[4,4] w) => (float[n,4] y, int64[n] best) {
            best = ArgMax<axis = 1, keepdims = 0>(x)
            [product] y = MatMul(x, w)
        }""",
        set(),
    ),
    "a loop that carries a choice, and one of its outputs that it does not touch": (
        """agraph (float[n,4] x, float[4,4] w, float[9,4] t, int64 count, bool go, int64[n] first)
            => (int64[n] last, float[n,4] state, float[n,4] beside) {
            last, state, beside = Loop(count, go, first, x, x) <body = b (int64 i, bool c, int64[n] token, float[n,4] h,
                float[n,4] k) => (bool c_out, int64[n] token_out, float[n,4] h_out, float[n,4] k_out) {
                c_out = Identity(c)
                row = Gather(t, token)
                sum = Add(row, h)
                [product] h_out = MatMul(sum, w)
                token_out = ArgMax<axis = 1, keepdims = 0>(h_out)
                k_out = Identity(k)
            }>
        }""",
        {"last", "state"},
    ),
    "a loop whose end is chosen": (
        """agraph (float[n,4] x, float[4,4] w, int64 count, bool go, float one)
            => (float[n,4] state, float[n,4] beside) {
            state, beside = Loop(count, go, x, x) <body = b (int64 i, bool c, float[n,4] h, float[n,4] k)
                => (bool c_out, float[n,4] h_out, float[n,4] k_out) {
                [product] h_out = MatMul(h, w)
                largest = ReduceMax<keepdims = 0>(h_out)
                c_out = Less(largest, one)
                k_out = Identity(k)
            }>
        }""",
        {"state", "beside"},
    ),
    "a scan that chooses nothing": (
        """agraph (float[n,4] x, float[t,n,4] xs, float[4,4] w) => (float[n,4] state, float[t,n,4] all) {
            state, all = Scan(x, xs) <num_scan_inputs = 1, body = b (float[n,4] h, float[n,4] one)
                => (float[n,4] h_out, float[n,4] y) {
                sum = Add(h, one)
                [product] h_out = MatMul(sum, w)
                y = Tanh(h_out)
            }>
        }""",
        set(),
    ),
    "a branch that is chosen": (
        """agraph (float[n,4] x, float[4,4] w, float one) => (float[n,4] either, float[n,4] y) {
            [product] y = MatMul(x, w)
            largest = ReduceMax<keepdims = 0>(y)
            small = Less(largest, one)
            either = If(small) <then_branch = a () => (float[n,4] p) { p = Identity(x) },
                else_branch = b () => (float[n,4] q) { q = Neg(x) }>
        }""",
        {"either"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
@pytest.mark.parametrize("typed", [True, False])
def test_outputs_that_hang_on_choices(what, typed):
    text, expected = CASES[what]
    proto = onnx.parser.parse_model(HEAD + text)
    onnx.checker.check_model(proto)
    if typed:
        proto = onnx.shape_inference.infer_shapes(proto)
    model = ir.from_proto(proto)
    assert chosen_outputs(model, {"product"}) == expected
    assert chosen_outputs(model, ()) == frozenset()
