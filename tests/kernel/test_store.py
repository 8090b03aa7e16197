"""The XDP program against the C core, octet by octet (BPF_PROG_TEST_RUN): what it answers is what user space would have; the rest it leaves alone.

That it loads is the verifier's own test of every bound in it.
"""

from __future__ import annotations

import random
import struct
from array import array

import pytest

from blockd.counts import layout
from blockd.counts.tallies import limit_cell
from blockd.errors import Unavailable
from blockd.kernel.forms import Settings, pack_verdict, read_combination
from blockd.kernel.plan import Interface, Place, plan
from blockd.kernel.store import Loaded, Policy
from blockd.terms import Kind
from tests.kernel.frames import CLIENT4, CLIENT6, MAC, PEER, SERVER4, SERVER6, ethernet, ipv4, ipv6, query4, query6, read, udp
from tests.native.dns_tools import (
    ADDRESS4,
    ADDRESS6,
    CELL,
    DROP,
    KEY,
    NODATA,
    NONE,
    NXDOMAIN,
    REFUSED,
    SDE,
    STOP_PAGE,
    Rig,
    ask_for,
    raw_query,
    wire,
)
from tests.system.xdp_gateway import need_bpf

ABORTED, DROPPED, PASS, TX = range(4)
VERDICTS = [
    (NXDOMAIN, 16, CELL, ()),
    (STOP_PAGE, 15, CELL + 1, (CELL + 5,)),
    (NODATA, 17, CELL + 2, ()),
    (REFUSED, -1, CELL + 3, ()),
    (DROP, 15, CELL + 4, ()),
    (NONE, -1, -1, (CELL + 5,)),
    (NXDOMAIN, 15, CELL, (CELL + 5, CELL + 6, CELL + 7)),  # more shadow hits than the program can count
]
PLACES = (
    Place((0, 0), frozenset({SERVER4, SERVER6})),
    Place((100, 0), frozenset({"192.0.2.1"})),
    Place((200, 7), frozenset({"192.0.2.1"})),
)
ALLOWED = ("198.51.100.0/24", "2001:db8:1::/48")


class Both:
    """The core, and the program with the same table and verdicts."""

    def __init__(self, folder, *, rate=0, foreign=False, addresses6=(ADDRESS6,)):
        self.rig = Rig()
        self.rig.configure(addresses4=[ADDRESS4], addresses6=list(addresses6))
        entries = {f"a{number}.example": [(Kind.SUBTREE, number)] for number in range(len(VERDICTS))}
        entries |= {"deep.a0.example": [(Kind.SUBTREE, 2)], "only.exact.example": [(Kind.EXACT, 7)], "urls.example": [(Kind.URL_HOST, 9)]}
        self.rig.swap(folder, entries, VERDICTS, lambda rules, _full: rules[0] % len(VERDICTS) if rules[0] < len(VERDICTS) else 0)
        table = self.rig.table
        decided = [table.set_rules(number)[0] for number in range(table.sets)]
        index = array("I", [rule if rule < len(VERDICTS) else 0 for rule in decided for _ in range(2)]).tobytes()
        settings = Settings(layout.REQUESTS, layout.RESPONSES, layout.DURATIONS, limit_cell("xdp_rate"), layout.CELLS, rate, (53,), MAC)
        listeners = [("0.0.0.0", 53), ("::", 53)]
        wanted = plan([] if foreign else listeners, listeners if foreign else [], ALLOWED, Interface("eth0", 1, MAC, PLACES))
        self.loaded = Loaded(settings, wanted)
        self.loaded.watch(range(layout.CELLS))
        self.policy = Policy(memoryview(table), KEY, (VERDICTS, index), 1, ttl_s=30, udp_max=1232, addresses=([ADDRESS4], list(addresses6)))
        self.loaded.use(self.policy)

    def run(self, frame):
        return self.loaded.program.run(frame)

    def compare(self, message, family=4):
        """Both see the message; the program says the same, or leaves it. Returns whether it answered."""
        ran = self.run(query4(message) if family == 4 else query6(message))
        told = self.rig.raw(message, 0, family)
        if ran.verdict == TX:
            assert read(ran.packet).payload == told
        elif ran.verdict == DROPPED:
            assert told is None
        else:
            assert ran.verdict == PASS
            assert ran.packet == (query4(message) if family == 4 else query6(message))
        return ran.verdict != PASS


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    need_bpf()
    return Both(tmp_path_factory.mktemp("both"))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "more", [{}, {"use_edns": 0}, {"use_edns": 0, "want_dnssec": True, "payload": 512}, {"use_edns": 0, "options": [SDE]}]
)
@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS", "TXT", "ANY", "DS"])
def test_every_plain_verdict_is_answered_and_as_user_space_does(both, family, more, qtype):
    for number in range(5):
        assert both.compare(ask_for(f"wWw.A{number}.exAMple", qtype, **more).to_wire(), family)
    for name in ("a5.example", "a6.example", "good.example", "urls.example", "x.only.exact.example"):
        assert not both.compare(ask_for(name, qtype, **more).to_wire(), family)
    assert both.compare(ask_for("only.exact.example", qtype, **more).to_wire(), family)


