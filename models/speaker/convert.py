"""aeon's copy of JapaneseVowels -> `japanese_vowels.npz`, byte for byte the same on every run."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click
import numpy as np

from ...atomic import write_atomically
from .data import DATA, NUM_FEATURES, NUM_SPEAKERS

if TYPE_CHECKING:
    import numpy.typing as npt

# The files this was made from: aeon 1.6.0, aeon/datasets/data/JapaneseVowels/. The `_eq_` files beside them
# are interpolated to 25 frames and are not used.
SOURCE_SHA256 = {
    "JapaneseVowels_TRAIN.ts": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "JapaneseVowels_TEST.ts": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
Arrays: TypeAlias = "dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]"


def read_ts(text: str) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int64]]:
    """Parse a `.ts` file of unequal lengths: a line is `dimension:dimension:...:label`.

    Returns:
        utterances: float32 `(time, 12)` each.
        labels: int64 `(len(utterances),)`, 0..8.

    Raises:
        ValueError: if a line has another number of dimensions, a ragged one, or an unknown label.
    """
    utterances, labels = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith(("#", "@")):
            continue
        *dimensions, label = line.split(":")
        # Parsed as float64 and rounded once: the float32 nearest to the six decimals of the source.
        rows = [np.array(values.split(","), dtype=np.float64) for values in dimensions]
        if len(rows) != NUM_FEATURES or len({len(row) for row in rows}) != 1:
            found = [len(row) for row in rows]
            raise ValueError(f"line {number} has dimensions of lengths {found}; {NUM_FEATURES} equal ones are needed.")
        if not 1 <= int(label) <= NUM_SPEAKERS:
            raise ValueError(f"line {number} has the label '{label.strip()}'; 1 to {NUM_SPEAKERS} are known.")
        utterances.append(np.stack(rows, axis=1).astype(np.float32))
        labels.append(int(label) - 1)
    return utterances, np.array(labels, dtype=np.int64)


def convert(source: Path) -> Arrays:
    """Read both splits from aeon's files.

    Args:
        source: a folder that holds the `.ts` files at any depth, such as an unpacked aeon wheel.

    Returns:
        For `train` and `test`: `*_frames` float32 `(sum of lengths, 12)`, the utterances one after the other;
        `*_lengths` and `*_labels` int64 `(number of utterances,)`.

    Raises:
        FileNotFoundError: if a `.ts` file is not under `source`.
        ValueError: if a `.ts` file is not the one the archive was made from.
    """
    arrays: Arrays = {}
    for split, (name, sha256) in zip(("train", "test"), SOURCE_SHA256.items(), strict=True):
        path = next(iter(sorted(source.rglob(name))), None)
        if path is None:
            raise FileNotFoundError(f"'{name}' is not under '{source}'. Give the folder of an unpacked aeon wheel.")
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise ValueError(f"'{path}' has the SHA-256 {found}; the file of aeon 1.6.0 has {sha256}.")
        utterances, labels = read_ts(content.decode())
        arrays[f"{split}_frames"] = np.concatenate(utterances)
        arrays[f"{split}_lengths"] = np.array([len(utterance) for utterance in utterances], dtype=np.int64)
        arrays[f"{split}_labels"] = labels
    return arrays


def write(arrays: Arrays, path: Path) -> None:
    """Write a compressed `.npz` whose bytes depend on the arrays alone (and on zlib), not on clock or system."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # ZipInfo writes the system it runs on; 3 is Unix
            info.external_attr = 0o644 << 16
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    write_atomically(path, content.getvalue())


def _same(left: npt.NDArray[np.generic] | None, right: npt.NDArray[np.generic] | None) -> bool:
    if left is None or right is None:
        return False
    # Bytes, not values: the same number in another dtype or with another sign of zero is a difference.
    return (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the archive here.")
def main(source: Path, output: Path | None) -> None:
    """Rebuild the archive from SOURCE, an unpacked aeon wheel; without --output, compare with the committed one."""
    try:
        arrays = convert(source)
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if output is not None:
        write(arrays, output)
        click.echo(f"{hashlib.sha256(output.read_bytes()).hexdigest()}  {output}")
        return
    with np.load(DATA, allow_pickle=False) as archive:
        committed = dict(archive)
    different = [name for name in sorted({*committed, *arrays}) if not _same(committed.get(name), arrays.get(name))]
    if different:
        raise click.ClickException(f"'{DATA.name}' differs from '{source}' in {', '.join(different)}.")
    click.echo(f"'{DATA.name}' holds exactly the values of '{source}': {', '.join(sorted(arrays))}")


if __name__ == "__main__":
    main()
