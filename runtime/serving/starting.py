"""From the words of a command line to a running server: what can be found wrong is found before it listens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...bundle import Bundle
from ...errors import ServerError
from ..providers import check_name as check_provider
from .logs import logs_to
from .model import ModelOptions
from .protocol.limits import Limits
from .repository import ENDING, Repository, check_name
from .server import ServerOptions, run_server
from .service import Service
from .tokens import TokenKeeper
from .tracing import Tracing, open_tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What a server is started with.

    Attributes:
        bundles: ``path`` or ``NAME=path`` each.
        repository: a folder of bundles that may be loaded by name, or None.
        models: how each is served.
        limits: how much a request may ask for.
        server: where and how it listens.
        token_file: holds the token that clients must bear, or None.
        token_key_file: holds the key of streams' tokens, or None for one of this process's own.
        log_format: ``text`` or ``json``.
        log_level: as :mod:`logging` names it, in lower case.
        otel: whether to send spans.
    """

    bundles: tuple[str, ...] = ()
    repository: Path | None = None
    models: ModelOptions = field(default_factory=ModelOptions)
    limits: Limits = field(default_factory=Limits)
    server: ServerOptions = field(default_factory=ServerOptions)
    token_file: Path | None = None
    token_key_file: Path | None = None
    log_format: str = "text"
    log_level: str = "info"
    otel: bool = False


def serve(start: Start, announce: Callable[[str], None]) -> int:
    """Serve until a signal comes.

    Args:
        start: with what.
        announce: is given one line with the ports.

    Returns:
        The exit code.

    Raises:
        ServerError: a name, file or address cannot be used.
        BundleError: a bundle is none.
        ProviderError, VariantError: no provider has the name, or a bundle nothing of the precision, that is asked for.
        MissingExtraError: a package is not installed.
    """
    named = named_bundles(start.bundles)
    folder = start.repository
    if not named and folder is None:
        raise ServerError("no bundle is given. Name one, NAME.rnnx, or give --repository with a folder of them.")
    if folder is not None and not folder.is_dir():
        raise ServerError(f"--repository '{folder}' is no folder.")
    for path in named.values():
        _check_variant(Bundle.open(path), start.models)
    options = start.server
    if start.token_file is not None:
        options = replace(options, token=_read_token(start.token_file))
    key = None if start.token_key_file is None else _read(start.token_key_file, "--token-key-file")
    tokens = TokenKeeper(key)
    tracing = open_tracing() if start.otel else Tracing()
    repository = Repository(named, folder=folder, options=start.models)
    service = Service(repository, limits=start.limits, tokens=tokens, tracing=tracing)
    with logs_to(start.log_format, start.log_level):
        return run_server(service, options, announce)


def _check_variant(bundle: Bundle, options: ModelOptions) -> None:
    """Hold the command's own words against the bundle: what no later attempt could mend ends the start.

    Raises:
        ProviderError: no provider has this name.
        VariantError: the bundle has nothing of this precision.
    """
    check_provider(options.provider)
    precisions = {"auto", *(one.precision for one in bundle.manifest.variants)}
    if not options.tuned and options.precision not in precisions:
        bundle.variant(options.precision)


def named_bundles(given: Sequence[str]) -> dict[str, Path]:
    """Paths by model name: ``NAME=path``, or the file's own name without its ending.

    Raises:
        ServerError: a name stands twice, or cannot be a model's.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            path, name = text, Path(text).resolve().name.removesuffix(ENDING)
        if not path:
            raise ServerError(f"'{text}' names no bundle. Write NAME=path, or the path alone.")
        check_name(name)
        if name in found:
            raise ServerError(
                f"'{found[name]}' and '{path}' would both be served as '{name}'. Give one another name: NAME={path}."
            )
        found[name] = Path(path)
    return found


def _read_token(path: Path) -> str:
    try:
        token = _read(path, "--token-file").decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise ServerError(f"--token-file '{path}' holds no token of plain letters: {error}.") from error
    if not token or not token.isprintable() or " " in token:
        raise ServerError(f"--token-file '{path}' must hold one token: printable letters without spaces.")
    return token


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServerError(f"{option} '{path}' cannot be read: {error.strerror}.") from error
