"""Kinds of options that several commands take."""

from __future__ import annotations

import click

PROVIDER_HELP = "auto, cpu, cuda, tensorrt, openvino[@DEVICE] or plugin:LIBRARY|PACKAGE[@DEVICE]."

RANGE = click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="AXIS=MIN:USUAL:MAX",
    help="Sizes that a TensorRT engine is built for; others are refused. Repeatable.",
)
ENGINE_CACHE = click.option(
    "--engine-cache", type=click.Path(file_okay=False), help="Folder of TensorRT's engines; the user's own if absent."
)
STRICT = click.option("--strict", is_flag=True, help="Refuse if a node does not run on the provider.")


class Names(click.ParamType[tuple[str, ...]]):
    """``cpu,cuda``."""

    name = "names"

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, each once; a usage error where one is empty."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in value.split(","))
        if not all(names):
            self.fail(f"'{value}' has an empty name. Write them with commas: a,b.", param, ctx)
        return tuple(dict.fromkeys(names))


class Numbers(click.ParamType[tuple[int, ...]]):
    """``1,16``: whole numbers from 1."""

    name = "numbers"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers, each once; a usage error where one is not a whole number from 1."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isdecimal() and int(part) for part in parts):
            self.fail(f"'{value}' must be a whole number from 1, or several with commas: 1,16.", param, ctx)
        return tuple(dict.fromkeys(map(int, parts)))


def axis_size(text: str) -> tuple[str, int]:
    """``source=20``: the size of an axis, for ``--size``.

    Raises:
        click.BadParameter: it is of another form.
    """
    axis, equals, size = text.partition("=")
    if not axis or not equals or not size.isdecimal():
        raise click.BadParameter(f"'{text}' must be AXIS=SIZE, such as source=20.", param_hint="'--size'")
    return axis, int(size)
