"""A resolver for tests: the real service on uvloop in a thread of its own, a real table, real sockets, dnspython as the client."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import uvloop

from blockd.config.schema import Config, Dns, Endpoint, ListPolicy, StopPage, Upstream
from blockd.control.live import LiveGeneration, LiveList
from blockd.control.sockets import bind_missing, wanted
from blockd.counts.cells import assign
from blockd.counts.slab import Slab
from blockd.dns.server import Resolver
from blockd.names import parse_domain
from blockd.native._table import CompiledList, ListBuilder
from blockd.table.build import build, check
from blockd.table.rules import Rule, dump_rules
from blockd.terms import Action, Basis, Category, Kind, ListName, Mode

KEY = bytes(range(16))
PAGE4, PAGE6 = "192.0.2.80", "2001:db8::80"
TIMEOUT_S = 10.0


def listed(name, entries, *, basis=Basis.OPERATOR, action=Action.NXDOMAIN, category=Category.GAMBLING):
    """One list: its facts and entries, each a name (a subtree) or (name, kind) or (name, kind, action)."""
    return LiveList(ListName(name), 1, basis, category, action, False, None, len(entries)), entries


def generation(folder: Path, number: int, *lists):
    """Compile these lists into a real table and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    compiled = []
    for facts, entries in lists:
        rules = []
        builder = ListBuilder(KEY, b"")
        for row, entry in enumerate(entries, 1):
            name, kind, action = (entry, Kind.SUBTREE, None) if isinstance(entry, str) else (*entry, None)[:3]
            rule = Rule(facts.name, kind, facts.category, action)
            if rule not in rules:
                rules.append(rule)
            assert builder.add_name(parse_domain(name).wire, int(kind), rules.index(rule), row)
        path = folder / f"{facts.name.replace('/', '-')}.{number}.blkl"
        builder.write(path, dump_rules(rules))
        compiled.append(CompiledList(path, KEY))
    built = build(folder / f"{number}.blkt", KEY, compiled)
    table = check(built, KEY, compiled)
    facts = {f.name: f for f, _ in lists}
    wanted = [(f.name, f.category, a, "dns", s) for f in facts.values() for a in Action for s in (False, True)]
    return LiveGeneration(number, table, KEY, facts, built.plan.rules, assign({}, wanted))


def configured(*upstream_ports, lists=(), scheme="udp", **more):
    upstreams = tuple(Upstream(scheme, Endpoint("127.0.0.1", port)) for port in upstream_ports)
    dns_more = {k: more.pop(k) for k in ("allow_from", "before_lists", "cache_bytes", "listen", "threads", "rate_limit") if k in more}
    dns_more.setdefault("cache_bytes", 1 << 20)
    dns_more.setdefault("threads", "1")
    dns_more.setdefault("listen", (Endpoint("127.0.0.1", 0), Endpoint("::1", 0)))
    policies = tuple(entry if isinstance(entry, ListPolicy) else ListPolicy(ListName(entry), Mode.ENFORCE) for entry in lists)
    page = more.pop("stop_page", StopPage(addresses=(PAGE4, PAGE6)))
    return Config(path=Path("blockd.toml"), dns=Dns(upstreams=upstreams, **dns_more), lists=policies, stop_page=page, **more)


def bind(config, have=()):
    """The sockets that the supervisor would hand over, beside those that are there."""
    return bind_missing(wanted(config, ("resolver",), config.dns.thread_count(1), have), have or {})


def until(condition):
    """Wait for what must come true; nothing depends on how fast."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


class Running:
    """``with Running(config, live) as r: r.ask("name.example")``"""

    def __init__(self, config, live=None):
        self.config = config
        self.live = live
        self.slab = Slab.in_memory()
        self.given_up = threading.Event()
        self.resolver = Resolver(self.given_up.set)
        self.sockets = bind(config)
        self.drained = False
        self.errors = []

    def __enter__(self):
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        try:
            self.do(self.resolver.start(self.config, self.sockets, self.slab, self.live))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_):
        try:
            if not self.drained:
                self.drain(0.5)
        finally:
            self._end()
        assert not self.errors, self.errors

    def _end(self):
        async def finish():
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self.do(finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT_S)
        self.loop.close()
        for sock in self.sockets.values():
            sock.close()

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT_S)

    def call(self, function, *args):
        async def on_the_loop():
            return function(*args)

        return self.do(on_the_loop())

    def drain(self, timeout_s=5.0):
        self.drained = True
        self.do(self.resolver.drain(timeout_s))

    def apply(self, live):
        self.do(self.resolver.apply(live))
        self.live = live

    def reload(self, **changes):
        dns_changes = {k: changes.pop(k) for k in list(changes) if k in Dns.__dataclass_fields__}
        self.config = replace(self.config, dns=replace(self.config.dns, **dns_changes), **changes)
        self.do(self.resolver.reload(self.config, self.sockets))

    def health(self):
        return self.call(self.resolver.health)

    def stats(self):
        return self.do(self.resolver.request("stats", {}))

    def door(self, kind="udp", family=4):
        host, _, port = next(a for a in self.health().listen[kind] if a.startswith("[") == (family == 6)).rpartition(":")
        return host.strip("[]"), int(port)

    def ask(self, name, rdtype="A", *, tcp=False, family=4, timeout_s=8.0, **more):
        more.setdefault("use_edns", 0)
        query = dns.message.make_query(name, rdtype, **more)
        host, port = self.door("tcp" if tcp else "udp", family)
        response = (dns.query.tcp if tcp else dns.query.udp)(query, host, timeout=timeout_s, port=port)
        assert response.flags & dns.flags.RA
        assert not response.flags & dns.flags.AA
        return response

    def limit(self, name):
        from blockd.counts.layout import LIMIT, LIMITS

        self.stats()
        return self.slab.read()[LIMIT + LIMITS.index(name)]

    def hits(self, name, *, action=Action.NXDOMAIN, shadow=False, category=Category.GAMBLING):
        self.stats()  # waits for the batch at work: a thread adds its counts after the answers have left
        return self.slab.read()[self.live.cells[ListName(name), category, action, "dns", shadow]]


def ede(message):
    return [int(option.code) for option in message.options if option.otype == 15]


def addresses(message):
    return [record.address for rrset in message.answer for record in rrset if hasattr(record, "address")]
