"""Ask, Reply and Core as Python objects: what they refuse, what they show, and that nothing leaks."""

from __future__ import annotations

import gc
import sys

import pytest

from blockd.counts import layout
from blockd.counts.slab import Slab
from blockd.native import _dns
from blockd.native._dns import Acl, Ask, Core, Pending, Reply
from blockd.terms import Kind
from tests.native.dns_tools import CELL, NONE, NXDOMAIN, Rig, ask_for, raw_answer, raw_query, upstream_answer


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_python_sees_of_an_ask(rig):
    ask = rig.ask(ask_for("wWw.example.com", "MX"))
    assert [name for name in dir(ask) if not name.startswith("__")] == [
        "epoch",
        "hits",
        "key",
        "qclass",
        "qtype",
        "transport",
        "tried",
        "upstream",
        "why",
        "wire",
    ]
    for name in ("why", "wire", "key", "hits", "qtype", "qclass", "transport", "epoch", "tried", "more"):
        with pytest.raises(AttributeError):
            setattr(ask, name, 1)
    assert "example" not in repr(ask)
    for wrong in (-1, 65536, 1 << 70):
        with pytest.raises((ValueError, OverflowError)):
            ask.upstream(wrong)


def test_what_python_sees_of_a_reply(rig):
    ask = rig.ask(ask_for("www.example.com"))
    reply = rig.reply(ask, upstream_answer(ask))
    assert [name for name in dir(reply) if not name.startswith("__")] == ["failed", "hits", "rcode", "truncated", "ttl_s"]
    with pytest.raises(AttributeError):
        reply.ttl_s = 1000
    assert "example" not in repr(reply)


@pytest.mark.parametrize("kind", [Ask, Reply])
def test_only_the_core_makes_them(kind):
    with pytest.raises(TypeError):
        kind()
    with pytest.raises(TypeError):
        kind.__new__(kind)


def test_no_type_can_be_changed_or_taken_further():
    for name in ("Client", "Ask", "Reply", "Core", "Acl", "UdpWorker", "Pending"):
        kind = getattr(_dns, name)
        with pytest.raises(TypeError):
            kind.extra = 1
        with pytest.raises(TypeError):
            type("Further", (kind,), {})


