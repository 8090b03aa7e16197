"""Lists and metadata that are none: each update is refused with a reason on one line, the last good list stays, and the next good one is taken.

The publisher is hostile or broken here, not the way to it: what the lists hold is signed as it is. Attacks on signatures are in tests/feeds/.
"""

from __future__ import annotations

import gzip
import json
import mmap
import os
import random
import shutil
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from blockd.admin.client import call
from blockd.cli.main import main
from blockd.control.compile import compile_list
from blockd.errors import Refused
from blockd.feeds.formats import Bad, read_rows
from blockd.feeds.verified import Verified
from blockd.terms import Format, Instant, ListName
from tests.feeds.simulator import meta
from tests.system.gateway import Gateway, blockd, enforce
from tests.system.hostile_upstream import HostileUpstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIB = 1 << 20
MEMORY_MAX_BYTES = 8 * MIB  # for a list of any size; the table's builder is not counted, it holds entries alone
NOW = Instant(1_795_000_000)

GOOD = {
    Format.DOMAINS: "good-domains.example\n",
    Format.HOSTS: "0.0.0.0 good-hosts.example\n",
    Format.WILDCARD: "*.good-wildcard.example\n",
    Format.ADBLOCK: "||good-adblock.example^\n",
    Format.RPZ: "$ORIGIN rpz.example.\n@ 60 SOA ns. host. 1 2 3 4 5\n@ NS ns.\ngood-rpz.example CNAME .\n",
    Format.URLS: "http://good-urls.example/path\n",
    Format.CSV: "entry,category,note,expires\ngood-csv.example,gambling,,\n",
}
BLOCKED = {Format.WILDCARD: "a.good-wildcard.example"}

FILES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "line-feeds": lambda _: b"\n" * 5000,
    "nul": lambda _: bytes(100_000),
    "nul-between": lambda good: b"\0".join(bytes((octet,)) for octet in good) * 200,
    "one-line": lambda _: b"a" * 4 * MIB,
    "no-utf-8": lambda _: b"\xff\xfe\xfa.example\n\xc3\x28.example\n\xed\xa0\x80\n" * 1000,
    "html": lambda _: b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
    "html-behind-blanks": lambda _: b"\n\n  \n<html>\n" * 100,
    "gzip": lambda good: gzip.compress(good * 1000),
    "utf-16": lambda good: good.decode().encode("utf-16") * 50,
    "random": lambda _: random.Random(7).randbytes(200_000),
    "json": lambda _: json.dumps({"domains": ["casino.example"] * 100}, indent=1).encode(),
    "control-characters": lambda _: b"".join(b"a%cb.example\n" % octet for octet in range(1, 32) if octet != 10) * 30,
    "quotes": lambda _: b'"\n\n"a b\n' * 5000 + b'"',
    "brackets": lambda _: b"(" * 50_000 + b"\n" + b"( a\n" * 5000,
}
"""What is published under a format that it is not in."""


# The compiler, every format by every file


def verified(form: Format, path: Path, length: int) -> Verified:
    return Verified(ListName("a/b"), 1, meta(format=form), path, "0" * 64, length, NOW, 2)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_list_is_never_taken_for_one(tmp_path, form, kind):
    """Refused, or so many bad rows that the update is held; counted by reasons of a closed set."""
    data = FILES[kind](GOOD[form].encode())
    try:
        done = compile_list(verified(form, tmp_path, len(data)), data, bytes(16), b"", tmp_path / "out", NOW)
    except Refused as refused:
        assert refused.reason in {"shape", "held"}
        assert "\n" not in str(refused)
        assert "good-" not in str(refused)
        return
    assert done.bad_share > 0.01, dict(done.rejected)
    assert done.bad == sum(count for reason, count in done.rejected.items() if reason not in {"protected", "expired"})


