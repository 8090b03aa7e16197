"""The yardstick of load_udp.py: what one writes in an afternoon. An asyncio datagram protocol, dnslib to parse and build, a set of names to block.

    python bench/dnslib_responder.py PORT LISTFILE [--uvloop]

It answers a listed name (or one under it) with NXDOMAIN, an SOA and EDE 15, as blockd does, and anything else with REFUSED.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import dnslib


def answer(listed: frozenset[str], wire: bytes) -> bytes:
    query = dnslib.DNSRecord.parse(wire)
    reply = query.reply(ra=1, aa=0)
    labels = str(query.q.qname).lower().rstrip(".").split(".")
    if any(".".join(labels[i:]) in listed for i in range(len(labels))):
        reply.header.rcode = 3
        soa = dnslib.SOA("localhost.", "nobody.invalid.", (1, 3600, 600, 86400, 30))
        reply.add_auth(dnslib.RR(query.q.qname, dnslib.QTYPE.SOA, rdata=soa, ttl=30))
        reply.add_ar(dnslib.EDNS0(udp_len=1232, opts=[dnslib.EDNSOption(15, b"\0\x0f")]))
    else:
        reply.header.rcode = 5
    return bytes(reply.pack())


class Responder(asyncio.DatagramProtocol):
    def __init__(self, listed: frozenset[str]) -> None:
        self.listed = listed

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(answer(self.listed, data), addr)


async def serve(port: int, listed: frozenset[str]) -> None:
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: Responder(listed), local_addr=("127.0.0.1", port))
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("list", type=Path)
    parser.add_argument("--uvloop", action="store_true")
    args = parser.parse_args()
    listed = frozenset(args.list.read_text(encoding="ascii").split())
    if args.uvloop:
        import uvloop

        uvloop.run(serve(args.port, listed))
    else:
        asyncio.run(serve(args.port, listed))


if __name__ == "__main__":
    main()
