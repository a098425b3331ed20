"""Names under which MQTT clients look for a broker: no device may have one of them that a client could take for it.

So a certificate of a profile gets no name of a broker, past or present, and a broker gets none that a device has.
"""

from __future__ import annotations

import contextlib
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from iotonboard.errors import ConflictError, PolicyError
from iotonboard.ids import in_command
from iotonboard.pki import facts
from iotonboard.pki.name_values import SUBJECT_ATTRIBUTES
from iotonboard.pki.profile_form import SERVER_PURPOSES
from iotonboard.store.certificates import broker_hosts_and_ders
from iotonboard.store.profiles import profiled_with

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.pki.profile_values import FilledProfile
    from iotonboard.store.store import Store

_COMMON_NAME: Final = SUBJECT_ATTRIBUTES["common_name"][0]


def refuse_names_of_brokers(store: Store, filled: FilledProfile) -> None:
    """Refuse what was filled in for a device where it has the name or the address of a broker, or of one that was.

    A commonName counts where a TLS client could take the certificate for a server's: with serverAuth, or without any
    purpose (RFC 5280 4.2.1.12).

    Raises:
        PolicyError: it has.
    """
    names = {value for form, value in filled.san if form in {"dns", "ip"}}
    if not filled.eku or not SERVER_PURPOSES.isdisjoint(filled.eku):
        names |= {value for oid, value in filled.subject if oid == _COMMON_NAME}
    if not names:
        return
    for name in names:
        if is_name_of_broker(store, name):
            raise PolicyError(
                f"{name!r} is the name of a broker, or was: a device that is called so could pose as it",
                hint="give the device a name of its own; 'iotonboard broker list' names the brokers",
            )


def is_name_of_broker(store: Store, name: str) -> bool:
    """Say whether a broker has the name or address, or had it, in whatever form it is written."""
    return _canonical(name) in _names_of(tuple(broker_hosts_and_ders(store)))


def refuse_names_of_devices(store: Store, names: Iterable[str], now: datetime) -> None:
    """Refuse names for a broker that a device has in a certificate of a profile that is valid, or will be.

    Raises:
        ConflictError: one has.
    """
    wanted = {_canonical(name): name for name in names}
    for device_id, der in profiled_with(store, [_encoded(name) for name in wanted], now):
        for name in _names_in(der) & wanted.keys():
            raise ConflictError(
                f"{wanted[name]!r} is a name of the device {device_id!r}, which could pose as the broker",
                hint=f"choose another name, or first: iotonboard revoke {in_command(device_id)}",
            )


def _names_in(der: bytes) -> set[str]:
    """The names of a device under which a TLS client could take it for a server."""
    found = facts.certificate_facts(der)
    is_server = not found.purposes or not SERVER_PURPOSES.isdisjoint(found.purposes)
    return {*map(_canonical, found.alt_names), *([_canonical(found.subject_cn)] if is_server else [])}


def _encoded(name: str) -> bytes:
    """The octets by which a certificate holds a host name in lower case, or an address."""
    try:
        return ipaddress.ip_address(name).packed
    except ValueError:
        return name.encode("ascii", "replace")


@lru_cache(maxsize=4)
def _names_of(brokers: tuple[tuple[str, bytes], ...]) -> frozenset[str]:
    """Every name of brokers; of one whose certificate cannot be read, the host that it is recorded under."""
    names = {host for host, _ in brokers}
    for _, der in brokers:
        with contextlib.suppress(PolicyError):
            names.update(facts.certificate_facts(der).alt_names)
    return frozenset(map(_canonical, names))


def _canonical(name: str) -> str:
    """A host in lower case, an address as it is written shortest; one of IPv4 within IPv6 is that of IPv4."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.lower()
    return str(getattr(address, "ipv4_mapped", None) or address)
