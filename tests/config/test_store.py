from __future__ import annotations

import os
import re

import pytest

from blockd.config import store
from blockd.config.load import examine
from tests.config.documents import MINIMAL

FEED = '[[feeds]]\nname = "f"\nurl = "https://f.example"\nroot = "root.json"\n[[lists]]\nname = "f/l"\n'


SNAPSHOT = '{"signed": {"_type": "snapshot"}}'


def write(folder, text=MINIMAL + FEED, root='{"signed": {"_type": "root"}}'):
    (folder / "blockd.toml").write_text(text)
    if root is not None:
        (folder / "root.json").write_text(root)
    return folder / "blockd.toml"


def test_the_file_and_conf_d_in_the_order_of_names(tmp_path):
    path = write(tmp_path)
    (tmp_path / "conf.d").mkdir()
    for name in ("20-b.toml", "10-a.toml", ".hidden.toml", "notes.txt", "30.toml.bak"):
        (tmp_path / "conf.d" / name).write_text("")
    assert [s.name for s in store.sources(path)] == [str(path), *(str(tmp_path / "conf.d" / n) for n in ("10-a.toml", "20-b.toml"))]


def test_paths_in_conf_d_start_from_the_main_files_folder(tmp_path):
    path = write(tmp_path, MINIMAL)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "feed.toml").write_text(FEED)
    report = examine(path)
    assert report.config, report.faults
    assert report.config.feeds[0].root == tmp_path / "root.json"


def test_a_file_that_is_not_there_says_what_to_do(tmp_path):
    source = store.read(tmp_path / "none.toml")
    assert "no such file" in source.fault
    assert "blockd init" in source.fault


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FILE_MAX_BYTES", 10)
    (tmp_path / "x.toml").write_text("a" * 11)
    assert "larger" in store.read(tmp_path / "x.toml").fault


def test_too_many_files_are_a_fault(tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.setattr(store, "FILES_MAX", 1)
    (tmp_path / "conf.d").mkdir()
    for name in "ab":
        (tmp_path / "conf.d" / f"{name}.toml").write_text("")
    assert any("more than 1 files" in fault for fault in examine(path).faults)


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "blockd.toml").mkdir()
    assert examine(tmp_path / "blockd.toml").faults == (
        f"{tmp_path}/blockd.toml: Is a directory: name the file in it, {tmp_path}/blockd.toml/blockd.toml",
    )


@pytest.mark.parametrize(
    ("root", "says"),
    [(None, "No such file"), ("<html>", "not TUF root"), ("[]", "not TUF root"), ('{"signed": {"_type": "snapshot"}}', "not TUF root")],
)
def test_a_root_that_is_none(tmp_path, root, says):
    (fault,) = examine(write(tmp_path, root=root)).faults
    assert f"{tmp_path}/blockd.toml:6: feeds[1].root: " in fault
    assert says in fault


@pytest.mark.parametrize("key", ["token_file", "identity"])
def test_a_secret_file_that_is_not_there(tmp_path, key):
    (fault,) = examine(write(tmp_path, MINIMAL + FEED.replace("[[lists]]", f'{key} = "none"\n[[lists]]'))).faults
    assert f"blockd.toml:7: feeds[1].{key}: " in fault


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two accounts")
def test_a_root_that_is_not_ours_to_read(tmp_path):
    path = write(tmp_path)
    (tmp_path / "root.json").chmod(0)
    tmp_path.chmod(0o755)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(tmp_path)
            os.setuid(65534)
            os.write(writing, "\n".join(examine(path.relative_to(tmp_path)).faults).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        assert b"feeds[1].root" in (said := pipe.read())
        assert b"Permission denied" in said


def test_accounts_that_this_machine_lacks_are_a_warning(tmp_path):
    text = '[run]\nuser = "nobody-here"\n' + MINIMAL + FEED + '[admin.roles]\noperator = ["root", "no-such-team"]\n'
    report = examine(write(tmp_path, text))
    assert report.config
    assert [w.split(": ")[1] for w in report.warnings] == ["run.user", "admin.roles.operator[2]"]


def test_a_secret_that_others_can_read_is_a_warning(tmp_path):
    (tmp_path / "identity").write_text("x")
    (tmp_path / "identity").chmod(0o644)
    text = MINIMAL + FEED.replace("[[lists]]", 'identity = "identity"\n[[lists]]')
    report = examine(write(tmp_path, text))
    assert report.config
    assert any("chmod 600" in warning for warning in report.warnings)


def test_plain_http_beyond_loopback_is_a_fault(tmp_path):
    for url, good in [
        ("http://192.0.2.1/tuf", False),
        ("http://user@[2001:db8::1]:80/", False),
        ("http://127.0.0.1:8080/tuf", True),
        ("http://[::1]/", True),
    ]:
        text = re.sub(r'url = "[^"]*"', f'url = "{url}"', MINIMAL + FEED)
        assert bool(examine(write(tmp_path, text)).config) is good, url


UPSTREAM_CA = '[dns]\nupstreams = ["tls://resolver.example@198.51.99.53"]\nupstream_ca = "ca.pem"\n'


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), (b"", "holds no certificate"), (b"-----BEGIN PRIVATE KEY-----", "holds no certificate")]
)
def test_authorities_for_upstreams_that_are_none(tmp_path, content, says):
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    (fault,) = examine(write(tmp_path, UPSTREAM_CA)).faults
    assert f"{tmp_path}/blockd.toml:3: dns.upstream_ca: {tmp_path}/ca.pem: " in fault
    assert says in fault


def test_authorities_for_upstreams(tmp_path):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert not examine(write(tmp_path, UPSTREAM_CA)).faults
