"""What a journal tells, put into a registry: the office's, or one that a machine derives for itself.

A full journal takes the place of everything that the station told before; another one changes what it names. Devices
and certificates are known by the numbers that their station gave them, which its trail fixes: whoever takes a journal
again changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.exchange.journal import TRAIL, unpack_part
from iotonboard.exchange.tables import BY_NAME, TABLES, decode_rows
from iotonboard.model import MQTT_PROFILE
from iotonboard.pki.foreign_ca import read_foreign_ca
from iotonboard.pki.key_id import key_id
from iotonboard.store.registry import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iotonboard.exchange.journal import JournalHead
    from iotonboard.store.registry.registry import Registry

    Rows = list[list[Any]]


def merge_journal(registry: Registry, station: int, head: JournalHead, parts: Mapping[str, bytes]) -> dict[str, int]:
    """Merge a journal whose signature holds, in the caller's transaction; returns how many rows of each part.

    ``parts``: octets as they travel, by name.

    Raises:
        PolicyError: a part is damaged, or says what no version of the program writes.
    """
    if unknown := {one.name for one in head.parts} - BY_NAME.keys() - {TRAIL}:
        raise PolicyError(
            f"the journal has a part {min(unknown)!r} that is not known here", hint="update the program at the office"
        )
    if head.is_full:
        merge.forget_rows(registry, station)
    profiles: dict[int, str] = {}
    for table in TABLES:
        for part in head.parts:
            if part.name == table.name:
                there, gone = list[list[Any]](), list[list[Any]]()
                for values, is_there in decode_rows(table, unpack_part(part, parts[part.name])):
                    (there if is_there else gone).append(values)
                _take(_Place(registry, station, head.is_full, profiles), table.name, there, gone)
    return {one.name: one.rows for one in head.parts}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where rows go; ``profiles``: names by certificates, as this journal tells them."""

    registry: Registry
    station: int
    is_full: bool
    profiles: dict[int, str]


def _take(place: _Place, name: str, there: Rows, gone: Rows) -> None:
    station, registry = place.station, place.registry
    if name == "ca_chain":
        chains = [(certificates, station, issuer) for issuer, certificates, _ in there]
        merge.set_chains(registry, chains + [(None, station, keys[0]) for keys in gone])
    elif name == "certificate_profile":
        names = merge.profile_names(registry, station)
        place.profiles.update({certificate: names.get(profile, "") for certificate, profile in there})
        if not place.is_full:
            merge.set_profiles(registry, [(of, station, one) for one, of in place.profiles.items()])
    else:
        if gone:
            merge.drop_rows(registry, name, ([station, *keys] for keys in gone))
        rows: Iterable[list[Any]] = ([station, *_made[name](place, row)] for row in there)
        merge.put_rows(registry, name, rows, all_are_new=place.is_full)
    if name == "crl":
        merge.forget_earlier_lists(registry, station)


# -- rows of a station as a registry has them, table by table ----------------------------------------------------------


def _issuer(_: _Place, row: list[Any]) -> list[Any]:
    number, serial, not_before, not_after, der, _created, retired_at = row
    return [number, serial, key_id(der), read_foreign_ca(der).name, not_before, not_after, der, retired_at]


def _device(_: _Place, row: list[Any]) -> list[Any]:
    number, device_id, name, attributes, created_at, retired_at = row
    return [number, device_id, folded(device_id), name, attributes, created_at, retired_at]


def _profile(_: _Place, row: list[Any]) -> list[Any]:
    number, content = row
    try:
        return [number, str(json.loads(content)["name"]), content]
    except (ValueError, TypeError, KeyError) as error:
        raise PolicyError("a profile in the journal cannot be read", hint="update the program at the office") from error


def _certificate(place: _Place, row: list[Any]) -> list[Any]:
    number, serial, issuer, device, host, not_before, not_after, der, created_at = row
    fingerprint = sha256(der).digest()
    profile = "" if device is None else place.profiles.get(number, MQTT_PROFILE)
    return [number, serial, issuer, device, host, not_before, not_after, fingerprint, created_at, profile]


def _production(place: _Place, row: list[Any]) -> list[Any]:
    """Under which order of this office a certificate was made; one of another office is none."""
    number, registry, order = row
    return [number, order if registry == place.registry.value("id") else 0]


def _foreign_revocation(_: _Place, row: list[Any]) -> list[Any]:
    return row[:2]


def _as_it_is(_: _Place, row: list[Any]) -> list[Any]:
    return row


_made: Mapping[str, Callable[[_Place, list[Any]], list[Any]]] = {
    "issuer": _issuer,
    "root_crl": _as_it_is,
    "device": _device,
    "topic": _as_it_is,
    "profile": _profile,
    "certificate": _certificate,
    "production": _production,
    "revocation": _as_it_is,
    "released": _as_it_is,
    "foreign_revocation": _foreign_revocation,
    "lost_device": _as_it_is,
    "crl": _as_it_is,
}


def folded(device_id: str) -> str:
    """An id as two of them are compared: without regard to the case of ASCII letters, as stations compare them."""
    return device_id.translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
