"""The bundle: a folder ``NAME.rnnx/`` with a manifest, variants, golden vectors, reports and assets; all hashed.

Reading is defensive: a bundle comes from somewhere else, so its manifest is checked before anything that it names
is opened. Writing is whole or not at all: everything goes to a temporary folder beside the target, which is then
renamed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from .atomic import replacing_folder, write_atomically
from .errors import (
    AlteredFileError,
    BundleError,
    BundleExistsError,
    BundleNotFoundError,
    ManifestError,
    MissingFileError,
    VariantError,
)
from .manifest import (
    GOLDEN,
    MANIFEST,
    STATES,
    TUNED,
    FileEntry,
    Manifest,
    Variant,
    identity,
    manifest_bytes,
    parse_manifest,
    variant_key,
)
from .tuned import with_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from .tuned import Tuned

_CHUNK_BYTES = 1 << 20

#: Folder of the bundle that holds its assets.
ASSETS = "assets"
#: Plain names only: they become files on machines of every kind.
_ASSET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenCase:
    """Inputs and the source model's outputs for them, for a proof where the source is not.

    Attributes:
        inputs: arrays by input name.
        outputs: the source's arrays by output name; a padded axis is as long as the source made it. In golden vectors
            of a variant's own, what hangs on its choices is what it answered where it was made.
    """

    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A bundle on disk whose manifest has been read.

    Attributes:
        path: its folder.
        manifest: the content of its manifest.
        sha256: SHA-256 of the manifest, and so of everything in the bundle; what was tuned left out, see
            :func:`rnnx.manifest.identity`.
    """

    path: Path
    manifest: Manifest
    sha256: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read a bundle's manifest. Files are hashed when they are read, or all at once by :meth:`check`.

        Raises:
            BundleNotFoundError: nothing stands at ``path``, or no manifest in it.
            NewerSchemaError: a newer rnnx wrote it.
            ManifestError: the manifest is truncated or breaks its schema.
            UnsafePathError: the manifest names a file outside of the bundle.
        """
        folder = Path(path)
        try:
            raw = (folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            what = "has no manifest.json" if folder.exists() else "does not exist"
            raise BundleNotFoundError(
                f"'{folder}' {what}, so it is no bundle. Give a folder that 'rnnx export -o NAME.rnnx' wrote."
            ) from None
        return cls(path=folder, manifest=parse_manifest(raw, folder), sha256=identity(raw))

    def variant(self, precision: str = "auto", mode: str = "offline", form: str = "") -> Variant:
        """The variant of this precision, mode and form; ``auto`` takes fp32 where it is, else the first.

        Args:
            precision: ``fp32``, ``int8``, ``fp16`` or ``auto``.
            mode: ``offline`` or ``streaming``.
            form: empty for the graph that export makes; another form is taken only where it is named.

        Raises:
            VariantError: the bundle has none.
        """
        fitting = [one for one in self.manifest.variants if one.mode == mode and one.form == form]
        if precision == "auto":
            fitting.sort(key=lambda one: one.precision != "fp32")
        else:
            fitting = [one for one in fitting if one.precision == precision]
        if not fitting:
            there = ", ".join(f"'{one.key}'" for one in self.manifest.variants)
            wanted = variant_key(precision, mode, form)
            raise VariantError(f"bundle '{self.path}' has no variant '{wanted}'; it has {there}.")
        return fitting[0]

    def graph_sha256(self, variant: Variant) -> str:
        """SHA-256 of what a variant's files are, by the manifest: equal only where graph and weights are."""
        names = (variant.file, *variant.data_files)
        return hashlib.sha256(" ".join(self._entry(name).sha256 for name in names).encode()).hexdigest()

    def keep_tuned(self, entry: Tuned) -> Bundle:
        """Write a tuned entry into the manifest, in place of one for the same key. No other byte means anything else.

        Entries that others wrote since this bundle was opened stay.

        Returns:
            The bundle as it is now, of the same :attr:`sha256`.

        Raises:
            BundleError: the bundle changed in anything else meanwhile, or cannot be written to.
        """
        file = self.path / MANIFEST
        now = Bundle.open(self.path)
        if now.sha256 != self.sha256:
            raise BundleError(
                f"bundle '{self.path}' was changed while it was tuned, so nothing is kept. Tune it again."
            )
        data = json.loads(file.read_bytes())
        data[TUNED] = [one.to_json() for one in with_entry(now.manifest.tuned, entry)]
        try:
            permissions = file.stat().st_mode
            write_atomically(file, manifest_bytes(data))
            file.chmod(permissions)
        except OSError as error:
            raise unwritable(self.path, error.strerror or str(error)) from error
        return Bundle.open(self.path)

    def read(self, name: str) -> bytes:
        """The content of one file, checked against its hash.

        Raises:
            MissingFileError: the file is not there, or the manifest does not list it.
            AlteredFileError: its size or hash is not the manifest's.
        """
        entry = self._entry(name)
        try:
            raw = (self.path / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise self._missing(name) from None
        self._compare(name, entry, len(raw), hashlib.sha256(raw).hexdigest())
        return raw

    def check(self, names: Sequence[str] | None = None) -> None:
        """Hash files without keeping them: those named, or all.

        Raises:
            MissingFileError, AlteredFileError: as :meth:`read`.
        """
        for name in self.manifest.files if names is None else names:
            entry = self._entry(name)
            try:
                found = hash_file(self.path / name)
            except (FileNotFoundError, IsADirectoryError):
                raise self._missing(name) from None
            self._compare(name, entry, found.size_bytes, found.sha256)

    def copy_files(self, names: Iterable[str], folder: Path) -> None:
        """Copy these files, as they are, to the same places in another folder."""
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path / name, folder / name)

    @property
    def assets(self) -> tuple[str, ...]:
        """Names of the files that travel with the model, such as ``task.json``."""
        return tuple(name.removeprefix(f"{ASSETS}/") for name in self.manifest.files if name.startswith(f"{ASSETS}/"))

    def asset(self, name: str) -> bytes:
        """The content of one asset, checked against its hash.

        Raises:
            MissingFileError: there is no such asset.
            AlteredFileError: as :meth:`read`.
        """
        if name not in self.assets:
            there = ", ".join(f"'{one}'" for one in self.assets) or "none"
            raise MissingFileError(f"bundle '{self.path}' has no asset '{name}'; its assets are: {there}.")
        return self.read(f"{ASSETS}/{name}")

    def golden(self, variant: Variant | None = None) -> list[GoldenCase]:
        """The golden vectors.

        Args:
            variant: the variant that is held against them, which may have its own; None for the bundle's.

        Raises:
            MissingFileError, AlteredFileError: as :meth:`read`.
            ManifestError: the file is not of the form that :func:`golden_bytes` writes.
        """
        cases: dict[int, GoldenCase] = {}
        file = GOLDEN if variant is None else variant.golden or GOLDEN
        try:
            for key, array in self._read_arrays(file).items():
                number, side, name = key.split("/", 2)
                case = cases.setdefault(int(number), GoldenCase(inputs={}, outputs={}))
                {"inputs": case.inputs, "outputs": case.outputs}[side][name] = array  # type: ignore[index]
        except (ValueError, KeyError) as error:
            if isinstance(error, BundleError):
                raise
            raise ManifestError(f"'{self.path / file}' does not hold golden vectors: {error}.") from error
        return [cases[number] for number in sorted(cases)]

    def initial_states(self) -> dict[str, NDArray[Any]]:
        """Learned initial values of streaming states by name, one row each; empty where all start from zeros.

        Raises:
            MissingFileError, AlteredFileError: as :meth:`read`.
        """
        if STATES not in self.manifest.files:
            return {}
        return self._read_arrays(STATES)

    def _read_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of an ``npz`` file, checked against its hash."""
        raw = self.read(name)
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            what = "arrays" if name == STATES else "golden vectors"
            raise ManifestError(f"'{self.path / name}' does not hold {what}: {error}.") from error

    def _entry(self, name: str) -> FileEntry:
        entry = self.manifest.files.get(name)
        if entry is None:
            raise MissingFileError(f"the manifest of '{self.path}' does not list the file '{name}'. Export it again.")
        return entry

    def _missing(self, name: str) -> MissingFileError:
        return MissingFileError(
            f"bundle '{self.path}' lacks the file '{name}' that its manifest lists. Copy the whole folder again."
        )

    def _compare(self, name: str, entry: FileEntry, size_bytes: int, sha256: str) -> None:
        if size_bytes != entry.size_bytes:
            raise AlteredFileError(
                f"'{self.path / name}' has {size_bytes} bytes, the manifest says {entry.size_bytes}. "
                "The file was cut or changed: copy the bundle again, or export it again."
            )
        if sha256 != entry.sha256:
            raise AlteredFileError(
                f"'{self.path / name}' has SHA-256 {sha256[:12]}…, the manifest says {entry.sha256[:12]}…. "
                "The file was changed: copy the bundle again, or export it again."
            )


def golden_bytes(cases: Sequence[GoldenCase]) -> bytes:
    """Golden vectors as an ``npz`` file without pickles; equal cases give equal bytes."""
    arrays = {
        # Not np.ascontiguousarray, which gives a scalar an axis.
        f"{number}/{side}/{name}": np.asarray(array, order="C")
        for number, case in enumerate(cases)
        for side, named in (("inputs", case.inputs), ("outputs", case.outputs))
        for name, array in named.items()
    }
    return npz_bytes(arrays)


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays by name as an ``npz`` file without pickles; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # allow_pickle is no array of ours
    return buffer.getvalue()


@contextmanager
def staging(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its place when the block ends well, and vanishes when not.

    Raises:
        BundleExistsError: something stands at ``path`` and ``overwrite`` is false, or it is no bundle.
        BundleError: the folder that should hold it does not exist.
    """
    target = Path(path)
    check_target(target, overwrite=overwrite)
    with replacing_folder(target, lambda: check_target(target, overwrite=overwrite)) as temporary:
        yield temporary


