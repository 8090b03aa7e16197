"""The control socket, from the command line's side: one JSON line there, one back."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from blockd.errors import Refused, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

CONNECT_S = 5.0
ANSWER_MAX_BYTES = 8 << 20


def call(path: Path, verb: str, timeout_s: float = 3600.0, **arguments: object) -> dict[str, Any]:
    """What the daemon says. Raises Unavailable when it does not run or does not answer, Refused when it says no (reason: its word).

    `timeout_s`: an update of a large list takes its time; the answer comes when every worker answers from it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(CONNECT_S)
        try:
            s.connect(str(path))
            s.settimeout(timeout_s)
            s.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            line = _line(s)
        except (FileNotFoundError, ConnectionRefusedError):
            raise Unavailable(
                f"nothing listens on {path}: blockd does not run, or its control role does not (systemctl status blockd)"
            ) from None
        except PermissionError:
            raise Unavailable(f"{path} is not yours to use: run this as root or as a member of blockd's group") from None
        except TimeoutError:
            raise Unavailable(f"the daemon did not answer within {timeout_s:.0f} s") from None
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from None
    try:
        answer = json.loads(line)
    except ValueError:
        raise Unavailable("the daemon ended in the middle of its answer: look at its log") from None
    if not isinstance(answer, dict):
        raise Unavailable("the daemon's answer is not one of this version: restart it after an upgrade")
    if "error" in answer:
        raise Refused(str(answer.get("reason", "refused")), str(answer["error"]))
    return answer


def _line(s: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        more = s.recv(65536)
        if not more:
            break
        data += more
        if len(data) > ANSWER_MAX_BYTES:
            raise Unavailable(f"the daemon's answer is longer than {ANSWER_MAX_BYTES} octets")
    return bytes(data)
