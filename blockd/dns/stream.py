"""DNS over a stream, decided without moving a byte: framing, and how long a client is listened to (RFC 7766, RFC 9210).

:class:`Framer` takes messages out of a stream of octets; both sides of the resolver use it. :class:`Conversation` is one client's
connection: it says which message is next, whether to read on, and when to close.

- Messages may come split anywhere, the length included, and several at once (RFC 7766 §8). Answers go out as they come (§7).
- A query longer than QUERY_MAX_BYTES ends the connection: no question needs it (RFC 7766 §8 allows a limit).
- A client may have IN_FLIGHT_MAX queries under way; what it sends beyond is not read until one is answered.
- What is no stream of messages is not read on: earlier queries are answered, our side is closed, and what still comes is thrown away until
  the client closes too, for LINGER_MS and LINGER_MAX_BYTES at most. Closing at once would reset the connection, and a reset
  overtakes answers that are on their way (RFC 1122 §4.2.2.13).
- It is closed when it is idle for IDLE_MS (RFC 7766 §6.2.3), when a message that it began is not whole after MESSAGE_MS, when it does
  not take its answers for WRITE_MS, and when it has closed its side and everything is answered.
"""

from __future__ import annotations

from blockd.errors import Refused

QUERY_MAX_BYTES = 4096
ANSWER_MAX_BYTES = 65535  # RFC 1035 §4.2.2
IN_FLIGHT_MAX = 64  # queries of one connection
IDLE_MS = 8000
MESSAGE_MS = 5000
WRITE_MS = 5000
LINGER_MS = 1000
LINGER_MAX_BYTES = 128 << 10


class Framer:
    """Messages out of a stream: two octets of length, then the message (RFC 1035 §4.2.2)."""

    __slots__ = ("_at", "_data", "_size_max")

    def __init__(self, size_max_bytes: int) -> None:
        self._data = bytearray()
        self._at = 0
        self._size_max = size_max_bytes

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    def take(self) -> bytes | None:
        """Give the next message, None when it is not there yet. Refused: oversized, empty; the stream is of no more use."""
        at, data = self._at, self._data
        if len(data) - at < 2:
            return None
        length = data[at] << 8 | data[at + 1]
        if length > self._size_max:
            raise Refused("oversized", "a message on a stream is longer than its limit")
        if not length:
            raise Refused("empty", "a message on a stream is empty")
        end = at + 2 + length
        if len(data) < end:
            return None
        self._at = end
        return bytes(data[at + 2 : end])

    @property
    def begun(self) -> bool:
        """Tell whether octets of a message are waiting."""
        return len(self._data) > self._at


class Conversation:
    """One client's connection. `now_ms` of any monotonic clock."""

    __slots__ = ("_begun_ms", "_discarded", "_framer", "_stuck_ms", "_touched_ms", "broken", "ended", "idle_ms", "in_flight")

    def __init__(self, now_ms: int, size_max_bytes: int = QUERY_MAX_BYTES) -> None:
        self._framer = Framer(size_max_bytes)
        self._touched_ms = now_ms
        self._begun_ms: int | None = None  # when the message that is not whole was begun
        self._stuck_ms: int | None = None  # since when the client does not take its answers
        self.idle_ms = IDLE_MS
        self.in_flight = 0
        self.ended = False  # the client sends no more
        self.broken = False  # it is not listened to any more: what it sent is no stream of messages, or it may not ask
        self._discarded = 0  # octets since then

    def receive(self, data: bytes, now_ms: int) -> None:
        """Take what was read."""
        if self.broken:
            self._discarded += len(data)
            return
        self._framer.feed(data)
        self._touched_ms = now_ms
        if self._begun_ms is None:
            self._begun_ms = now_ms

    def take(self, now_ms: int) -> bytes | None:
        """Give the next query, which is then in flight; None when there is none, or no more may be in flight."""
        if self.broken or self.in_flight >= IN_FLIGHT_MAX or self._stuck_ms is not None:
            return None
        try:
            message = self._framer.take()
        except Refused:
            self.broken = True
            return None
        if message is None:
            if not self._framer.begun:
                self._begun_ms = None
            return None
        self.in_flight += 1
        self._begun_ms = now_ms
        return message

    def answered(self, now_ms: int) -> None:
        """A query has its answer, or gets none."""
        self.in_flight -= 1
        self._touched_ms = now_ms

    def refuse(self) -> None:
        """Listen no more; what is in flight is answered."""
        self.broken = True

    def end(self) -> None:
        """The client has closed its side; what it asked is still answered."""
        self.ended = True

    def stuck(self, now_ms: int) -> None:
        """The client does not take its answers."""
        if self._stuck_ms is None:
            self._stuck_ms = now_ms

    def flowing(self, now_ms: int) -> None:
        """It takes them again."""
        self._stuck_ms = None
        self._touched_ms = now_ms

    @property
    def reads(self) -> bool:
        """Tell whether more may be read."""
        if self.broken:
            return not (self.ended or self.in_flight)
        return not (self.ended or self._stuck_ms is not None or self.in_flight >= IN_FLIGHT_MAX)

    @property
    def full(self) -> bool:
        """Tell whether no more queries may be in flight."""
        return self.in_flight >= IN_FLIGHT_MAX

    @property
    def finished(self) -> bool:
        """Tell whether to close our side: nothing more will come, and nothing is in flight."""
        return (self.broken or self.ended) and not self.in_flight

    def expired(self, now_ms: int) -> bool:
        """Tell whether its time is up."""
        if self._discarded > LINGER_MAX_BYTES:
            return True
        if self._stuck_ms is not None:
            return now_ms - self._stuck_ms >= WRITE_MS
        if self.in_flight:
            return False  # the resolver's own deadline ends that
        if self.broken:
            return now_ms - self._touched_ms >= LINGER_MS
        if self._begun_ms is not None and self._framer.begun:
            return now_ms - self._begun_ms >= MESSAGE_MS
        return now_ms - self._touched_ms >= self.idle_ms
