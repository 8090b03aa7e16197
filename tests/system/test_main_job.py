"""The main job, whole: signed list in, blocked name answered, everything else resolved, update enforced, forgery refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time

import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

from tests.system.gateway import Gateway, blockd, enforce, need
from tests.system.upstream import ADDRESS4, CHAINS


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    home = tmp_path_factory.mktemp("main-job")
    gateway = Gateway(home, lists=enforce("gambling", "court"))
    gateway.publisher.init()
    gateway.publisher.publish("gambling", "casino.example\nbücher.example\n", basis="operator", extra=("--canary", "canary.casino.example"))
    gateway.publisher.publish(
        "court", "entry,category,note,expires\nordered.example,copyright,a note,\n", format="csv", category="copyright"
    )
    CHAINS["alias.good.example."] = [("alias.good.example.", "CNAME", "www.casino.example."), ("www.casino.example.", "A", ADDRESS4)]
    CHAINS["svc.good.example."] = [("svc.good.example.", "HTTPS", "1 casino.example. alpn=h2")]
    with gateway:
        yield gateway


def ede_codes(message):
    return [int(o.code) for o in message.options if o.otype == 15]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_an_allowed_name_is_resolved(gw, tcp):
    answer = gw.ask("www.good.example", tcp=tcp)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer[0][0].address == ADDRESS4
    assert answer.flags & dns.flags.RA
    assert not ede_codes(answer)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("name", ["casino.example", "WWW.Casino.Example", "a.b.c.casino.example", "xn--bcher-kva.example"])
@pytest.mark.parametrize("rdtype", ["A", "AAAA", "HTTPS", "TXT", "DS", "TYPE65400"])
def test_a_listed_name_is_blocked_for_every_type(gw, name, rdtype, tcp):
    answer = gw.ask(name, rdtype, tcp=tcp)
    assert ede_codes(answer) == [15]
    assert not [r for s in answer.answer for r in s if getattr(r, "address", None) == ADDRESS4]
    assert answer.question[0].name.to_text(omit_final_dot=True) == name  # the asker's case


def test_a_mandated_list_answers_with_censored(gw):
    assert ede_codes(gw.ask("ordered.example")) == [16]


@pytest.mark.parametrize(("name", "rdtype"), [("alias.good.example", "A"), ("svc.good.example", "HTTPS")])
def test_a_target_that_is_listed_is_blocked_under_the_name_that_was_asked(gw, name, rdtype):
    for _ in range(2):  # the second time from whatever the cache kept
        answer = gw.ask(name, rdtype)
        assert ede_codes(answer) == [15]
        assert all(ADDRESS4 not in str(s) and "casino" not in str(s) for s in answer.answer)


def test_dig_and_kdig_see_the_same(gw):
    host, port = gw.door("udp")
    for client in ([need("dig"), "+tries=1", f"@{host}", "-p", str(port)], [need("kdig"), "+edns", f"@{host}", "-p", str(port)]):
        shown = subprocess.run([*client, "casino.example", "A"], capture_output=True, text=True, check=True, timeout=10).stdout
        assert "Blocked" in shown
        shown = subprocess.run([*client, "+tcp", "fine.example", "A"], capture_output=True, text=True, check=True, timeout=10).stdout
        assert ADDRESS4 in shown


def test_lookup_agrees(gw):
    for name, verdict in [("casino.example", "block"), ("x.casino.example", "block"), ("good.example", "none")]:
        said = json.loads(blockd("lookup", name, "-c", gw.config, "--json").stdout)
        assert said["verdict"] == verdict
    matches = json.loads(blockd("lookup", "casino.example", "-c", gw.config, "--json").stdout)["matches"]
    assert [(m["list"], m["entry"], m["basis"], m["mode"]) for m in matches] == [("hotline/gambling", 1, "operator", "enforce")]


def test_readiness_health_and_metrics(gw):
    assert gw.get("/healthz")[0] == 200
    assert gw.get("/readyz")[0] == 200
    status, text = gw.get("/metrics")
    assert status == 200
    assert "blockd_build_info" in text
    assert "blockd_table_entries 3" in text.replace(".0\n", "\n")


def test_an_update_is_enforced_when_the_command_returns(gw):
    assert gw.ask("new.example").answer
    gw.publisher.publish(
        "gambling", "casino.example\nnew.example\nbücher.example\n", basis="operator", extra=("--canary", "canary.casino.example")
    )
    done = json.loads(gw.update().stdout.splitlines()[-1])
    assert done
    assert ede_codes(gw.ask("new.example")) == [15]  # and not the cached answer
    unchanged = gw.update()
    assert unchanged.returncode == 0


def test_a_rolled_back_feed_is_refused_and_the_last_good_list_stays(gw):
    repo = gw.publisher.repo
    saved = gw.home / "saved"
    shutil.copytree(repo / "metadata", saved)
    gw.publisher.publish("gambling", "casino.example\nnew.example\nbücher.example\nnewer.example\n", basis="operator")
    gw.update()
    current = gw.home / "current-metadata"
    (repo / "metadata").rename(current)
    shutil.copytree(saved, repo / "metadata")
    try:
        refused = gw.update(check=False)
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        assert ede_codes(gw.ask("newer.example")) == [15]
    finally:
        shutil.rmtree(repo / "metadata")
        current.rename(repo / "metadata")
    assert gw.update().returncode == 0


def test_a_tampered_target_is_refused(gw):
    gw.publisher.publish("gambling", "casino.example\nnew.example\nbücher.example\nnewer.example\nnewest.example\n", basis="operator")
    targets = sorted((gw.publisher.repo / "targets" / "gambling").iterdir(), key=lambda p: p.stat().st_mtime)
    newest = targets[-1]
    good = newest.read_bytes()
    newest.write_bytes(good.replace(b"newest", b"forged"))
    try:
        refused = gw.update(check=False)
        assert refused.returncode == 1
        assert gw.ask("forged.example").answer[0][0].address == ADDRESS4
    finally:
        newest.write_bytes(good)
    assert gw.update().returncode == 0
    assert ede_codes(gw.ask("newest.example")) == [15]


def test_answers_go_on_when_control_is_killed(gw):
    pid = next(r["pid"] for r in gw.status()["roles"] if r["name"] == "control")
    host, port = gw.door("udp")
    os.kill(pid, signal.SIGKILL)
    dig = [need("dig"), "+short", "+tries=1", "+time=1", f"@{host}", "-p", str(port), "after-kill.example"]
    assert ADDRESS4 in subprocess.run(dig, capture_output=True, text=True, check=True, timeout=10).stdout
    end = time.monotonic() + 20
    while time.monotonic() < end:
        status = gw.status(check=False)
        if status.get("ready") and next(r["pid"] for r in status["roles"] if r["name"] == "control") != pid:
            break
        time.sleep(0.2)
    else:
        raise AssertionError(f"control did not come back\n{gw.log()}")
    assert gw.update().returncode == 0


def test_the_resolver_comes_back_on_the_same_port(gw):
    pid = next(r["pid"] for r in gw.status()["roles"] if r["name"] == "resolver")
    host, port = gw.door("udp")
    os.kill(pid, signal.SIGKILL)
    # The supervisor holds the socket: the query waits for the next resolver instead of being refused.
    dig = [need("dig"), "+short", "+tries=1", "+time=10", f"@{host}", "-p", str(port), "queued.example"]
    assert ADDRESS4 in subprocess.run(dig, capture_output=True, text=True, check=True, timeout=15).stdout


def test_the_log_has_no_traceback(gw):
    assert "Traceback" not in gw.log()
