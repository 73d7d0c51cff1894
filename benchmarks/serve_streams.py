"""Streams over gRPC, end to end: steps per second of 1, 4 and 64 of them, batched and not.

Two servers of the same bundle (``rnnx serve``, a 2 x 256 LSTM by default) run as processes on loopback, one that
batches up to 64 rows and one that runs every chunk alone. This process is the client: one ``ModelStreamInfer`` for
each stream, the next chunk when the answer to the last is there. The servers log no single requests. They take turns
round by round, in an order drawn anew for each; figures are medians over the rounds, ratios medians of the rounds'
ratios. Every stream's answers are compared with a session's own, so that a stream that was lost or mixed up ends the
benchmark.
Run it with ``python -m rnnx.benchmarks.serve_streams``; it exits with 1 where a goal is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..runtime.session import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FEATURES, CHUNK = 80, 8
#: Steps per second that 4 streams must reach, and how many times the unbatched steps of 64 streams the batched must be.
LEAST_STEPS, LEAST_RATIO = 2000.0, 2.0
STREAMS = (1, 4, 64)
SERVERS = {"batched": 64, "unbatched": 1}
#: Answers of a batch may differ from those of one stream in their last bits, which a recurrence carries on.
ATOL = 1e-4
_START_S = 60.0
_CHUNKS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What one server did for a number of streams.

    Attributes:
        server: which.
        streams: how many at a time.
        steps_per_s: chunks that were answered in a second.
        p50_ms: median time to an answer, milliseconds.
        p99_ms: its 99th percentile.
    """

    server: str
    streams: int
    steps_per_s: float
    p50_ms: float
    p99_ms: float


