"""What a journal tells, put into a registry: the office's, or one that a machine derives for itself.

A full journal takes the place of everything that the station told before; another one changes what it names. Devices
and certificates are known by the numbers that their station gave them, which its trail fixes: whoever takes a journal
again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.exchange.journal import TRAIL, unpack_part
from iotonboard.exchange.tables import BY_NAME, TABLES, decode_rows
from iotonboard.office.told_rows import MADE, Telling
from iotonboard.store.registry import merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
        told = Telling(place.profiles, str(registry.value("id")) if name == "production" else "")
        if gone:
            merge.drop_rows(registry, name, ([station, *keys] for keys in gone))
        rows: Iterable[list[Any]] = ([station, *MADE[name](told, row)] for row in there)
        merge.put_rows(registry, name, rows, all_are_new=place.is_full)
    if name == "crl":
        merge.forget_earlier_lists(registry, station)
