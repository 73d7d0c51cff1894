"""``rnnx triton``: a model repository for NVIDIA Triton from a bundle, written whole or not at all.

One folder a variant, ``NAME`` for whole sequences and ``NAME.streaming`` for streams whose states Triton keeps, a
``README.md`` for people and ``rnnx.json`` with the bundle's hash. What is written is checked as
:func:`.triton_check.validate` checks any repository before it takes its place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__
from ...atomic import replacing_folder
from ...bundle import Bundle
from ...errors import DeployError, DeployExistsError, VariantError
from ...manifest import ENDING, GOLDEN
from .onnx_edit import narrow_input, rename_outputs
from .text_format import write
from .triton_check import validate
from .triton_config import CONFIG, MODEL_FILE, STATES_FOLDER, VERSION, WARMUP_FOLDER, config, states_file
from .triton_plan import END_CONTROL, STREAMING, TritonPlan, plan
from .triton_readme import readme

if TYPE_CHECKING:
    from ...signature import TensorSpec

#: The file by which a repository is known as one of ours, so that --force replaces nothing else.
MARK = "rnnx.json"
MODES = ("all", "offline", "streaming")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_SAFE = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, kw_only=True, slots=True)
class TritonRepository:
    """A repository that was written.

    Attributes:
        path: its folder.
        bundle: SHA-256 of the bundle.
        models: what is in it.
        left_out: why a variant of the bundle is not in it, by its key.
    """

    path: Path
    bundle: str
    models: tuple[TritonPlan, ...]
    left_out: dict[str, str]


def write_repository(
    bundle_path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str = "",
    precision: str = "auto",
    mode: str = "all",
    max_batch_size: int | None = None,
    instances: int = 1,
    gpu: bool = False,
    overwrite: bool = False,
) -> TritonRepository:
    """Write a model repository.

    Args:
        bundle_path: the bundle.
        out: the folder to write.
        name: of the model; the bundle's own by default.
        precision: ``fp32``, ``int8``, ``fp16``; ``auto`` takes fp32 where it is.
        mode: ``offline``, ``streaming``, or ``all`` that the bundle has and Triton can serve.
        max_batch_size: the largest batch of what Triton can batch; 64 by default, 0 to batch nothing.
        instances: copies of each model, at least 1.
        gpu: run on GPUs instead of the CPU.
        overwrite: replace a repository that stands there.

    Raises:
        BundleError: the bundle cannot be read, or one of its files is not what its manifest says.
        VariantError: the bundle has no such variant.
        DeployError: Triton cannot serve what is asked for; with ``all``, none of it.
        DeployExistsError: something stands at ``out``.
    """
    bundle = Bundle.open(bundle_path)
    target = Path(out)
    name = name or bundle.manifest.name
    if not _NAME.match(name):
        raise DeployError(f"'{name}' is no model name. Give letters, digits, '_', '-' and '.' with --name.")
    if instances < 1:
        raise DeployError(f"instances is {instances}; it must be a whole number from 1.")
    if mode not in MODES:
        raise DeployError(f"mode '{mode}' is not known. Allowed are {', '.join(MODES)}.")
    check_target(target, overwrite=overwrite)
    models, left_out = _plans(bundle, name, precision, mode, max_batch_size)
    with replacing_folder(target, lambda: check_target(target, overwrite=overwrite)) as folder:
        for one in models:
            _write_model(bundle, one, folder / one.name, instances=instances, gpu=gpu)
        (folder / "README.md").write_text(readme(bundle, models, left_out, gpu=gpu), encoding="utf-8")
        about = {
            "rnnx": __version__,
            "bundle_sha256": bundle.sha256,
            "models": {one.name: one.variant.key for one in models},
            "left_out": left_out,
        }
        (folder / MARK).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        findings = validate(folder)
        if findings:
            raise DeployError("the repository breaks Triton's rules:\n" + "\n".join(f"  {one}" for one in findings))
    return TritonRepository(path=target, bundle=bundle.sha256, models=models, left_out=left_out)


def check_target(target: Path, *, overwrite: bool) -> None:
    """Find out before any work whether a repository may be written here.

    Raises:
        DeployExistsError: something stands there and ``overwrite`` is false, or it is no repository of rnnx.
        DeployError: the folder that should hold it does not exist.
    """
    if not target.resolve().parent.is_dir():
        raise DeployError(f"cannot write '{target}': the folder '{target.resolve().parent}' does not exist. Make it.")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise DeployExistsError(f"'{target}' exists already. Choose another name, or replace it with --force.")
    if not (target / MARK).is_file():
        raise DeployExistsError(
            f"'{target}' exists and is no repository that rnnx wrote, so it is not replaced. Choose another name."
        )


def _plans(
    bundle: Bundle, name: str, precision: str, mode: str, max_batch_size: int | None
) -> tuple[tuple[TritonPlan, ...], dict[str, str]]:
    """What Triton can serve, and why not the rest."""
    models: list[TritonPlan] = []
    left_out: dict[str, str] = {}
    for one in ("offline", STREAMING) if mode == "all" else (mode,):
        try:
            variant = bundle.variant(precision, one)
        except VariantError as error:
            if mode != "all":
                raise
            left_out[one] = str(error)
            continue
        try:
            called = name if one == "offline" else f"{name}.{STREAMING}"
            model = plan(bundle, variant, name=called, max_batch_size=max_batch_size)
        except DeployError as error:
            if mode != "all":
                raise
            left_out[variant.key] = str(error)
            continue
        models.append(model)
    if not models:
        raise DeployError("Triton can serve nothing of this bundle:\n" + "\n".join(left_out.values()))
    if max_batch_size and all(one.batch is None for one in models):
        why = "; ".join(f"'{one.variant.key}': {one.reason}" for one in models)
        raise DeployError(
            f"--max-batch-size is {max_batch_size}, but Triton can batch nothing here ({why}). Leave it out."
        )
    return tuple(models), left_out


def _write_model(bundle: Bundle, model: TritonPlan, folder: Path, *, instances: int, gpu: bool) -> None:
    """One model's folder."""
    variant = model.variant
    version = folder / VERSION
    version.mkdir(parents=True)
    raw = bundle.read(variant.file)
    renamed = {state.output: state.given for state in model.states if state.given != state.output}
    if renamed:
        raw = rename_outputs(raw, renamed)
    if model.has_end:
        raw = narrow_input(raw, ENDING, END_CONTROL)
    (version / MODEL_FILE).write_bytes(raw)
    for file in variant.data_files:
        # The graph names them by their path beside it.
        bundle.check([file])
        to = version / PurePosixPath(file).relative_to(PurePosixPath(variant.file).parent)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / file, to)
    learned = bundle.initial_states()
    for state in model.states:
        if state.learned:
            (folder / STATES_FOLDER).mkdir(exist_ok=True)
            rows = learned[state.input] if model.batch is not None else learned[state.input].repeat(model.rows, axis=0)
            (folder / STATES_FOLDER / states_file(model, state)).write_bytes(np.ascontiguousarray(rows).tobytes())
    warmup = _write_warmup(bundle, model, folder)
    text = config(model, bundle=bundle.sha256, instances=instances, gpu=gpu, warmup=warmup)
    (folder / CONFIG).write_text(write(text), encoding="utf-8")


def _write_warmup(bundle: Bundle, model: TritonPlan, folder: Path) -> dict[str, tuple[str, TensorSpec, list[int]]]:
    """Files of a golden vector; none for streams, whose warm-up requests would have no states."""
    if model.is_streaming or GOLDEN not in bundle.manifest.files:
        return {}
    cases = [one for one in bundle.golden() if all(spec.name in one.inputs for spec in model.signature.inputs)]
    if not cases:
        return {}
    inputs: dict[str, Any] = dict(cases[0].inputs)
    written = {}
    (folder / WARMUP_FOLDER).mkdir()
    for spec in model.signature.inputs:
        array = np.asarray(inputs[spec.name], spec.dtype, order="C")
        # A warm-up request of a model that is batched has one row, and its dims leave the batch out.
        rows = array[0] if model.batch is not None else array
        file = f"{_SAFE.sub('_', spec.name)}.bin"
        (folder / WARMUP_FOLDER / file).write_bytes(rows.tobytes())
        written[spec.name] = (file, spec, list(rows.shape) or [1])
    return written
