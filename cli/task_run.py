"""``rnnx run BUNDLE --text "..."``: what a bundle is for, done for a person."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..bundle import Bundle
    from ..runtime.tasks import Description, Task
    from ..runtime.tasks.results import Result

#: The option that hands over each kind of source, what it takes, and the kinds of ``read`` in ``task.json``.
SOURCES = {
    "text": ("TEXT", "A text to read; - is standard input. Repeat it for a batch."),
    "audio": ("FILE.wav", "Sound to read. Repeatable."),
    "image": ("FILE.png", "A picture to read, of any form that Pillow knows. Repeatable."),
    "video": (
        "FILE.gif|FOLDER",
        "Moving pictures to read, or a folder of pictures in order of their names. Repeatable.",
    ),
    "csv": ("FILE.csv", "A table over time to read; .npy too. Repeatable."),
}
_KINDS = {"text": "text", "audio": "audio", "image": "image", "video": "video", "series": "csv"}


#: Options of a task, by the keyword that they set.
_NUMBERS: dict[str, tuple[str, click.ParamType[Any], str]] = {
    "length": ("N", click.IntRange(min=1), "How many symbols to write, of a bundle that generates text."),
    "temperature": ("T", click.FloatRange(min=0), "How freely to draw them; 0 takes the most probable."),
    "top_k": ("K", click.IntRange(min=1), "Draw from the K most probable only."),
    "seed": ("S", click.IntRange(min=0), "What decides the draws."),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a user asks of a task.

    Attributes:
        kind: of the sources, a key of :data:`SOURCES`.
        sources: texts or paths.
        options: values of the task's options.
        top: how many labels or alternatives to show, or None.
        sound: the WAV file to write, or None.
        stream: whether to answer chunk by chunk.
        chunk: samples or rows of a chunk, or None.
    """

    kind: str
    sources: tuple[str, ...]
    options: Mapping[str, float] = field(default_factory=dict)
    top: int | None = None
    sound: str | None = None
    stream: bool = False
    chunk: int | None = None


