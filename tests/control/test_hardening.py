from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys

import pytest

from blockd.control import hardening
from blockd.errors import Misconfigured, Unavailable


def in_child(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_no_core_dump_and_no_debugger():
    assert in_child("import resource, ctypes; from blockd.control import hardening as h; h.no_dumps(); "
                    "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))") == "(0, 0) 0"  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_becomes_the_user_for_good():
    said = in_child("import os; from blockd.control import hardening as h; h.drop_to('nobody'); print(os.getresuid(), os.getgroups() == [os.getgid()])\n"
                    "try:\n    os.setuid(0)\nexcept PermissionError:\n    print('no way back')")  # fmt: skip
    uid = pwd.getpwnam("nobody").pw_uid
    assert said.splitlines() == [f"{(uid, uid, uid)} True", "no way back"]


def test_a_user_that_is_not_there():
    with pytest.raises(Misconfigured, match="no user no-such-user"):
        hardening.drop_to("no-such-user")


def test_folders_are_made_for_the_user(tmp_path):
    folder = tmp_path / "a" / "b"
    hardening.prepare_folders([folder], "nobody" if os.geteuid() == 0 else "")
    assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0
    if os.geteuid() == 0:
        assert folder.stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("top", [0, pwd.getpwnam("nobody").pw_uid])
def test_what_root_left_there_is_the_users_too(tmp_path, top):
    """`blockd run` as root once, or a backup that root put back: the user could not open its own record."""
    state = tmp_path / "state"
    (state / "audit").mkdir(parents=True)
    (state / "audit" / "entries.jsonl").write_text("")
    (state / "current").symlink_to("generations/1")
    os.chown(state, top, top)
    hardening.prepare_folders([state], "nobody")
    uid = pwd.getpwnam("nobody").pw_uid
    assert {p.lstat().st_uid for p in (state, *state.rglob("*"))} == {uid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_of_others_is_not_given_away(tmp_path):
    """runtime_dir = "/run" must not make blockd's user the owner of all that lies in /run."""
    (tmp_path / "other.service").mkdir()
    (tmp_path / "other.service" / "secret").write_text("")
    with pytest.raises(Unavailable, match="other things than blockd's"):
        hardening.prepare_folders([tmp_path], "nobody")
    assert (tmp_path / "other.service" / "secret").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_links_in_a_folder_lead_root_nowhere(tmp_path):
    """Someone who may write into the state directory hopes that root gives them another file."""
    state, target = tmp_path / "state", tmp_path / "shadow"
    target.write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("")
    state.mkdir()
    (state / "table.key").symlink_to(target)
    (state / "audit").symlink_to(tmp_path / "folder")
    os.link(target, state / "node.pem")
    hardening.prepare_folders([state], "nobody")
    assert [p.stat().st_uid for p in (target, tmp_path / "folder", tmp_path / "folder" / "inside")] == [0, 0, 0]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="make it"):
        hardening.prepare_folders([tmp_path / "file" / "below"], "")


def test_a_role_does_not_outlive_its_supervisor():
    with pytest.raises(Unavailable, match="supervisor has ended"):
        hardening.end_with_parent(1 if os.getppid() != 1 else 2)
    subprocess.run([sys.executable, "-c", "pass"], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_role_gets_its_capabilities_and_no_other_does():
    said = in_child(
        "import subprocess; from functools import partial; from blockd.control import hardening as h, roles as r\n"
        "caps = r.capabilities(('xdp',)); h.drop_to('nobody', caps)\n"
        "for role in ('resolver', 'xdp'):\n"
        "    give = partial(h.pass_on, r.CAPABILITIES.get(role, frozenset()), caps)\n"
        "    print(subprocess.run(['grep', 'CapEff', '/proc/self/status'], preexec_fn=give, capture_output=True, text=True).stdout.split()[1])\n"
    )
    assert [int(line, 16) for line in str(said).split()] == [0, 1 << 12 | 1 << 38 | 1 << 39]
