"""Whether a task's description fits a model's signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import TaskError
from .description import FILE, Description
from .read_kinds import AudioRead, ImageRead, SeriesRead, TextRead, VideoRead, Words
from .write_kinds import (
    AudioWrite,
    CtcWrite,
    ForecastWrite,
    GenerateWrite,
    LabelsWrite,
    ScoresWrite,
    TagsWrite,
    TokensWrite,
    Write,
)
from .writing import read_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...signature import Signature, TensorSpec
    from .read_kinds import Read

_FLOATS = ("float32", "float64", "float16")
_IDS = ("int64", "int32")


def read_description(assets: Mapping[str, bytes]) -> Description | None:
    """The description among a bundle's assets, or None where there is none.

    Raises:
        TaskError: it is wrong.
    """
    return Description.from_bytes(bytes(assets[FILE])) if FILE in assets else None


def check_description(description: Description, signature: Signature) -> None:
    """Refuse a description that does not fit a model.

    Args:
        description: the task.
        signature: of the model, its outputs among it.

    Raises:
        TaskError: it names inputs or outputs that are not there, of another rank or dtype, or of another number of
            classes; or an input is left that nothing feeds.
    """
    inputs = {one.name: one for one in signature.inputs}
    fed = _fed(description.read)
    for name, (ranks, dtypes) in fed.items():
        if name not in inputs:
            raise TaskError(f"the task reads into '{name}'; the model's inputs are {_listed(inputs)}.")
        _check_tensor("input", inputs[name], ranks, dtypes)
    for name in description.options:
        if name not in inputs or name in fed:
            raise TaskError(f"the task has the option '{name}', which is no free input; there are {_listed(inputs)}.")
        if len(inputs[name].axes) > 1:
            raise TaskError(f"option '{name}' is '{inputs[name]}'; only a scalar or one number a row can be one.")
    given = {*fed, *description.options, *signature.state_names, *(one.name for one in signature.lengths)}
    left = [name for name in inputs if name not in given]
    if left:
        raise TaskError(f"nothing feeds the input '{left[0]}': it is neither read, an option, lengths nor a state.")
    _check_symbols(description.read, inputs)
    _check_write(description.write, {one.name: one for one in signature.outputs}, description.read)


def _fed(read: Read) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Ranks, batch among them, and dtypes of each input that is read into."""
    match read:
        case TextRead():
            found: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {}
            if read.input:
                found[read.input] = ((2,), _IDS)
            if isinstance(read.tokenizer, Words) and read.tokenizer.letters is not None:
                found[read.tokenizer.letters.input] = ((3,), _IDS)
            return found
        case AudioRead():
            return {read.input: ((2, 3), _FLOATS)}
        case ImageRead() | VideoRead():
            return {read.input: ((len(read.layout),), (*_FLOATS, "uint8"))}
        case SeriesRead():
            found = {}
            for one in read.tables:
                least = 2 if one.rows == "first" else 3
                # One column may lack its axis.
                ranks = (least - 1, least) if len(one.columns) == 1 else (least,)
                found[one.input] = (ranks, (*_FLOATS, *_IDS))
                if one.mask is not None:
                    found[one.mask] = (ranks, (*_FLOATS, *_IDS, "bool"))
                if one.gaps is not None:
                    found[one.gaps] = ((2, 3), _FLOATS)
            return found


def _check_tensor(what: str, spec: TensorSpec, ranks: tuple[int, ...], dtypes: tuple[str, ...]) -> None:
    if len(spec.axes) not in ranks or spec.dtype not in dtypes:
        shape = " or ".join(map(str, ranks))
        raise TaskError(
            f"{what} '{spec}' does not fit the task: it must have {shape} axes, the batch first, and be one of "
            f"{', '.join(dtypes)}."
        )


def _check_symbols(read: Read, inputs: Mapping[str, TensorSpec]) -> None:
    """Refuse more symbols than the input's declared range takes."""
    counts: dict[str, int] = {}
    if isinstance(read, TextRead):
        counts = {read.input: len(read.tokenizer.symbols)} if read.input else {}
        if isinstance(read.tokenizer, Words) and read.tokenizer.letters is not None:
            counts[read.tokenizer.letters.input] = len(read.tokenizer.letters.symbols)
    for name, count in counts.items():
        bound = inputs[name].bound
        if bound is not None and count > bound:
            raise TaskError(f"the task has {count} symbols for '{inputs[name]}', which takes ids below {bound}.")


def _check_write(write: Write, outputs: Mapping[str, TensorSpec], read: Read) -> None:
    names = [write.output] if isinstance(write, GenerateWrite) else read_outputs(write)
    for name in names:
        if name not in outputs:
            raise TaskError(f"the task answers from '{name}'; the model's outputs are {_listed(outputs)}.")
    spec = outputs[write.output]
    classes, ranks, dtypes = _wanted(write, spec, read)
    _check_tensor("output", spec, ranks, dtypes)
    if classes and isinstance(spec.axes[-1], int) and spec.axes[-1] != classes:
        raise TaskError(f"output '{spec}' has {spec.axes[-1]} classes, the task names {classes}. Name each one.")


def _wanted(write: Write, spec: TensorSpec, read: Read) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    """Classes on the last axis (0 for any number), ranks and dtypes that the output may have."""
    classes = 0
    ranks: tuple[int, ...] = (1, 2, 3)
    dtypes: tuple[str, ...] = _FLOATS
    match write:
        case LabelsWrite():
            classes, ranks = len(write.labels), (2,) if write.over_time is None else (3,)
        case TagsWrite():
            whole = "int" in spec.dtype
            classes, ranks, dtypes = 0 if whole else len(write.labels), (2,) if whole else (3,), (*_FLOATS, *_IDS)
        case TokensWrite():
            ranks, dtypes = (2, 3), _IDS
        case CtcWrite():
            classes, ranks = len(write.symbols), (3,)
        case ForecastWrite():
            classes, ranks = len(write.quantiles), (3,) if write.quantiles or write.over_time else (1, 2, 3)
        case AudioWrite() if write.mel is not None:
            classes, ranks = write.mel.mels, (3,)
        case GenerateWrite():
            assert isinstance(read, TextRead)  # the description has seen to it
            classes, ranks = len(read.tokenizer.symbols), (3,)
        case AudioWrite() | ScoresWrite():
            pass
    return classes, ranks, dtypes


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"'{one}'" for one in names)
