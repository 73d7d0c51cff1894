"""The page that goes with a Triton repository: how to run it, and how clients must ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .triton_config import IDLE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...bundle import Bundle
    from ...signature import Signature
    from .triton_plan import TritonPlan

_RUN = """\
```
docker run --rm {gpus}-p 8000:8000 -p 8001:8001 -p 8002:8002 \\
    -v "$PWD":/models:ro nvcr.io/nvidia/tritonserver:YY.MM-py3 \\
    tritonserver --model-repository=/models
```

Run it in this folder, with a release (`YY.MM`) whose ONNX Runtime knows operator set {opset}. `rnnx triton --check .`
finds what Triton would refuse, and what it would take and answer wrongly.
"""

_RAGGED = """\
Triton cannot pad. It runs requests together only where their shapes are equal, so a client that sends every sequence at
its own length gets right answers, one run each. To be batched, pad with zeros to one of a few common lengths (the next
multiple of 32, say), and give the true lengths in {names}, int64 of the shape `(batch, 1)`. Cut what is behind them off
the answers. Never set `allow_ragged_batch`: it lays sequences end to end as one.
"""

_TIGHT = """\
The answer depends on where the longest row ends: pad rows of one request to its longest row and no further.
"""

_NO_LENGTHS = """\
The model takes no lengths, so padding changes its answers. Send sequences at their own lengths; Triton runs those of
equal length together.
"""

_STREAM = """\
Every request needs a `sequence_id` that is not 0 and is this client's alone, `sequence_start` on the first and
`sequence_end` on the last; each is one stream{rows}. Triton keeps the states between requests, and drops a sequence
that is silent for {idle} s. A request that failed may not be repeated: begin again.
"""

_CHUNKS = """\
Requests take some numbers of frames only ({said}), and Triton does not hold frames back, so the client does:

- the first request: {first} frames, or a multiple of {multiple} more;
- every later one: a multiple of {multiple}, and never the last {keep} frames before it is known that more follow;
- at the end what is left, with `sequence_end`. Where that is fewer than {last} frames ({least} in a sequence that has
  not begun) nothing more is to come: send nothing, and Triton drops the sequence by itself.

```python
def requests(frames):  # how many frames each request of a whole sequence takes, and how many the last; 0 for none
    sizes, left, least = [], frames, {first}
    while left - {keep} >= least:
        sizes.append(least)
        left, least = left - least, {multiple}
    return sizes, left if left >= ({last} if sizes else {least}) else 0
```
"""


def readme(bundle: Bundle, models: Sequence[TritonPlan], left_out: Mapping[str, str], *, gpu: bool) -> str:
    """The page as Markdown."""
    opset = max(one.variant.opset for one in models)
    parts = [
        f"# {bundle.manifest.name} for NVIDIA Triton",
        f"Written by `rnnx triton` from the bundle with the SHA-256 `{bundle.sha256}`.",
        _RUN.format(gpus="--gpus all " if gpu else "", opset=opset),
    ]
    parts += [_model(one) for one in models]
    if left_out:
        parts.append("## Not here\n\n" + "\n".join(f"- {key}: {why}" for key, why in left_out.items()))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _model(plan: TritonPlan) -> str:
    batch = (
        f"Batches of up to {plan.max_batch_size} rows; the first axis of every tensor is the batch."
        if plan.batch is not None
        else f"Triton does not batch it: {plan.reason}."
    )
    parts = [f"## {plan.name}\n\nVariant `{plan.variant.key}`. {batch}", _face(plan.signature, plan)]
    if plan.is_streaming:
        rows = f" ({plan.rows} that go on together)" if plan.rows != 1 else ""
        parts.append(_STREAM.format(rows=rows, idle=IDLE_S))
        chunks = plan.variant.chunks
        if chunks is not None:
            numbers = {key: value for key, value in chunks.to_json().items() if key != "axis"}
            # A last run of no frames, which a graph that looks ahead may need, is none that a client can send.
            numbers["keep"] = max(chunks.keep, int(chunks.last == 0))
            parts.append(_CHUNKS.format(said=chunks, **numbers))
        return "\n".join(parts)
    lengths = plan.signature.lengths
    parts.append(_RAGGED.format(names=", ".join(f"`{one.name}`" for one in lengths)) if lengths else _NO_LENGTHS)
    if any(one.tight for one in lengths):
        parts.append(_TIGHT)
    return "\n".join(parts)


def _face(signature: Signature, plan: TritonPlan) -> str:
    kept = signature.state_names if plan.is_streaming else frozenset()
    given = {state.output for state in plan.states}
    rows = [f"| input | `{spec}` |" for spec in signature.inputs if spec.name not in kept]
    rows += [f"| output | `{spec}` |" for spec in signature.outputs if spec.name not in given]
    rows += [f"| axis | `{one}` |" for one in signature.ranges]
    return "\n| | |\n| --- | --- |\n" + "\n".join(rows) + "\n"
