"""The few errors, named for what the caller does next.

========================  ==========================================  =============================================
error                     meaning                                     what happens
========================  ==========================================  =============================================
:class:`Refused`          outside input is bad                        FORMERR, skip the line, keep the old list
:class:`Unavailable`      the other side did not answer in time       try another, later; serve stale
:class:`Misconfigured`    a person must act                           every fault listed; ``run`` exits 2
:class:`Corrupt`          our own stored state fails its check        fall back to the last good generation, alarm
``AssertionError``        our bug                                     the role dies and is restarted
========================  ==========================================  =============================================

A message is one line, says what to do next where that helps, and never holds a client's address, a queried
name, or an entry of a secret list.
"""

from __future__ import annotations


class BlockdError(Exception):
    """What the command line prints as one line. Never raised itself."""


class Refused(BlockdError):
    """Outside input is bad. `reason` is one of a closed set of words, fit to be a metric label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unavailable(BlockdError):
    """The other side did not answer in time, or there is no way to it now."""


class Misconfigured(BlockdError):
    """A person must act. `faults` holds every fault found, one line each, as ``file:line: what``."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Corrupt(BlockdError):
    """Our own stored state fails its check."""
