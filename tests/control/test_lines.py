from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.control import lines
from blockd.errors import Refused

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(st.dictionaries(st.text(), VALUES))
def test_an_object_survives_as_one_line(message):
    line = lines.encode(message)
    assert line.count(b"\n") == 1
    assert lines.decode(line) == message


@pytest.mark.parametrize("line", [b"", b"[]\n", b"7\n", b"{\n", b"\xff\n"])
def test_anything_else_is_refused(line):
    with pytest.raises(Refused):
        lines.decode(line)


async def test_a_closed_side_and_a_torn_line_end_the_conversation():
    reader = asyncio.StreamReader()
    reader.feed_data(b'{"a":1}\n{"b":')
    reader.feed_eof()
    assert await lines.receive(reader) == {"a": 1}
    assert await lines.receive(reader) is None


async def test_an_endless_line_is_refused():
    reader = asyncio.StreamReader(limit=64)
    reader.feed_data(b"x" * 200)
    with pytest.raises(Refused, match="line over"):
        await lines.receive(reader)
