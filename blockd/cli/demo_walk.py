"""The walk-through of ``blockd demo --once``: each step does one thing, checks it, and is one line.

The steps are in the order in which a reader would want to be convinced: a list is signed, a node enforces it, ordinary traffic is left
alone, an update takes effect, a forgery does not, the figures add up, and it stops cleanly.
"""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

from blockd.cli.demo_upstream import ADDRESS
from blockd.cli.probe import ask, http_get
from blockd.errors import BlockdError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blockd.cli.demo import Demo
    from blockd.dns.build import Answer

CENSORED, BLOCKED = 16, 15  # RFC 8914 §4.17, §4.16
NXDOMAIN = 3


class WalkFailed(BlockdError):
    """A step was not as it should be."""


class Walk:
    """The steps, and how many were taken."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self.steps = 0

    def all(self) -> None:
        """Every step in order. Raises WalkFailed at the first that is wrong."""
        for step in (
            self._publish_with_one_key,
            self._cosign,
            self._publish_mandated,
            self._start,
            self._allowed,
            self._blocked,
            self._subdomain,
            self._mandated,
            self._stop_page,
            self._update,
            self._rolled_back,
            self._tampered,
            self._lookup,
            self._selftest,
            self._counters,
            self._stop,
        ):
            self._take(step)

    def _take(self, step: Callable[[], str]) -> None:
        started = time.monotonic()
        try:
            said = step()
        except (Unavailable, OSError, ValueError, KeyError) as error:
            raise WalkFailed(f"{(step.__doc__ or '').rstrip('.')}: {error}") from None
        self.steps += 1
        print(f"ok {self.steps:2}  {(step.__doc__ or '').rstrip('.'):<58} {said}  ({time.monotonic() - started:.1f} s)", flush=True)

    def _publish_with_one_key(self) -> str:
        """A publisher signs a list with one of three keys: not live."""
        away = self._demo.home / "other-signers"
        away.mkdir()
        keys = self._demo.home / "feed.keys"
        for number in (2, 3):
            (keys / f"{number}.pem").rename(away / f"{number}.pem")
        said = json.loads(self._demo.publish("gambling").stdout)
        _must(said["live"] is False and said["signatures"] == 1, f"live with {said['signatures']} of {said['threshold']} signatures")
        return f"version {said['version']}, {said['signatures']} of {said['threshold']} signatures"

    def _cosign(self) -> str:
        """A second signer co-signs it: live."""
        away = self._demo.home / "other-signers"
        self._demo.blockd("feed", "cosign", self._demo.feed, "--key", away / "2.pem")
        for number in (2, 3):
            (away / f"{number}.pem").rename(self._demo.home / "feed.keys" / f"{number}.pem")
        self._demo.blockd("feed", "verify", self._demo.feed)
        return "2 of 2, verified as a subscriber would"

    def _publish_mandated(self) -> str:
        """A court's list, in CSV, signed by both at once."""
        said = json.loads(self._demo.publish("court").stdout)
        _must(said["live"] is True, "it is not live")
        return f"version {said['version']}"

    def _start(self) -> str:
        """The gateway starts, fetches, verifies, enforces."""
        self._demo.start()
        self._demo.blockd("lists", "update", "--all", "-c", self._demo.config)
        status = self._status()
        lists = {row["name"]: row for row in status["lists"]}
        _must(all(row["state"] == "live" for row in lists.values()), f"a list is not live: {lists}")
        return ", ".join(f"{name} v{row['version']} ({row['entries']} entries)" for name, row in sorted(lists.items()))

    def _allowed(self) -> str:
        """An allowed name is resolved, over UDP and TCP."""
        for tcp in (False, True):
            answer = ask(self._demo.dns, "www.allowed.example", tcp=tcp)
            _must(answer.addresses == (ADDRESS,) and not answer.ede, f"{answer}")
        return ADDRESS

    def _blocked(self) -> str:
        """A listed name leads to the stop page, over UDP and TCP."""
        return self._must_block("casino.example")

    def _subdomain(self) -> str:
        """And so does a name under it."""
        return self._must_block("tables.eu.casino.example")

    def _must_block(self, name: str) -> str:
        answer = None
        for tcp in (False, True):
            answer = ask(self._demo.dns, name, tcp=tcp)
            _must(answer.ede == (BLOCKED,) and answer.addresses == ("127.0.0.1",), f"{name}: {answer}")
            https = ask(self._demo.dns, name, "HTTPS", tcp=tcp)
            _must(https.ede == (BLOCKED,) and not https.answers, f"{name} HTTPS: {https}")
        return "127.0.0.1, EDE 15 Blocked; HTTPS: none"

    def _mandated(self) -> str:
        """A court-ordered name is NXDOMAIN, Censored."""
        answer = ask(self._demo.dns, "ordered.example")
        _must(answer.rcode == NXDOMAIN and answer.ede == (CENSORED,), f"{answer}")
        return "NXDOMAIN, EDE 16 Censored"

    def _stop_page(self) -> str:
        """The stop page says why, in the reader's language."""
        shown = []
        for language, direction in (("en", "ltr"), ("fr", "ltr"), ("ar", "rtl")):
            page = http_get(self._demo.page, "/secret?q=1", {"Host": "casino.example", "Accept-Language": language})
            _must(page.status == 403, f"status {page.status}")
            _must(f'lang="{language}"' in page.body and f'dir="{direction}"' in page.body, f"not in {language}")
            _must("casino" not in page.body and "secret" not in page.body, "it echoes the request")
            _must("set-cookie" not in page.headers and page.headers.get("cache-control") == "no-store", "it sets state")
            shown.append(language)
        ordered = http_get(self._demo.page, "/", {"Host": "ordered.example"})
        _must(ordered.status == 451, f"a mandated list answered {ordered.status}")
        return f"403 and 451; {', '.join(shown)}"

    def _update(self) -> str:
        """An update is published and enforced."""
        _must(not ask(self._demo.dns, "new-arrival.example").ede, "new-arrival.example is blocked already")
        with self._demo.source.open("a", encoding="utf-8") as out:
            out.write("new-arrival.example\n")
        saved = self._saved()
        shutil.copytree(self._demo.feed / "metadata", saved)
        self._demo.publish("gambling")
        started = time.monotonic()
        said = json.loads(self._demo.blockd("lists", "update", "demo/gambling", "-c", self._demo.config, "--json").stdout)
        took = time.monotonic() - started
        _must(said["result"] == "applied", f"{said}")
        answer = ask(self._demo.dns, "new-arrival.example")
        _must(answer.ede == (BLOCKED,), f"{answer}")
        return f"generation {said['generation']}, enforced in {took:.1f} s"

    def _rolled_back(self) -> str:
        """A feed that is rolled back is refused; the last good list stays."""
        metadata = self._demo.feed / "metadata"
        aside = self._demo.home / "metadata-now"
        metadata.rename(aside)
        shutil.copytree(self._saved(), metadata)
        try:
            return self._must_refuse("new-arrival.example")
        finally:
            shutil.rmtree(metadata)
            aside.rename(metadata)

    def _tampered(self) -> str:
        """A feed that is tampered with is refused; the last good list stays."""
        with self._demo.source.open("a", encoding="utf-8") as out:
            out.write("innocent.example\n")
        self._demo.publish("gambling")
        newest = max((self._demo.feed / "targets" / "gambling").iterdir(), key=lambda p: p.stat().st_mtime_ns)
        good = newest.read_bytes()
        newest.write_bytes(good.replace(b"innocent.example", b"in-forge.example"))
        try:
            said = self._must_refuse("new-arrival.example")
            _must(not ask(self._demo.dns, "in-forge.example").ede, "a forged entry is enforced")
        finally:
            newest.write_bytes(good)
        self._demo.blockd("lists", "update", "demo/gambling", "-c", self._demo.config)
        return said

    def _must_refuse(self, still_blocked: str) -> str:
        done = self._demo.blockd("lists", "update", "demo/gambling", "-c", self._demo.config, check=False)
        _must(done.returncode == 1, f"exit {done.returncode}: {done.stdout}{done.stderr}")
        answer = ask(self._demo.dns, still_blocked)
        _must(answer.ede == (BLOCKED,), f"{still_blocked} is no longer blocked: {answer}")
        return "exit 1: " + (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]

    def _lookup(self) -> str:
        """`blockd lookup` says which list and row."""
        said = json.loads(self._demo.blockd("lookup", "tables.eu.casino.example", "-c", self._demo.config, "--json").stdout)
        match = said["matches"][0]
        _must(said["verdict"] == "block", f"{said}")
        return f"{match['list']} row {match['entry']}, {match['action']}, {match['basis']}"

    def _selftest(self) -> str:
        """`blockd selftest` asks for the canary over every transport."""
        said = self._demo.blockd("selftest", "-c", self._demo.config)
        return said.stdout.strip().splitlines()[-1]

    def _counters(self) -> str:
        """The counters moved, and name nobody."""
        wanted = "blockd_policy_hits_total{"
        end = time.monotonic() + 10
        while True:
            text = http_get(self._demo.admin, "/metrics").body
            hits = sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(wanted))
            if hits >= 6 or time.monotonic() > end:
                break
            time.sleep(0.2)
        _must(hits >= 6, f"{hits} hits counted")
        _must("casino" not in text and "127.0.0.1:" not in text.replace("udp://127.0.0.1:", ""), "the metrics name a name or an address")
        return f"{hits:.0f} hits, by list, category, action and stage"

    def _stop(self) -> str:
        """It stops, and nothing answers any more."""
        code = self._demo.stop()
        _must(code == 0, f"exit {code}")
        try:
            http_get(self._demo.admin, "/healthz")
        except Unavailable:
            return "exit 0"
        raise WalkFailed("something still answers on the admin port")

    def _saved(self) -> Path:
        return self._demo.home / "metadata-before"

    def _status(self) -> dict[str, list[dict[str, object]]]:
        said: dict[str, list[dict[str, object]]] = json.loads(self._demo.blockd("status", "-c", self._demo.config, "--json").stdout)
        return said


def _must(true: object, otherwise: str | Answer) -> None:
    if not true:
        raise WalkFailed(str(otherwise))
