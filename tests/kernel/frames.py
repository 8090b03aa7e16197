"""Ethernet frames made and read by hand, checksums verified: what the XDP tests put into the program and take out of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000002")
SERVER4, CLIENT4 = "192.0.2.1", "198.51.100.7"
SERVER6, CLIENT6 = "2001:db8::1", "2001:db8:1::7"


def checksum(octets: bytes) -> int:
    """RFC 1071; 0 over octets that hold their own checksum."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def udp(source: str, target: str, from_port: int, to_port: int, payload: bytes, *, summed: bool = True) -> bytes:
    length = 8 + len(payload)
    head = struct.pack(">HHHH", from_port, to_port, length, 0)
    pseudo = ip_address(source).packed + ip_address(target).packed + struct.pack(">I", length) + b"\0\0\0\x11"
    total = (checksum(pseudo + head + payload) or 0xFFFF) if summed else 0
    return head[:6] + struct.pack(">H", total) + payload


def ipv4(source: str, target: str, payload: bytes, *, protocol: int = 17, fragment: int = 0, hops: int = 64, options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, 4 * words + len(payload), 1, fragment, hops, protocol, 0)
    head += ip_address(source).packed + ip_address(target).packed + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(source: str, target: str, payload: bytes, *, protocol: int = 17, hops: int = 64) -> bytes:
    return struct.pack(">IHBB", 0x60012345, len(payload), protocol, hops) + ip_address(source).packed + ip_address(target).packed + payload


def ethernet(payload: bytes, *tags: int, to: bytes = MAC, kind: int | None = None) -> bytes:
    if kind is None:
        kind = 0x0800 if payload[0] >> 4 == 4 else 0x86DD
    tagged = b"".join(struct.pack(">HH", 0x88A8 if len(tags) > 1 and at == 0 else 0x8100, tag) for at, tag in enumerate(tags))
    return to + PEER + tagged + struct.pack(">H", kind) + payload


def query4(payload: bytes, *tags: int, source: str = CLIENT4, port: int = 40000, to: int = 53, **more: int) -> bytes:
    return ethernet(ipv4(source, SERVER4, udp(source, SERVER4, port, to, payload), **more), *tags)


def query6(payload: bytes, *tags: int, source: str = CLIENT6, port: int = 40000, to: int = 53, **more: int) -> bytes:
    return ethernet(ipv6(source, SERVER6, udp(source, SERVER6, port, to, payload), **more), *tags)


@dataclass(frozen=True)
class Datagram:
    """What a frame holds."""

    source: str
    target: str
    from_port: int
    to_port: int
    payload: bytes


def read(frame: bytes) -> Datagram:
    """Read a frame that must be right in every length and checksum, and turned round."""
    assert frame[:6] == PEER
    assert frame[6:12] == MAC
    at = 12
    while frame[at : at + 2] in {b"\x81\x00", b"\x88\xa8"}:
        at += 4
    kind, at = frame[at : at + 2], at + 2
    if kind == b"\x08\x00":
        head = frame[at : at + 20]
        assert head[0] == 0x45
        assert checksum(head) == 0
        assert struct.unpack(">H", head[2:4])[0] == len(frame) - at
        assert head[6:8] == b"\x40\x00"
        assert (head[8], head[9]) == (64, 17)
        source, target, at = head[12:16], head[16:20], at + 20
    else:
        head = frame[at : at + 40]
        assert struct.unpack(">H", head[4:6])[0] == len(frame) - at - 40
        assert head[:4] == b"\x60\0\0\0"
        assert (head[6], head[7]) == (17, 64)
        source, target, at = head[8:24], head[24:40], at + 40
    body = frame[at:]
    from_port, to_port, length, _ = struct.unpack(">HHHH", body[:8])
    assert length == len(body)
    assert checksum(source + target + struct.pack(">I", length) + b"\0\0\0\x11" + body) == 0
    return Datagram(str(ip_address(source)), str(ip_address(target)), from_port, to_port, body[8:])
