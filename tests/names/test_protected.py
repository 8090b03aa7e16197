"""The shipped protected names: readable, useful, and not so many that a list loses what it should block."""

from __future__ import annotations

import re

import pytest

from blockd.errors import Corrupt
from blockd.names import parse_domain, protected_names, store
from blockd.names.protected import FILE, parse


def test_reading():
    data = "# reason\n\nExample.com # why\r\n  bücher.example\nroot-servers.net."
    assert [str(name) for name in parse(data.encode())] == ["example.com", "xn--bcher-kva.example", "root-servers.net"]
    assert parse(b"") == ()


@pytest.mark.parametrize("line", [b"a..b", b"*.example.com", b".", b"192.0.2.1", b"a b", b"\xff"])
def test_a_bad_line_is_named_by_its_number_only(line):
    with pytest.raises(Corrupt, match=r"^line 2 ") as caught:
        parse(b"example.com\n" + line + b"\n")
    assert line.decode("latin-1") not in str(caught.value).split(" ") or line == b"."


def test_the_shipped_names():
    names = protected_names()
    assert 150 <= len(names) <= 400
    assert len(set(names)) == len(names), "a name stands twice"
    for known in ("root-servers.net", "in-addr.arpa", "resolver.arpa", "pool.ntp.org", "iwf.org.uk", "childhelplineinternational.org"):
        assert parse_domain(known) in names, known


def test_every_group_has_its_reason():
    groups = re.split(r"\n\n+", store.read(FILE).decode().strip())
    assert len(groups) > 10
    assert all(group.startswith("# ") for group in groups)
