"""Providers that are no part of ONNX Runtime: plug-in libraries, by their path or by the package that brings them.

``plugin:/path/to/libep.so`` or ``plugin:onnxruntime_ep_openvino``. A package has a function ``get_library_path``, and
may say with ``get_ep_names`` or ``get_ep_name`` what its providers are called (ONNX Runtime's documentation, "Plugin
Execution Provider Library Packaging Guidance"). A library brings devices; where these are of several kinds,
``@`` picks one: ``plugin:onnxruntime_ep_openvino@gpu``.

A library is code that runs in this process. It is only ever named by the user: never by a bundle.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .choice import Obstacle
from .ort import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .ort import Ort, OrtDevice, OrtOptions, OrtSession

PREFIX = "plugin:"
#: How distributions of plug-ins are called.
_DISTRIBUTIONS = "onnxruntime-ep-"
_ENDINGS = (".so", ".dll", ".dylib")
_ENTRY = "CreateEpFactories"


def is_plugin(provider: str) -> bool:
    """Whether the name is of a plug-in: ``plugin:SOMETHING``."""
    return provider.startswith(PREFIX) and len(provider) > len(PREFIX)


def installed_plugins() -> list[str]:
    """Names, as a user writes them, of the plug-ins among the installed distributions; nothing is loaded."""
    names = {str(one.metadata["Name"]).lower().replace("_", "-") for one in importlib.metadata.distributions()}
    return sorted(f"{PREFIX}{name.replace('-', '_')}" for name in names if name.startswith(_DISTRIBUTIONS))


def plugin_devices(ort: Ort, provider: str) -> list[OrtDevice] | Obstacle:
    """The devices of a plug-in that its name picks, all of one provider and kind. Its library is loaded.

    Args:
        ort: ONNX Runtime.
        provider: ``plugin:LIBRARY`` or ``plugin:PACKAGE``, with ``@DEVICE`` or without.
    """
    source, _, wanted = provider.removeprefix(PREFIX).partition("@")
    if not hasattr(ort, "register_execution_provider_library") or not hasattr(ort, "get_ep_devices"):
        return _obstacle(
            f"onnxruntime {ort.__version__} takes no plug-in libraries",
            "Install a newer one",
            "pip install -U onnxruntime",
        )
    found = _library(source)
    if isinstance(found, Obstacle):
        return found
    library, told = found
    names = _registered(ort, library, told)
    if isinstance(names, Obstacle):
        return names
    listed = [one for one in ort.get_ep_devices() if one.ep_name in names]
    if not listed:
        who = " and ".join(f"'{name}'" for name in sorted(names)) or f"'{library.name}'"
        return _obstacle(
            f"{who} loads and finds no device here that it can use",
            "Run it on a machine that has its device",
            "run it on a machine that has its device",
        )
    picked = [one for one in listed if not wanted or wanted.lower() in {one.ep_name.lower(), _kind(one)}]
    kinds = dict.fromkeys((one.ep_name, _kind(one)) for one in listed)
    if len(dict.fromkeys((one.ep_name, _kind(one)) for one in picked)) != 1:
        there = ", ".join(f"'{kind}' of '{name}'" for name, kind in kinds)
        what = f"it has no device '{wanted}'" if wanted and not picked else "it has several kinds of devices"
        kind = next(iter(kinds))[1]
        return _obstacle(
            f"{what}; there are {there}", f"Name one: '{PREFIX}{source}@{kind}'", f"{PREFIX}{source}@{kind}"
        )
    return picked


def open_plugin(
    ort: Ort, model: str | bytes, provider: str, options: OrtOptions, given: Mapping[str, Any]
) -> OrtSession | Obstacle:
    """A session that really uses a plug-in, or why there is none.

    Args:
        ort: ONNX Runtime.
        model: path of an ONNX file, or its content.
        provider: as for :func:`plugin_devices`.
        options: the session's; the provider is put into them.
        given: the provider's own options.
    """
    devices = plugin_devices(ort, provider)
    if isinstance(devices, Obstacle):
        return devices
    name = devices[0].ep_name
    with quiet(ort):
        try:
            if not options.has_providers():
                options.add_provider_for_devices(devices, {key: str(value) for key, value in given.items()})
            session = ort.InferenceSession(model, options, enable_fallback=0)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is why the plug-in is not usable)
            return _obstacle(f"'{name}' could not start ({_first(error)})", "Run 'rnnx doctor'", "rnnx doctor")
    session.disable_fallback()
    used = session.get_providers()
    if name not in used:
        why = f"ONNX Runtime gave a session on {', '.join(used)} instead of '{name}'"
        return _obstacle(why, "Run 'rnnx doctor'", "rnnx doctor")
    return session


class _Registry:
    """The libraries that this process has registered: names of their providers by path. They stay for good."""

    lock = threading.Lock()
    names: dict[tuple[int, str], tuple[Ort, frozenset[str]]] = {}  # noqa: RUF012  (one for the process)


def _registered(ort: Ort, library: Path, told: Sequence[str]) -> frozenset[str] | Obstacle:
    """Names of the providers that a library brings, after it was registered."""
    # Tests have several modules in the place of ONNX Runtime.
    key = (id(ort), str(library))
    with _Registry.lock:
        if key in _Registry.names:
            return _Registry.names[key][1]
        before = Counter(one.ep_name for one in ort.get_ep_devices())
        try:
            with quiet(ort):
                ort.register_execution_provider_library(str(library), str(library))
        except Exception as error:  # noqa: BLE001  (whatever it is, it is why the plug-in is not usable)
            if _ENTRY in str(error):
                why = f"'{library}' is no plug-in of ONNX Runtime: it has no '{_ENTRY}'"
                return _obstacle(why, "Name the library of a plug-in", "name the library of a plug-in")
            why = f"onnxruntime {ort.__version__} does not take '{library.name}' ({_first(error)})"
            mend = "Install the version of it that is for this ONNX Runtime"
            return _obstacle(why, mend, mend[0].lower() + mend[1:])
        new = Counter(one.ep_name for one in ort.get_ep_devices()) - before
        names = frozenset(told) | frozenset(new)
        _Registry.names[key] = ort, names  # the module too: as long as it lives no other has its id
    return names


def _library(source: str) -> tuple[Path, list[str]] | Obstacle:
    """A plug-in's library, and the names of its providers as far as its package tells them."""
    path = Path(source).expanduser()
    if path.suffix in _ENDINGS or len(path.parts) > 1 or ".so." in path.name:
        if path.is_file():
            return path.resolve(), []
        return _obstacle(f"there is no library '{path}'", "Give the path of one", "give the path of its library")
    return _of_package(source.replace("-", "_"))


