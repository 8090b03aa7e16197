"""What changes while the resolver answers: generations, modes, switches, upstreams, sockets, and the end; nothing is lost meanwhile."""

from __future__ import annotations

import socket
import struct
import threading
from itertools import count

import dns.message
import dns.query
import dns.rcode
import pytest

from blockd.config.schema import Endpoint, ListPolicy, StopPage
from blockd.config.schema import Upstream as Configured
from blockd.errors import Misconfigured, Refused
from blockd.terms import Action, Basis, Kind, ListName, Mode, Notify
from tests.dns.running import Running, addresses, bind, configured, ede, generation, listed, until
from tests.dns.upstream import ADDRESS, Gate, Upstream

NXDOMAIN, REFUSED, SERVFAIL = dns.rcode.NXDOMAIN, dns.rcode.REFUSED, dns.rcode.SERVFAIL


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    return generation(tmp_path_factory.mktemp("changes"), 1, listed("f/nxdomain", ["nxdomain.example"]))


@pytest.fixture(scope="module")
def up():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def r(up, live):
    with Running(configured(up.port, lists=["f/nxdomain"]), live) as running:
        yield running


def test_a_new_generation_is_enforced_when_apply_returns_and_not_the_cache(up, tmp_path):
    with Running(configured(up.port, lists=["f/own"]), None) as r:
        assert ede(r.ask("a.b.example")) == [14]
        assert not r.health().ready
        r.apply(generation(tmp_path, 1, listed("f/own", ["other.example"])))
        assert r.health().ready
        assert addresses(r.ask("a.b.example")) == [ADDRESS]
        r.apply(generation(tmp_path, 2, listed("f/own", ["b.example"], basis=Basis.MANDATED)))
        assert ede(r.ask("a.b.example")) == [16]
        r.apply(generation(tmp_path, 3, listed("f/own", ["other.example"])))
        assert addresses(r.ask("a.b.example")) == [ADDRESS]


def test_a_question_under_way_during_a_swap_is_answered_from_the_new_table(tmp_path):
    gate, answers = Gate(), []

    def script(query):
        yield gate
        yield query.address()

    with (
        Upstream(script) as up,
        Running(configured(up.port, lists=["f/own"]), generation(tmp_path, 1, listed("f/own", ["x.example"]))) as r,
    ):
        asking = threading.Thread(target=lambda: answers.append(r.ask("slow.good.example")))
        asking.start()
        gate.wait_reached()
        r.apply(generation(tmp_path, 2, listed("f/own", ["good.example"])))
        gate.open()
        asking.join()
        assert ede(answers[0]) == [15]


def test_a_question_that_was_polled_before_a_swap_is_decided_by_the_new_table(up, tmp_path):
    lives = [generation(tmp_path, 1, listed("f/own", ["x.example"])), generation(tmp_path, 2, listed("f/own", ["good.example"]))]
    with Running(configured(up.port, lists=["f/own"]), lives[0]) as r:
        answers, core = [], r.resolver._driver.core
        query = dns.message.make_query("late.good.example", "A", use_edns=0).to_wire()
        ask = r.call(core.handle, query, 1, 4, 0)
        epoch = r.resolver._driver.epoch
        r.apply(lives[1])
        r.call(r.resolver._driver.submit, ask, answers.append, epoch)
        assert ede(dns.message.from_wire(answers[0])) == [15]


def test_a_kept_failure_from_before_a_swap_is_a_plain_failure(tmp_path):
    gate = Gate()

    def failing(query):
        yield query.reply(f"{query.name} 60 CNAME x.example.", rcode="SERVFAIL")

    def waiting(query):
        yield gate
        yield query.reply(rcode="REFUSED")

    first = generation(tmp_path, 1, listed("f/own", ["x.example"]), listed("f/more", ["y.example", ("x.example", Kind.EXACT)]))
    second = generation(tmp_path, 2, listed("f/own", ["z.example"]))
    with Upstream(failing) as one, Upstream(waiting) as two, Running(configured(one.port, two.port, lists=["f/own", "f/more"]), first) as r:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(r.ask("a.good.example")))
        asking.start()
        gate.wait_reached()
        r.apply(second)
        gate.open()
        asking.join()
        assert answers[0].rcode() == SERVFAIL


