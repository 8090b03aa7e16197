"""Where each count lives in a slab: fixed cells first, then policy cells that the generation assigns.

A slab is an array of uint64 in a file that a worker and the control process both map. A cell only grows. Nobody but
the worker writes its slab, so an increment needs no lock. The C core gets the offsets as :data:`NATIVE`.
"""

from __future__ import annotations

from typing import Final

from blockd.terms import Source, Transport

TYPES: Final = (
    "A", "NS", "CNAME", "SOA", "PTR", "MX", "TXT", "AAAA", "SRV", "NAPTR", "DS", "RRSIG", "DNSKEY", "TLSA", "SVCB", "HTTPS", "ANY", "CAA",
    "other",
)  # fmt: skip
"""The label `type`: known types by name, everything else together."""

TYPE_CODES: Final = (1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 43, 46, 48, 52, 64, 65, 255, 257)
"""The codes of TYPES, in the same order; `other` has none."""

FAMILIES: Final = ("ipv4", "ipv6")
RCODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "BADVERS", "other")
RCODE_CODES: Final = (0, 1, 2, 3, 4, 5, 16)

DURATION_BOUNDS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the request-duration histogram, seconds; +Inf follows. One more cell holds the sum in nanoseconds."""

LIMITS: Final = (
    "cache", "pending", "tcp_connections", "tcp_connections_per_client", "tcp_queries", "upstream_sockets", "answer_records",
    "udp_receive", "stop_page_connections", "failure_cache", "hits", "update_queue", "rate", "ring", "forward_waiters", "xdp_rate",
)  # fmt: skip
"""The label `limit` of ``blockd_limit_reached_total``."""

STATUSES: Final = (403, 451, 421, 400, 503)
"""The label `status` of ``blockd_stop_page_responses_total``. 421: nothing is blocked under that name here."""

LANGUAGES: Final = ("en", "fr", "ar", "none")

REQUESTS: Final = 0  # + (transport * 2 + family) * len(TYPES) + type
RESPONSES: Final = REQUESTS + len(Transport) * len(FAMILIES) * len(TYPES)  # + rcode * len(Source) + source
DURATIONS: Final = RESPONSES + len(RCODES) * len(Source)  # + source * (len(BOUNDS) + 2): buckets (not cumulative), +Inf, sum in ns
LIMIT: Final = DURATIONS + len(Source) * (len(DURATION_BOUNDS_S) + 2)
PAGES: Final = LIMIT + len(LIMITS)  # + status * len(LANGUAGES) + language
FIXED: Final = PAGES + len(STATUSES) * len(LANGUAGES)

POLICY: Final = (FIXED + 63) // 64 * 64
"""The first policy cell. Cell numbers in a generation count from here: (list, category, action, stage, shadow or not)."""

CELLS: Final = 65536
"""Cells in a slab: 512 KiB. A generation that would need more is refused."""

NATIVE: Final = (REQUESTS, RESPONSES, DURATIONS, LIMIT, len(TYPES), len(RCODES), len(DURATION_BOUNDS_S), POLICY, CELLS)
