"""Every way that a command line can end, and that looking for help costs nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import types

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockd import __version__
from blockd.cli import main as cli
from blockd.errors import Corrupt, Misconfigured, Refused, Unavailable

HELP_MAX_S = 0.1


@pytest.fixture
def command(monkeypatch):
    """A command whose run is what the test gives."""

    def install(work):
        def add_parser(subparsers):
            subparsers.add_parser("probe").set_defaults(run=work)

        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command("probe", "probe_command", "a probe"))
        monkeypatch.setitem(sys.modules, "blockd.cli.probe_command", types.SimpleNamespace(add_parser=add_parser))
        return lambda: cli.main(["probe"])

    return install


def raising(error):
    def work(_):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (Refused("x", "the feed's signature is not valid"), 1, ["blockd: the feed's signature is not valid"]),
        (Unavailable("nobody answers"), 1, ["blockd: nobody answers"]),
        (Corrupt("damaged"), 1, ["blockd: damaged"]),
        (Misconfigured("a.toml:1: x", "a.toml:2: y"), 2, ["blockd: a.toml:1: x", "blockd: a.toml:2: y"]),
        (Refused("x", "two\nlines\x1b[2J"), 1, ["blockd: two lines [2J"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_each_error_has_its_exit_and_its_lines(command, capsys, error, code, lines):
    assert command(raising(error))() == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == lines


def test_a_fault_of_our_own_says_where_and_nothing_of_its_values(command, capsys, monkeypatch):
    monkeypatch.delenv("BLOCKD_DEBUG", raising=False)

    def work(_):
        from blockd.config.lines import index

        return index(None)

    assert command(work)() == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "config/lines.py:" in err
    assert "AttributeError" in err
    assert "NoneType" not in err  # the message may quote a value
    assert "BLOCKD_DEBUG=1" in err


def test_the_message_of_our_own_fault_is_not_shown(command, capsys, monkeypatch):
    monkeypatch.delenv("BLOCKD_DEBUG", raising=False)
    assert command(raising(KeyError("secret.example")))() == 1
    assert "secret" not in capsys.readouterr().err


def test_debug_shows_the_traceback(command, monkeypatch):
    monkeypatch.setenv("BLOCKD_DEBUG", "1")
    with pytest.raises(KeyError):
        command(raising(KeyError("x")))()


def test_the_exit_code_is_what_the_command_says(command):
    assert command(lambda _: 1)() == 1
    assert command(lambda _: 0)() == 0


def test_a_module_that_is_not_there_is_not_fatal(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "later", cli.Command("later", "no_such_module", "comes later"))
    assert cli.main(["later"]) == 2
    assert capsys.readouterr().err == "blockd: 'blockd later' is not part of this installation\n"
    assert "later" not in str(cli.parser().format_help())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["chek"], "there is no command 'chek'; did you mean check?"),
        (["zzzz"], "there is no command 'zzzz'."),
        (["-c", "x.toml", "check"], "-c stands before the command"),
        (["check", "--jsn"], "blockd check: does not take --jsn; did you mean --json?"),
        (["lists", "upd"], "did you mean update?"),
        (["lists", "update", "--al"], "blockd lists update: does not take --al; did you mean --all?"),
        (["lists"], "blockd lists: "),
        (["lookup"], "blockd lookup: "),
        (["a\x1b[2J"], "there is no command"),
    ],
)
def test_used_wrongly(capsys, words, says):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_no_words_show_the_help_and_are_used_wrongly(capsys):
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: blockd COMMAND" in err


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"blockd {__version__}\n"


def test_help_lists_every_command_in_its_group(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for title, commands in cli.GROUPS:
        assert f"\n{title}:\n" in out
        for command in commands:
            assert f"  {command.name} " in out
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help_with_its_own_name(capsys, name):
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: blockd {name}")


WORDS = st.one_of(
    st.sampled_from(
        [
            "check",
            "status",
            "lookup",
            "lists",
            "completion",
            "update",
            "kill",
            "approve",
            "show",
            "--json",
            "--all",
            "--reason",
            "--reason=x",
            "--for",
            "--for=2h",
            "--for=x",
            "-c",
            "-cx",
            "-h",
            "--help",
        ]
    ),
    st.sampled_from(["--version", "--", "-", "f/a", "bash", "casino.example", "http://a/b", "--list-names"]),
    st.text(max_size=8),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=st.lists(WORDS, max_size=6))
def test_any_command_line_ends_in_an_exit_code_and_whole_lines(capsys, tmp_path, words):
    # The default configuration is one that is not there: nothing outside is touched.
    words = [word.replace("\0", "") for word in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("blockd.cli.parser.CONFIG", tmp_path / "none.toml")
        code = cli.main(words)
    out, err = capsys.readouterr()
    assert code in {0, 1, 2}
    assert "Traceback" not in out + err
    assert "fault of blockd itself" not in err
    assert code == 0 or err or out
    assert "\x1b" not in err
    if code and "usage:" not in err:
        assert err.count("\n") <= 2


def in_a_process(*words, **kwargs):
    return subprocess.run([sys.executable, "-m", "blockd", *words], capture_output=True, text=True, timeout=30, check=False, **kwargs)


def test_help_imports_no_command():
    code = (
        "import sys; from blockd.cli.main import main; main(['--help']); print(*sorted(m for m in sys.modules if m.startswith('blockd')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded == ["blockd", "blockd.cli", "blockd.cli.main", "blockd.cli.parser", "blockd.errors"]


def test_help_is_there_before_one_notices():
    # Processor time, the best of several: the machine may be busy, the work is always the same.
    def once():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert in_a_process("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(5)) < HELP_MAX_S


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_traceback(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    words = [sys.executable, "-m", "blockd", "--help"]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False, env=environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_module_form_is_the_command():
    done = in_a_process("lookup")
    assert done.returncode == 2
    assert "blockd lookup" in done.stderr