def task_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a task, for a command that takes them as keywords."""
    options = [
        *(
            click.option(f"--{name}", multiple=True, metavar=metavar, help=text)
            for name, (metavar, text) in SOURCES.items()
        ),
        *(
            click.option(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)
            for name, (metavar, kind, text) in _NUMBERS.items()
        ),
        click.option("--option", multiple=True, metavar="NAME=NUMBER", help="An option of the bundle's task."),
        click.option("--top", type=click.IntRange(min=1), metavar="N", help="Show N labels, or N texts of a search."),
        click.option("--stream", is_flag=True, help="Answer sound or a table chunk by chunk, as if it came by and by."),
        click.option("--chunk", type=click.IntRange(min=1), metavar="N", help="Samples or rows of a chunk."),
        click.option("-o", "--sound", metavar="FILE.wav", help="Where to write the sound, of a bundle that speaks."),
    ]
    for one in reversed(options):
        command = one(command)
    return command


def asked(given: Mapping[str, Any]) -> Asked | None:
    """What was asked by the options of :func:`task_options`; None where no source was given.

    Raises:
        click.UsageError: sources of two kinds are given, or options of a task without a source.
    """
    kinds = [name for name in SOURCES if given[name]]
    options = {name: given[name] for name in _NUMBERS if given[name] is not None}
    for text in given["option"]:
        name, _, number = text.partition("=")
        try:
            value = float(number)
            options[name] = int(value) if value.is_integer() else value
        except ValueError:
            raise click.BadParameter(f"'{text}' must be NAME=NUMBER.", param_hint="'--option'") from None
    if len(kinds) > 1:
        raise click.UsageError(f"--{kinds[0]} and --{kinds[1]} are given. Give sources of one kind.")
    if not kinds:
        if options or given["stream"] or any(given[name] is not None for name in ("top", "sound", "chunk")):
            raise click.UsageError("options of a task are given, and nothing to read. Give --text or the like.")
        return None
    sources = given[kinds[0]]
    if kinds[0] == "text" and "-" in sources:
        if sources.count("-") > 1:
            raise click.UsageError("--text - is given twice; standard input is read once.")
        entered = _entered()
        sources = tuple(entered if one == "-" else one for one in sources)
    further = {name: given[name] for name in ("top", "sound", "stream", "chunk")}
    if given["chunk"] is not None and not given["stream"]:
        raise click.UsageError("--chunk goes with --stream.")
    if given["stream"] and (len(sources) > 1 or options):
        raise click.UsageError("--stream takes one source, and no options of the task.")
    return Asked(kind=kinds[0], sources=sources, options=options, **further)


def _entered() -> str:
    """Standard input, without the newline at its end."""
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is no text in UTF-8: {error}. Give text.") from None


def run_task(bundle: str, wanted: Asked, load_options: Mapping[str, Any], *, as_json: bool) -> None:
    """Run a bundle's task and print the answers; generated text as it is drawn.

    Raises:
        TaskError: the bundle has no task, or takes another kind of source.
        click.UsageError: ``-o`` is given, and the task makes no sound.
        RnnxError, OSError: as :class:`rnnx.runtime.tasks.Task`.
    """
    from ..bundle import Bundle
    from ..runtime.tasks.task import bundle_description, load_task

    description = bundle_description(Bundle.open(bundle))
    _check_kind(bundle, wanted.kind, description)
    if wanted.sound is not None and description.write.kind != "audio":
        raise click.UsageError(f"-o writes sound, and '{bundle}' answers {description.write.kind}. Leave it out.")
    if wanted.stream:
        with load_task(bundle, **{**load_options, "mode": "streaming"}) as task:
            _print_stream(task, wanted, as_json=as_json)
        return
    with load_task(bundle, **load_options) as task:
        if description.write.kind == "generate" and not as_json:
            _print_generated(task, wanted)
            return
        results = [_shown(one, wanted.top) for one in task.batch(wanted.sources, **wanted.options)]
        for source, result in zip(wanted.sources, results, strict=True):
            _note(task, source, result)
        files = _written(results, wanted.sound)
        if as_json:
            told = [
                {"input": source, **result.to_json(), **_unknown(task, source), **({"file": file} if file else {})}
                for source, result, file in zip(wanted.sources, results, files, strict=True)
            ]
            session = task.session
            report = {"bundle": bundle, "task": description.task, "variant": session.variant.key}
            click.echo(json.dumps(report | {"provider": session.provider_report.to_json(), "results": told}, indent=1))
        else:
            for source, result, file in zip(wanted.sources, results, files, strict=True):
                text = f"{result}, in '{file}'" if file else str(result)
                click.echo(text if len(results) == 1 else _headed(source, text))


def describe(description: Description, bundle: Bundle) -> str:
    """What a task is, in lines for ``rnnx inspect``."""
    from ..bundle import ASSETS

    kind = _KINDS[description.read.kind]
    lines = [f"task: {description.task}: --{kind} {SOURCES[kind][0]} -> {description.write.kind}"]
    lines += _reads(description)
    if description.about:
        lines.append(description.about)
    if description.options:
        lines.append("options: " + ", ".join(f"{name}={value:g}" for name, value in description.options.items()))
    # A file to try lies in the bundle.
    samples = [str(bundle.path / ASSETS / one) if one in bundle.assets else one for one in description.samples]
    lines += [f"try: --{kind} {json.dumps(one, ensure_ascii=False)}" for one in samples]
    return "\n".join(lines)


def _reads(description: Description) -> list[str]:
    """What a person has to know of what is handed over."""
    from ..runtime.tasks.read_kinds import AudioRead, SeriesRead
    from ..runtime.tasks.series import column_names

    read = description.read
    if isinstance(read, AudioRead):
        return [f"sound: {read.sample_rate} Hz, others are resampled; at least {read.least_samples} samples of these"]
    if not isinstance(read, SeriesRead):
        return []
    ahead = f", and {read.horizon} rows of the future behind them" if read.horizon else ""
    gaps = "may be empty" if read.missing == "mask" else "must all be filled"
    return [
        f"columns: {', '.join(column_names(read))}",
        f"rows: at least {read.least_rows}{ahead}; cells {gaps}",
    ]


def _check_kind(bundle: str, given: str, description: Description) -> None:
    from ..errors import TaskError

    takes = _KINDS[description.read.kind]
    if given != takes:
        raise TaskError(
            f"bundle '{bundle}' takes --{takes} {SOURCES[takes][0]} (its task is {description.task}), and --{given} is "
            f"given. Run: rnnx run {bundle} --{takes} {SOURCES[takes][0]}"
        )


def _print_generated(task: Task, wanted: Asked) -> None:
    for number, text in enumerate(wanted.sources):
        if number:
            click.echo()
        pieces = task.generate(text, **wanted.options)  # refuses what cannot be read before anything is printed
        _note(task, text)
        click.echo(task.beginning(text), nl=False)
        for piece in pieces:
            click.echo(piece, nl=False)  # flushes, so that it is read as it is written
        click.echo()


def _note(task: Task, source: str, result: Result | None = None) -> None:
    """Say on standard error what of a text was not known, and where the model was cut off."""
    from ..runtime.tasks.results import SplitResult, TextResult
    from ..runtime.tasks.tokenizers import named

    found = task.unknown(source)
    if found:
        click.echo(f"note: the model does not know {named(found)}; it was read as something unknown.", err=True)
    parts = result.results if isinstance(result, SplitResult) else [result]
    if any(isinstance(one, TextResult) and not one.ended for one in parts):
        click.echo("note: the answer was cut off: the model did not come to an end. It may be wrong.", err=True)


def _unknown(task: Task, source: str) -> dict[str, list[str]]:
    """The same for programs."""
    found = task.unknown(source)
    return {"unknown": list(found)} if found else {}


def _print_stream(task: Task, wanted: Asked, *, as_json: bool) -> None:
    """Each answer as it comes: a line of JSON; text as it grows; other answers in lines."""
    from ..runtime.tasks.results import TextResult

    grows = False
    for result in task.stream(wanted.sources[0], wanted.chunk):
        grows = isinstance(result, TextResult) and not as_json
        click.echo(json.dumps(result.to_json()) if as_json else str(_shown(result, wanted.top)), nl=not grows)
    if grows:
        click.echo()


def _shown(result: Result, top: int | None) -> Result:
    """The result with so many labels, or texts, for people."""
    from ..runtime.tasks.results import LabelsResult, TextResult

    if top is not None and isinstance(result, LabelsResult | TextResult):
        return replace(result, top=top)
    return result


def _written(results: Sequence[Result], sound: str | None) -> list[str]:
    """The file of each sound that is written; the empty text where none is."""
    from ..runtime.tasks.results import AudioResult

    if sound is None:
        return [""] * len(results)
    path = Path(sound)
    names = [path] if len(results) == 1 else [
        path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(results) + 1)
    ]  # fmt: skip
    for result, name in zip(results, names, strict=True):
        if isinstance(result, AudioResult):
            result.write(name)
    return [str(name) for name in names]


def _headed(source: str, text: str) -> str:
    head = source if len(source) <= 60 else source[:57] + "..."
    return f"{head}: {text}" if "\n" not in text else f"{head}:\n" + "\n".join(f"  {one}" for one in text.split("\n"))
