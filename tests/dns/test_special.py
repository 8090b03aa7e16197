"""Names that never leave this node."""

from __future__ import annotations

import pytest

from blockd.dns.special import AAAA, A, Answer, special
from blockd.names import parse_domain


def wire(text):
    return parse_domain(text).wire


@pytest.mark.parametrize("name", ["localhost", "printer.localhost", "a.b.localhost"])
def test_localhost_is_loopback(name):
    assert special(wire(name), A).addresses == ("127.0.0.1",)
    assert special(wire(name), AAAA).addresses == ("::1",)
    assert special(wire(name), 16).answer is Answer.NODATA


@pytest.mark.parametrize("name", ["invalid", "x.invalid", "facebookcorewwwi.onion", "name.alt"])
def test_names_that_do_not_exist(name):
    found = special(wire(name), A)
    assert found.answer is Answer.NXDOMAIN
    assert found.zone == wire(name.rpartition(".")[2])


@pytest.mark.parametrize("name", ["resolver.arpa", "_dns.resolver.arpa"])
def test_the_upstreams_encrypted_doors_are_not_advertised(name):
    assert special(wire(name), 64).answer is Answer.NODATA


@pytest.mark.parametrize(
    "name", ["example", "localhost.example", "notinvalid", "onion.example", "arpa", "1.0.0.10.in-addr.arpa", "xresolver.arpa"]
)
def test_all_others_are_forwarded(name):
    assert special(wire(name), A) is None


def test_the_root_is_forwarded():
    assert special(b"\0", 2) is None


def test_labels_count_not_text():
    assert special(b"\x0dresolver.arpa\0", 64) is None
    assert special(b"\x09x.invalid\0", A) is None