def test_an_excepted_name_is_answered_from_the_cache(up, tmp_path):
    live = generation(tmp_path, 1, listed("f/own", ["b.example", ("ok.b.example", Kind.ALLOW_SUBTREE)]))
    with Running(configured(up.port, lists=["f/own"]), live) as r:
        for _ in range(3):
            assert addresses(r.ask("a.ok.b.example")) == [ADDRESS]
        assert up.asked("a.ok.b.example.") == 1


def test_the_old_table_is_let_go_after_a_swap(up, tmp_path):
    first, second = (generation(tmp_path, n, listed("f/own", [f"n{n}.example"])) for n in (1, 2))
    with Running(configured(up.port, lists=["f/own"]), first) as r:
        r.apply(second)
        first.table.close()  # BufferError while somebody holds it
        assert ede(r.ask("n2.example")) == [15]


def test_modes_and_actions_follow_a_reload(up, tmp_path):
    live = generation(tmp_path, 1, listed("f/own", ["casino.example"]))
    with Running(configured(up.port, lists=[ListPolicy(ListName("f/own"))]), live) as r:
        assert addresses(r.ask("casino.example")) == [ADDRESS]
        assert r.hits("f/own", shadow=True) == 1
        r.reload(lists=(ListPolicy(ListName("f/own"), Mode.ENFORCE, Action.REFUSED),))
        assert r.ask("casino.example").rcode() == REFUSED
        r.reload(lists=(ListPolicy(ListName("f/own"), Mode.ENFORCE, notify=Notify.NONE),))
        response = r.ask("casino.example")
        assert (response.rcode(), ede(response)) == (NXDOMAIN, [])
        r.reload(lists=(ListPolicy(ListName("f/own"), Mode.OFF),))
        assert addresses(r.ask("casino.example")) == [ADDRESS]
        assert r.hits("f/own", shadow=True) == 1


def test_a_kill_switch_holds_until_its_instant(up, tmp_path, monkeypatch):
    from blockd.dns import server

    clock = [1000.0]
    monkeypatch.setattr(server.time, "time", lambda: clock[0])
    live = generation(tmp_path, 1, listed("f/own", ["casino.example"]))
    with Running(configured(up.port, lists=["f/own"]), live) as r:
        assert r.do(r.resolver.request("switches", {"killed": {"f/own": 1060.0}})) == {"killed": 1}
        assert addresses(r.ask("casino.example")) == [ADDRESS]
        clock[0] = 1060.0
        until(lambda: ede(r.ask("casino.example")) == [15])


def test_unknown_verbs_and_shapes_are_refused(r):
    for verb, arguments in (("dance", {}), ("switches", {"killed": []}), ("switches", {}), ("switches", {"killed": {"f/a": "soon"}})):
        with pytest.raises(Refused):
            r.do(r.resolver.request(verb, arguments))


def test_flush_forgets_answers(up, live):
    with Running(configured(up.port), live) as r:
        r.ask("flushed.example")
        r.do(r.resolver.request("flush", {}))
        r.ask("flushed.example")
        assert up.asked("flushed.example.") == 2


# Sockets, upstreams, access


def test_before_lists_answer(up):
    with Running(configured(up.port, lists=["f/own"], before_lists="answer")) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert r.health().ready


def test_health_tells_the_real_ports(r):
    health = r.health()
    assert health.ready
    assert [a.rpartition(":")[0] for a in health.listen["udp"]] == ["127.0.0.1", "[::1]"]
    assert health.listen["udp"] == health.listen["tcp"]
    assert all(int(a.rpartition(":")[2]) for a in health.listen["udp"])
    assert health.upstreams[0]["up"] is True


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_the_access_list_follows_a_reload(up, live, tcp):
    with Running(configured(up.port, allow_from=("192.0.2.0/24",)), live) as r:
        response = r.ask("acl.example", tcp=tcp)
        assert (response.rcode(), ede(response)) == (REFUSED, [18])
        r.reload(allow_from=("127.0.0.0/8",))
        assert addresses(r.ask("acl.example", tcp=tcp)) == [ADDRESS]
        assert r.ask("acl.example", tcp=tcp, family=6).rcode() == REFUSED


def test_forwarding_to_an_own_listener_is_refused_at_start(live):
    config = configured()
    running = Running(config, live)
    port = running.sockets["udp 127.0.0.1:0"].getsockname()[1]
    running.config = configured(port)
    with pytest.raises(Misconfigured, match="own listener"), running:
        pass


