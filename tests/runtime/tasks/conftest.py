"""Tiny bundles with tasks, built with the onnx package: what goes in comes out in a way that is easily foretold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnx.bundle import staging, write_assets, write_manifest
from rnnx.manifest import Manifest, Tolerance, Variant
from rnnx.runtime.tasks.description import (
    Characters,
    Description,
    GenerateWrite,
    LabelsWrite,
    Letters,
    TagsWrite,
    TextRead,
    Words,
)
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ELEMENTS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle: declarations, nodes and constants by name, lengths and states by name, and a description."""

    def write(
        inputs: list[str],
        outputs: list[str],
        nodes: list[onnx.NodeProto],
        constants: dict[str, Any] | None = None,
        *,
        description: Description | None = None,
        lengths: tuple[str, ...] = (),
        ranges: tuple[AxisRange, ...] = (),
        states: tuple[tuple[str, str], ...] = (),
        mode: str = "offline",
        name: str = "",
    ) -> Path:
        name = name or f"made-{len(list(tmp_path.iterdir()))}.rnnx"
        signature = Signature(
            inputs=tuple(parse_tensor(one) for one in inputs),
            outputs=tuple(parse_tensor(one) for one in outputs),
            lengths=tuple(LengthsSpec(name=one, axis="time") for one in lengths),
            ranges=ranges,
            states=tuple(StateSpec(name=one, output=output) for one, output in states),
        ).check()
        declared = [
            [helper.make_tensor_value_info(one.name, ELEMENTS[one.dtype], list(one.axes)) for one in side]
            for side in (signature.inputs, signature.outputs)
        ]
        stored = [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()]
        graph = helper.make_graph(nodes, "graph", *declared, stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        variant = Variant(
            precision="fp32",
            mode=mode,
            file="graph.onnx",
            opset=20,
            tolerance=Tolerance(atol=1e-5, floor=1e-3),
            operators={},
        )
        with staging(tmp_path / name) as folder:
            onnx.save(model, folder / variant.file)
            if description is not None:
                write_assets(folder, {"task.json": description.to_bytes()})
            write_manifest(folder, Manifest(name=name, signature=signature, variants=(variant,)))
        return tmp_path / name

    return write


@pytest.fixture
def counting(make: Callable[..., Path]) -> Path:
    """Which of the letters a, b and c a text has more of: the logits are how often each stands there."""
    table = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["hot"]),
        helper.make_node("Cast", ["lengths"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["hot", "axis"], ["logits"], keepdims=0),
        helper.make_node("ReduceMax", ["hot", "last"], ["attention"], keepdims=0),
        helper.make_node("Identity", ["lengths"], ["seen"]),
    ]
    read = TextRead(input="tokens", tokenizer=Characters(symbols=("<pad>", "a", "b", "c"), lower=True))
    return make(
        ["tokens: int64[batch, time] < 4", "lengths: int64[batch]"],
        ["logits: float32[batch, 3]", "attention: float32[batch, time]", "seen: int64[batch]"],
        nodes,
        {"table": table, "axis": np.array([1]), "last": np.array([2])},
        lengths=("lengths",),
        description=Description(
            task="counting",
            about="Tells which letter there is most of.",
            read=read,
            write=LabelsWrite(output="logits", labels=("a", "b", "c"), top=2, attention="attention"),
            samples=("abba",),
        ),
    )


@pytest.fixture
def spelling(make: Callable[..., Path]) -> Path:
    """Tags each word by the sum of its letters' ids and one for each (a is 2): even, or odd. Padding does not count."""
    nodes = [
        helper.make_node("Equal", ["letters", "pad"], ["padding"]),
        helper.make_node("Add", ["letters", "each"], ["more"]),
        helper.make_node("Where", ["padding", "zero", "more"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "axis"], ["sum"], keepdims=0),
        helper.make_node("Mod", ["sum", "two"], ["tags"]),
        helper.make_node("Identity", ["lengths"], ["seen"]),
    ]
    symbols = ("?", "a", "b", "c", "d", "e", "f", "g", "h", "<pad>")
    words = Words(letters=Letters(input="letters", symbols=symbols, unknown=0, pad=9, least=2))
    return make(
        ["letters: int64[batch, time, characters]", "lengths: int64[batch]"],
        ["tags: int64[batch, time]", "seen: int64[batch]"],
        nodes,
        {"pad": np.array(9), "zero": np.array(0), "each": np.array(1), "axis": np.array([2]), "two": np.array(2)},
        lengths=("lengths",),
        description=Description(
            task="tagging",
            read=TextRead(input="", tokenizer=words),
            write=TagsWrite(output="tags", labels=("even", "odd")),
        ),
    )


@pytest.fixture
def alphabet(make: Callable[..., Path]) -> Path:
    """A language model: after each of a, b, c and d the next is likely (logit 3), and after d the end is."""
    table = np.zeros((6, 6), np.float32)
    for one in range(1, 6):
        table[one, one % 5 + 1] = 3
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["plain"]),
        helper.make_node("Unsqueeze", ["h_0", "axis"], ["shift"]),
        helper.make_node("Add", ["plain", "shift"], ["logits"]),
        helper.make_node("Identity", ["h_0"], ["h_n"]),
    ]
    return make(
        ["tokens: int64[batch, time] < 6", "h_0: float32[batch, 1]"],
        ["logits: float32[batch, time, 6]", "h_n: float32[batch, 1]"],
        nodes,
        {"table": table, "axis": np.array([1])},
        states=(("h_0", "h_n"),),
        mode="streaming",
        description=Description(
            task="text-generation",
            read=TextRead(input="tokens", tokenizer=Characters(symbols=("\ufffd", "a", "b", "c", "d", "<end>"))),
            write=GenerateWrite(output="logits", length=8, end=5, forbidden=(0,), start="a"),
        ),
    )
