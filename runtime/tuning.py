"""``rnnx.load(..., tuned=...)``: from the entries in the manifest to the one for this machine and this use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InputError, ProviderError, TuningError
from ..tuned import Wish, choose
from .choice import AUTO, ProviderChoice
from .machine import cores, cpu, nvidia_gpu
from .providers import AUTO_ORDER, obstacle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..bundle import Bundle
    from ..manifest import Variant
    from ..tuned import Tuned
    from .ort import Ort


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedUse:
    """A tuned entry in use.

    Attributes:
        entry: from the manifest.
        variant: the variant that it names.
        provider: the provider that it is for.
        note: what a user should know of it, or empty: it was measured with another ONNX Runtime.
        reasons: where ``auto`` was asked for, why no provider before this one is usable.
    """

    entry: Tuned
    variant: Variant
    provider: str
    note: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """For people: ``p99 1x100: fp32-offline, 1 thread``."""
        told = f"{self.entry.label}: {self.variant.key}, {self.entry.settings}"
        return f"{told} ({self.note})" if self.note else told

    def choice(self, found: ProviderChoice, requested: str) -> ProviderChoice:
        """The report of a session that was opened on :attr:`provider`, as it is where ``requested`` was asked for."""
        return ProviderChoice(name=found.name, requested=requested, reasons=self.reasons)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {"entry": self.entry.to_json(), "variant": self.variant.key, "note": self.note}


def find_tuned(ort: Ort, bundle: Bundle, *, tuned: bool | str, provider: str, mode: str) -> TunedUse:
    """The tuned entry for this machine, and what it names.

    An entry that was measured with another version of ONNX Runtime is used, with a note: its settings are as right as
    before, only how much they gain may have changed, and an upgrade must not keep a service from starting.

    Args:
        ort: ONNX Runtime.
        bundle: the bundle.
        tuned: True, or which entry is wanted: ``p99 1x100``, ``p99`` or ``1x100``.
        provider: as for :func:`rnnx.load`.
        mode: ``offline`` or ``streaming``.

    Raises:
        InputError: ``tuned`` names no kind of entry.
        TuningError: no entry fits or several do, or it is for a graph that the bundle has no more.
        VariantError: the bundle has no such variant.
        ProviderError: no provider is usable.
    """
    if not isinstance(tuned, bool | str):
        raise InputError(f"tuned is {tuned!r}; it must be True, False, or which entry: 'p99 1x100'.")
    wish = Wish.parse(tuned) if isinstance(tuned, str) else Wish()
    name, reasons = _resolved(ort, provider)
    entry = choose(
        bundle.manifest.tuned,
        wish,
        cpu=cpu(),
        cores=cores(),
        gpu=gpu_of(name),
        provider=name,
        mode=mode,
        where=str(bundle.path),
    )
    variant = bundle.variant(entry.precision, mode, entry.form)
    if bundle.graph_sha256(variant) != entry.graph_sha256:
        raise TuningError(
            f"'{variant.key}' of bundle '{bundle.path}' was made again after it was tuned ({entry.label}). "
            f"Run: rnnx tune {bundle.path} --provider {name} --mode {mode}"
        )
    note = ""
    if entry.onnxruntime != ort.__version__:
        note = (
            f"measured with onnxruntime {entry.onnxruntime}, here is {ort.__version__}: the answers are held to the "
            "same, how fast they come may have changed; run rnnx tune again"
        )
    return TunedUse(entry=entry, variant=variant, provider=name, note=note, reasons=reasons)


def gpu_of(provider: str) -> str:
    """The GPU's name, where the provider uses one; its driver may change."""
    return "" if provider == "cpu" else (nvidia_gpu() or "").partition(", driver ")[0]


def only_tuned(given: Sequence[str]) -> None:
    """Refuse what an entry decides.

    Args:
        given: names of those arguments of :func:`rnnx.load` that are not as they are by default.

    Raises:
        InputError: there are some.
    """
    if given:
        names = ", ".join(f"'{name}'" for name in given)
        raise InputError(f"tuned and {names} are both given, and the tuned entry decides that. Leave one out.")


def _resolved(ort: Ort, provider: str) -> tuple[str, dict[str, str]]:
    """The provider that will be used, and why not those that ``auto`` tries before it."""
    if provider != AUTO:
        return provider, {}
    reasons: dict[str, str] = {}
    for name in AUTO_ORDER:
        found = obstacle(ort, name)
        if found is None:
            return name, reasons
        reasons[name] = found.why
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise ProviderError(f"no provider is usable here: {why}. Run 'rnnx doctor'.")
