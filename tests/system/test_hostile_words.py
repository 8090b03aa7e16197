"""Configurations and command lines that are none: one line for each fault that says where it is, the right exit code, no traceback.

Properties of the parts are in tests/config/ and tests/cli/. Here the whole command runs, in a process of its own where that matters: arguments that are
no UTF-8, streams that are closed, readers that go away.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from blockd.cli.main import main
from blockd.config.load import judge
from blockd.config.store import Source
from tests.system.gateway import BLOCKD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

JUDGE_MAX_S = 1.0  # of processor time, for 4 MiB of anything
FAULT = re.compile(r"(blockd: )?.*blockd\.toml(:\d+)?: .+")
SEED = 20261124

GOOD = """\
state_dir = "state"
runtime_dir = "run"

[dns]
listen = ["127.0.0.1:0", "[::1]:0"]
upstreams = ["udp://192.0.2.53:53"]
cache = "16MiB"
allow_from = ["127.0.0.0/8", "::1/128"]

[stop_page]
listen = ["127.0.0.1:0"]
addresses = ["192.0.2.80"]
operator = "Example ISP"
contact = ["mailto:abuse@example.net"]

[admin]
listen = ["127.0.0.1:0"]

[[feeds]]
name = "hotline"
url = "https://feeds.example/tuf"
root = "root.json"
every = "10m"

[[lists]]
name = "hotline/domains"
mode = "enforce"
max_change = { add = "25%", remove = "10%", floor = 50 }
"""

PIECES = (
    b'"', b"'", b'"""', b"'''", b"[", b"]", b"[[", b"]]", b"{", b"}", b"=", b",", b".", b"#", b"\n", b"\r", b"\0", b"\\", b"\\u0000", b"\\ud800", b"\\U00110000",
    b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"9" * 5000, b"0x", b"1e999", b"nan", b"-inf",
    b"1979-05-27T07:32:00Z", b"true", b"lists", b"feeds", b"dns", b"a" * 1000,
    b"\x1b[31m", b"[[lists]]\n", b"name", b"x = [" * 3, b"99999999999999999999",
)  # fmt: skip

WHOLE = {
    "empty": b"",
    "nul": bytes(10_000),
    "no-utf-8": b"\xff\xfe" * 100,
    "utf-16": GOOD.encode("utf-16"),
    "latin-1": GOOD.replace("Example ISP", "Beispiel für ISP").encode("latin-1"),
    "html": b"<html></html>",
    "json": b'{"dns": {}}',
    "deep-lists": b"a = " + b"[" * 100_000,
    "deep-tables": b"[" + b".".join([b"a"] * 20_000) + b"]\n",
    "deep-inline": b"a = " + b"{a=" * 20_000,
    "dotted-keys": b".".join([b"a"] * 20_000) + b" = 1\n",
    "long-number": b"a = " + b"9" * 100_000,
    "long-string": b'a = "' + b"b" * (1 << 20) + b'"',
    "long-key": b"a" * (1 << 20) + b" = 1",
    "many-keys": b"".join(b"k%d = 1\n" % n for n in range(20_000)),
    "many-tables": b"[[lists]]\n" * 20_000,
    "many-lists": b"".join(b'[[lists]]\nname = "a/b%d"\n' % n for n in range(5000)),
    "open-string": b'a = """' + b"\n" * 100_000,
    "quotes": b'a = "' + b'\\"' * 100_000,
    "backslashes": b'a = "' + b"\\" * 100_001 + b'"',
    "carriage-returns": GOOD.encode().replace(b"\n", b"\r"),
    "control-characters": b"".join(b'[dns]\ncache = "%c"\n' % octet for octet in range(1, 32)),
}


def told(data: bytes, path: Path) -> tuple[str, ...]:
    """The faults of these bytes as a configuration; () when they are one."""
    start = time.thread_time()
    report = judge(path, [Source(str(path), data)])
    assert time.thread_time() - start < JUDGE_MAX_S or min(cost(data, path) for _ in range(2)) < JUDGE_MAX_S
    assert (report.config is None) == bool(report.faults)
    for fault in report.faults:
        assert fault.isprintable(), repr(fault)
        assert len(fault) < 1000
        assert re.match(rf"{re.escape(str(path))}:\d+: ", fault) or fault.startswith("and more:"), fault
    return report.faults


