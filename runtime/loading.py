"""``rnnx.load``: from a bundle's folder and what is asked for to a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..bundle import Bundle
from ..errors import InputError, ProviderError, RnnxError, SessionError
from .binding import DEVICES
from .captured import GRAPH_OPTIONS, CapturedRun, check_capture, refuse_by_hand
from .choice import AUTO
from .opening import Opening, check_strict, example_inputs
from .openvino_session import is_openvino
from .options import check_provider_options, given_options, own_options, spare_half
from .ort import import_ort
from .plugins import is_plugin
from .providers import check_name, check_usable
from .sizes import narrowed, one_size, plan_sizes
from .tensorrt import PROFILE_OPTIONS, TENSORRT, engine_options, profile_options
from .tuning import find_tuned, only_tuned

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from ..manifest import Variant
    from ..signature import Signature
    from .direct import Run
    from .ort import Ort, OrtOptions, OrtSession
    from .session import Session
    from .sizes import Sizes
    from .tuning import TunedUse


def load(
    path: str | os.PathLike[str],
    *,
    provider: str = AUTO,
    precision: str = "auto",
    form: str = "",
    threads: int | None = None,
    mode: str = "offline",
    session_options: OrtOptions | None = None,
    provider_options: Mapping[str, Any] | None = None,
    tuned: bool | str = False,
    ranges: Mapping[str, Any] | None = None,
    engine_cache: str | os.PathLike[str] | None = None,
    cuda_graph: Mapping[str, int] | None = None,
    strict: bool = False,
) -> Session:
    """Load one variant of a bundle.

    Args:
        path: the bundle's folder.
        provider: ``cpu``, ``cuda`` or ``tensorrt``; ``openvino`` or ``openvino@DEVICE``; ``plugin:LIBRARY`` or
            ``plugin:PACKAGE`` for a plug-in of ONNX Runtime (:mod:`rnnx.runtime.plugins`). ``auto`` takes the first
            usable of ``cuda`` and ``cpu``, and :attr:`Session.provider_report` says which and why not the other.
        precision: ``fp32``, ``int8`` or ``fp16``; ``auto`` takes fp32 where the bundle has it.
        form: another graph of that precision and mode, such as ``scan``; empty for the one that export made.
        threads: threads within one operator, at least 1; None leaves it to ONNX Runtime (one for each core).
        mode: ``offline`` for whole sequences, ``streaming`` for chunks with a state.
        session_options: an ``onnxruntime.SessionOptions`` in place of rnnx's own, used as it is; but for fp16 one
            rewrite that ends the process is switched off in it.
        provider_options: the named provider's own options, by ONNX Runtime's names; OpenVINO's properties by its own.
        tuned: take precision, form, threads and options from what ``rnnx tune`` found on a machine like this one, for
            the provider and the mode; :attr:`Session.tuned` says what that is. Where the bundle was tuned for several
            purposes, name one: ``"p99 1x100"`` (objective, batch x time), ``"p99"`` or ``"1x100"``.
        ranges: for ``tensorrt``: by axis the smallest, the usual and the largest size, ``{"time": (1, 64, 512)}``, or
            one size. The engine is built for these; others are refused when it runs. Axes that are left out take the
            range that the model declares.
        engine_cache: for ``tensorrt``: the folder that keeps its engines; None for the user's own cache.
        cuda_graph: for ``cuda`` and ``tensorrt``: the one size of each dynamic axis, ``{"batch": 1, "time": 10}``. The
            run is recorded as a CUDA graph and replayed; other sizes are refused.
        strict: run once with a profile, and refuse where a node does not run on the provider that was asked for. The
            arithmetic of shapes may stay on the CPU.

    Raises:
        BundleError: the bundle cannot be read, or one of its files is not what its manifest says.
        VariantError: the bundle has no such variant, or no CUDA graph can hold it.
        ProviderError: the provider is not known, cannot really be used here, or does not take every node (``strict``);
            or OpenVINO's answers are not the golden vectors'.
        InputError: ``threads`` is no number of threads, ``ranges`` or ``cuda_graph`` are no sizes that the model takes
            or are not for this provider, or ``tuned`` is given together with what it decides.
        TuningError: the bundle was not tuned for this machine, provider or mode, or for several uses.
        MissingExtraError: ONNX Runtime is not installed.
        SessionError: ONNX Runtime does not load the variant.
    """
    check_name(provider)
    _check_given(provider, ranges=ranges, engine_cache=engine_cache, session_options=session_options)
    bundle = Bundle.open(path)
    use: TunedUse | None = None
    if tuned is False:
        variant = bundle.variant(precision, mode, form)
        ort = import_ort()
        options = own_options(ort, threads) if session_options is None else given_options(session_options, threads)
        wanted = provider
    else:
        of_entry = {"precision": precision != "auto", "form": form, "threads": threads is not None}
        of_entry |= {"session_options": session_options is not None, "provider_options": provider_options is not None}
        only_tuned([name for name, given in of_entry.items() if given])
        ort = import_ort()
        use = find_tuned(ort, bundle, tuned=tuned, provider=provider, mode=mode)
        variant, wanted = use.variant, use.provider
        options = own_options(ort, use.entry.threads, use.entry.session_options)
        provider_options = check_provider_options(wanted, use.entry.provider_options)
    if variant.precision == "fp16":
        spare_half(options)
    signature = variant.signature or bundle.manifest.signature
    given = dict(provider_options or {})
    refuse_by_hand(wanted, given)
    sizes = _sizes(signature, variant, wanted, given=given, ranges=ranges, cuda_graph=cuda_graph)
    if wanted == TENSORRT:
        given = _tensorrt(ort, bundle, variant, given, signature=signature, sizes=sizes, root=engine_cache)
    if cuda_graph is not None:
        name, value = GRAPH_OPTIONS[wanted]
        given[name] = value
    opening = Opening(ort=ort, bundle=bundle, variant=variant, provider=wanted, options=options, provider_options=given)
    if strict:
        _hold(opening, narrowed(signature, sizes))
    session, choice = opening.open()
    run = None if cuda_graph is None else _captured(opening, session, signature, sizes)
    if use is not None:
        choice = use.choice(choice, provider)
    from .session import Session  # noqa: PLC0415  (session gives `load` on, where most look for it)

    made = Session(
        session, bundle=bundle, variant=variant, choice=choice, tuned=use, opening=opening, sizes=sizes, run=run
    )
    if is_openvino(wanted):
        _prove(made)
    return made


def _check_given(
    provider: str, *, ranges: object = None, engine_cache: object = None, session_options: OrtOptions | None = None
) -> None:
    """Refuse what another provider is asked for with.

    Raises:
        InputError: something is given that the provider has no use for.
    """
    for name, value in (("ranges", ranges), ("engine_cache", engine_cache)):
        if value is not None and provider != TENSORRT:
            raise InputError(f"{name} is given with the provider '{provider}', and it is for 'tensorrt'. Leave it out.")
    if session_options is not None and is_openvino(provider):
        raise InputError(
            "session_options are ONNX Runtime's, and OpenVINO runs the model by itself. Give threads or "
            "provider_options with OpenVINO's own properties."
        )
    if session_options is not None and is_plugin(provider) and session_options.has_providers():
        raise InputError("session_options have a provider already, and a plug-in is put into them. Make new ones.")


def _sizes(
    signature: Signature,
    variant: Variant,
    provider: str,
    *,
    given: Mapping[str, Any],
    ranges: Mapping[str, Any] | None,
    cuda_graph: Mapping[str, int] | None,
) -> dict[str, Sizes]:
    """The sizes that the session is made for, by axis; nothing where it takes all that the model does."""
    by_hand = [name for name in PROFILE_OPTIONS.values() if name in given]
    if ranges is not None and by_hand:
        raise InputError(f"ranges and '{by_hand[0]}' among provider_options are both given. Leave one out.")
    if cuda_graph is not None:
        if ranges is not None:
            raise InputError("ranges and cuda_graph are both given, and cuda_graph says every size. Leave out ranges.")
        check_capture(variant, signature, provider)
        return one_size(signature, cuda_graph)
    if provider != TENSORRT or by_hand:
        return {}
    return plan_sizes(signature, ranges or {})


def _tensorrt(
    ort: Ort,
    bundle: Bundle,
    variant: Variant,
    given: Mapping[str, Any],
    *,
    signature: Signature,
    sizes: Mapping[str, Sizes],
    root: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """TensorRT's options: the profile, the folder of its engines, and what the user gave."""
    if root is not None and "trt_engine_cache_path" in given:
        raise InputError("engine_cache and 'trt_engine_cache_path' among provider_options are both given.")
    # Before a folder is made for its engines.
    check_usable(ort, TENSORRT)
    planned = {**(profile_options(signature, sizes) if sizes else {}), **given}
    return engine_options(ort_version=ort.__version__, bundle=bundle, variant=variant, options=planned, root=root)