def test_thousands_of_random_and_damaged_queries(both):
    """Names of all shapes, and each then damaged: no octet of an answer differs, nothing is answered that user space would not answer so."""
    dice = random.Random(8499)
    answered = 0
    for number in range(6000):
        labels = [bytes(dice.randrange(256) for _ in range(dice.choice((1, 3, 7, 8, 15, 63)))) for _ in range(dice.choice((0, 0, 1, 2, 5)))]
        tail = dice.choice(
            [f"a{dice.randrange(7)}.example", f"A{dice.randrange(7)}.EXAMPLE", "only.exact.example", "deep.a0.example", "good.example"]
        )
        name = b"".join(bytes((len(label),)) + label for label in labels) + wire(tail)
        flags = dice.choice((0x0100, 0x0110, 0x0000, 0x0130))
        message = (
            struct.pack(">6H", dice.randrange(65536), flags, 1, 0, 0, 0) + name + struct.pack(">HH", dice.choice((1, 28, 65, 16, 255)), 1)
        )
        if dice.random() < 0.5:
            options = b"".join(
                struct.pack(">HH", dice.choice((3, 10, 12, 26)), n) + bytes(n) for n in dice.choices((0, 8, 20), k=dice.randrange(4))
            )
            opt = struct.pack(">BHHIH", 0, 41, dice.choice((0, 512, 1232, 65535)), dice.choice((0, 0x8000, 0xFF000000)), len(options))
            message = message[:10] + b"\0\x01" + message[12:] + opt + options
        if number % 3 == 0:
            damaged = bytearray(message)
            for _ in range(dice.randrange(1, 4)):
                damaged[dice.randrange(2, len(damaged))] = dice.randrange(256)
            message = bytes(damaged[: dice.choice((len(damaged), len(damaged) - 1, dice.randrange(len(damaged))))])
        answered += both.compare(message, dice.choice((4, 6)))
    assert answered > 1500


def test_a_frame_without_room_behind_it_grows_at_its_front(both):
    """BPF_PROG_TEST_RUN gives a frame what is left of a page: a query that fills it leaves none."""
    padding = 3520 - len(query4(raw_query("a0.example")))
    for extra in range(padding - 400, padding, 7):
        ran = both.run(query4(raw_query("a0.example")) + bytes(extra))
        assert ran.verdict == TX
        assert read(ran.packet).payload == both.rig.raw(raw_query("a0.example"))


def test_the_longest_name_and_the_most_labels(both):
    for labels in (["x" * 63, "y" * 63, "z" * 63, "w" * 49], ["a"] * 121):
        name = ".".join([*labels, "a0.example"])
        assert len(wire(name)) <= 255
        assert both.compare(raw_query(name))


