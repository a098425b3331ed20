"""Version 5: what a head office ordered, and what was made under which of its orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.store.schema.columns import number, octets, reference, text, time

if TYPE_CHECKING:
    import sqlite3

# Table -> its columns and constraints, as in version 2. ``registry`` is the office, by the id of its registry.
TABLES: dict[str, tuple[str, ...]] = {
    # The newest orders that were taken of an office, as they were signed.
    "office_orders": (
        text("registry", 1, 64, "PRIMARY KEY"),
        number("number", 0),
        time("taken_at"),
        octets("content", 1, 1 << 26),
    ),
    # A certificate that was made under an order.
    "production": (
        reference("certificate", "certificate", "PRIMARY KEY"),
        text("registry", 1, 64),
        number("production_order", 0),
    ),
    # How many devices were made under an order.
    "production_count": (
        text("registry", 1, 64),
        number("production_order", 0),
        number("made", 0),
        "PRIMARY KEY (registry, production_order)",
    ),
}
# Of the trail: the few seals of devices that are denied by name alone, which every ACL is to believe.
_TRAIL = """CREATE INDEX audit_lost ON audit(seq) WHERE subject = 'rows' AND instr(detail, '"lost_device":')"""


def make_tables(connection: sqlite3.Connection, now: int) -> None:  # noqa: ARG001 - as every migration
    """Add the tables, and an index of the trail."""
    connection.execute(_TRAIL)
    for table, columns in TABLES.items():
        lines = ",\n    ".join(columns)
        connection.execute(f"CREATE TABLE {table} (\n    {lines}) WITHOUT ROWID")
