"""A stop page over a real table: lists of names, a configuration, real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

from blockd.config.schema import Config, Endpoint, Helpline, ListPolicy, StopPage
from blockd.control.live import LiveGeneration, LiveList
from blockd.counts.slab import Slab
from blockd.names import parse_domain
from blockd.native._table import CompiledList, ListBuilder
from blockd.stop_page.server import StopPage as Service
from blockd.table.build import build, check
from blockd.table.rules import Rule, dump_rules
from blockd.terms import Action, Basis, Category, Kind, ListName, Mode, Notify

KEY = bytes(range(16))
NOW = 1_795_500_000.0
LISTS = {  # name: (basis, category, notify, mode, entries)
    "ops/gambling": (
        Basis.OPERATOR,
        Category.GAMBLING,
        Notify.FULL,
        Mode.ENFORCE,
        {"casino.example": Kind.SUBTREE, "xn--bcher-kva.example": Kind.SUBTREE},
    ),
    "court/orders": (
        Basis.MANDATED,
        Category.COPYRIGHT,
        Notify.FULL,
        Mode.ENFORCE,
        {"ordered.example": Kind.SUBTREE, "both.example": Kind.SUBTREE},
    ),
    "home/filter": (
        Basis.SUBSCRIBER,
        Category.ADULT,
        Notify.FULL,
        Mode.ENFORCE,
        {"adult.example": Kind.EXACT, "both.example": Kind.SUBTREE},
    ),
    "court/bare": (Basis.MANDATED, Category.OTHER, Notify.CODE, Mode.ENFORCE, {"bare.example": Kind.SUBTREE}),
    "court/silent": (Basis.MANDATED, Category.OTHER, Notify.NONE, Mode.ENFORCE, {"silent.example": Kind.SUBTREE}),
    "ops/shadow": (Basis.OPERATOR, Category.FRAUD, Notify.FULL, Mode.SHADOW, {"shadow.example": Kind.SUBTREE}),
}


def generation(folder: Path, number: int = 1, lists=None) -> LiveGeneration:
    """Compile the lists into a real table and open it."""
    compiled, facts = [], {}
    for text, (basis, category, _, _, entries) in (lists or LISTS).items():
        name = ListName(text)
        rules = sorted({Rule(name, kind, category) for kind in entries.values()}, key=lambda rule: rule.kind)
        builder = ListBuilder(KEY, b"")
        for row, (entry, kind) in enumerate(entries.items(), 1):
            assert builder.add_name(parse_domain(entry).wire, int(kind), rules.index(Rule(name, kind, category)), row)
        path = folder / f"{text.replace('/', '-')}.{number}.blkl"
        builder.write(path, dump_rules(rules))
        compiled.append(CompiledList(path, KEY))
        facts[name] = LiveList(name, 1, basis, category, Action.STOP_PAGE, secret=False, canary=None, entries=len(entries))
    built = build(folder / f"{number}.blkt", KEY, compiled)
    return LiveGeneration(number, check(built, KEY, compiled), KEY, facts, built.plan.rules, {})


def configuration(**page) -> Config:
    policies = tuple(
        ListPolicy(ListName(name), mode, notify=notify, notify_basis="Act 7") for name, (_, _, notify, mode, _) in LISTS.items()
    )
    section = {
        "listen": (Endpoint("127.0.0.1", 0),), "addresses": ("192.0.2.80",), "operator": "Example ISP", "contact": ("mailto:abuse@example.net",),
        "helplines": (Helpline("Stop It Now", "en", "0800 1000 900", "https://help.example/"), Helpline("119", "fr", "119", "")),
    } | page  # fmt: skip
    return Config(path=Path("blockd.toml"), stop_page=StopPage(**section), lists=policies)


class Running:
    """``async with Running(folder) as r: await ask(r.address, ...)``"""

    def __init__(self, live, config=None, **service):
        self.live, self.config = live, config or configuration()
        self.slab = Slab.in_memory()
        self.service = Service(clock=lambda: NOW, **service)

    async def __aenter__(self):
        listening = socket.create_server(("127.0.0.1", 0))
        self.sockets = {"stop_page 127.0.0.1:0": listening, "udp 127.0.0.1:0": socket.socket()}
        await self.service.start(self.config, self.sockets, self.slab, self.live)
        self.address = self.service.health().listen["stop_page"][0]
        return self

    async def __aexit__(self, *_):
        await self.service.drain(1.0)
        self.sockets["udp 127.0.0.1:0"].close()