def test_what_it_counts_is_what_the_core_counts(tmp_path):
    need_bpf()
    both = Both(tmp_path)
    for number in range(5):
        for qtype in (1, 28, 65):
            assert both.compare(raw_query(f"a{number}.example", qtype), 4 if qtype == 1 else 6)
    for cell in range(layout.DURATIONS):
        both.loaded.watch([cell])
    ours = both.loaded.counted()
    theirs = {cell: both.rig.count(cell) for cell in range(layout.CELLS) if both.rig.count(cell)}
    durations = range(layout.DURATIONS, layout.LIMIT)
    assert {c: n for c, n in ours.items() if c not in durations} == {c: n for c, n in theirs.items() if c not in durations}
    assert sum(ours[c] for c in durations if c in ours) == 12  # answers, each in the first bucket
    assert not both.loaded.counted()


# What must not be answered


@pytest.mark.parametrize("flags", [0x8100, 0x8000, 0x8583])
def test_an_answer_is_never_answered_so_no_two_servers_can_loop(both, flags):
    message = bytearray(raw_query("a0.example"))
    message[2:4] = struct.pack(">H", flags)
    for port in (53, 40000):
        assert both.run(query4(bytes(message), port=port)).verdict == PASS


def test_source_port_0_is_not_answered(both):
    assert both.run(query4(raw_query("a0.example"), port=0)).verdict == PASS


