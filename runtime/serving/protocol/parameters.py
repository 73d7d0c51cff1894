"""What a request says beside its tensors: parameters, and those among them that have a meaning here.

Sources: the protocol's extensions for parameters, sequences (``sequence_id``, ``sequence_start``, ``sequence_end``),
schedule policy (``priority``, ``timeout``) and binary data (``binary_data_output``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....errors import FeatureError, RequestError
from .limits import check_count, check_text, shown
from .request import Sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .limits import Limits
    from .request import Parameter

#: The largest number that a sequence id, a priority or a timeout may be: the protocol has 64 bits for it.
MOST = 2**64 - 1

#: Parameters of a tensor that would change what is computed or where it comes from, and that are not offered.
_NOT_OFFERED = {
    "shared_memory_region": "shared memory is not offered here; send the tensor itself",
    "classification": "classification is not offered here; take the whole output",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a request's parameters mean.

    Attributes:
        sequence: the stream that the request belongs to, or None.
        timeout_us: how long it may wait and run, microseconds; None where the client does not say.
        binary: whether outputs that say nothing come as bytes.
        rest: every other parameter.
    """

    sequence: Sequence | None
    timeout_us: int | None
    binary: bool
    rest: Mapping[str, Parameter]


def check_parameters(what: str, found: object, limits: Limits) -> dict[str, Parameter]:
    """Parameters, after names, types and numbers of them were checked.

    Raises:
        RequestError: they are not named booleans, numbers and texts.
        RequestTooLargeError: there are too many, or they are too long.
    """
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RequestError(f"the parameters of {what} must be an object; found {shown(found)}.")
    check_count(f"parameters of {what}", found, limits.parameters)
    for name, value in found.items():
        check_text(f"a parameter's name of {what}", name, limits.name_length)
        if isinstance(value, str):
            check_text(f"the parameter {shown(name)} of {what}", value, limits.text_length, empty=True)
        elif not isinstance(value, bool | int | float):
            raise RequestError(
                f"the parameter {shown(name)} of {what} must be a boolean, a number or a text; found {shown(value)}."
            )
    return found


def check_offered(what: str, parameters: Mapping[str, Parameter]) -> None:
    """Refuse a tensor's parameters that would be silently left out otherwise (FeatureError)."""
    for name, why in _NOT_OFFERED.items():
        if parameters.get(name):
            raise FeatureError(f"{what} has the parameter '{name}', and {why}.")


def read_settings(parameters: Mapping[str, Parameter], limits: Limits) -> Settings:
    """What a request's parameters mean.

    ``sequence_id`` is a whole number or a text; 0 and the empty text mean no sequence, as clients send them by default.
    A ``timeout`` of 0 is none.

    Raises:
        RequestError: one of them is of a wrong type or out of its range.
        RequestTooLargeError: ``sequence_id`` is too long.
    """
    rest = dict(parameters)
    timeout = _whole("timeout", rest.pop("timeout", 0))
    if "priority" in rest:
        _whole("priority", rest["priority"])
    return Settings(
        sequence=_sequence(rest, limits),
        timeout_us=timeout or None,
        binary=flag("binary_data_output", rest.pop("binary_data_output", False)),
        rest=rest,
    )


def flag(name: str, value: object) -> bool:
    """A parameter that is true or false.

    Raises:
        RequestError: it is something else.
    """
    if not isinstance(value, bool):
        raise RequestError(f"the parameter '{name}' must be true or false; found {shown(value)}.")
    return value


def _sequence(rest: dict[str, Parameter], limits: Limits) -> Sequence | None:
    start = flag("sequence_start", rest.pop("sequence_start", False))
    end = flag("sequence_end", rest.pop("sequence_end", False))
    name = rest.pop("sequence_id", 0)
    if isinstance(name, str):
        name = check_text("the parameter 'sequence_id'", name, limits.name_length, empty=True)
    else:
        name = _whole("sequence_id", name)
    if name in {0, ""}:
        if start or end:
            said = "sequence_start" if start else "sequence_end"
            raise RequestError(f"'{said}' is true and there is no 'sequence_id'. Name the sequence: a number from 1.")
        return None
    return Sequence(id=name, start=start, end=end)


def _whole(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise RequestError(f"the parameter '{name}' must be a whole number from 0 to 2**64 - 1; found {shown(value)}.")
    return value
