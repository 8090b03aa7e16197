"""What a TLS connection to an upstream must be, and what to say when it is not: DNS over TLS (RFC 7858), strict profile (RFC 8310 §5).

- The certificate must be valid for the name in the configuration, by its subject alternative names (RFC 8310 §8.1); without that nothing is sent,
  and nothing goes out unencrypted in its place. TLS 1.2 or later. ALPN says ``dot``; a server that knows no ALPN is taken.
- Sessions are resumed (RFC 7858 §3.4), so that a new connection costs one round trip less. The event loop knows nothing of sessions: the context
  gives the last one of the upstream to each connection that it makes.
- Queries are padded to a multiple of PADDING_OCTETS (RFC 8467 §4.1, RFC 7830), so that their size tells nothing of the name.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from blockd.dns.upstreams import Broken

if TYPE_CHECKING:
    from pathlib import Path

PADDING_OCTETS = 128
OPTION_PADDING = 12  # RFC 7830 §3
_OPTION_HEAD_OCTETS = 4
_OPT_OCTETS = 11  # an OPT record without options
_OPT_TYPE = b"\0\0\x29"  # the root's name, then OPT

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_YET, _EXPIRED, _REVOKED = 9, 10, 23
_UNTRUSTED = frozenset({2, 18, 19, 20, 21, 24, 26})
_OTHER_NAME = frozenset({62, 64})


class UpstreamContext(ssl.SSLContext):
    """The context of one upstream: strict, and with its last session. The name is fixed, so no session is offered to another server."""

    session: ssl.SSLSession | None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as in ssl
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection; called by the event loop."""
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or self.session)


def context(authorities: Path | None) -> UpstreamContext:
    """Make one. `authorities`: PEM file of those that are believed, None: the system's. OSError (ssl.SSLError is one) when it can't be used."""
    made = UpstreamContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    made.session = None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.hostname_checks_common_name = False
    made.set_alpn_protocols(["dot"])
    if authorities is None:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        made.load_verify_locations(cafile=authorities)
    return made


def what_broke(error: BaseException | None, name: str) -> tuple[Broken, str]:
    """Say of a failed TLS connection what was wrong, for counters and for a person. `name`: the one that the certificate must have."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _OTHER_NAME:
            return (
                Broken.CERTIFICATE,
                f"its certificate is not for {name}: nothing is sent to it; correct the name in dns.upstreams, or its certificate",
            )
        if code in {_EXPIRED, _NOT_YET}:
            when = "has expired" if code == _EXPIRED else "is not valid yet"
            return (
                Broken.CERTIFICATE,
                f"its certificate {when}: nothing is sent to it; it needs a new one, or this machine's clock is wrong",
            )
        if code in _UNTRUSTED:
            return (
                Broken.CERTIFICATE,
                "its certificate is not from an authority that is trusted here: nothing is sent to it; see dns.upstream_ca",
            )
        what = "was revoked" if code == _REVOKED else f"is not valid (OpenSSL's verify error {code})"
        return Broken.CERTIFICATE, f"its certificate {what}: nothing is sent to it"
    if isinstance(error, ssl.SSLError):
        reason = str(getattr(error, "reason", None) or "no reason given").replace("_", " ").lower()
        return Broken.HANDSHAKE, f"TLS does not come about: {reason}"
    return Broken.HANDSHAKE, "it ends connections while TLS is being set up: is there a DNS-over-TLS server at this port?"


def pad(query: bytes) -> bytes:
    """Pad a query that ends in an OPT record without options; another is left as it is."""
    opt = query[-_OPT_OCTETS:]
    if opt[:3] != _OPT_TYPE or opt[-2:] != b"\0\0":
        return query
    octets = -(len(query) + _OPTION_HEAD_OCTETS) % PADDING_OCTETS
    head = (_OPTION_HEAD_OCTETS + octets).to_bytes(2, "big") + OPTION_PADDING.to_bytes(2, "big") + octets.to_bytes(2, "big")
    return query[:-2] + head + bytes(octets)