@pytest.mark.parametrize("source", ["203.0.113.5", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1", SERVER4])
def test_spoofed_ipv4_sources_get_no_reflection(both, source):
    assert both.run(query4(raw_query("a0.example"), source=source)).verdict == PASS


@pytest.mark.parametrize("source", ["2001:db8:2::7", "::1", "::", "ff02::1", "fe80::1", "::ffff:198.51.100.7", SERVER6])
def test_spoofed_ipv6_sources_get_no_reflection(both, source):
    assert both.run(query6(raw_query("a0.example"), source=source)).verdict == PASS


def test_fragments_options_and_a_spent_hop_count_pass(both):
    body = udp(CLIENT4, SERVER4, 40000, 53, raw_query("a0.example"))
    for more in ({"fragment": 0x2000}, {"fragment": 1}, {"options": b"\x01" * 4}, {"hops": 0}, {"protocol": 6}):
        assert both.run(ethernet(ipv4(CLIENT4, SERVER4, body, **more))).verdict == PASS
    assert both.run(query4(raw_query("a0.example"), fragment=0x4000)).verdict == TX  # DF alone


@pytest.mark.parametrize("header", [0, 43, 44, 60, 51])
def test_ipv6_extension_headers_pass(both, header):
    body = udp(CLIENT6, SERVER6, 40000, 53, raw_query("a0.example"))
    assert both.run(ethernet(ipv6(CLIENT6, SERVER6, b"\x11\0\0\0\0\0\0\0" + body, protocol=header))).verdict == PASS


def test_an_ipv6_datagram_without_a_checksum_passes(both):
    body = udp(CLIENT6, SERVER6, 40000, 53, raw_query("a0.example"), summed=False)
    assert both.run(ethernet(ipv6(CLIENT6, SERVER6, body))).verdict == PASS


def test_a_damaged_ipv4_header_passes(both):
    frame = bytearray(query4(raw_query("a0.example")))
    frame[14 + 8] ^= 1  # the hop count, under the header's checksum
    assert both.run(bytes(frame)).verdict == PASS


def test_lengths_that_do_not_agree_pass(both):
    frame = query4(raw_query("a0.example"))
    for cut in range(14, len(frame)):
        assert both.run(frame[:cut]).verdict == PASS
    for at in (14 + 3, 14 + 20 + 5):
        for change in (1, 0x7F):
            damaged = bytearray(frame)
            damaged[at] ^= change
            assert both.run(bytes(damaged)).verdict == PASS
    assert both.run(frame + bytes(18)).verdict == TX  # what Ethernet adds to short frames


def test_other_addresses_ports_and_frames_pass(both):
    query = raw_query("a0.example")
    assert both.run(query4(query, to=54)).verdict == PASS
    assert both.run(ethernet(ipv4(CLIENT4, "192.0.2.9", udp(CLIENT4, "192.0.2.9", 40000, 53, query)))).verdict == PASS
    body = ipv4(CLIENT4, SERVER4, udp(CLIENT4, SERVER4, 40000, 53, query))
    for to in (b"\xff" * 6, bytes.fromhex("01005e000001"), PEER):
        assert both.run(ethernet(body, to=to)).verdict == PASS
    assert both.run(ethernet(body, kind=0x88CC)).verdict == PASS


def test_vlan_tags_that_we_know_are_answered_with_them_and_others_pass(both):
    query = raw_query("a0.example")
    for tags in ((100,), (200, 7)):
        ran = both.run(query4(query, *tags))
        assert ran.verdict == TX
        assert read(ran.packet).payload == both.rig.raw(query)
        assert ran.packet[12 : 12 + 4 * len(tags)] == query4(query, *tags)[12 : 12 + 4 * len(tags)]
    for tags in ((101,), (200,), (200, 8), (7, 200), (0,), (200, 7, 1), (100, 0)):
        assert both.run(query4(query, *tags)).verdict == PASS


@pytest.mark.parametrize(
    "change",
    [
        {"rdclass": "CH"},
        {"rdclass": "ANY"},
        {"qtype": "AXFR"},
        {"qtype": "TSIG"},
    ],
)
def test_classes_and_types_that_are_no_plain_question_pass(both, change):
    assert not both.compare(ask_for("a0.example", change.get("qtype", "A"), rdclass=change.get("rdclass", "IN")).to_wire())


# Limits, policies, combinations


def test_above_the_rate_it_passes_and_is_counted(tmp_path):
    need_bpf()
    both = Both(tmp_path, rate=10)
    verdicts = [both.run(query4(raw_query("a0.example"), source=f"198.51.100.{number % 200}")).verdict for number in range(30)]
    assert verdicts[:10] == [TX] * 10
    assert verdicts.count(PASS) >= 15
    assert both.run(query6(raw_query("a0.example"))).verdict == TX
    assert both.loaded.counted()[limit_cell("xdp_rate")] == verdicts.count(PASS)


def test_several_entries_pass_until_their_combination_is_taught(tmp_path):
    need_bpf()
    both = Both(tmp_path)
    query = raw_query("x.deep.a0.example")
    assert both.run(query4(query)).verdict == PASS
    (key,) = both.loaded.asked()
    epoch, hits = read_combination(key)
    assert (epoch, [full for _, full in hits]) == (1, [False, False])
    assert [both.rig.table.set_rules(number)[0] for number, _ in hits] == [0, 2]
    both.loaded.teach(key, VERDICTS[2])
    both.rig.core.add_verdict(VERDICTS[2], hits)
    assert both.compare(query)
    both.loaded.forget([key])
    assert both.run(query4(query)).verdict == PASS


def test_without_a_policy_everything_passes(tmp_path):
    need_bpf()
    both = Both(tmp_path)
    both.loaded.use_none()
    assert both.run(query4(raw_query("a0.example"))).verdict == PASS


def test_more_stop_page_addresses_than_it_writes_are_left_to_user_space(tmp_path):
    need_bpf()
    both = Both(tmp_path, addresses6=[ADDRESS6] * 5)
    assert not both.compare(raw_query("a1.example", 28))
    assert both.compare(raw_query("a1.example", 1))


def test_in_front_of_another_resolver_shadow_hits_are_counted_and_passed(tmp_path):
    need_bpf()
    both = Both(tmp_path, foreign=True)
    assert both.run(query4(raw_query("a5.example"))).verdict == PASS
    assert both.loaded.counted() == {CELL + 5: 1}


def test_a_file_that_is_missing_or_damaged_is_a_line_to_act_on(tmp_path):
    with pytest.raises(Unavailable, match="install clang"):
        Loaded(Settings(0, 0, 0, -1, 1, 0, (), MAC), plan([], [], [], Interface("x", 1, MAC, ())), tmp_path / "none.o")
    (tmp_path / "bad.o").write_bytes(b"not an object")
    with pytest.raises(Unavailable, match="missing or damaged"):
        Loaded(Settings(0, 0, 0, -1, 1, 0, (), MAC), plan([], [], [], Interface("x", 1, MAC, ())), tmp_path / "bad.o")


def test_a_verdict_that_counts_too_much_says_so():
    assert pack_verdict(VERDICTS[6])[-1] == 1
    assert pack_verdict(VERDICTS[1])[-1] == 0