@contextlib.contextmanager
def serving(bundle: Path, folder: Path, max_batch: int) -> Iterator[int]:
    """The port of a server of this bundle; it is stopped by its process behind the block."""
    ports = folder / f"ports-{max_batch}.json"
    given = [str(bundle), "--provider", "cpu", "--no-http", "--grpc-port", "0", "--max-batch", str(max_batch)]
    given += ["--log-level", "warning", "--ports-file", str(ports)]
    command = [sys.executable, "-m", "rnnx", "serve", *given]
    with (folder / f"log-{max_batch}.txt").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603  (our own program)
        try:
            until = time.monotonic() + _START_S
            while not ports.exists():
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise click.ClickException(f"the server did not start: {log.read()[-2000:]}")
                time.sleep(0.05)
            yield json.loads(ports.read_text(encoding="utf-8"))["grpc"]
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def expected(bundle: Path, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 ``(1, time, hidden)``: the answer to the last chunk of a stream, by a session of its own."""
    with load(bundle, provider="cpu", threads=1, mode="streaming") as session:
        (pushed,) = session.stream_inputs
        state = session.initial_state()
        for chunk in chunks:
            outputs, state = session.step({pushed: chunk}, state)
    return outputs["output"]


async def wait_ready(port: int) -> None:
    """Wait until the server's models are proven."""
    import grpc.aio  # noqa: PLC0415  (an extra)

    from ..runtime.serving.protocol.proto import inference_pb2 as pb  # noqa: PLC0415
    from ..runtime.serving.protocol.proto import inference_pb2_grpc as stubs  # noqa: PLC0415

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(_START_S):
        stub: Any = stubs.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        while not (await stub.ServerReady(pb.ServerReadyRequest())).ready:  # noqa: ASYNC110  (of another process)
            await asyncio.sleep(0.05)


async def drive(
    port: int, streams: int, seconds: float, chunks: NDArray[np.float32], last: NDArray[np.float32]
) -> tuple[float, list[float]]:
    """Let a number of streams run over and over for some seconds: steps per second, and the time to each answer."""
    import grpc.aio  # noqa: PLC0415  (an extra)

    from ..runtime.serving.protocol.proto import inference_pb2 as pb  # noqa: PLC0415
    from ..runtime.serving.protocol.proto import inference_pb2_grpc as stubs  # noqa: PLC0415

    def asked(number: int, at: int) -> Any:  # noqa: ANN401  (generated)
        message = pb.ModelInferRequest(model_name="lstm", id=str(at))
        message.inputs.add(name="input", datatype="FP32", shape=chunks[at].shape)
        message.raw_input_contents.append(chunks[at].tobytes())
        message.parameters["sequence_id"].int64_param = number + 1
        message.parameters["sequence_start"].bool_param = at == 0
        message.parameters["sequence_end"].bool_param = at == len(chunks) - 1
        return message

    async def one(stub: Any, number: int, until: float) -> list[float]:  # noqa: ANN401  (generated)
        call, waits = stub.ModelStreamInfer(), []
        messages = [asked(number, at) for at in range(len(chunks))]
        while time.perf_counter() < until:
            for message in messages:
                begun = time.perf_counter()
                await call.write(message)
                answer = await call.read()
                waits.append(time.perf_counter() - begun)
                if answer.error_message or answer.infer_response.id != message.id:
                    raise click.ClickException(f"stream {number} failed: {answer.error_message or 'a wrong id'}")
            # The state runs through all chunks, so that the last answer is right only if all were.
            values = np.frombuffer(answer.infer_response.raw_output_contents[0], np.float32)
            if np.abs(values - last.ravel()).max() > ATOL:
                raise click.ClickException(f"stream {number} was given other answers than its own.")
        await call.done_writing()
        return waits

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = stubs.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        begun = time.perf_counter()
        waits = await asyncio.gather(*(one(stub, number, begun + seconds) for number in range(streams)))
        taken = time.perf_counter() - begun
    every = [wait for those in waits for wait in those]
    return len(every) / taken, every


async def measure(
    ports: dict[str, int], seconds: float, rounds: int, chunks: NDArray[np.float32], last: NDArray[np.float32]
) -> tuple[list[Line], float]:
    """All lines, and the median ratio of batched to unbatched steps at most streams."""
    random = np.random.default_rng(0)
    rates: dict[tuple[str, int], list[float]] = {(server, number): [] for number in STREAMS for server in ports}
    waits: dict[tuple[str, int], list[float]] = {key: [] for key in rates}
    for port in ports.values():
        await wait_ready(port)
        await drive(port, STREAMS[-1], 0.5, chunks, last)  # warm-up
    for _ in range(rounds):
        for number in STREAMS:
            for server in random.permutation(list(ports)).tolist():
                rate, waited = await drive(ports[server], number, seconds, chunks, last)
                rates[server, number].append(rate)
                waits[server, number] += waited
    lines = [
        Line(
            server=server,
            streams=number,
            steps_per_s=statistics.median(found),
            p50_ms=float(np.percentile(waits[server, number], 50)) * 1e3,
            p99_ms=float(np.percentile(waits[server, number], 99)) * 1e3,
        )
        for (server, number), found in rates.items()
    ]
    pairs = zip(rates["batched", STREAMS[-1]], rates["unbatched", STREAMS[-1]], strict=True)
    return lines, statistics.median(one / other for one, other in pairs)


def export_lstm(path: Path, hidden: int, layers: int) -> None:
    """Write a bundle of an LSTM."""
    import torch  # noqa: PLC0415  (not where a bundle is given)

    from ..exporters import export  # noqa: PLC0415

    torch.manual_seed(0)
    model = torch.nn.LSTM(FEATURES, hidden, layers, batch_first=True).eval()
    export(model, inputs={"input": f"float32[batch, time, {FEATURES}]"}, out=path, streaming="on")


@click.command()
@click.option("--hidden", default=256, show_default=True, type=click.IntRange(min=1))
@click.option("--layers", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(min=0.1), help="Of one turn.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(hidden: int, layers: int, seconds: float, rounds: int, *, as_json: bool) -> None:
    """Steps per second of streams over gRPC, batched and not."""
    try:
        import uvloop  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise click.ClickException("install rnnx[serve,grpc] to measure the server.") from error
    chunks = np.random.default_rng(0).standard_normal((_CHUNKS, 1, CHUNK, FEATURES)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        bundle = folder / "lstm.rnnx"
        # In a process of its own, for the client's would look through all of torch for garbage again and again.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(export_lstm, bundle, hidden, layers).result()
        ports = {server: stack.enter_context(serving(bundle, folder, most)) for server, most in SERVERS.items()}
        lines, ratio = uvloop.run(measure(ports, seconds, rounds, chunks, expected(bundle, chunks)))
    steps = next(one.steps_per_s for one in lines if (one.server, one.streams) == ("batched", 4))
    passed = steps >= LEAST_STEPS and ratio >= LEAST_RATIO
    if as_json:
        goals = {"least_steps_per_s_of_4": LEAST_STEPS, "least_ratio_of_64": LEAST_RATIO}
        found = {"goals": goals, "passed": passed, "ratio_of_64": ratio, "lines": [asdict(one) for one in lines]}
        click.echo(json.dumps(found, indent=1))
    else:
        click.echo(f"{'server':10}{'streams':>8}{'steps/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
        for one in lines:
            click.echo(f"{one.server:10}{one.streams:8}{one.steps_per_s:10.0f}{one.p50_ms:9.2f}{one.p99_ms:9.2f}")
        verdict = "reached" if passed else "MISSED"
        click.echo(
            f"64 streams, batched of unbatched: {ratio:.2f}; goals {LEAST_STEPS:g} and {LEAST_RATIO:g}: {verdict}"
        )
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
