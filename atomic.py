"""Writing a file or a folder so that a reader sees the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at `path`, or leave it as it was.

    Raises:
        OSError: if the folder does not exist or cannot be written to, or the disk is full.
    """
    # In the same folder: a file can only be moved at one stroke within one file system.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            # Before the move, or a crash of the machine can leave the new name with no content.
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp lets nobody else read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path, check: Callable[[], None]) -> Iterator[Path]:
    """A folder beside ``target`` that takes its place when the block ends well, and vanishes when not.

    Args:
        target: the folder to write, or to replace as a whole.
        check: is called when something stands at ``target`` by the time it is to be replaced, and raises where it may
            not be.
    """
    # Beside the target, because a rename is atomic only within one file system.
    parent = target.resolve().parent
    temporary = parent / f".{target.name}.{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        yield temporary
        if os.path.lexists(target):
            check()
            old = parent / f".{target.name}.{secrets.token_hex(4)}.old"
            target.replace(old)
            temporary.replace(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
