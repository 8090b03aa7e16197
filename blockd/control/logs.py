"""Log lines: one a line on standard error, for people at night: what happened, what it means, what to do.

No line holds a client's address or a name that was asked, at any level; a test reads every log call (tests/house), another one every byte
written (tests/system). An exception is logged by its type and the place in our code where it was raised, never by its text or values:
those could quote what a client sent.

`BLOCKD_LOG=debug` shows more. There is no date: the journal has one; without a journal there is ``BLOCKD_LOG_TIME=1``.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

from blockd.errors import BlockdError

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Line(logging.Formatter):
    """One line, and no traceback."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text.replace("\n", " | ")

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- the library names it
        return where(ei[1])


def where(error: BaseException | None) -> str:
    """The type of an exception and the last place in blockd's code that it passed: ``KeyError at control/update.py:12``.

    The message is shown for blockd's own errors alone: they are written to be shown.
    """
    if error is None:
        return "no exception"
    if isinstance(error, BlockdError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} at {_place(error.__traceback__)}"
    return f"{type(error).__name__} at {_place(error.__traceback__)}"


def _place(trace: TracebackType | None) -> str:
    for frame in reversed(traceback.extract_tb(trace)):
        if "/blockd/" in frame.filename:
            return f"{frame.filename.rsplit('/blockd/', 1)[1]}:{frame.lineno}"
    return "an unknown place"


def set_up(role: str) -> None:
    """Send every logger of this process to standard error in our form."""
    handler = logging.StreamHandler(sys.stderr)
    time = "%(asctime)s " if os.environ.get("BLOCKD_LOG_TIME") else ""
    handler.setFormatter(_Line(f"{time}%(levelname)s {role}: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS.get(os.environ.get("BLOCKD_LOG", "info"), logging.INFO))
    # Libraries that log what clients send (aiohttp quotes requests and addresses) or where we connect (urllib3) do not log here at all.
    for name in ("aiohttp", "aiohttp.server", "aiohttp.access", "aiohttp.web", "urllib3", "tuf", "securesystemslib"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False
    logging.getLogger("asyncio").setLevel(logging.WARNING)  # below that it tells peers' addresses
    sys.excepthook = _excepthook


def _excepthook(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    logging.getLogger("blockd").critical("this process ends: %s", where(error))


def loop_exception_handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For asyncio: a task or callback that failed, by place alone."""
    logging.getLogger("blockd").error("a task failed: %s", where(context.get("exception")))
