"""Files through a bundle with Ray Data: Parquet or npz in, Parquet out, rows in their order.

An npz file holds one sequence for each row, under the column's name:

- ``NAME`` of shape ``(rows, ...)``, and optionally lengths ``(rows,)`` under a name of their own, as a column;
- or ``NAME`` of shape ``(all steps, ...)`` with ``NAME.offsets`` ``(rows + 1,)``: row ``i`` is
  ``NAME[offsets[i]:offsets[i + 1]]``.

Every other array of as many rows is a column too.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .... import errors
from ....bundle import Bundle
from ....errors import DeployExistsError, InputError, MissingExtraError, RnnxError
from .predictor import BundlePredictor
from .rows import to_arrow

try:
    import pyarrow as pa
    import pyarrow.parquet
    import ray

    from .sink import OrderedParquet
except ModuleNotFoundError as error:
    if (error.name or "").startswith(__package__.partition(".")[0]):
        raise  # a fault of our own
    raise MissingExtraError(
        f"Ray Data needs packages that are not installed ({error}). Run: pip install 'rnnx[ray]'."
    ) from error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

OFFSETS = ".offsets"
LOCAL = "local"
_OURS = re.compile(r"^rnnx\.errors\.(\w+): (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesOptions:
    """How files are run.

    Attributes:
        predictor: keywords of :class:`.predictor.BundlePredictor`, without the bundle.
        processes: how many processes hold the bundle.
        batch_size: rows that are handed to a process at once.
        num_cpus: cores that Ray counts for each process.
        num_gpus: GPUs that Ray counts for each process.
        address: of a cluster; ``local`` for a Ray of our own. One that runs in this process already is used as it is.
        object_store_bytes: how much memory a Ray of our own may share between processes; None for Ray's own choice.
    """

    predictor: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1
    batch_size: int = 256
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    address: str = LOCAL
    object_store_bytes: int | None = None


def map_files(bundle: str | os.PathLike[str], inputs: Sequence[str], out: Path, options: FilesOptions) -> int:
    """Run every row of some files, and write a folder of Parquet files, whole or not at all.

    Args:
        bundle: its folder.
        inputs: Parquet files, or npz files; in the order in which their rows are to come.
        out: the folder to write. Its files, sorted by name, hold the rows in order.
        options: the rest.

    Returns:
        How many rows were run.

    Raises:
        DeployExistsError: something stands at ``out``.
        InputError: a file is missing or of another kind, a column is missing, or a row is wrong.
        BundleError: the bundle cannot be read.
    """
    Bundle.open(bundle)
    kind, paths = _checked(inputs)
    if os.path.lexists(out):
        raise DeployExistsError(f"'{out}' exists already. Choose another name.")
    if not out.resolve().parent.is_dir():
        raise InputError(f"cannot write '{out}': the folder '{out.resolve().parent}' does not exist. Make it.")
    temporary = out.resolve().parent / f".{out.name}.{secrets.token_hex(4)}"
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unasked
        own = {"include_dashboard": False, "object_store_memory": options.object_store_bytes}
        ray.init(address=options.address, log_to_driver=False, **(own if options.address == LOCAL else {}))
    context = ray.data.DataContext.get_current()
    before = context.execution_options.preserve_order
    context.execution_options.preserve_order = True
    try:
        if started and options.address == LOCAL:
            check_room(options, ray.cluster_resources())
        answers = _dataset(kind, paths).map_batches(
            BundlePredictor,
            fn_constructor_kwargs={"bundle": str(Path(bundle).resolve()), **options.predictor},
            compute=ray.data.ActorPoolStrategy(size=options.processes),
            batch_size=options.batch_size,
            batch_format="pyarrow",
            num_cpus=options.num_cpus,
            num_gpus=options.num_gpus,
        )
        temporary.mkdir()
        answers.write_datasink(OrderedParquet(temporary))
        for rest in temporary.glob(".*"):  # of a task that was ended while it wrote, and run again
            rest.unlink()
        count = sum(int(pa.parquet.read_metadata(one).num_rows) for one in temporary.glob("*.parquet"))
        temporary.replace(out)
    except ray.exceptions.RayTaskError as error:
        raise _own(str(error)) or error from None
    finally:
        context.execution_options.preserve_order = before
        shutil.rmtree(temporary, ignore_errors=True)
        if started:
            ray.shutdown()
    return count


def check_room(options: FilesOptions, there: Mapping[str, float]) -> None:
    """Refuse what Ray would wait for, for ever: the processes, and a core that reads and writes.

    Args:
        options: how many processes, and what each counts for.
        there: what the machine has, by Ray's names.

    Raises:
        InputError: it has less.
    """
    for name, each, rest in (("CPU", options.num_cpus, 1.0), ("GPU", options.num_gpus, 0.0)):
        wanted, found = options.processes * each + rest, there.get(name, 0.0)
        if wanted > found:
            reading = ", and one for reading and writing," if rest else ""
            raise InputError(
                f"{options.processes} processes of {each:g} {name} each{reading} need {wanted:g}, and this machine has "
                f"{found:g}. Give fewer --processes, or a smaller --num-{name.lower()}s, such as 0.5."
            )


def npz_table(path: str) -> pa.Table:
    """The rows of an npz file; see above.

    Raises:
        InputError: it cannot be read without pickles, or its arrays do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"'{path}' cannot be read as arrays without pickles: {error}. Save it with numpy.savez."
        ) from (error)
    columns: dict[str, list[NDArray[Any]]] = {}
    for name, array in arrays.items():
        if name.endswith(OFFSETS) and name.removesuffix(OFFSETS) in arrays:
            continue
        offsets = arrays.get(name + OFFSETS)
        columns[name] = _split(path, name, array, offsets)
    sizes = {name: len(rows) for name, rows in columns.items()}
    if len(set(sizes.values())) != 1:
        raise InputError(
            f"the arrays of '{path}' have different numbers of rows: {sizes}. Rows stand along the first axis; for "
            f"rows of different lengths, one behind the other, add NAME{OFFSETS}."
        )
    if not next(iter(sizes.values())):
        return pa.table({name: pa.nulls(0) for name in columns})
    return pa.table({name: to_arrow(rows) for name, rows in columns.items()})


