"""What a domain name and a URL are: parse, normalise, public suffixes. Keyed fingerprints are in :mod:`blockd.names.fingerprint`.

Any text gives a value or :class:`InvalidName`, whose message never holds the text.
"""

from blockd.names.domain import DomainName, InvalidName, Reason, from_labels, from_wire, parse_domain
from blockd.names.protected import protected_names
from blockd.names.suffix import public_suffix, registrable
from blockd.names.url import CanonicalURL, parse_url, parse_url_entry

__all__ = [
    "CanonicalURL",
    "DomainName",
    "InvalidName",
    "Reason",
    "from_labels",
    "from_wire",
    "parse_domain",
    "parse_url",
    "parse_url_entry",
    "protected_names",
    "public_suffix",
    "registrable",
]