def cost(data: bytes, path: Path) -> float:
    start = time.thread_time()
    judge(path, [Source(str(path), data)])
    return time.thread_time() - start


def test_the_configuration_that_is_damaged_here_is_good(tmp_path):
    assert told(GOOD.encode(), tmp_path / "blockd.toml") == ()


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_is_no_configuration(tmp_path, kind):
    assert told(WHOLE[kind], tmp_path / "blockd.toml") or kind == "empty"


def test_a_configuration_with_something_in_it(tmp_path):
    """A fixed sequence of damages: each gives a configuration, or faults that say file and line."""
    rng, good = random.Random(SEED), GOOD.encode()
    end = time.monotonic() + 3
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice((0, 0, 1, 5, 40))] = rng.choice(PIECES)
        told(bytes(data), tmp_path / "blockd.toml")
        if time.monotonic() > end:
            break


@pytest.mark.parametrize("kind", ["nul", "no-utf-8", "deep-lists", "html", "many-tables"])
def test_check_and_run_say_where(tmp_path, kind):
    (tmp_path / "blockd.toml").write_bytes(WHOLE[kind])
    for words, code in ((["check"], 1), (["run"], 2), (["status"], 2), (["lookup", "a.example"], 2)):
        done = run([*words, "-c", tmp_path / "blockd.toml"])
        assert done.returncode == code, (words, done.stderr)
        clean(done.stdout + done.stderr)
        assert FAULT.match((done.stderr or done.stdout).splitlines()[0]), done.stderr


def test_what_is_no_file_is_said(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "loop-target")
    (tmp_path / "loop").symlink_to("loop")
    for path in (
        tmp_path / "folder",
        tmp_path / "loop",
        tmp_path / "none" / "blockd.toml",
        "/dev/null/x",
        "/proc/self/mem",
        "x" * 300,
        "x/" * 3000,
    ):
        done = run(["check", "-c", path])
        assert done.returncode == 1, (path, done)
        clean(done.stdout + done.stderr)


# The command line


def run(words: Sequence[object], **more: object) -> subprocess.CompletedProcess[str]:
    line = [*BLOCKD, *[word if isinstance(word, bytes) else str(word) for word in words]]
    return subprocess.run(line, capture_output=True, text=True, errors="backslashreplace", timeout=60, check=False, **more)


def clean(text: str) -> None:
    """Lines for people: no traceback, no control characters, none without an end."""
    assert "Traceback" not in text, text
    assert "a fault of blockd itself" not in text, text
    assert all(line.isprintable() for line in text.splitlines()), text
    assert not text or text.endswith("\n")


ODD = (
    "",
    " ",
    "-",
    "--",
    "---",
    "-c",
    "--json",
    "\0"[:0],
    "é",
    "\x1b[31m",
    "\n",
    "a\nb",
    "%s%n",
    "{}",
    "../..",
    "-" * 300,
    "x" * 100_000,
    "\udcff",
    "--=",
    "=",
    "@file",
    "'",
    '"',
    "--list",
    "--help=1",
    "0",
    "9" * 400,
)
COMMANDS = (
    "",
    "check",
    "run",
    "status",
    "lookup",
    "lists",
    "lists update",
    "lists kill",
    "lists hold",
    "feed",
    "feed init",
    "feed publish",
    "feed cosign",
    "feed verify",
    "selftest",
    "init",
    "demo --once --dir",
    "completion",
    "nothing",
)


def in_process(words: Sequence[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return code, err.getvalue()


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("demo")])
def test_a_command_with_odd_words(tmp_path, monkeypatch, command):
    """In this process, for there are hundreds: an exit code, and one line that can be read."""
    monkeypatch.chdir(tmp_path)
    config = (
        ["-c", str(tmp_path / "none.toml")] if command.split(" ")[0] in {"check", "run", "status", "lookup", "lists", "selftest"} else []
    )
    for odd in ODD:
        if command == "init" and odd and not odd.startswith("-"):
            continue  # a folder's name is what it takes
        code, said = in_process([*command.split(), odd, *config])
        assert code in {0, 1, 2}, (odd, code)
        assert "a fault of blockd itself" not in said, (odd, said)
        if code and command and odd != "--json":  # that one prints its object instead
            assert said.endswith("\n"), (odd, said)
            assert all(line.isprintable() for line in said.splitlines()), (odd, said)


