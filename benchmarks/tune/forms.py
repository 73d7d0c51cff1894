"""Graph forms that a bundle has not yet: made in a copy, so that the bundle grows by the one that wins and no other."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import LoweringError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ...manifest import Variant


@contextmanager
def with_forms(
    path: str, mode: str, tell: Callable[[str], None], *, precisions: Sequence[str] = (), steps: int = 1
) -> Iterator[str]:
    """Path of a copy of the bundle with every form of its graphs; of the bundle itself where there is none.

    Args:
        path: the bundle's.
        mode: ``offline`` or ``streaming``.
        precisions: of the variants that are tried; empty for all.
        steps: the size of the time axis that is tuned for: only for single frames there is a form for them.
        tell: is called with a line for each form that is made, and where there is none with the reason.

    Raises:
        ParityError: a form misses.
    """
    from ...exporters.forms import FORMS, add_forms  # noqa: PLC0415  (it needs onnx, and only forms do)
    from ...exporters.passes.step_form import STEP  # noqa: PLC0415

    forms = [one for one in FORMS if steps == 1 or one != STEP]
    with tempfile.TemporaryDirectory(prefix="rnnx-tune-") as folder:
        copy = Path(shutil.copytree(path, Path(folder) / Path(path).name))
        try:
            add_forms(copy, mode=mode, forms=forms, precisions=precisions or None, progress=tell)
        except LoweringError as error:
            tell(f"no other form: {error}")
            yield path
        else:
            yield str(copy)


def keep_form(path: str, variant: Variant, tell: Callable[[str], None]) -> None:
    """Add to the bundle itself a form that was tried in a copy; it is proven once more, where it stays."""
    from ...exporters.forms import add_forms  # noqa: PLC0415  (it needs onnx, and only forms do)

    add_forms(path, mode=variant.mode, forms=(variant.form,), precisions=(variant.precision,), progress=tell)
