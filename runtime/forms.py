"""What the form of a variant means where it runs: whose states it takes, and what to do where it takes no such size.

A form computes the same as the plain variant of its precision and mode, in another way. So their states are the same
too, and a stream that began with one may go on with the other. But a form may be made for fewer sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..manifest import variant_key

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..manifest import Variant


def state_owner(bundle: Bundle, variant: Variant) -> str:
    """Whose a stream's state is: SHA-256 of the bundle, and the variant's key without its form."""
    return f"{bundle.sha256} {variant_key(variant.precision, variant.mode)}"


def advice(bundle: Bundle, variant: Variant) -> dict[str, str]:
    """By the name of an axis that a form takes fewer sizes of than the plain variant: what to do about other sizes."""
    plain = variant_key(variant.precision, variant.mode)
    base = next((one for one in bundle.manifest.variants if one.key == plain), None)
    if not variant.form or base is None:
        return {}
    taken, all_sizes = (one.signature or bundle.manifest.signature for one in (variant, base))
    return {
        one.name: f"Variant '{variant.key}' is made for that alone. For other sizes load '{plain}': leave out "
        f"form='{variant.form}'."
        for one in taken.ranges
        if one != all_sizes.range(one.name)
    }
