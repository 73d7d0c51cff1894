"""``rnnx triton --check``: finds what Triton would refuse, and what it would take and answer wrongly.

Triton itself checks little of a model with states: pairs that are swapped, a batch on the wrong axis and a first step
that reads whatever was in memory all load, and answer. Here the configuration is held against the ONNX file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DeployError
from .onnx_face import faces
from .text_format import parse
from .triton_check_states import check_sequences
from .triton_config import BACKEND, CONFIG, MODEL_FILE, STATES_FOLDER, WARMUP_FOLDER
from .triton_dims import dims_disagree, file_is_short, listing
from .triton_fields import misspelt

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from .onnx_face import Face
    from .text_format import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something in a repository that Triton would refuse, or answer wrongly with.

    Attributes:
        model: the model's folder; empty for the repository itself.
        problem: what is wrong, and what would be right.
    """

    model: str
    problem: str

    def __str__(self) -> str:
        """``model: problem``."""
        return f"{self.model}: {self.problem}" if self.model else self.problem


def validate(repository: str | os.PathLike[str]) -> list[Finding]:
    """Everything that is wrong in a model repository for Triton's ONNX Runtime backend; empty where nothing is.

    Raises:
        DeployError: there is no such folder.
    """
    folder = Path(repository)
    if not folder.is_dir():
        raise DeployError(f"'{folder}' is no folder. Give a model repository, such as 'rnnx triton' writes.")
    models = sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    if not models:
        return [Finding(model="", problem=f"'{folder}' holds no model: each is a folder with a '{CONFIG}'")]
    return [Finding(model=one.name, problem=problem) for one in models for problem in _model(one)]


def _model(folder: Path) -> Iterator[str]:
    try:
        message = parse((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield f"'{CONFIG}' is missing"
        return
    except (DeployError, UnicodeDecodeError) as error:
        yield f"'{CONFIG}' cannot be read: {error}"
        return
    wrong = list(misspelt(message))
    yield from wrong
    if wrong:
        return
    if message.text("name") not in {"", folder.name}:
        yield f"'name' is '{message.text('name')}', the folder is '{folder.name}': they must be the same"
    if message.text("backend") != BACKEND and message.text("platform") != "onnxruntime_onnx":
        yield f"'backend' is '{message.text('backend')}'; a bundle's graph is run by '{BACKEND}'"
        return
    file = message.text("default_model_filename") or MODEL_FILE
    versions = [one for one in sorted(folder.iterdir()) if one.is_dir() and one.name.isdecimal()]
    usable = [one for one in versions if not (len(one.name) > 1 and one.name.startswith("0")) and one.name != "0"]
    if not usable:
        there = ", ".join(f"'{one.name}'" for one in versions) or "none"
        yield f"there is no version folder such as '1' (found {there}; leading zeros are ignored)"
    for version in usable:
        if not (version / file).is_file():
            yield f"'{version.name}/{file}' is missing"
            continue
        try:
            inputs, outputs = faces(version / file)
        except DeployError as error:
            yield str(error)
            continue
        yield from _Check(folder, message, inputs, outputs).findings()


class _Check:
    """One configuration against one graph."""

    def __init__(self, folder: Path, message: Message, inputs: dict[str, Face], outputs: dict[str, Face]) -> None:
        self.folder = folder
        self.message = message
        self.inputs = inputs
        self.outputs = outputs
        self.batched = message.integer("max_batch_size") > 0

    def findings(self) -> Iterator[str]:
        message = self.message
        sequences = message.messages("sequence_batching")
        if message.integer("max_batch_size") < 0:
            yield f"'max_batch_size' is {message.integer('max_batch_size')}; it must be 0 or more"
        if sequences and message.messages("dynamic_batching"):
            yield "'sequence_batching' and 'dynamic_batching' are both there: Triton schedules a model by one of them"
        if message.messages("dynamic_batching") and not self.batched:
            yield "'dynamic_batching' needs a 'max_batch_size' of 1 or more"
        batch = self._batch()
        for kind, there in (("input", self.inputs), ("output", self.outputs)):
            for one in message.messages(kind):
                yield from self._tensor(kind, one, there, batch)
        covered = [one.text("name") for one in message.messages("input")]
        if sequences:
            yield from check_sequences(
                sequences[-1],
                self.inputs,
                self.outputs,
                batch=batch if self.batched else None,
                folder=self.folder / STATES_FOLDER,
            )
            covered += [one.text("name") for one in sequences[-1].messages("control_input")]
            covered += [one.text("input_name") for one in sequences[-1].messages("state")]
        for name in sorted({one for one in covered if covered.count(one) > 1}):
            yield f"'{name}' is named more than once among inputs, controls and states"
        for name in sorted(self.inputs.keys() - set(covered)):
            how = "as neither an input nor a control nor a state" if sequences else "not as an input"
            yield f"the graph needs '{name}', which the configuration has {how}"
        yield from self._warmup()

    def _batch(self) -> set[str]:
        """What the graph calls the first axis of what clients send."""
        given = [self.inputs.get(one.text("name")) for one in self.message.messages("input")]
        firsts = [face.shape[0] for face in given if face is not None and face.shape]
        return {first for first in firsts if isinstance(first, str)}

    def _tensor(self, kind: str, tensor: Message, there: dict[str, Face], batch: set[str]) -> Iterator[str]:
        name = tensor.text("name")
        face = there.get(name)
        if face is None:
            yield f"{kind} '{name}' is not in the graph, which has {listing(there)}"
            return
        if tensor.text("data_type") != face.data_type:
            yield f"{kind} '{name}' is {tensor.text('data_type') or 'of no data type'}, in the graph {face.data_type}"
        if tensor.last("allow_ragged_batch") is True:
            yield (
                f"{kind} '{name}' has 'allow_ragged_batch': requests of other lengths would be laid end to end as one "
                "sequence. Leave it out, and let clients pad"
            )
        dims = tensor.integers("dims")
        if not dims:
            yield f"{kind} '{name}' has no 'dims'"
            return
        reshape = tensor.messages("reshape")
        if reshape:
            dims = reshape[-1].integers("shape")
            if not dims and not self.batched:
                yield f"{kind} '{name}' has an empty 'reshape', which only a batched model may have"
                return
        yield from dims_disagree(f"{kind} '{name}'", dims, face, batched=self.batched, batch=batch)

    def _warmup(self) -> Iterator[str]:
        needed = {one.text("name") for one in self.message.messages("input")}
        for warmup in self.message.messages("model_warmup"):
            if warmup.integer("batch_size") < 1:
                yield f"'model_warmup' has 'batch_size' {warmup.integer('batch_size')}; it must be 1 or more"
            entries = {one.text("key"): one.messages("value") for one in warmup.messages("inputs")}
            missing = needed - entries.keys()
            if missing:
                yield f"'model_warmup' lacks the inputs {listing(missing)}"
            for key, values in entries.items():
                file = values[-1].text("input_data_file") if values else ""
                if file:
                    yield from file_is_short(self.folder / WARMUP_FOLDER / file, values[-1], f"warm-up of '{key}'")