@pytest.mark.parametrize(
    "words",
    [
        [b"\xff\xfe"],
        [b"lookup", b"\xff.example", b"-c", b"none.toml"],
        [b"check", b"-c", b"\xff\xfe.toml"],
        [b"lists", b"kill", b"\xff/\xfe", b"--reason", b"\xff", b"-c", b"none.toml"],
        [b"feed", b"init", b"\xff/\xfe/\xfd"],
        [b"feed", b"publish", b"\xff", b"--list", b"\xff", b"--format", b"\xff", b"--category", b"\xff", b"--basis", b"\xff", b"\xff"],
        [b"check", b"-c", b"x" * 120_000],
        [b"lookup", b"a" * 120_000, b"-c", b"none.toml"],
        [b"lookup", *[b"a"] * 5000],
        [b"--json"] * 1000,
    ],
    ids=lambda words: b" ".join(words)[:24].decode("ascii", "replace"),
)
def test_arguments_that_are_no_text_or_too_much_of_it(tmp_path, words):
    done = run(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd(), "LC_ALL": "C.UTF-8"})  # noqa: PTH109 -- a word for the environment
    assert done.returncode in {1, 2}, done
    clean(done.stderr)
    assert len(done.stderr) < 400_000


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / "root.json").write_text('{"signed": {"_type": "root"}, "signatures": []}')
    path = tmp_path / "blockd.toml"
    path.write_text(GOOD)
    return path


COMMANDS_THAT_PRINT: list[tuple[str, ...]] = [
    ("--help",),
    ("check", "-c", "blockd.toml"),
    ("lookup", "a.example", "-c", "blockd.toml", "--json"),
    ("completion", "bash"),
]


def plain_environment() -> dict[str, str]:
    """Without what a machine may say to its Pythons: buffered output fails at another place than unbuffered."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PYTHONPATH": os.getcwd()}  # noqa: PTH109


@pytest.mark.parametrize("words", COMMANDS_THAT_PRINT, ids=lambda words: words[0])
@pytest.mark.parametrize("how", ["closed", "full", "gone"])
def test_a_stream_that_takes_nothing(config, words, how):
    """stdout closed, a full device, and a reader that has gone: an exit code that is not 0, and no traceback."""
    prepare: Callable[[], None] | None = None
    if how == "closed":
        target, prepare = None, lambda: os.close(1)
    elif how == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, target = os.pipe()
        os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "blockd", *words], stdout=target, stderr=subprocess.PIPE, text=True, timeout=30, check=False, cwd=config.parent,
            preexec_fn=prepare, env=plain_environment(),
        )  # fmt: skip
    finally:
        if target is not None:
            os.close(target)
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    if words != ("--help",) or how != "closed":  # argparse then helps on stderr
        assert len([line for line in done.stderr.splitlines() if not line.startswith("warning: ")]) <= 1, done.stderr
    assert done.returncode >= 0, "it ended by a signal"
    if how == "full":
        assert done.returncode == 1, done.stderr
        assert done.stderr, "a disk that is full is said"
    if how == "gone":
        assert done.returncode in {1, 141}


@pytest.mark.parametrize("fd", [0, 2])
def test_without_stdin_or_stderr(config, fd):
    done = subprocess.run(
        [sys.executable, "-m", "blockd", "check", "-c", "none.toml"], stdout=subprocess.PIPE, timeout=30, check=False, cwd=config.parent,
        preexec_fn=lambda: os.close(fd), env={**os.environ, "PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )  # fmt: skip
    assert done.returncode == 1


def test_an_interrupt_is_no_traceback(config):
    """Ctrl-C while it waits for a daemon that does not answer."""
    done = subprocess.Popen(
        [sys.executable, "-m", "blockd", "run", "-c", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with done:
        time.sleep(0.3)
        done.send_signal(signal.SIGINT)
        output, _ = done.communicate(timeout=30)
    assert "Traceback" not in output
    assert done.returncode in {0, 1, 2, 130, -signal.SIGINT}
