"""The forms of Python are those of the C header."""

from __future__ import annotations

import subprocess

import pytest

from blockd.kernel import forms
from blockd.kernel.forms import Settings
from tests.house.sources import ROOT

PROGRAM = r"""
#include <stdio.h>
#include "xdp_policy.h"
int main(void)
{
    printf("%zu %zu %zu %zu %zu %zu %zu %zu %zu\n", sizeof(xdp_policy), sizeof(xdp_verdict), sizeof(xdp_combination), sizeof(xdp_service), sizeof(xdp_settings),
           offsetof(xdp_policy, udp_max), offsetof(xdp_verdict, action), offsetof(xdp_settings, ports), offsetof(xdp_settings, mac));
    printf("%d %d %d %d %d %d %d\n", XDP_ADDRESSES_MAX, XDP_HITS_MAX, XDP_PORTS_MAX, XDP_SERVICES_MAX, XDP_PREFIXES_MAX, XDP_COMBINATIONS_MAX, XDP_ASKED_MAX);
    return 0;
}
"""


def test_sizes_places_and_limits_are_those_of_the_header(tmp_path):
    source = tmp_path / "sizes.c"
    source.write_text(PROGRAM)
    subprocess.run(["cc", "-std=c11", f"-I{ROOT / 'blockd' / 'native'}", str(source), "-o", str(tmp_path / "sizes")], check=True)
    sizes, limits = subprocess.run([str(tmp_path / "sizes")], capture_output=True, text=True, check=True).stdout.splitlines()
    assert sizes == f"64 16 {forms.COMBINATION_BYTES} 24 40 52 14 24 32"
    ours = (
        forms.ADDRESSES_MAX,
        forms.HITS_MAX,
        forms.PORTS_MAX,
        forms.SERVICES_MAX,
        forms.PREFIXES_MAX,
        forms.COMBINATIONS_MAX,
        forms.ASKED_MAX,
    )
    assert limits == " ".join(map(str, ours))
    assert len(Settings(0, 0, 0, -1, 1, 0, (53,), bytes(6)).pack()) == 40


def test_a_combination_is_read_as_it_was_written():
    hits = ((3, False), (9, True))
    assert forms.read_combination(forms.pack_combination(7, hits)) == (7, hits)
    with pytest.raises(ValueError, match="more than"):
        forms.pack_combination(1, [(1, False)] * (forms.HITS_MAX + 1))


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="table"):
        forms.policy_layout(bytes(4096), bytes(16), 1, ttl_s=30, udp_max=1232, addresses4=[], addresses6=[])


def test_more_ports_than_there_is_room_for():
    with pytest.raises(ValueError, match="ports"):
        Settings(0, 0, 0, -1, 1, 0, (1, 2, 3, 4, 5), bytes(6)).pack()
