"""``rnnx zoo eval``: the task's metric from every variant of a bundle, beside the PyTorch model's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...bundle import Bundle
from ...errors import StreamingError, ZooError
from ...runtime.session import load
from .registry import system as find
from .running import BundleRunner, ChunkRunner, TorchRunner
from .weights import trained

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .system import Metric, Runner, Score, System


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What one runner reached.

    Attributes:
        runner: ``torch``, or a variant such as ``int8-streaming``.
        score: on the held-out examples.
        size_bytes: of the variant's files; of the checkpoint for torch.
    """

    runner: str
    score: Score
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """A system's metric by everything that runs it.

    Attributes:
        name: of the system.
        metric: what was measured.
        results: torch first, then the variants in the bundle's order.
        skipped: variants that were not measured, and why.
    """

    name: str
    metric: Metric
    results: tuple[Result, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "system": self.name,
            "metric": {
                "name": self.metric.name,
                "unit": self.metric.unit,
                "higher_is_better": self.metric.higher_is_better,
                "digits": self.metric.digits,
            },
            "results": [
                {
                    "runner": one.runner,
                    "value": one.score.value,
                    "count": one.score.count,
                    "details": dict(one.score.details),
                    "size_bytes": one.size_bytes,
                }
                for one in self.results
            ],
            "skipped": dict(self.skipped),
        }


def system_of(bundle: Bundle) -> str:
    """The name of the system that a bundle was made from.

    Raises:
        ZooError: the zoo did not make it.
    """
    name = bundle.manifest.source.get("zoo")
    if not isinstance(name, str):
        raise ZooError(
            f"bundle '{bundle.path}' does not come from the zoo, so there is nothing to score it on. "
            "Make one with 'rnnx zoo export NAME -o NAME.rnnx', or name the system that it is: --system NAME."
        )
    return name


def evaluate_bundle(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    checkpoint: Path | None = None,
    data: Path | None = None,
    provider: str = "auto",
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score the PyTorch model and every variant of its bundle on the system's held-out examples.

    Args:
        path: the bundle.
        name: of the system, where the bundle does not say it.
        checkpoint: weights for the PyTorch model, where they are not the committed ones.
        data: a folder that holds the unpacked source of examples that may not be committed, where it is not installed.
        provider: where to run the bundle.
        threads: of one operator.
        progress: called with the name of each runner.

    Raises:
        ZooError: the system is not known, the bundle's weights are others than the model's, or ``data`` is given and
            the examples are committed.
        BundleError, ProviderError: the bundle cannot be run.
        MissingDataError: held-out examples that may not be committed are neither in ``data`` nor installed.
    """
    bundle = Bundle.open(path)
    made_from = bundle.manifest.source.get("zoo", name)
    if name not in {None, made_from}:
        raise ZooError(f"bundle '{path}' is of the system '{made_from}', and '{name}' is given. Leave it out.")
    system = find(name or system_of(bundle))
    if data is not None and system.held_out_in is None:
        raise ZooError(f"the held-out examples of '{system.name}' are rnnx's own, and '{data}' is given. Leave it out.")
    examples = system.examples(data)
    tell = progress or (lambda _line: None)
    with load(path, provider=provider, threads=threads):
        pass  # what cannot be run is told before PyTorch has scored
    tell("torch")
    results: list[Result] = []
    skipped: dict[str, str] = {}

    def measure(runner: Runner, size_bytes: int) -> None:
        try:
            results.append(score_one(system, runner, examples, size_bytes))
        except StreamingError as error:  # a system that is scored step by step
            skipped[runner.name] = str(error)

    weights = checkpoint or system.checkpoint
    measure(TorchRunner(trained(system, checkpoint), system.face), weights.stat().st_size)
    for variant in bundle.manifest.variants:
        if variant.form:
            skipped[variant.key] = "another form of a variant that is measured"
            continue
        tell(variant.key)
        size = sum(bundle.manifest.files[file].size_bytes for file in (variant.file, *variant.data_files))
        with load(path, provider=provider, precision=variant.precision, mode=variant.mode, threads=threads) as session:
            runner: Runner = BundleRunner(session, system.face)
            if variant.mode == "streaming":
                runner = ChunkRunner(session, bundle.manifest.signature, system.face.time)
            measure(runner, size)
    return Evaluation(name=system.name, metric=system.metric, results=tuple(results), skipped=skipped)


def score_one(system: System, runner: Runner, examples: Any, size_bytes: int) -> Result:  # noqa: ANN401  (the system's)
    """What one runner reaches.

    Raises:
        ZooError: the score is no finite number: the model or its variant is broken.
    """
    score = system.evaluate(runner, examples)
    if not score.value - score.value == 0.0:  # NaN and infinity
        raise ZooError(
            f"'{system.name}' scored {score.value} by {runner.name}; a finite {system.metric.name} is needed."
        )
    return Result(runner=runner.name, score=score, size_bytes=size_bytes)
