"""Protobuf's text format: every form that a configuration may have, and what is refused with its line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnx.errors import DeployError
from rnnx.runtime.deploy.text_format import Enum, Message, parse, write


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", []),
        ("# nothing\n  # at all", []),
        ('name: "a"', [("name", "a")]),
        ("name: 'a' # why", [("name", "a")]),
        ('name: "a" "b"\n \'c\'', [("name", "abc")]),
        (r'name: "q\"\\\n\101\x41\u00e9"', [("name", 'q"\\\nAAé')]),
        ("a: 1 b: -2, c: 0x1F; d: 010", [("a", 1), ("b", -2), ("c", 31), ("d", 8)]),
        ("a: 1.5 b: -2e3 c: 3f d: .5 e: - 4", [("a", 1.5), ("b", -2000.0), ("c", 3.0), ("d", 0.5), ("e", -4)]),
        ("a: inf b: -inf", [("a", math.inf), ("b", -math.inf)]),
        ("a: true b: false c: KIND_CPU", [("a", True), ("b", False), ("c", "KIND_CPU")]),
        ("dims: [ -1, 40 ] dims: 3 shape: [ ]", [("dims", -1), ("dims", 40), ("dims", 3)]),
        ("a { b: 1 } a: { b: 2 } a < b: 3 >", [("a", [("b", 1)]), ("a", [("b", 2)]), ("a", [("b", 3)])]),
        ("a [ { b: 1 }, { b: 2 } ] c: [ { } ]", [("a", [("b", 1)]), ("a", [("b", 2)]), ("c", [])]),
    ],
)
def test_what_is_read(text, fields):
    def plain(message):
        return [(name, plain(one) if isinstance(one, Message) else one) for name, one in message.fields]

    found = plain(parse(text))
    assert found == fields
    assert [type(one) for _, one in found if not isinstance(one, list | str)] == [
        type(one) for _, one in fields if not isinstance(one, list | str)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name", "line 1: ':' or '{' was to come, found the end"),
        ("\n\nname: ", "line 3: a value was to come, found the end"),
        ("a {\n b: 1", "line 2: the name of a field or '}' was to come, found the end"),
        ("a: 1 }", "the name of a field was to come, found '}'"),
        ("a: [ 1 2 ]", "',' was to come, found '2'"),
        ('a: "open', "line 1: cannot read '\"open'"),
        ("a: 12abc", "cannot read '12abc'"),
        ("a: -KIND", "a value was to come, found 'KIND'"),
        ("a < b: 1 }", "found '}'"),
        ("a" + " { a" * 100, "at most 64 messages"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(DeployError) as error:
        parse(text)
    assert message in str(error.value)


names = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
scalars = st.one_of(
    st.text(max_size=8),
    st.integers(-(2**63), 2**63),
    st.booleans(),
    st.floats(allow_nan=False),
    st.just(Enum("KIND_A")),
)
messages = st.recursive(
    st.builds(lambda fields: Message(fields=fields), st.lists(st.tuples(names, scalars), max_size=4)),
    lambda inner: st.builds(
        lambda fields: Message(fields=fields), st.lists(st.tuples(names, st.one_of(scalars, inner)), max_size=4)
    ),
    max_leaves=8,
)


@given(messages)
def test_what_was_written_is_read(message):
    assert parse(write(message)).fields == message.fields


def test_comments_and_lists_are_for_people():
    message, inner = Message(), Message()
    message.add("dims", [-1, 3], "Why so.")
    message.add("dims", [])
    inner.add("kind", Enum("KIND_CPU"))
    message.add("group", inner)
    message.add("group", Message())
    assert write(message) == "# Why so.\ndims: [ -1, 3 ]\ngroup {\n  kind: KIND_CPU\n}\ngroup {\n}\n"
