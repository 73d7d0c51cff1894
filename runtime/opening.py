"""How one variant is opened: all that a second session like the first needs, one that is profiled."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ProviderError, SessionError
from .captured import GRAPH_OPTIONS
from .choice import Obstacle
from .onnx_file import modules_of
from .openvino_session import OpenVinoSession, is_openvino, open_openvino, openvino_version
from .placement import PlacedNode, Placement, read_profile
from .plugins import is_plugin
from .providers import PROVIDERS, attempt, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ..bundle import Bundle
    from ..manifest import Variant
    from ..signature import Signature
    from .choice import ProviderChoice
    from .ort import Ort, OrtOptions, OrtSession


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """What a session of a variant is made from.

    Attributes:
        ort: ONNX Runtime.
        bundle: the bundle.
        variant: the variant.
        provider: as it was asked for.
        options: ONNX Runtime's session options.
        provider_options: the provider's own.
    """

    ort: Ort
    bundle: Bundle
    variant: Variant
    provider: str
    options: OrtOptions
    provider_options: Mapping[str, Any]

    def model(self) -> str | bytes:
        """The ONNX file, checked: its content, or its path where weights lie beside it.

        Raises:
            BundleError: a file is not what the manifest says.
        """
        if self.variant.data_files:
            # External weights are found beside the file, so ONNX Runtime must be given its path.
            self.bundle.check([self.variant.file, *self.variant.data_files])
            return str(self.bundle.path / self.variant.file)
        # The very bytes that were hashed are loaded: nobody can change the file in between.
        return self.bundle.read(self.variant.file)

    def open(self) -> tuple[OrtSession, ProviderChoice]:
        """A session, and on what.

        Raises:
            BundleError: as :meth:`model`.
            ProviderError: the provider cannot really be used here.
            SessionError: the variant does not load.
        """
        model = self.model()
        try:
            return open_session(
                self.ort,
                model,
                provider=self.provider,
                options=self.options,
                provider_options=self.provider_options,
            )
        except ProviderError:
            raise
        except Exception as error:
            raise SessionError(
                f"{self.engine} does not load variant '{self.variant.key}' of '{self.bundle.path}': {error}"
            ) from error

    @property
    def engine(self) -> str:
        """What runs it, with its version."""
        if is_openvino(self.provider):
            return f"OpenVINO {openvino_version()}"
        return f"ONNX Runtime {self.ort.__version__}"

    def placement(self, provider: str, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> Placement:
        """Where the nodes run: one run of a session of its own, which is profiled.

        Args:
            provider: the one that the session uses.
            names: of all outputs.
            feed: every input, checked.

        Raises:
            BundleError, ProviderError: as :meth:`open`.
            SessionError: it does not load, fails, or writes no profile.
        """
        shapes = {name: array.shape for name, array in feed.items()}
        try:
            modules = modules_of((self.bundle.path / self.variant.file).read_bytes())
            if is_openvino(provider):
                return self._layers(provider, feed, modules, shapes)
            session, events = self._profiled(provider, names, feed)
        except ProviderError:
            raise
        except Exception as error:
            raise SessionError(
                f"{self.engine} cannot profile variant '{self.variant.key}' of '{self.bundle.path}' on {provider}: "
                f"{error}"
            ) from error
        wanted = PROVIDERS.get(provider) or session.get_providers()[0]
        return read_profile(events, variant=self.variant.key, wanted=wanted, modules=modules, shapes=shapes)

    def _profiled(
        self, provider: str, names: Sequence[str], feed: Mapping[str, NDArray[Any]]
    ) -> tuple[OrtSession, list[dict[str, Any]]]:
        """A session that has run once, and its profile."""
        options = self.options
        # A run that is replayed as one has no nodes to tell of.
        of_graphs = {name for name, _ in GRAPH_OPTIONS.values()}
        given = {name: value for name, value in self.provider_options.items() if name not in of_graphs}
        before = options.enable_profiling, options.profile_file_prefix
        with tempfile.TemporaryDirectory(prefix="rnnx-profile-") as folder:
            options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "run")
            try:
                found = attempt(self.ort, self.model(), provider, options, given)
            finally:
                # They are copied when a session is made; the next is not to be profiled.
                options.enable_profiling, options.profile_file_prefix = before
            if isinstance(found, Obstacle):
                raise ProviderError(f"provider '{provider}' is not usable here: {found.why}. {found.mend}.")
            found.run(names, feed)
            file = Path(found.end_profiling())
            return found, json.loads(file.read_text(encoding="utf-8"))

    def _layers(
        self,
        provider: str,
        feed: Mapping[str, NDArray[Any]],
        modules: Mapping[str, str],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> Placement:
        """OpenVINO runs a whole graph or none of it; this tells its layers."""
        found = open_openvino(self.model(), provider, self.options, self.provider_options, counters=True)
        if isinstance(found, Obstacle):
            raise ProviderError(f"provider '{provider}' is not usable here: {found.why}. {found.mend}.")
        where = found.get_providers()[0]
        nodes = [
            PlacedNode(
                name=one.name,
                operator=one.operator,
                provider=where,
                time_us=one.time_us,
                module=modules.get(one.name, ""),
            )
            for one in cast("OpenVinoSession", found).layers(feed)
        ]
        return Placement(variant=self.variant.key, wanted=where, nodes=tuple(nodes), shapes=shapes)


def example_inputs(signature: Signature) -> dict[str, NDArray[Any]]:
    """The smallest inputs that a signature takes, lengths and states among them: zeros, or the smallest value allowed.

    Args:
        signature: what is declared; axes are of size 1 or the smallest above that is allowed.
    """
    sizes = {}
    for axis in signature.dynamic_axes:
        allowed = signature.range(axis)
        least = max(allowed.minimum, 1)
        sizes[axis] = -(-least // allowed.multiple_of) * allowed.multiple_of
    inputs: dict[str, NDArray[Any]] = {}
    for spec in signature.inputs:
        shape = [axis if isinstance(axis, int) else sizes[axis] for axis in spec.axes]
        inputs[spec.name] = np.full(shape, spec.minimum or 0, spec.dtype)
    for lengths in signature.lengths:
        inputs[lengths.name].fill(sizes[lengths.axis])
    return inputs


def check_strict(placement: Placement, provider: str) -> None:
    """Refuse a placement with nodes elsewhere than asked.

    Raises:
        ProviderError: there are some, beside the arithmetic of shapes.
    """
    wrong = placement.elsewhere
    if not wrong:
        return
    shown = ", ".join(f"{one.label} on {one.provider}" for one in wrong[:8])
    more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
    plug = " The plug-in does not take them." if is_plugin(provider) else ""
    raise ProviderError(
        f"of variant '{placement.variant}', {len(wrong)} of {len(placement.nodes)} nodes do not run on '{provider}': "
        f"{shown}{more}.{plug} Leave out strict to run it so all the same, or take another provider or variant."
    )
