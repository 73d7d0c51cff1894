"""A setup: one way to run a bundle, and its neighbours, which differ from it in one option."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...runtime.options import OF_SEVERAL_THREADS, PROVIDER_OPTIONS, SESSION_OPTIONS
from ...tuned import settings_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...manifest import Variant

    Options = tuple[tuple[str, str | bool], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """One way to run a bundle.

    Attributes:
        precision: of the variant.
        form: of the variant.
        threads: threads within one operator; None for ONNX Runtime's own choice, which only the default has.
        session_options: by ONNX Runtime's own names, sorted.
        provider_options: by their own names, sorted.
        again: whether it is a second session of the default, which tells how far two equal ones are apart.
    """

    precision: str
    form: str = ""
    threads: int | None = None
    session_options: Options = ()
    provider_options: tuple[tuple[str, str], ...] = ()
    again: bool = False

    @property
    def is_default(self) -> bool:
        """Whether it is ``rnnx.load(path)``."""
        return self.threads is None

    @property
    def lossless(self) -> bool:
        """Whether its precision is the source's own."""
        return self.precision == "fp32"

    @property
    def options(self) -> int:
        """How many options are not as they are by default."""
        return len(self.session_options) + len(self.provider_options)

    @property
    def name(self) -> str:
        """For people: ``int8, 1 thread``, ``fp32 scan, 2 threads, session.intra_op.allow_spinning=0``."""
        graph = " ".join([self.precision, *([self.form] if self.form else [])])
        told = settings_text(self.threads, dict(self.session_options), dict(self.provider_options))
        return f"{graph}, {told}" + ", again" * self.again

    def with_options(self, others: Iterable[Setup]) -> Setup:
        """This one with the options of others too."""
        session, provider = dict(self.session_options), dict(self.provider_options)
        for one in others:
            session |= dict(one.session_options)
            provider |= dict(one.provider_options)
        return replace(
            self, session_options=tuple(sorted(session.items())), provider_options=tuple(sorted(provider.items()))
        )


def first_setups(variants: Iterable[Variant], threads: Sequence[int]) -> list[Setup]:
    """Every variant with every number of threads, all options as they are by default."""
    return [Setup(precision=one.precision, form=one.form, threads=count) for one in variants for count in threads]


def neighbours(setup: Setup, *, provider: str, operators: Iterable[str]) -> list[Setup]:
    """What differs from a setup in one option.

    Args:
        setup: the middle.
        provider: that it runs on.
        operators: of its variant's graph: an option of convolutions is tried where there are some.
    """
    found = [
        setup.with_options([replace(setup, session_options=((name, value),))])
        for name, values in SESSION_OPTIONS.items()
        if setup.threads != 1 or name not in OF_SEVERAL_THREADS
        for value in values
    ]
    convolves = any("Conv" in one for one in operators)
    found += [
        setup.with_options([replace(setup, provider_options=((name, value),))])
        for name, values in PROVIDER_OPTIONS.get(provider, {}).items()
        if convolves or not name.startswith("cudnn_conv")
        for value in values
    ]
    return found
