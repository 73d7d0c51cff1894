"""Model cards: what a system is and what it was measured to do, as ``NAME.json`` and ``NAME.md`` in its room.

``python -m rnnx.models.zoo.cards NAME ...`` exports a system, scores and times every variant, and writes both files;
they are committed. Run it on a quiet machine: the times are what the machine gives.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import torch

from ...atomic import write_atomically
from ...bundle import Bundle
from ...errors import ZooError
from ...manifest import PARITY
from ...runtime.machine import versions
from ...runtime.session import load
from .evaluating import evaluate_bundle
from .exporting import export_system
from .recording import Recorder
from .registry import ZOO, card_file, entry, figures, metric_of
from .registry import system as find
from .running import BundleRunner, ChunkRunner, TorchRunner
from .timing import latencies_ms
from .weights import trained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .exporting import Made
    from .registry import Entry
    from .system import Arrays, Runner, System

_TOOLS = ("rnnx", "torch", "onnxruntime", "numpy")


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Export a system into a folder and measure everything that its card says.

    Raises:
        ZooError, ParityError, MissingDataError: as :func:`.exporting.export_system` and
            :func:`.evaluating.evaluate_bundle`.
    """
    system = find(name)
    made = export_system(name, folder / f"{name}.rnnx", overwrite=True)
    bundle = made.bundle
    report = evaluate_bundle(bundle.path, provider="cpu").to_json()
    module = trained(system)
    times = _latencies(system, bundle)
    for one in report["results"]:
        one["latency_ms"] = times.get(one["runner"])
    return {
        **report,
        "parameters": sum(one.numel() for one in module.parameters()),
        "checkpoint_bytes": system.checkpoint.stat().st_size,
        "bundle_bytes": sum(one.size_bytes for one in bundle.manifest.files.values()),
        "max_abs_diff": _parity(bundle),
        "quantization": _quantization(made),
        "notes": list(made.notes),
        "versions": versions(_TOOLS),
    }


def _latencies(system: System, bundle: Bundle) -> dict[str, float]:
    """The median time of one held-out example by each runner, one thread, in milliseconds."""
    recorder = Recorder(TorchRunner(trained(system), system.face), count=1, rows=1)
    system.evaluate(recorder, system.held_out())
    feed = _cut(recorder.feeds[0], bundle)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ExitStack() as stack:
            runners: list[Runner] = [TorchRunner(trained(system), system.face)]
            for variant in bundle.manifest.variants:
                session = stack.enter_context(
                    load(bundle.path, provider="cpu", precision=variant.precision, mode=variant.mode, threads=1)
                )
                if variant.mode == "streaming":
                    runners.append(ChunkRunner(session, bundle.manifest.signature, system.face.time))
                else:
                    runners.append(BundleRunner(session, system.face))
            found = latencies_ms(runners, feed)
    finally:
        torch.set_num_threads(threads)
    return {runner.name: value for runner, value in zip(runners, found, strict=True)}


def _cut(feed: Arrays, bundle: Bundle) -> Arrays:
    """One example without the padding that it had among others."""
    signature = bundle.manifest.signature
    sizes = {one.axis: int(feed[one.name][0]) for one in signature.lengths if one.name in feed}
    cut = dict(feed)
    for spec in signature.inputs:
        for at, axis in enumerate(spec.axes):
            if axis in sizes and spec.name in cut:
                cut[spec.name] = cut[spec.name].take(range(sizes[axis]), at)
    return cut


def _parity(bundle: Bundle) -> dict[str, float]:
    """The largest difference from the source over the whole matrix, by variant."""
    found: dict[str, float] = {}
    for one in json.loads(bundle.read(PARITY))["reports"]:
        worst = max((row["max_abs_diff"] or 0.0 for row in one["cases"]), default=0.0)
        found[one["variant"]] = max(worst, found.get(one["variant"], 0.0))
    return found


def _quantization(made: Made) -> dict[str, Any]:
    """How many nodes with weights compute in 8 bits, and how many do not."""
    for variant in made.bundle.manifest.variants:
        if variant.precision == "int8" and variant.mode == "offline" and variant.quantization is not None:
            return {"int8": variant.quantization.nodes, "fp32": len(variant.quantization.fp32)}
    return {}


