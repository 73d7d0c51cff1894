"""What all endpoints of one application share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..service import Service
    from .bodies import Held
    from .options import HttpOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """One application.

    Attributes:
        service: what answers.
        options: HTTP's own limits.
        held: what all bodies hold together.
        token: what clients must bear; empty for nothing.
    """

    service: Service
    options: HttpOptions
    held: Held
    token: str = ""