def _split(path: str, name: str, array: NDArray[Any], offsets: NDArray[Any] | None) -> list[NDArray[Any]]:
    if not array.ndim:
        raise InputError(f"array '{name}' of '{path}' is a single value; rows stand along the first axis.")
    if offsets is None:
        return list(array)
    good = offsets.ndim == 1 and offsets.dtype.kind in "iu" and offsets.size
    if not good or offsets[0] != 0 or offsets[-1] != len(array) or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise InputError(
            f"'{name}{OFFSETS}' of '{path}' must be whole numbers (rows + 1,) that begin with 0, never fall and end "
            f"with {len(array)}, the steps of '{name}'."
        )
    return np.split(array, offsets[1:-1].astype(np.int64)) if len(offsets) > 1 else []


def _dataset(kind: str, paths: list[str]) -> Any:  # noqa: ANN401  (a ray.data.Dataset; ray has no types)
    if kind == ".parquet":
        return ray.data.read_parquet(paths)
    files = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=len(paths))
    return files.map_batches(_read, batch_size=1, batch_format="numpy")


def _read(batch: Mapping[str, NDArray[Any]]) -> pa.Table:
    (path,) = batch["path"]
    return npz_table(str(path))


def _checked(inputs: Sequence[str]) -> tuple[str, list[str]]:
    """The ending that all files have, and their absolute paths."""
    if not inputs:
        raise InputError("no input is given. Name Parquet or npz files.")
    endings = {Path(one).suffix for one in inputs}
    if len(endings) != 1 or not endings <= {".parquet", ".npz"}:
        raise InputError(
            f"the inputs end with {', '.join(map(repr, sorted(endings)))}; all must be .parquet, or all .npz."
        )
    for one in inputs:
        if not Path(one).is_file():
            raise InputError(f"'{one}' is not there, or is no file.")
    return endings.pop(), [str(Path(one).resolve()) for one in inputs]


def _own(text: str) -> RnnxError | None:
    """What rnnx raised in another process: Ray hands over the text of a traceback, and not what was raised."""
    for name, message in reversed(_OURS.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, RnnxError):
            return kind(message)
    return None
