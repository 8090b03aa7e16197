"""What the kernel says of an interface, in a namespace of the test's own."""

from __future__ import annotations

import subprocess

import pytest

from blockd.errors import Unavailable
from blockd.kernel.client import interface
from tests.system.netns import SERVER4, SERVER6, Cable, inside
from tests.system.xdp_gateway import need_bpf


def test_the_interfaces_own_addresses_are_found():
    need_bpf()
    with Cable() as cable, inside(cable.server):
        found = interface("eth0")
    assert (found.name, len(found.mac), len(found.places)) == ("eth0", 6, 1)
    assert found.places[0].addresses >= {SERVER4, SERVER6}


def test_addresses_and_vlans_are_found_with_their_tags():
    need_bpf()
    with Cable() as cable:
        for words in (
            ("link", "add", "link", "eth0", "name", "eth0.100", "type", "vlan", "id", "100"),
            ("link", "add", "link", "eth0.100", "name", "inner", "type", "vlan", "id", "7"),
            ("addr", "add", "198.51.100.1/24", "dev", "eth0.100"),
            ("addr", "add", "203.0.113.1/24", "dev", "inner"),
        ):
            done = subprocess.run(["ip", "-n", cable.server, *words], capture_output=True, text=True, check=False)
            if "Unknown device type" in done.stderr:
                pytest.skip("this kernel has no VLANs (8021q)")
            assert done.returncode == 0, done.stderr
        with inside(cable.server):
            found = interface("eth0")
        assert found.name == "eth0"
        assert len(found.mac) == 6
        places = {place.vlans: place.addresses for place in found.places}
        assert places[0, 0] >= {SERVER4, SERVER6}
        assert places[100, 0] == {"198.51.100.1"}
        assert places[100, 7] == {"203.0.113.1"}


def test_an_interface_that_is_not_there_is_a_line_that_names_those_that_are():
    with pytest.raises(Unavailable, match=r"there is no interface nowhere0; there are: .*lo"):
        interface("nowhere0")