def test_arguments_are_checked(rig):
    ask = rig.ask(ask_for("www.example.com"))
    reply = rig.reply(ask, upstream_answer(ask))
    core = rig.core
    for call in (
        lambda: core.handle("text", 0, 4, 0), lambda: core.handle(b"", "0", 4, 0), lambda: core.handle(b"", 0, 4, "x"), lambda: core.handle(b"", 0, 4),
        lambda: core.blocked(None, 0, 0), lambda: core.known(reply, 0), lambda: core.failure(reply, 2, -1, 0), lambda: core.walk_reply(reply, b"", 0),
        lambda: core.walk_reply(ask, "x", 0), lambda: core.finish(reply, ask, 0), lambda: core.finish(ask, ask, 0), lambda: core.finish(ask, "mismatch", 0),
        lambda: core.remember_failure(None, 0), lambda: core.note("x"), lambda: core.add_verdict(None), lambda: core.add_verdict((2, 15, -1, ()), 5),
        lambda: core.add_verdict((2, 15, -1, ()), [5]), lambda: core.configure(addresses4=[]), lambda: Core(cache_bytes=1),
        lambda: Core(cache_bytes=1, slab=b"", layout=None), lambda: core.add_verdict((2, 15, -1, ()), [("x", True)]),
    ):  # fmt: skip
        with pytest.raises((TypeError, BufferError)):
            call()
    for call in (
        lambda: core.failure(ask, -1, -1, 0), lambda: core.failure(ask, 4096, -1, 0), lambda: core.failure(ask, 2, -2, 0), lambda: core.failure(ask, 2, 1 << 15, 0),
        lambda: core.note(0), lambda: core.note(1 << 40), lambda: core.blocked(ask, 99, 0), lambda: core.add_verdict((2, 15, -1, ()), [(1, True)] * 17),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            call()
    for call in (
        lambda: core.handle(b"", 0, 4, -1),
        lambda: core.note(-1),
        lambda: core.finish(ask, reply, -5),
        lambda: core.failure(ask, 1 << 40, -1, 0),
    ):
        with pytest.raises(OverflowError):
            call()


def test_any_buffer_is_a_packet(rig):
    packet = raw_query("www.example.com")
    for some in (packet, bytearray(packet), memoryview(packet), memoryview(b"xx" + packet)[2:]):
        assert isinstance(rig.raw(some), Ask)
    with pytest.raises(BufferError):
        rig.raw(memoryview(packet * 2)[::2])


def test_the_slab_is_held_and_given_back():
    slab = Slab.in_memory()
    core = Core(cache_bytes=1 << 16, slab=slab.buffer, layout=layout.NATIVE)
    with pytest.raises(BufferError):
        slab.buffer.release()
    del core
    slab.buffer.release()


def test_a_core_in_a_cycle_with_its_memory_is_collected():
    """The collector must not empty a memoryview that a core still holds."""
    for _ in range(50):
        slab = Slab.in_memory()
        cycle = [Core(cache_bytes=1 << 16, slab=slab.buffer, layout=layout.NATIVE), slab]
        cycle.append(cycle)
        del slab, cycle
    assert gc.collect() >= 50


def test_an_ask_outlives_its_core():
    rig = Rig()
    ask = rig.ask(ask_for("www.example.com"))
    del rig
    gc.collect()
    assert ask.upstream(1)
    assert ask.wire.startswith(b"\3www")


def rss_kib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - the kernel's own
        return int(file.read().split()[1]) * 4


def everything(rig: Rig, folder) -> None:
    """Every call and every way to fail, once."""
    query = raw_query("www.example.com")
    ask = rig.raw(query)
    answer = raw_answer(query, 60, bytes(4))
    reply = rig.core.walk_reply(ask, answer, 7)
    rig.core.finish(ask, reply, 1)
    rig.raw(query)
    rig.core.flush()
    hits = rig.raw(raw_query("a.b.deep.example"))
    (hits.why, hits.wire, hits.key, hits.hits, ask.upstream(3))
    rig.core.blocked(hits, 0, 0)
    rig.core.note(0)
    rig.core.failure(ask, 2, 22, 0)
    rig.core.known(ask, 0)
    rig.core.remember_failure(ask, 0)
    rig.core.prohibit(query, 0, 4, 0)
    rig.core.stats()
    rig.core.walk_reply(ask, answer[:-1], 7)
    rig.core.walk_reply(ask, b"", 7)
    rig.core.walk_reply(ask, raw_answer(query, 60, b"\0")[:12] + query[12:], 7)
    rig.configure()
    pending = Pending(4)
    pending.open(ask, 1)
    pending.expire(2)
    Acl([(bytes(4), 0)]).allows(bytes(4))
    for wrong in (
        lambda: rig.core.swap(b"", b"", [(9, 9, 9, ())], b""), lambda: rig.core.swap(None, b"", [(2, 15, CELL, [CELL, CELL, "x"])], b""),
        lambda: rig.core.add_verdict((2, 15, -1, ()), [(1, True), None]), lambda: Acl([(b"", 0)]), lambda: Acl([(bytes(4), 1), 3]), lambda: Pending(-1),
        lambda: Core(cache_bytes=1 << 20, slab=rig.slab.buffer, layout=(0,) * 9), lambda: rig.core.finish(ask, hits, 0), lambda: rig.core.handle(b"", 9, 9, 0),
        lambda: rig.core.configure(addresses4=[b"abcd", b"x"], addresses6=[], ttl_s=1, udp_max=512, not_ready=False),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError, BufferError)):
            wrong()


def layers(rig: Rig, folder) -> None:
    entries = {"deep.example": [(Kind.SUBTREE, 0)], "b.deep.example": [(Kind.SUBTREE, 1)], "cdn.example": [(Kind.SUBTREE, 0)]}
    rig.swap(folder, entries, [(NXDOMAIN, 15, CELL, (CELL + 1,)), (NONE, -1, -1, (CELL,))], lambda rules, _full: rules[0])


def test_no_reference_leaks(rig, tmp_path):
    """Objects of the core's types are not tracked; what they hold (bytes, tuples, lists) would show in the interpreter's block count."""
    layers(rig, tmp_path)
    for _ in range(200):
        everything(rig, tmp_path)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(500):
        everything(rig, tmp_path)
    gc.collect()
    assert sys.getallocatedblocks() - before < 250


def test_references_to_shared_objects_come_back(rig, tmp_path):
    layers(rig, tmp_path)
    slab, table = rig.slab.buffer, rig.table
    watched = (slab, table, None, True, False, Ask, Reply, Core, Acl, Pending)
    before = [sys.getrefcount(some) for some in watched]
    for _ in range(500):
        everything(rig, tmp_path)
    after = [sys.getrefcount(some) for some in watched]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 100


def test_swaps_and_cores_give_their_memory_back(tmp_path):
    def work() -> None:
        rig = Rig(cache_bytes=1 << 20)
        layers(rig, tmp_path)
        for _ in range(20):
            rig.core.swap(
                rig.table,
                bytes(range(16)),
                [(NXDOMAIN, 15, CELL, tuple(range(CELL, CELL + 100)))] * 100,
                bytes(8 * rig.table.sets),
                bytes(rig.table.sets),
            )
        for number in range(100):
            query = raw_query(f"n{number}.example.com", 16)
            ask = rig.raw(query)
            rig.core.finish(ask, rig.core.walk_reply(ask, raw_answer(query, 60, b"\x64" + bytes(100)), 7), 0)

    for _ in range(30):
        work()
    gc.collect()
    before = rss_kib()
    for _ in range(120):
        work()
    gc.collect()
    assert rss_kib() - before < 4096
