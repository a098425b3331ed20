"""Rows of stations in a registry: put there by the station's own numbers, so that to take a row again changes nothing.

Everything happens in the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iotonboard.store.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class RegistryTable:
    """A table with rows of stations: behind ``station`` its keys, then what else it holds.

    ``once``: columns that a row keeps from when it came first.
    """

    keys: tuple[str, ...]
    others: tuple[str, ...] = ()
    once: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in the order in which rows come."""
        return ("station", *self.keys, *self.others, *self.once)


TABLES = {
    "issuer": RegistryTable(("id",), ("serial", "key", "subject", "not_before", "not_after", "der", "retired_at")),
    "root_crl": RegistryTable(("root",), ("number", "this_update", "next_update", "der")),
    "device": RegistryTable(("id",), ("device_id", "folded", "name", "attributes", "created_at", "retired_at")),
    "topic": RegistryTable(("device", "access", "topic")),
    "profile": RegistryTable(("id",), ("name", "content")),
    "certificate": RegistryTable(
        ("id",),
        ("serial", "issuer", "device", "host", "not_before", "not_after", "fingerprint", "created_at"),
        once=("profile",),
    ),
    "production": RegistryTable(("certificate",), ("production_order",)),
    "revocation": RegistryTable(("certificate",), ("issuer", "revocation_date", "reason", "not_after")),
    "released": RegistryTable(("certificate",), ("released_at",)),
    "foreign_revocation": RegistryTable(("issuer", "serial")),
    "lost_device": RegistryTable(("device_id",), ("serial",)),
    "crl": RegistryTable(("id",), ("issuer", "generation", "number", "this_update", "next_update", "revoked", "der")),
}


def forget_rows(registry: Registry, station: int) -> None:
    """Take all rows of a station out, before everything that there is comes anew."""
    for table in TABLES:
        registry.execute(f"DELETE FROM {table} WHERE station = ?", (station,))


def put_rows(registry: Registry, name: str, rows: Iterable[Sequence[object]], *, all_are_new: bool) -> None:
    """Put rows in their place, each with its station first; ``all_are_new``: none of them is there."""
    table = TABLES[name]
    if all_are_new:
        registry.insert_many(name, table.columns, rows)
        return
    sets = ", ".join(f"{column} = excluded.{column}" for column in table.others)
    registry.execute_many(
        f"INSERT INTO {name} ({', '.join(table.columns)}) VALUES ({', '.join('?' * len(table.columns))})"
        f" ON CONFLICT (station, {', '.join(table.keys)}) DO {f'UPDATE SET {sets}' if sets else 'NOTHING'}",
        rows,
    )


def drop_rows(registry: Registry, name: str, keys: Iterable[Sequence[object]]) -> None:
    """Take out the rows with these keys, each with its station first."""
    condition = " AND ".join(f"{key} = ?" for key in ("station", *TABLES[name].keys))
    registry.execute_many(f"DELETE FROM {name} WHERE {condition}", keys)


def forget_earlier_lists(registry: Registry, station: int) -> None:
    """Keep of each CA of a station the lists of its newest generation alone."""
    registry.execute(
        "DELETE FROM crl WHERE station = ? AND generation < (SELECT max(n.generation) FROM crl n"
        " WHERE n.station = crl.station AND n.issuer = crl.issuer)",
        (station,),
    )


def set_chains(registry: Registry, rows: Iterable[tuple[bytes | None, int, int]]) -> None:
    """How CAs go out below a root: certificates (DERs one behind the other) or ``None``, station and issuer."""
    registry.execute_many("UPDATE issuer SET chain = ? WHERE station = ? AND id = ?", rows)


def set_profiles(registry: Registry, rows: Iterable[tuple[str, int, int]]) -> None:
    """By which profile certificates were made: its name, station and certificate."""
    registry.execute_many("UPDATE certificate SET profile = ? WHERE station = ? AND id = ?", rows)


def profile_names(registry: Registry, station: int) -> dict[int, str]:
    """The names of a station's profiles by their rows."""
    return dict(registry.rows("SELECT id, name FROM profile WHERE station = ?", (station,)))