def _hold(opening: Opening, signature: Signature) -> None:
    """Hold a session against where its nodes run, before it is taken.

    Raises:
        ProviderError: a node does not run where it was asked for.
    """
    if opening.provider == AUTO:
        raise InputError("strict is given with the provider 'auto'. Name the provider that every node must run on.")
    names = [spec.name for spec in signature.outputs]
    placement = opening.placement(opening.provider, names, example_inputs(signature))
    check_strict(placement, opening.provider)


def _prove(session: Session) -> None:
    """Hold a session that another engine runs against the golden vectors: the bundle's proof is of ONNX Runtime.

    Raises:
        ProviderError: it gives other answers, or there is nothing to hold it against.
        BundleError: the golden vectors cannot be read.
    """
    from .verify import golden_rows  # noqa: PLC0415  (it loads sessions itself)

    cases = session.bundle.golden(session.variant)
    rows = golden_rows(session, cases)
    wrong = next((row for row in rows if not row.passed), None)
    names = [one.name for one in session.signature.lengths]
    # Cases whose rows all end at one step would not tell a backend that knows no lengths from one that does.
    blind = [name for name in names if not any(len(set(case.inputs.get(name, ()))) > 1 for case in cases)]
    if rows and wrong is None and not blind:
        return
    if wrong is None:
        what = f"in which rows of '{blind[0]}' end at different steps" if blind else "that it could be held against"
        why = f"the bundle holds no golden vectors {what}, so nothing tells"
    else:
        why = wrong.reason or f"it is {wrong.max_abs_diff:.1e} off and {wrong.allowed:.1e} is allowed"
        why = f"output '{wrong.output}' of golden case {wrong.case}: {why}"
    raise ProviderError(
        f"OpenVINO does not give the answers of variant '{session.variant.key}' of '{session.bundle.path}': {why}. "
        f"{'It knows no lengths in recurrent layers. ' * bool(session.signature.lengths)}Take the provider 'cpu'."
    )


def _captured(opening: Opening, session: OrtSession, signature: Signature, sizes: Mapping[str, Sizes]) -> Run:
    """Runs of one shape, recorded.

    Raises:
        VariantError: the size of an output cannot be told.
        SessionError: ONNX Runtime cannot record them.
    """
    device = DEVICES[opening.provider], int(opening.provider_options.get("device_id", 0))
    try:
        return CapturedRun(opening.ort, session, signature, sizes, device=device)
    except RnnxError:
        raise
    except Exception as error:
        raise SessionError(
            f"{opening.engine} cannot record variant '{opening.variant.key}' of '{opening.bundle.path}' as a CUDA "
            f"graph: {error}. Leave out cuda_graph."
        ) from error