@pytest.mark.parametrize("form", Format)
def test_a_line_as_long_as_the_file_takes_no_memory(tmp_path, form):
    """64 MiB without a line feed, as a gigabyte would be read: in blocks."""
    path = tmp_path / "list"
    path.write_bytes(b"entry\n" if form is Format.CSV else b"")
    os.truncate(path, 64 * MIB)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tracemalloc.start()
        try:
            done = compile_list(verified(form, path, len(data)), data, bytes(16), b"", tmp_path / "out", NOW)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert dict(done.rejected) == {"too_long": 1}
    assert peak < MEMORY_MAX_BYTES, f"{peak >> 20} MiB"


def test_a_gibibyte_in_one_line_is_one_bad_row():
    def blocks() -> Iterator[bytes]:
        yield b"\n"
        block = b"a" * MIB
        for _ in range(1024):
            yield block

    assert list(read_rows(Format.URLS, blocks())) == [(2, Bad("too_long"))]


# The daemon


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    lists = [form.value for form in Format]
    gateway = Gateway(tmp_path_factory.mktemp("lists"), lists=enforce(*lists), upstream=HostileUpstream())
    gateway.publisher.init()
    for form in Format:
        publish(gateway, form, GOOD[form].encode())
    with gateway:
        gateway.update()
        yield gateway
        assert "Traceback" not in gateway.log()


def publish(gateway: Gateway, form: Format, data: bytes) -> None:
    source = gateway.home / f"source.{form.value}"
    source.write_bytes(data)
    repo = gateway.publisher.repo
    words = ["feed", "publish", repo, "--list", form.value, "--format", form.value, "--category", "gambling", "--basis", "operator", source]
    assert main([str(word) for word in words]) == 0


def update(gateway: Gateway) -> list[dict]:
    return call(gateway.home / "run" / "admin.sock", "update", 60.0, lists=[])["outcomes"]


def in_force(gateway: Gateway) -> None:
    """Every list still blocks what it blocked."""
    host, port = gateway.door("udp")
    for form in Format:
        name = BLOCKED.get(form, f"good-{form.value}.example")
        if form is not Format.URLS:
            query = dns_query(name)
            answer = query(host, port)
            assert any(option.otype == 15 for option in answer.options), f"{name} is blocked no more"


def dns_query(name: str) -> Callable:
    import dns.message
    import dns.query

    return lambda host, port: dns.query.udp(dns.message.make_query(name, "A", use_edns=0), host, 5, port)


def test_no_file_that_is_no_list_is_enforced(gw, capsys):
    """Each format gets another file in each round; whatever comes of it, nothing of it goes into force and the good list stays."""
    generation = gw.status()["generation"]
    kinds = list(FILES)
    for turn in range(3):
        for place, form in enumerate(Format):
            publish(gw, form, FILES[kinds[(5 * turn + place) % len(kinds)]](GOOD[form].encode()))
        capsys.readouterr()
        outcomes = update(gw)
        assert len(outcomes) == len(Format)
        for outcome in outcomes:
            assert not outcome["ok"], outcome
            assert outcome["result"] in {"shape", "held", "protected"}, outcome
            assert outcome["detail"], outcome
            assert "\n" not in outcome["detail"], outcome
    told = gw.update(check=False)
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == len(Format)
    assert "Traceback" not in told.stderr
    assert gw.status()["generation"] == generation
    in_force(gw)
    for form in Format:
        publish(gw, form, GOOD[form].encode())
    outcomes = update(gw)
    assert all(outcome["ok"] for outcome in outcomes), outcomes
    in_force(gw)


