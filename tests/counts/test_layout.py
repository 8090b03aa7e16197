from __future__ import annotations

from blockd.counts import layout
from blockd.counts.tallies import FIXED
from blockd.terms import Source, Transport


def test_the_regions_follow_each_other_without_overlap():
    sizes = [
        (layout.REQUESTS, len(Transport) * len(layout.FAMILIES) * len(layout.TYPES)),
        (layout.RESPONSES, len(layout.RCODES) * len(Source)),
        (layout.DURATIONS, len(Source) * (len(layout.DURATION_BOUNDS_S) + 2)),
        (layout.LIMIT, len(layout.LIMITS)),
        (layout.PAGES, len(layout.STATUSES) * len(layout.LANGUAGES)),
    ]
    end = 0
    for start, size in sizes:
        assert start == end
        end = start + size
    assert end == layout.FIXED <= layout.POLICY < layout.CELLS
    assert layout.POLICY % 64 == 0


def test_every_fixed_cell_has_one_source():
    assert len(FIXED) == layout.FIXED == len(set(FIXED))


def test_codes_and_names_pair_up():
    assert len(layout.TYPES) == len(layout.TYPE_CODES) + 1  # `other` has none
    assert len(layout.RCODES) == len(layout.RCODE_CODES) + 1
    assert list(layout.DURATION_BOUNDS_S) == sorted(set(layout.DURATION_BOUNDS_S))


def test_a_source_is_where_the_native_core_counts_it():
    # The formulas of layout.py, as the C core uses them.
    cell = layout.REQUESTS + (Transport.TCP * 2 + 1) * len(layout.TYPES) + layout.TYPES.index("AAAA")
    assert FIXED[cell] == ("requests", "tcp", "ipv6", "AAAA")
    cell = layout.RESPONSES + layout.RCODES.index("NXDOMAIN") * len(Source) + Source.POLICY
    assert FIXED[cell] == ("responses", "NXDOMAIN", "policy")
    cell = layout.DURATIONS + Source.UPSTREAM * (len(layout.DURATION_BOUNDS_S) + 2)
    assert FIXED[cell] == ("duration", "upstream", "0")
    assert FIXED[cell + len(layout.DURATION_BOUNDS_S)] == ("duration", "upstream", str(len(layout.DURATION_BOUNDS_S)))
    assert FIXED[cell + len(layout.DURATION_BOUNDS_S) + 1] == ("duration_ns", "upstream")