def card(name: str, known: Entry, measured: Mapping[str, Any], system: System) -> str:
    """The card of a system as Markdown."""
    metric = metric_of(measured)
    lines = [
        f"# {name}: {known.task}",
        "",
        f"- **Model**: {known.architecture}; {measured['parameters']:,} parameters.",
        f"- **Data**: {known.data}. Licence: {known.licence}. Splits and sources: `DATA.md`.",
        f"- **Input and output**: {_face(system)}.",
        f"- **Limits**: {known.limits}",
        "",
        f"| runner | {metric.name} | examples | bytes | ms for one example |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for one in measured["results"]:
        time = "-" if one["latency_ms"] is None else f"{one['latency_ms']:.2f}"
        lines.append(
            f"| {one['runner']} | {metric.show(one['value'])} | {one['count']} | {one['size_bytes']:,} | {time} |"
        )
    lines.append("")
    details = measured["results"][0]["details"]
    if details:
        runners = [one["runner"] for one in measured["results"]]
        lines += [f"| detail | {' | '.join(runners)} |", f"| --- |{' ---: |' * len(runners)}"]
        for key in details:
            values = [one["details"].get(key) for one in measured["results"]]
            lines.append(f"| {key} | {' | '.join('-' if v is None else f'{v:.4g}' for v in values)} |")
        lines.append("")
    apart = "; ".join(f"{variant} {value:.1e}" for variant, value in measured["max_abs_diff"].items())
    lines.append(f"Largest difference from PyTorch over the parity matrix: {apart}.")
    if measured["quantization"]:
        part = measured["quantization"]
        lines.append(
            f"int8: {part['int8']} nodes with weights compute in 8 bits, {part['fp32']} stay in fp32; chosen "
            f"so that the metric on these examples becomes worse by at most {metric.show(system.int8_budget or 0.0)}."
        )
    lines += [*measured["notes"], *(f"{key} was not measured: {why}" for key, why in measured["skipped"].items())]
    tools = ", ".join(f"{tool} {version}" for tool, version in measured["versions"].items())
    lines += ["", f"Times are medians on one thread of a CPU, all runners in turns. Measured with {tools}.", ""]
    return "\n".join(lines)


def _face(system: System) -> str:
    inputs = ", ".join(f"`{one}`" for one in (*system.face.inputs, *system.face.states))
    return f"{inputs} -> {', '.join(f'`{one}`' for one in system.face.outputs)}"


def time_again(name: str, folder: Path) -> dict[str, Any]:
    """The figures that are there, with the times measured anew on the bundle in a folder.

    Raises:
        BundleNotFoundError: there is no bundle of the system in it.
        ZooError: the system has no figures yet.
    """
    measured = figures(name)
    if measured is None:
        raise ZooError(f"'{name}' has no figures yet, so there are no times to measure anew. Leave --times out.")
    times = _latencies(find(name), Bundle.open(folder / f"{name}.rnnx"))
    for one in measured["results"]:
        one["latency_ms"] = times.get(one["runner"])
    return measured


@click.command()
@click.argument("names", nargs=-1)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Keep the bundles here.")
@click.option("--times", is_flag=True, help="Measure only the times anew, on the bundles in --folder.")
@click.option("--text", is_flag=True, help="Measure nothing; write the text again from the figures that are there.")
def main(names: tuple[str, ...], folder: Path | None, *, times: bool, text: bool) -> None:
    """Measure these systems, or all, and write their cards."""
    if times and folder is None:
        raise click.UsageError("--times needs the --folder that holds the bundles.")
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for name in names or ZOO:
            measured = figures(name) if text else time_again(name, place) if times else measure(name, place)
            if measured is None:
                raise click.ClickException(f"'{name}' has no figures yet. Leave --text out.")
            if not text:
                content = json.dumps(measured, indent=1, allow_nan=False) + "\n"
                write_atomically(card_file(name), content.encode())
            page = card(name, entry(name), measured, find(name))
            write_atomically(card_file(name).with_suffix(".md"), page.encode())
            click.echo(f"{name}: {[(one['runner'], round(one['value'], 4)) for one in measured['results']]}")


if __name__ == "__main__":
    main()
