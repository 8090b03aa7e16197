r"""Where each value of a TOML text stands: tomllib tells what, this tells the line.

:func:`index` walks text that tomllib has already accepted, so it has no errors to find: it only follows the grammar (TOML 1.0) closely
enough to know where a key, an element or a table begins. The result has the shape of the parsed document: a path of keys and indices
for each value in it.

    >>> index('a = 1\n[b]\nc = [\n  2,\n]\n')
    {('a',): 1, ('b',): 2, ('b', 'c'): 3, ('b', 'c', 0): 4}
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Path = tuple["str | int", ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
# Up to two quotes may stand before the three that end a multi-line string (TOML 1.0, String).
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


def index(text: str) -> dict[Path, int]:
    """Give the line, counted from 1, on which each value of a valid TOML text begins. A table begins where it is first named."""
    return _Walk(text.replace("\r\n", "\n")).document()


class _Walk:
    """One pass over the text. `at` is the offset of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}  # array of tables -> index of its last table
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def document(self) -> dict[Path, int]:
        table: Path = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)
        return self.lines

    def skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:  # not what the grammar has here: step on, so that the walk always ends
            self.at += 1
            return ""
        self.at = found.end()
        return found[0]

    def mark(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self.starts, at))

    def header(self) -> Path:
        start = self.at
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        names = self.key()
        self.at += 2 if many else 1
        path: Path = ()
        for depth, name in enumerate(names, 1):
            path = (*path, name)
            self.mark(path, start)
            if many and depth == len(names):
                self.arrays[path] = self.arrays.get(path, -1) + 1
            if path in self.arrays:
                path = (*path, self.arrays[path])
                self.mark(path, start)
        return path

    def key(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self.skip(_SPACE)
            quote = self.text[self.at : self.at + 1]
            if quote in {'"', "'"}:
                names.append(tomllib.loads("k=" + self.skip(_BASIC if quote == '"' else _LITERAL))["k"])
            else:
                names.append(self.skip(_BARE_KEY))
            self.skip(_SPACE)
            if self.text[self.at : self.at + 1] != ".":
                return tuple(names)
            self.at += 1

    def pair(self, table: Path) -> None:
        start = self.at
        path = table
        for name in self.key():
            path = (*path, name)
            self.mark(path, start)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value(path)

    def value(self, path: Path) -> None:
        self.mark(path, self.at)
        rest = self.text[self.at : self.at + 3]
        if rest == '"""':
            self.skip(_LONG_BASIC)
        elif rest == "'''":
            self.skip(_LONG_LITERAL)
        elif rest[:1] == '"':
            self.skip(_BASIC)
        elif rest[:1] == "'":
            self.skip(_LITERAL)
        elif rest[:1] in {"[", "{"}:
            self.several(path, "]" if rest[0] == "[" else "}")
        else:
            self.skip(_BARE_VALUE)

    def several(self, path: Path, end: str) -> None:
        """Walk an array or an inline table."""
        self.at += 1
        item = 0
        self.skip(_BLANK)
        while self.at < len(self.text) and self.text[self.at] != end:
            if end == "]":
                self.value((*path, item))
                item += 1
            else:
                self.pair(path)
            self.skip(_BLANK)
            if self.text[self.at : self.at + 1] == ",":
                self.at += 1
                self.skip(_BLANK)
        self.at += 1