def _of_package(package: str) -> tuple[Path, list[str]] | Obstacle:
    """As :func:`_library`, by the package's name."""
    distribution = package.replace("_", "-")
    again = f"pip install --force-reinstall {distribution}"
    try:
        module = importlib.import_module(package)
        library = Path(module.get_library_path())
        names = module.get_ep_names() if hasattr(module, "get_ep_names") else [module.get_ep_name()]
    except ModuleNotFoundError as error:
        if error.name != package:
            return _obstacle(f"the package '{package}' cannot be imported ({error})", f"Run: {again}", again)
        command = f"pip install {distribution}"
        return _obstacle(f"there is no package '{package}'", f"Run: {command}", command)
    except AttributeError as error:
        why = f"the package '{package}' is no plug-in of ONNX Runtime ({error})"
        return _obstacle(why, "Give the path of its library", "give the path of its library")
    except (ImportError, OSError) as error:
        return _obstacle(f"the package '{package}' lacks what it needs ({error})", f"Run: {again}", again)
    return library, [str(name) for name in names]


def _kind(device: OrtDevice) -> str:
    """``cpu``, ``gpu`` or ``npu``."""
    return str(device.device.type).rpartition(".")[2].lower()


def _obstacle(why: str, mend: str, command: str) -> Obstacle:
    return Obstacle(why=why, mend=mend, command=command)


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