METADATA: dict[str, Callable[[bytes, Path], bytes]] = {
    "empty": lambda _, __: b"",
    "cut": lambda good, _: good[: len(good) // 2],
    "cut-by-one": lambda good, _: good.rstrip()[:-1],
    "nul": lambda good, _: bytes(len(good)),
    "no-utf-8": lambda good, _: good.replace(b'"_type"', b'"_type\xff\xfe"'),
    "html": lambda _, __: b"<html>Please log in</html>",
    "null": lambda _, __: b"null",
    "a-list": lambda _, __: b"[]",
    "a-number": lambda _, __: b"1e999",
    "a-long-number": lambda _, __: b"9" * 10_000,
    "deep-lists": lambda _, __: b"[" * 8000,
    "deep-objects": lambda _, __: b'{"signed":' * 1500 + b"1" + b"}" * 1500,
    "swapped": lambda _, folder: next(folder.glob("*.snapshot.json")).read_bytes(),
    "the-root": lambda _, folder: (folder / "1.root.json").read_bytes(),
    "signed-is-a-number": lambda good, _: json.dumps({**json.loads(good), "signed": 5}).encode(),
    "signatures-are-words": lambda good, _: json.dumps({**json.loads(good), "signatures": ["a", 1, None]}).encode(),
    "huge-version": lambda good, _: changed(good, version=10**400),
    "negative-version": lambda good, _: changed(good, version=-1),
    "version-is-text": lambda good, _: changed(good, version="1"),
    "version-is-true": lambda good, _: changed(good, version=True),
    "expires-is-never": lambda good, _: changed(good, expires="9999-99-99T99:99:99Z"),
    "expires-is-a-list": lambda good, _: changed(good, expires=[[]]),
    "spec-of-the-future": lambda good, _: changed(good, spec_version="99.0.0"),
    "meta-of-nothing": lambda good, _: changed(good, meta={}),
    "too-long": lambda good, _: good + b" " * 100_000,
    "unicode-keys": lambda good, _: good.replace(b'"_type"', b'"_type\\ud800"'),
}


def changed(good: bytes, **fields: object) -> bytes:
    """The same metadata with other values, unsigned."""
    document = json.loads(good)
    document["signed"] |= fields
    return json.dumps(document).encode()


@pytest.mark.parametrize("role", ["timestamp", "2.root", "snapshot"])
def test_no_metadata_that_is_none_stops_or_moves_the_gateway(gw, role):
    folder = gw.publisher.repo / "metadata"
    if role == "snapshot":  # a new version, so that it has to be fetched
        publish(gw, Format.DOMAINS, GOOD[Format.DOMAINS].encode() + f"more-{role}.example\n".encode())
        path = max(folder.glob("*.snapshot.json"), key=lambda found: int(found.name.partition(".")[0]))
    else:
        path = folder / f"{role}.json"
    good = path.read_bytes() if path.exists() else None
    like = good or (folder / "1.root.json").read_bytes()
    generation = gw.status()["generation"]
    for kind, make in list(METADATA.items())[:: 3 if role == "2.root" else 1]:
        path.write_bytes(make(like, folder))
        outcomes = update(gw)
        for outcome in outcomes:
            assert not outcome["ok"], (kind, outcome)
            assert outcome["result"] in {"shape", "signature", "rollback", "expired", "fetch"}, (kind, outcome)
            assert outcome["detail"], (kind, outcome)
            assert "\n" not in outcome["detail"], (kind, outcome)
    told = gw.update(check=False)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert gw.status()["generation"] == generation
    in_force(gw)
    if good is None:
        path.unlink()
    else:
        path.write_bytes(good)
    outcomes = update(gw)
    assert all(outcome["ok"] for outcome in outcomes), outcomes
    in_force(gw)


def test_a_pinned_root_that_is_none_is_said_before_the_daemon_starts(gw, tmp_path):
    """`check` and `run` read it: the operator's own file, and the one that everything hangs on."""
    config = tmp_path / "blockd.toml"
    for data in (b"", b"[]", b"[" * 100_000, b"\0", b"<html>", b"\xff\xfe"):
        (tmp_path / "root.json").write_bytes(data)
        config.write_text(gw.config.read_text().replace(f"{gw.home}/repo/root.json", f"{tmp_path}/root.json"))
        done = blockd("check", "-c", config, check=False)
        assert done.returncode == 1, done.stdout
        assert "root.json" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_repository_that_is_gone_is_one_line(gw):
    repo = gw.publisher.repo
    away = repo.with_name("away")
    shutil.move(repo / "metadata", away)
    try:
        told = gw.update(check=False)
        assert told.returncode == 1
        assert "Traceback" not in told.stderr
        in_force(gw)
    finally:
        shutil.move(away, repo / "metadata")
    assert gw.update().returncode == 0
