"""The line index finds what tomllib finds: same shape, right lines."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockd.config.lines import index


def paths(value, path=()):
    """Every path of a parsed document."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from paths(inner, (*path, at))


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2\n", ("b",), 2),
        ("# c\n\n[t] # d\nx = 1", ("t", "x"), 4),
        ("[[l]]\nx = 1\n[[l]]\nx = 2", ("l", 1, "x"), 4),
        ("[[l]]\n[l.t]\ny = 1\n[[l]]\n[l.t]\ny = 2", ("l", 1, "t", "y"), 6),
        ("[[l]]\n[[l.m]]\n[[l.m]]\ny = 2", ("l", 0, "m", 1, "y"), 4),
        ("a = [\n  1, # one\n\n  2,\n]\n", ("a", 1), 4),
        ("a = { b = 1, c = [\n2] }", ("a", "c", 0), 2),
        ("a.b.c = 1\na.b.d = 2", ("a", "b", "d"), 2),
        ('"a.b" . \'c\' = 1\n\n"\\u0061.b".d = 3', ("a.b", "d"), 3),
        ('s = """\nx = 1\n[t]\n"""\ny = 2', ("y",), 5),
        ("s = '''\n]]'\n''''\ny = 2", ("y",), 4),
        ('s = """a\\"""b\n""""\ny = 2', ("y",), 3),
        ('s = "]#"\ny = 2', ("y",), 2),
        ("d = 1979-05-27 07:32:00Z # t\ny = [1979-05-27 07:32:00,\n 2]", ("y", 1), 3),
        ("a = 1\r\nb = 2\r\n", ("b",), 2),
    ],
)
def test_the_line_of_a_value(text, path, line):
    assert index(text)[path] == line


KEYS = st.sampled_from(["a", "b", "1", "a-b", '"q.r"', "'l#'", '"\\u00e9\\""'])
SCALARS = st.sampled_from(
    [
        "1",
        "-0.5e3",
        "true",
        "inf",
        "1979-05-27",
        "1979-05-27 07:32:00",
        "07:32:00",
        '"x]"',
        "'#'",
        '""',
        '"""\n"x" ""\\"\n"""',
        '"""a"""""',
        "'''\n''x\n'''",
        "''''''",
    ]
)


def _array(items, breaks):
    return "[" + ",".join(f"{brk}{item}" for item, brk in zip(items, breaks, strict=True)) + ("\n" if items else "") + "]"


@st.composite
def values(draw, depth=2):
    if depth == 0 or draw(st.booleans()):
        return draw(SCALARS)
    inner = values(depth=depth - 1)
    if draw(st.booleans()):
        items = draw(st.lists(inner, max_size=3))
        return _array(items, draw(st.lists(st.sampled_from([" ", "\n", " # c ]\n"]), min_size=len(items), max_size=len(items))))
    pairs = draw(st.dictionaries(KEYS, inner, max_size=3))
    return "{" + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + "}"


@st.composite
def documents(draw):
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["pair", "pair", "table", "array", "comment"]))
        key = ".".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
        if kind == "pair":
            lines.append(f"{key} = {draw(values())}{draw(st.sampled_from(['', ' # c']))}")
        elif kind == "comment":
            lines.append("  # [x]")
        else:
            lines.append(f"[{key}]" if kind == "table" else f"[[ {key} ]]")
    return "\n".join(lines)


@settings(max_examples=400)
@given(documents())
def test_the_index_has_the_shape_of_the_document(text):
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = index(text)
    assert set(found) == set(paths(document))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


@settings(max_examples=200)
@given(st.lists(st.tuples(values(depth=1), st.integers(0, 3)), min_size=1, max_size=6))
def test_the_lines_are_those_of_the_keys(pairs):
    lines: list[str] = []
    expected = {}
    for number, (value, blanks) in enumerate(pairs):
        lines += ["# k = 1"] * blanks
        expected[f"k{number}",] = len(lines) + 1
        lines += f"k{number} = {value}".split("\n")
    found = index("\n".join(lines))
    assert {path: found[path] for path in expected} == expected


@settings(max_examples=300)
@given(st.text(alphabet="ab=[]{}\"'.,#\\\n 1-:", max_size=40))
def test_whatever_tomllib_takes_has_an_index(text):
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(index(text)) == set(paths(document))
