"""Layers in int8 against ONNX Runtime's own fp32 operators and OpenVINO: time, size and signal to noise.

All are timed in turns on the same inputs, so that whatever else the machine does hits all; a figure is the median of
the turns, a ratio the median of the turns' ratios with their quartiles. The weights are such as training leaves:
normal, with rows that differ in magnitude. OpenVINO runs the fp32 file by its defaults, which is bfloat16 where the
processor has it; where it is not installed its column is empty. Run it with
``python -m rnnx.benchmarks.int8_layers``; what was found with it is in ``benchmarks/notes/quantization.md``.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from torch import nn

from ..bundle import Bundle
from ..exporters import export
from ..exporters.quantization.budgets import Budget
from ..exporters.quantization.quantize import quantize
from ..runtime.machine import cores, cpu, versions
from ..runtime.ort import import_ort
from .bench.peers import PeerMissingError, import_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[[dict[str, np.ndarray]], object]

#: Layers, features and hidden size.
SIZES = ((2, 80, 256), (2, 512, 512), (1, 1024, 1024))
#: Batch and time.
SHAPES = ((1, 1), (1, 100), (16, 100), (64, 50))
KINDS = ("LSTM", "GRU", "RNN")
_OPENVINO = "openvino"
#: A budget that every node meets: what int8 takes is to be measured, not what is worth it.
_ALL = Budget(limit=-1000.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One layer stack at one shape.

    Attributes:
        kind: ``LSTM``, ``GRU`` or ``RNN``.
        size: ``2x512/512``: layers, features and hidden size.
        batch: rows.
        time: steps.
        threads: threads within an operator.
        fp32_ms: median of ONNX Runtime's own operator, milliseconds.
        int8_ms: median of the int8 variant.
        ratio: median of fp32 over int8, turn by turn.
        low: its first quartile.
        high: its third quartile.
        openvino: the same for OpenVINO, fp32 over its time; None where it is not installed.
        turns: how many there were.
        sqnr_db: signal to quantization noise on the bundle's golden vectors, dB.
        bytes_share: the int8 file's bytes as a share of the fp32 file's.
    """

    kind: str
    size: str
    batch: int
    time: int
    threads: int
    fp32_ms: float
    int8_ms: float
    ratio: float
    low: float
    high: float
    openvino: float | None
    turns: int
    sqnr_db: float
    bytes_share: float


def trained(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with normal weights whose rows differ in magnitude by a factor of about three."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 2:
                rows = torch.exp(0.5 * torch.randn(parameter.shape[0], 1, generator=generator))
                drawn = drawn * rows * 0.7 / parameter.shape[1] ** 0.5
            else:
                drawn = drawn * 0.2
            parameter.copy_(drawn)
    return module.eval()


def measure(kind: str, size: tuple[int, int, int], folder: Path, threads: int, seconds: float) -> Iterator[Row]:
    """Export and quantize one stack, and time it at every shape."""
    layers, features, hidden = size
    path = folder / f"{kind}-{layers}-{hidden}.rnnx"
    model = trained(getattr(nn, kind)(features, hidden, layers))
    export(model, inputs={"input": f"float32[time, batch, {features}]"}, out=path, streaming="off")
    made = quantize(path, budget=_ALL)
    bundle = Bundle.open(path)
    files = {precision: bundle.read(bundle.variant(precision).file) for precision in ("fp32", "int8")}
    calls = {precision: _session(content, threads) for precision, content in files.items()}
    with suppress(PeerMissingError):
        calls[_OPENVINO] = _openvino(files["fp32"], threads)
    generator = np.random.default_rng(0)
    for batch, steps in SHAPES:
        feed = {"input": generator.standard_normal((steps, batch, features)).astype(np.float32)}
        taken = _turns(calls, feed, seconds, repeats=20 if steps == 1 else 1)
        ratios = taken["fp32"] / taken["int8"]
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        yield Row(
            kind=kind,
            size=f"{layers}x{features}/{hidden}",
            batch=batch,
            time=steps,
            threads=threads,
            fp32_ms=float(np.median(taken["fp32"])) * 1e3,
            int8_ms=float(np.median(taken["int8"])) * 1e3,
            ratio=float(middle),
            low=float(low),
            high=float(high),
            openvino=float(np.median(taken["fp32"] / taken[_OPENVINO])) if _OPENVINO in taken else None,
            turns=len(ratios),
            sqnr_db=made.loss,
            bytes_share=len(files["int8"]) / len(files["fp32"]),
        )


def _turns(calls: dict[str, Call], feed: dict[str, np.ndarray], seconds: float, repeats: int) -> dict[str, np.ndarray]:
    """Seconds of one run of each candidate, turn by turn."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(3):
            call(feed)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken["fp32"]) < 7:
        for name, call in calls.items():
            if repeats > 1:
                call(feed)  # the weights of the candidate before fill the cache
            begun = time.perf_counter()
            for _ in range(repeats):
                call(feed)
            taken[name].append((time.perf_counter() - begun) / repeats)
    return {name: np.array(values) for name, values in taken.items()}


def _session(content: bytes, threads: int) -> Call:
    ort = import_ort()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], provider_options=[{}], enable_fallback=0
    )
    return lambda feed: session.run([], feed)


def _openvino(content: bytes, threads: int) -> Call:
    core = import_engine(_OPENVINO).Core()
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_NUM_THREADS": threads})
    request = compiled.create_infer_request()
    return lambda feed: request.infer(feed, share_inputs=True)


@click.command()
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Threads of each session.")
@click.option("--seconds", default=3.0, show_default=True, help="How long each shape is measured.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(threads: int, seconds: float, kinds: tuple[str, ...], *, as_json: bool) -> None:
    """Time LSTM, GRU and RNN stacks in int8 against ONNX Runtime's fp32 operators and OpenVINO, on the CPU."""
    rows: list[Row] = []
    head = "| kind | size | batch | time | fp32 ms | int8 ms | ratio (quartiles) | OpenVINO | SQNR dB | bytes |"
    if not as_json:
        tools = ", ".join(
            f"{name} {version}" for name, version in versions(("onnxruntime", "torch", _OPENVINO)).items()
        )
        click.echo(f"{cpu()}, {cores()} cores, {threads} threads; {tools}\n\n{head}\n|{'---|' * 10}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds or KINDS:
            for size in SIZES:
                for row in measure(kind, size, Path(folder), threads, seconds):
                    rows.append(row)
                    if not as_json:
                        peer = "-" if row.openvino is None else f"{row.openvino:.2f}"
                        click.echo(
                            f"| {row.kind} | {row.size} | {row.batch} | {row.time} | {row.fp32_ms:.3f} | "
                            f"{row.int8_ms:.3f} | {row.ratio:.2f} ({row.low:.2f} to {row.high:.2f}) | {peer} | "
                            f"{row.sqnr_db:.1f} | {row.bytes_share:.0%} |"
                        )
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
