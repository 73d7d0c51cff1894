"""One Python loop on its way to a scan.

The function of one step that rewriting.py made is run once with stand-ins to find out what the loop carries, collects
and looks at (see carried.py, settling.py and sequences.py), and then given to ``scan``.
"""

from __future__ import annotations

import linecache
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from ...errors import CaptureError, InputError
from ..scanning import scan
from .carried import Part, Results
from .growing import UNBOUND, CannotConvertError, closed, opened
from .sequences import Sequences
from .settling import Planner, Settler
from .watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..observed import Observed
    from .walks import Walk

#: How often the first values of a loop are made to fit before it is given up.
_ROUNDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A loop in a source, as its syntax shows it.

    Attributes:
        file: where it stands.
        line: of its first line.
        code: that line.
        names: what a step is given and gives back.
        exposed: names that a step may read before it writes them.
        changed: names whose values a step may change in place.
        live: names that may be read after the loop.
        watched: other names that a step reads.
        advice: the ``rnnx.scan`` to write in its place.
    """

    file: str
    line: int
    code: str
    names: tuple[str, ...]
    exposed: frozenset[str]
    changed: frozenset[str]
    live: frozenset[str]
    watched: tuple[str, ...]
    advice: str

    def refusal(self, observed: Observed, reason: str, line: int | None = None) -> CaptureError:
        """The error for a loop that cannot be converted."""
        whose = observed.running_module()
        there = linecache.getline(self.file, line).strip() if line not in {None, self.line} else ""
        where = f" (line {line}: `{there}`)" if there else ""
        return CaptureError(
            f"{f'module {whose!r}' if whose else 'the model'} loops over a dynamic axis in Python "
            f"({self.file}:{self.line}: `{self.code}`), and the loop cannot become a scan by itself: "
            f"{reason.rstrip('.')}{where}. Write it so:\n{self.advice}"
        )


class Conversion:
    """One loop on its way to a scan."""

    def __init__(self, site: Site, observed: Observed, walk: Walk, step: Callable[..., tuple[Any, ...]]) -> None:
        """Prepare the loop of a site over a walk."""
        self._site = site
        self._observed = observed
        self._walk = walk
        self._step = step
        self._sequences = Sequences(walk)

    def run(self, before: list[Any], watched: list[Any]) -> tuple[Any, ...]:
        """The values of the site's names after the loop.

        Args:
            before: their values before it.
            watched: the values of the other names that a step reads.

        Raises:
            CaptureError: the loop cannot become a scan.
        """
        results, parts = self._plan(before, watched)
        with self._explained():
            # What a step leaves as it is need not go through the scan.
            passed = {number: self._sequences.passed(one) for number, one in enumerate(results.wanted)}
            frames = self._sequences.settle()
            time_axis = self._sequences.time_axis
            made = [number for number, sequence in passed.items() if sequence is None]
            finals, outputs = [], []  # type: list[Tensor], list[Tensor]
            if made or results.initial:
                finals, outputs = scan(
                    lambda states, at: self._again(parts, made, states, at),
                    results.initial,
                    frames,
                    reverse=self._sequences.reverse,
                    time_axis=time_axis,
                )
        found = dict(zip(made, outputs, strict=True))
        found |= {number: frames[sequence] for number, sequence in passed.items() if sequence is not None}
        results.finals = finals
        results.outputs = [(found[number], min(time_axis, found[number].dim() - 1)) for number in sorted(found)]
        return tuple(part.result(results) for part in parts)

    def _plan(self, before: list[Any], watched: list[Any]) -> tuple[Results, list[Part]]:
        """What the loop carries and collects, found by running one step of it."""
        site, zeroed = self._site, []  # type: Site, list[str]
        watch = Watch(self._observed.modules, dict(zip(site.watched, watched, strict=True)))
        for _ in range(_ROUNDS):
            with self._explained():
                given, after = self._first(before)
                watch.check()
                around = [one for one in pytree.tree_leaves((before, watched)) if isinstance(one, Tensor)]
                settler = Settler(
                    like=self._sequences.example(), sizes=_sizes([*self._sequences.around(), *around]), zeroed=zeroed
                )
                missing = self._sequences.missing
                fitted = [
                    settler.settle(name, old, new)
                    if self._carries(name, old)
                    else settler.zeros(new)
                    if name in missing and old is UNBOUND
                    else old
                    for name, old, new in zip(site.names, before, after, strict=True)
                ]
                if not settler.changed and not self._sequences.changed:
                    break
                before = fitted
        else:
            raise self._site.refusal(self._observed, "its values change their shape from step to step")
        results = Results(reverse=self._sequences.reverse)
        planner = Planner(results=results, fills=self._sequences.fills())
        with self._explained():
            parts = [
                self._part(planner, name, *three) for name, *three in zip(site.names, before, given, after, strict=True)
            ]
        for name in zeroed:
            self._observed.note_zeros(name, site.file, site.line)
        return results, parts

    def _carries(self, name: str, before: Any) -> bool:  # noqa: ANN401
        return before is not UNBOUND and (name in self._site.exposed or name in self._site.changed)

    def _part(self, planner: Planner, name: str, before: Any, given: Any, after: Any) -> Part:  # noqa: ANN401
        if self._carries(name, before):
            return planner.part(name, before, given, after, changed=name in self._site.changed)
        return planner.last(before, after if name in self._site.live else before)

    def _first(self, before: list[Any]) -> tuple[list[Any], tuple[Any, ...]]:
        """Run one step on stand-ins; returns them and what it left."""
        tensors: list[tuple[Tensor, Tensor]] = []

        def copied(tensor: Tensor) -> Tensor:
            tensors.append((tensor.clone(), tensor))
            return tensors[-1][0]

        given = [
            opened(one, copied) if self._carries(name, one) else one
            for name, one in zip(self._site.names, before, strict=True)
        ]
        with self._sequences.exploring(self._observed, tensors) as (recorder, at):
            after = self._step(at, *given)
            leaves_left = [one for one in pytree.tree_leaves(closed(list(after))) if isinstance(one, Tensor)]
            self._sequences.explored(recorder, leaves_left)
        return given, after

    def _again(
        self, parts: list[Part], made: list[int], states: list[Tensor], frames: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        with self._sequences.stepping(self._observed, frames) as at:
            given = [part.given(states) for part in parts]
            after = self._step(at, *given)
            following, outputs = list(states), {}  # type: list[Tensor], dict[int, Tensor]
            for part, one in zip(parts, after, strict=True):
                part.gives(one, following, outputs)
        return following, [outputs[number] for number in made]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What goes wrong within becomes a refusal of the loop, where its reason lies in the loop."""
        try:
            yield
        except CannotConvertError as error:
            raise self._site.refusal(self._observed, str(error), _line(error, self._site.file)) from error
        except InputError as error:
            raise self._site.refusal(self._observed, str(error).rstrip(".")) from error
        except CaptureError:
            raise
        except Exception as error:
            line = _line(error, self._site.file)
            if isinstance(error, GuardOnDataDependentSymNode) or "data-dependent" in str(error):
                reason = (
                    "Python decides by the values of a tensor, or by the number of the step; choose with torch.where, "
                    "or do the first step before the loop"
                )
                raise self._site.refusal(self._observed, reason, line) from error
            raise


def _sizes(tensors: Sequence[Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tensor in tensors:
        shape: Sequence[Any] = tensor.shape  # torch types a size as int, whatever it is
        for size in shape:
            if isinstance(size, torch.SymInt):
                found.setdefault(str(size.node.expr), size)
    return found


def _line(error: BaseException, file: str) -> int | None:
    """The innermost line of a file in an error's traceback."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    return lines[-1] if lines else None
