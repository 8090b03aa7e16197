"""Which roles a configuration has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blockd.config.schema import Config, Dns, Endpoint
from blockd.control.roles import CAP_BPF, capabilities, roles_of
from blockd.errors import Misconfigured


def config(**dns):
    return replace(Config(Path("blockd.toml")), dns=Dns(**dns))


def test_xdp_is_a_role_where_it_is_asked_for():
    assert roles_of(config(), "all") == ("control", "resolver", "web")
    assert roles_of(config(xdp="auto"), "all") == ("control", "resolver", "web", "xdp")
    assert roles_of(config(xdp="auto"), "xdp") == ("xdp",)
    with pytest.raises(Misconfigured, match=r"dns\.xdp is"):
        roles_of(config(), "xdp")


def test_a_sidecar_has_no_resolver_of_ours():
    assert roles_of(config(xdp="auto", listen=(), xdp_listen=(Endpoint("192.0.2.1", 53),)), "all") == ("control", "web", "xdp")


def test_only_xdp_keeps_privileges():
    assert capabilities(("control", "resolver", "web")) == frozenset()
    assert CAP_BPF in capabilities(("control", "xdp"))
