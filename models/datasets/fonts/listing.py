"""A Debian package of fonts, written down in few lines."""

from __future__ import annotations

from ..packages import Package


def package(exact: str, licence: str, folder: str, *hashed: str) -> Package:
    """A package of a name and a version; its files below a folder, each with its hash.

    Args:
        exact: name and version, such as ``fonts-hack 3.003-3``.
        licence: of its fonts.
        folder: of all the files, inside the package.
        hashed: each file below the folder and, after a space, its SHA-256.
    """
    name, version = exact.split()
    pairs = (one.rsplit(" ", 1) for one in hashed)
    files = {f"{folder}/{file}": value for file, value in pairs}
    return Package(kind="deb", name=name, version=version, licence=licence, files=files)
