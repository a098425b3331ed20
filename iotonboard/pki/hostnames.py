"""Names under which a broker is reached: host names (RFC 1123 section 2.1) and IP addresses.

And names with underscores, as containers and services have them (``mqtt_broker`` of a compose file): no host names, yet
names of the DNS (RFC 2181 section 11) and what their clients look for in a certificate.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from iotonboard.errors import PolicyError, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    HostName: TypeAlias = str | ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_CHARACTERS: Final = 253  # RFC 1035 2.3.4: 255 octets with lengths and the root


def parse_host_names(names: Sequence[str]) -> list[HostName]:
    """Read host names and addresses, in order and each once; host names become lower case.

    An internationalised name is given in its ASCII form (RFC 5280 7.2). Wildcards are refused: a broker has a
    name.

    Raises:
        PolicyError: no name, or one that is neither.

    """
    if not names:
        raise PolicyError("a broker needs at least one host name or address", hint="name the host")
    return list(dict.fromkeys(_parse(name) for name in names))


def _parse(text: str) -> HostName:
    try:
        if "%" not in text:  # a zone means something on one host only (RFC 4007 section 6)
            return ipaddress.ip_address(text)
    except ValueError:
        pass
    name = text.lower()
    labels = name.split(".")
    well_formed = all(_LABEL.fullmatch(label) for label in labels) and len(name) <= _MAX_CHARACTERS
    # RFC 1123 2.1: the highest label is alphabetic, which keeps "10.0.0.256" from being a name.
    if not well_formed or labels[-1].isdigit():
        raise PolicyError(
            f"{quoted(text)} is neither a host name nor an IP address",
            hint="use letters, digits, dashes, underscores and dots, or an IPv4 or IPv6 address",
        )
    return name
