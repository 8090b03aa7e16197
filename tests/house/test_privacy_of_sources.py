"""The privacy law, as far as sources show it: no log call, error or label speaks of a client or a name.

The live proof (a daemon at DEBUG, canary addresses and names, every byte it writes scanned) is tests/system/test_privacy.py.
"""

from __future__ import annotations

import ast

import pytest

from tests.house.sources import modules, relative, tree

LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
FORBIDDEN = {
    "addr",
    "address",
    "peer",
    "peername",
    "client",
    "client_ip",
    "ip",
    "remote",
    "qname",
    "wire",
    "packet",
    "host",
    "request",
    "headers",
    "user_agent",
    "cookie",
}
ALLOWED_IN = {
    "control/": {"address"},  # the supervisor names the listening address that is in use
    "dns/server.py": set(),
}


def log_calls(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOG_METHODS:
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if "log" in name.lower():
                yield node


def spoken(node):
    for arg in [*node.args, *(k.value for k in node.keywords)]:
        for inner in ast.walk(arg):
            if isinstance(inner, ast.Name):
                yield inner.id
            elif isinstance(inner, ast.Attribute):
                yield inner.attr


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_log_calls_name_nobody(path):
    name = relative(path)
    allowed = set().union(*(words for prefix, words in ALLOWED_IN.items() if name.startswith(prefix)))
    for call in log_calls(path):
        said = FORBIDDEN.intersection(spoken(call)) - allowed
        assert not said, f"{name}:{call.lineno} logs {sorted(said)}"


@pytest.mark.parametrize("path", [p for p in modules() if relative(p).startswith(("dns/", "stop_page/"))], ids=relative)
def test_no_traceback_is_logged_where_clients_are(path):
    for call in log_calls(path):
        assert call.func.attr != "exception", f"{relative(path)}:{call.lineno}: a traceback quotes values"
        assert not any(k.arg == "exc_info" for k in call.keywords), f"{relative(path)}:{call.lineno}: a traceback quotes values"
