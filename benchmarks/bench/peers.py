"""Peers that run the bundle's own fp32 graph: bare ONNX Runtime with its default options, and OpenVINO."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ...bundle import Bundle
from ...runtime.ort import LOG_FATAL, import_ort
from ...runtime.providers import PROVIDERS
from .candidates import Prepared
from .inputs import whole_feed
from .request import PEERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...manifest import Variant
    from .candidates import Candidate, Inputs, Spec
    from .request import Origin

#: Not a dependency, so it has no place among the imports: whoever wants it as a peer installs it.
_OPENVINO = "openvino"


class PeerMissingError(Exception):
    """A peer that is not installed here. It never leaves the benchmark, which skips the peer and says so."""


def fp32_graph(spec: Spec, origin: Origin) -> tuple[Bundle, Variant]:
    """The graph that peers run, its files checked against their hashes.

    Raises:
        BundleError: a file is not what the manifest says.
        RuntimeError: it is a stream's graph that takes some numbers of frames only.
    """
    bundle = Bundle.open(origin.bundle)
    variant = bundle.variant("fp32", spec.mode)
    if variant.chunks is not None:
        raise RuntimeError(
            "the streaming graph takes some numbers of frames only, and a bare engine has nothing that holds them back"
        )
    bundle.check([variant.file, *variant.data_files])
    return bundle, variant


class OrtPeer:
    """Bare ONNX Runtime: its defaults but for the number of threads, and no rnnx around it."""

    def __init__(self, spec: Spec, origin: Origin) -> None:
        """Load the fp32 graph."""
        self.spec = spec
        self.note = ""
        self._bundle, self._variant = fp32_graph(spec, origin)
        ort = import_ort()
        options = ort.SessionOptions()
        options.intra_op_num_threads = spec.threads
        options.log_severity_level = LOG_FATAL
        self._session = ort.InferenceSession(
            str(self._bundle.path / self._variant.file),
            options,
            providers=[PROVIDERS[spec.provider]],
            provider_options=[{}],
            enable_fallback=0,
        )
        if PROVIDERS[spec.provider] not in self._session.get_providers():
            raise RuntimeError(f"ONNX Runtime gave a session on {', '.join(self._session.get_providers())} instead")

    def prepare(self, inputs: Inputs) -> Prepared:
        """The graph's whole feed; in streaming mode the state stays as it begins."""
        session, feed = self._session, whole_feed(self._bundle, self._variant, inputs)
        names = [one.name for one in session.get_outputs()]
        return Prepared(
            call=lambda: session.run(names, feed),
            outputs=lambda: dict(zip(names, session.run(names, feed), strict=True)),
        )

    def close(self) -> None:
        """Free the session."""
        del self._session


class OpenVinoPeer:
    """OpenVINO's CPU plug-in on the fp32 graph.

    As it comes it computes in bfloat16 where the processor has it; ``openvino-f32`` holds it to float32.
    """

    def __init__(self, spec: Spec, origin: Origin) -> None:
        """Read and compile the graph.

        Raises:
            PeerMissingError: the package ``openvino`` is not installed.
        """
        self.spec = spec
        openvino = import_engine(spec.engine)
        self._bundle, self._variant = fp32_graph(spec, origin)
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": spec.threads}
        if spec.engine == "openvino-f32":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        core = openvino.Core()
        self._compiled = core.compile_model(str(self._bundle.path / self._variant.file), "CPU", options)
        self.note = f"computes in {self._compiled.get_property('INFERENCE_PRECISION_HINT').to_string()}"

    def prepare(self, inputs: Inputs) -> Prepared:
        """The graph's whole feed, shared with OpenVINO without a copy."""
        feed = whole_feed(self._bundle, self._variant, inputs)
        request = self._compiled.create_infer_request()
        taken = {name: array for name, array in feed.items() if name in self._names()}

        def call() -> Any:  # noqa: ANN401  (OpenVINO's own dict)
            return request.infer(taken, share_inputs=True)

        def outputs() -> dict[str, NDArray[Any]]:
            found = call()
            return {port.get_any_name(): found[port].copy() for port in self._compiled.outputs}

        return Prepared(call=call, outputs=outputs)

    def _names(self) -> Sequence[str]:
        return [port.get_any_name() for port in self._compiled.inputs]

    def close(self) -> None:
        """Free the compiled graph."""
        del self._compiled


def open_peer(spec: Spec, origin: Origin) -> Candidate:
    """Load a peer.

    Raises:
        PeerMissingError: what it needs is not installed.
        Exception: whatever the engine raises where it does not take the model.
    """
    if PEERS[spec.engine]:
        found: Candidate = import_engine(spec.engine).TorchPeer(spec, origin)
        return found
    return OrtPeer(spec, origin) if spec.engine == "onnxruntime" else OpenVinoPeer(spec, origin)


def import_engine(engine: str) -> Any:  # noqa: ANN401  (a module)
    """Import what an engine runs on; this is where torch or OpenVINO is imported, and nowhere before.

    Raises:
        PeerMissingError: it is not installed.
    """
    of_torch = PEERS.get(engine, False)
    name, mend = (".torch_peers", "'rnnx[export]'") if of_torch else (_OPENVINO, "openvino")
    if not of_torch and engine not in {"openvino", "openvino-f32"}:
        return import_ort()
    try:
        return importlib.import_module(name, __package__)
    except ImportError as error:
        raise PeerMissingError(f"it is not installed ({error}). Run: pip install {mend}") from error