def test_a_reload_changes_upstreams_cache_and_sockets_without_a_lost_query(live):
    with Upstream() as first, Upstream() as second, Running(configured(first.port, lists=["f/nxdomain"]), live) as r:
        load = Load(r)
        with load:
            until(lambda: load.answers > 100)
            r.reload(upstreams=(Configured("udp", Endpoint("127.0.0.1", second.port)),))
            until(lambda: second.queries)
            r.reload(cache_bytes=2 << 20)
            extra = configured(second.port, listen=(Endpoint("127.0.0.9", 0),))
            r.sockets.update(bind(extra))
            r.reload(listen=(*r.config.dns.listen, Endpoint("127.0.0.9", 0)))
            host, port = next(a for a in r.health().listen["udp"] if a.startswith("127.0.0.9")).split(":")
            assert dns.query.udp(dns.message.make_query("fine.example", "A"), host, port=int(port), timeout=5).answer
            r.reload(listen=r.config.dns.listen[:2])
            assert len(r.health().listen["udp"]) == 2
            until(lambda n=load.answers: load.answers > n + 100)
        assert load.lost == []


def test_many_swaps_under_load_lose_nothing(tmp_path):
    lives = [generation(tmp_path, n, listed("f/own", ["nxdomain.example", f"n{n}.example"])) for n in range(1, 8)]
    with Upstream() as up, Running(configured(up.port, lists=["f/own"]), lives[0]) as r, Load(r) as load:
        for live in lives[1:]:
            until(lambda n=load.answers: load.answers > n + 30)
            r.apply(live)
            assert ede(r.ask(f"n{live.number}.example")) == [15]
    assert load.lost == []


def test_drain_answers_what_is_under_way_and_what_the_kernel_holds(live):
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Upstream(script) as up, Running(configured(up.port, lists=["f/nxdomain"]), live) as r:
        results = []
        asking = [threading.Thread(target=lambda t=t: results.append(addresses(r.ask("slow.example", tcp=t)))) for t in (False, True)]
        host_port = r.door()
        for thread in asking:
            thread.start()
        until(lambda: r.stats()["coalesced"] == 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(host_port)
            s.settimeout(5)
            hold = threading.Event()
            r.loop.call_soon_threadsafe(hold.wait)  # the loop stands still while queries arrive
            for number in range(20):
                s.send(dns.message.make_query("nxdomain.example", "A", id=number).to_wire())
            draining = threading.Thread(target=r.drain)
            draining.start()
            hold.set()
            assert len({s.recv(512)[:2] for _ in range(20)}) == 20
            gate.open()
            draining.join()
        for thread in asking:
            thread.join()
        assert results == [[ADDRESS]] * 2
        assert not r.health().ready
        r.slab.close()  # nothing holds the counters any more


def test_a_listener_that_was_not_handed_over_is_told(up, live):
    config = configured(up.port)
    with Running(config, live) as r:
        assert r.health().ready
        r.reload(listen=(*config.dns.listen, Endpoint("127.0.0.8", 0)))
        assert "listener" in r.health().why_not
        r.reload(listen=config.dns.listen)
        assert r.health().ready


def test_the_stop_page_without_addresses_is_nxdomain(up, tmp_path):
    live = generation(tmp_path, 1, listed("f/own", ["casino.example"], action=Action.STOP_PAGE))
    with Running(configured(up.port, lists=["f/own"], stop_page=StopPage()), live) as r:
        assert r.ask("casino.example").rcode() == NXDOMAIN


class Load:
    """Clients that ask blocked and resolved names over both transports until they are told to stop; each question is asked once."""

    def __init__(self, running):
        self.running = running
        self.answers, self.lost = 0, []
        self._stop = threading.Event()
        self._doors = [(t, running.door("tcp" if t else "udp")) for t in (False, True)]

    def __enter__(self):
        self._threads = [threading.Thread(target=self._run, args=(n, *d)) for n, d in enumerate(self._doors)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number, tcp, door):
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as s:
            s.settimeout(6)
            s.connect(door)
            for n in count():
                if self._stop.is_set():
                    return
                name = "nxdomain.example" if n % 2 else f"load{n}-{number}.example"
                wire = dns.message.make_query(name, "A", id=n & 0xFFFF).to_wire()
                try:
                    s.sendall(struct.pack("!H", len(wire)) + wire if tcp else wire)
                    answer = s.recv(4096)[2 if tcp else 0 :]
                except OSError as error:
                    self.lost.append((tcp, n, type(error).__name__))
                    return
                if answer[:2] != wire[:2] or answer[3] & 15 == SERVFAIL:
                    self.lost.append((tcp, n, answer[3] & 15))
                self.answers += 1
