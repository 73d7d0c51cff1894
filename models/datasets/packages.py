"""Data that comes in a package of a public registry: found where it was unpacked or installed, and checked by hash.

Nothing here fetches anything. What is missing is asked for with the commands that bring it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ...errors import AlteredDataError, MissingDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """One version of a package, and the files of it that are data.

    Attributes:
        kind: ``wheel`` and ``sdist`` (Python), ``npm`` or ``deb`` (Debian).
        name: as the registry knows it.
        version: the one whose files were hashed.
        licence: of the data, such as ``MIT``.
        files: what is used of it: the path inside the package, with ``/``, and its SHA-256. For a ``sdist`` and ``npm``
            the path begins below the archive's single top folder. A path that ends in ``/`` is a folder, and its hash
            that of :func:`hash_folder`. An empty hash is not checked: for huge sets only.
    """

    kind: Literal["wheel", "sdist", "npm", "deb"]
    name: str
    version: str
    licence: str
    files: Mapping[str, str]


def find(package: Package, folder: Path | None) -> dict[str, Path]:
    """Find a package's files, each the one that was asked for.

    Args:
        package: what is looked for.
        folder: a folder that holds the unpacked package at any depth. What is not in it is looked for where the package
            would be installed: among this Python's packages, in ``node_modules`` here and above, or in the system.

    Returns:
        Where each of ``package.files`` is.

    Raises:
        MissingDataError: a file is nowhere.
        AlteredDataError: a file is only there with another content, such as another version's.
    """
    unpacked = {} if folder is None else _below(folder, set(package.files))
    found = {}
    for name, expected in package.files.items():
        others = []
        for path in [*unpacked.get(name, []), *_installed(package, name)]:
            actual = _hash(path) if expected else ""
            if actual == expected:
                found[name] = path
                break
            others.append(f"'{path}' has {actual}")
        else:
            if others:
                wanted = f"{package.name} {package.version} has '{name}' with the SHA-256 {expected}"
                raise AlteredDataError(f"{wanted}, and {'; '.join(others)}.\n{_remedy(package)}")
            raise MissingDataError(_missing(package, name, folder))
    return found


def hash_folder(folder: Path) -> str:
    """One SHA-256 for all files below a folder: of the lines ``sha256  path`` in the order of their paths."""
    files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256("".join(f"{_hash(path)}  {name}\n" for name, path in files).encode()).hexdigest()


def _hash(path: Path) -> str:
    if path.is_dir():
        return hash_folder(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _below(folder: Path, names: set[str]) -> dict[str, list[Path]]:
    """Every path below ``folder`` that ends in one of ``names``, the least deep first; one walk for all of them."""
    ends: dict[str, list[str]] = {}
    for name in names:
        ends.setdefault(PurePosixPath(name).name, []).append(name)
    found: dict[str, list[Path]] = {}
    for root, folders, files in os.walk(folder):
        for entry in (*files, *folders):
            path = Path(root, entry)
            for name in ends.get(entry, []):
                parts = PurePosixPath(name).parts
                if path.parts[-len(parts) :] == parts and name.endswith("/") == path.is_dir():
                    found.setdefault(name, []).append(path)
    return {name: sorted(paths, key=lambda path: (len(path.parts), path)) for name, paths in found.items()}


def _installed(package: Package, name: str) -> Iterator[Path]:
    """Where a file would be if its package were installed, as far as it is there."""
    candidates: list[Path] = []
    if package.kind in {"wheel", "sdist"}:
        try:
            candidates = [Path(str(metadata.distribution(package.name).locate_file(name)))]
        except metadata.PackageNotFoundError:
            return
    elif package.kind == "npm":
        here = Path.cwd()
        candidates = [root / "node_modules" / package.name / name for root in (here, *here.parents)]
    else:
        candidates = [Path("/") / name]
    for path in candidates:
        if path.is_dir() if name.endswith("/") else path.is_file():
            yield path


def _missing(package: Package, name: str, folder: Path | None) -> str:
    places = {
        "wheel": "among this Python's packages",
        "sdist": "among this Python's packages",
        "npm": "in a 'node_modules' here or above",
        "deb": "in the system",
    }
    what = f"'{name}' of {package.name} {package.version} ({package.kind}, {package.licence}) is"
    if folder is not None and folder.is_dir():
        what += f" not below '{folder}' and is"
    elif folder is not None:
        what = f"'{folder}' is no folder, and {what}"
    return f"{what} not {places[package.kind]}.\n{_remedy(package)}"


def _remedy(package: Package) -> str:
    """The commands that bring a package, for a shell."""
    target = "data/" + re.sub(r"[^A-Za-z0-9._-]+", "-", package.name).strip("-")
    exact = f"{package.name}=={package.version}"
    commands = {
        "wheel": [
            f"pip download --no-deps --only-binary :all: -d {target} {exact}",
            f"python -m zipfile -e {target}/*.whl {target}",
        ],
        "sdist": [
            f"pip download --no-deps --no-binary :all: -d {target} {exact}",
            f"tar -xf {target}/*.tar.gz -C {target}",
        ],
        "npm": [
            f"mkdir -p {target}",
            f"npm pack {package.name}@{package.version} --pack-destination {target}",
            f"tar -xf {target}/*.tgz -C {target}",
        ],
        "deb": [
            f"mkdir -p {target}",
            f"(cd {target} && apt-get download {package.name} && dpkg -x {package.name}_*.deb .)",
        ],
    }
    lines = "\n".join(f"    {command}" for command in commands[package.kind])
    return f"Get it with\n{lines}\nand give its folder: --data {target}"
