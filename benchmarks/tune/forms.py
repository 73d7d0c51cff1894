"""Graph forms that a bundle has not yet: made in a copy, so that the bundle grows by the one that wins and no other."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import LoweringError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def with_forms(path: str, mode: str, tell: Callable[[str], None]) -> Iterator[str]:
    """Path of a copy of the bundle with every form of its fp32 graph; of the bundle itself where there is none.

    Args:
        path: the bundle's.
        mode: ``offline`` or ``streaming``.
        tell: is called with a line for each form that is made, and where there is none with the reason.

    Raises:
        ParityError: a form misses.
    """
    from ...exporters.forms import add_forms  # noqa: PLC0415  (it needs onnx, and only forms do)

    with tempfile.TemporaryDirectory(prefix="rnnx-tune-") as folder:
        copy = Path(shutil.copytree(path, Path(folder) / Path(path).name))
        try:
            add_forms(copy, mode=mode, progress=tell)
        except LoweringError as error:
            tell(f"no other form: {error}")
            yield path
        else:
            yield str(copy)


def keep_form(path: str, mode: str, tell: Callable[[str], None]) -> None:
    """Add to the bundle itself the forms that were tried in a copy; they are proven once more, where they stay."""
    from ...exporters.forms import add_forms  # noqa: PLC0415  (it needs onnx, and only forms do)

    add_forms(path, mode=mode, progress=tell)