def check_target(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Find out before any work whether a bundle may be written here.

    Raises:
        BundleExistsError, BundleError: as :func:`staging`.
    """
    target = Path(path)
    if not target.resolve().parent.is_dir():
        raise BundleError(f"cannot write '{target}': the folder '{target.resolve().parent}' does not exist. Make it.")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise BundleExistsError(f"'{target}' exists already. Choose another name, or replace it with --force.")
    if not (target / MANIFEST).is_file():
        # --force may replace a bundle, never a folder or file of somebody's own.
        raise BundleExistsError(f"'{target}' exists and is no bundle, so it is not replaced. Choose another name.")


def check_assets(assets: Mapping[str, bytes]) -> None:
    """Refuse assets that cannot be files of a bundle.

    Raises:
        BundleError: a name is no plain file name, differs from another by case only, or the content is no bytes.
    """
    seen: dict[str, str] = {}
    for name, content in assets.items():
        if not _ASSET.match(name):
            raise BundleError(
                f"an asset is named {name!r}; a name has up to 100 letters, digits, '_', '.' and '-', and begins with "
                "none of the last two."
            )
        if not isinstance(content, bytes | bytearray | memoryview):
            raise BundleError(f"asset '{name}' is a {type(content).__name__}; it must be bytes. Encode it.")
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise BundleError(f"the assets '{other}' and '{name}' are one file where case does not count. Rename one.")


def write_assets(folder: Path, assets: Mapping[str, bytes]) -> None:
    """Write assets, checked by :func:`check_assets`, into a bundle's folder that is being made."""
    if assets:
        (folder / ASSETS).mkdir()
    for name, content in assets.items():
        (folder / ASSETS / name).write_bytes(content)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file in ``folder`` and write the manifest that lists them; that manifest is returned."""
    files = {
        str(PurePosixPath(path.relative_to(folder))): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }
    whole = replace(manifest, files=files)
    (folder / MANIFEST).write_bytes(manifest_bytes(whole.to_json()))
    return whole


def unwritable(path: Path, why: str) -> BundleError:
    """The error for a bundle whose manifest cannot be replaced."""
    return BundleError(
        f"bundle '{path}' cannot be written to ({why}), so what is tuned cannot be kept in it. Copy it to where it "
        "can, or look only: --dry-run."
    )


def hash_file(path: Path) -> FileEntry:
    """Size and SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(size_bytes=size, sha256=digest.hexdigest())
