"""Protocol Buffers' text format, written and read: the form of Triton's ``config.pbtxt``.

The grammar is https://protobuf.dev/reference/protobuf/textformat-spec/. Left out are extensions and ``Any`` (names in
square brackets), which no model configuration has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import DeployError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Enum(str):
    """A bare word that is no number: ``TYPE_FP32``, and also ``true`` and ``inf``."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message: its fields in order, repeated ones as often as they stand there.

    Attributes:
        fields: names and values.
        comments: by position of a field, what is said above it, line by line. Reading drops comments.
    """

    fields: list[tuple[str, Value]] = field(default_factory=list)
    comments: dict[int, list[str]] = field(default_factory=dict)

    def add(self, name: str, value: Value | Sequence[Value], *comments: str) -> None:
        """Put a field behind the others; a list puts one for each value, and none where it is empty."""
        if comments:
            self.comments[len(self.fields)] = list(comments)
        if isinstance(value, list | tuple):
            self.fields.extend((name, one) for one in value)
        else:
            self.fields.append((name, value))  # type: ignore[arg-type]  # no other sequence is a value

    def all(self, name: str) -> list[Value]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name]

    def messages(self, name: str) -> list[Message]:
        """Every value of a field that is a message."""
        return [value for value in self.all(name) if isinstance(value, Message)]

    def last(self, name: str) -> Value | None:
        """The value of a field that is not repeated, of which the last one counts; None where there is none."""
        found = self.all(name)
        return found[-1] if found else None

    def text(self, name: str) -> str:
        """A field of text or of an enum; empty where there is none."""
        value = self.last(name)
        return str(value) if isinstance(value, str) else ""

    def integer(self, name: str) -> int:
        """A field that is a whole number; 0 where there is none."""
        value = self.last(name)
        return value if type(value) is int else 0

    def integers(self, name: str) -> list[int]:
        """A repeated field of whole numbers."""
        return [value for value in self.all(name) if type(value) is int]


Value = str | int | float | bool | Message

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[fF]?))(?![A-Za-z0-9_.])
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<sign>[-:{}<>\[\],;])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
#: Messages within messages; configurations have six at most, and a file of somebody's own must not exhaust the stack.
_DEEPEST = 64
_FLOATS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_WORDS: dict[str, Value] = {"true": True, "false": False, "True": True, "False": False}


def parse(text: str) -> Message:
    """The message that a text is.

    Raises:
        DeployError: it is not in the text format; the message says the line.
    """
    return _Reader(text).message("", 0)


def write(message: Message, *, indent: int = 0) -> str:
    """A message as text: one field a line, lists of numbers in brackets, comments above their fields."""
    lines: list[str] = []
    pad = "  " * indent
    at = 0
    while at < len(message.fields):
        name, value = message.fields[at]
        lines += [f"{pad}# {comment}" for comment in message.comments.get(at, ())]
        run = 1
        if isinstance(value, Message):
            inner = write(value, indent=indent + 1)
            lines += [f"{pad}{name} {{", *([inner.rstrip("\n")] if inner else []), f"{pad}}}"]
        else:
            while _goes_on(message, at + run):
                run += 1
            values = [_scalar(one) for _, one in message.fields[at : at + run]]
            lines.append(f"{pad}{name}: {values[0] if _alone(name, run) else '[ ' + ', '.join(values) + ' ]'}")
        at += run
    return "".join(f"{line}\n" for line in lines)


#: Repeated fields, which keep their brackets even around one value.
_REPEATED = {"dims", "shape", "gpus", "preferred_batch_size", "int32_false_true", "fp32_false_true", "bool_false_true"}


def _alone(name: str, run: int) -> bool:
    return run == 1 and name not in _REPEATED


def _goes_on(message: Message, at: int) -> bool:
    """Whether the field here is one more plain value of the field before it."""
    if at == len(message.fields) or isinstance(message.fields[at][1], Message) or at in message.comments:
        return False
    return message.fields[at][0] == message.fields[at - 1][0]


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum) or not isinstance(value, str):
        return str(value)
    return '"' + "".join(_escaped(value)) + '"'


def _escaped(text: str) -> Iterable[str]:
    for character in text:
        if character in {'"', "\\"}:
            yield f"\\{character}"
        elif character == "\n":
            yield "\\n"
        elif ord(character) < 32:
            yield f"\\{ord(character):03o}"
        else:
            yield character


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = list(self._scan(text))
        self._at = 0

    @staticmethod
    def _scan(text: str) -> Iterable[tuple[str, str, int]]:
        at, line = 0, 1
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise DeployError(f"line {line}: cannot read {text[at : at + 12]!r} in the protobuf text format.")
            kind = match.lastgroup or ""
            if kind != "space":
                yield kind, match[0], line
            line += match[0].count("\n")
            at = match.end()
        yield "end", "", line

    def message(self, closing: str, depth: int) -> Message:
        """The fields up to a closing sign."""
        if depth > _DEEPEST:
            raise self._wrong(f"at most {_DEEPEST} messages within each other")
        message = Message()
        while True:
            kind, text, _ = self._tokens[self._at]
            if (kind, text) == ("sign", closing) or (kind == "end" and not closing):
                self._at += 1
                return message
            if kind != "word":
                raise self._wrong("the name of a field" + f" or '{closing}'" * bool(closing))
            self._at += 1
            for value in self._values(depth):
                message.fields.append((text, value))
            if self._sees(",", ";"):
                self._at += 1

    def _values(self, depth: int) -> list[Value]:
        colon = self._sees(":")
        self._at += colon
        if self._sees("["):
            self._at += 1
            values: list[Value] = []
            while not self._sees("]"):
                values.append(self._value(depth, colon=colon))
                if not self._sees("]"):
                    self._take(",")
            self._at += 1
            return values
        return [self._value(depth, colon=colon)]

    def _value(self, depth: int, *, colon: bool) -> Value:
        for opening, closing in ("{}", "<>"):
            if self._sees(opening):
                self._at += 1
                return self.message(closing, depth + 1)
        if not colon:
            raise self._wrong("':' or '{'")
        if self._tokens[self._at][0] == "string":
            parts = []
            while self._tokens[self._at][0] == "string":
                parts.append(_unescaped(self._tokens[self._at][1][1:-1]))
                self._at += 1
            return "".join(parts)
        return self._plain()

    def _plain(self) -> Value:
        """A number or a word, of which a sign may be apart: ``- 5``, ``-inf``."""
        negative = self._sees("-")
        self._at += negative
        kind, text, _ = self._tokens[self._at]
        if kind not in {"number", "word"} or (kind == "word" and negative and text.lower() not in _FLOATS):
            raise self._wrong("a value")
        self._at += 1
        if kind == "word" and text.lower() not in _FLOATS:
            return _WORDS.get(text, Enum(text))
        number = _number(text) if kind == "number" else _FLOATS[text.lower()]
        return -number if negative else number

    def _sees(self, *signs: str) -> bool:
        kind, text, _ = self._tokens[self._at]
        return kind == "sign" and text in signs

    def _take(self, sign: str) -> None:
        if not self._sees(sign):
            raise self._wrong(f"'{sign}'")
        self._at += 1

    def _wrong(self, wanted: str) -> DeployError:
        kind, text, line = self._tokens[self._at]
        found = "the end of the text" if kind == "end" else f"'{text}'"
        return DeployError(f"line {line}: {wanted} was to come, found {found}.")


def _number(text: str) -> int | float:
    body = text.lstrip("-")
    sign = -1 if text.startswith("-") else 1
    if body[:2] in {"0x", "0X"}:
        return sign * int(body, 16)
    if body.isdecimal():
        octal = len(body) > 1 and body[0] == "0" and set(body) <= set("01234567")
        return sign * int(body, 8 if octal else 10)
    return sign * float(body.rstrip("fF"))


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        octal, byte, short, long, plain = match.groups()
        if octal is not None:
            return chr(int(octal, 8))
        code = byte or short or long
        return chr(int(code, 16)) if code is not None else _SIMPLE.get(plain, plain)

    return _ESCAPE.sub(one, text)
