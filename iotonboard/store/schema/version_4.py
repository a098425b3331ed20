"""Version 4: where a CA comes from: chains to a root, a root's newest lists, and what a root certified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.store.schema.columns import (
    any_device_id,
    column,
    digest,
    json_object,
    number,
    octets,
    one_of,
    reference,
    row_number,
    serial,
    text,
    time,
)

if TYPE_CHECKING:
    import sqlite3

_REASONS = (
    "unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "certificateHold",
    "privilegeWithdrawn",
)  # fmt: skip
# Table -> its columns and constraints, as in version 2.
TABLES: dict[str, tuple[str, ...]] = {
    # How a CA goes out where that is not the certificate of its own row: DERs one behind the other, its certificate in
    # force first and its root last, as its own key signed them.
    "ca_chain": (
        reference("issuer", "issuer", "PRIMARY KEY"),
        octets("certificates"),
        time("installed_at"),
        octets("signature", 1, 1 << 12),
    ),
    # The newest list of a CA above, which is named by the digest of its certificate; ``number`` in decimal, and empty
    # where the list has none.
    "root_crl": (
        digest("root", "PRIMARY KEY"),
        text("number", 0, 49, also="number NOT GLOB '*[^0-9]*'"),
        time("this_update"),
        time("next_update"),
        octets("der", 1, 1 << 28),
    ),
    # What a root certified: a row for each certificate of a CA below it. ``request``: digest of what was asked for.
    "station": (
        row_number("id"),
        text("name", 1, 256),
        digest("spki_sha256"),
        serial("UNIQUE"),
        reference("issuer", "issuer"),
        time("not_before"),
        time("not_after"),
        octets("der", 1, 1 << 16),
        digest("request"),
        time("signed_at"),
        time("revoked_at", null=True),
        one_of("reason", *_REASONS, null=True),
    ),
    # A list as it is fetched: with a distribution point, beside the row of ``crl`` that has none. Of the newest alone;
    # no reference, since a damaged row of ``crl`` is taken away.
    "crl_idp": (number("crl", 1, constraints="PRIMARY KEY"), octets("der", 1, 1 << 28)),
    # Profiles by which certificates were issued, as the settings had them then: a JSON object with the name.
    "profile": (row_number("id"), column("content", "TEXT UNIQUE", "json_valid(content)")),
    "certificate_profile": (reference("certificate", "certificate", "PRIMARY KEY"), reference("profile", "profile")),
}
# Tables that hold ids: those of adopted devices are of other forms than version 2 and 3 allowed.
_WITH_IDS: dict[str, tuple[str, ...]] = {
    "device": (
        row_number("id"), any_device_id("COLLATE NOCASE UNIQUE"), text("name"), json_object("attributes"),
        time("created_at"), time("retired_at", null=True),
    ),
    "lost_device": (any_device_id("COLLATE NOCASE PRIMARY KEY"), serial()),
}  # fmt: skip
# Of the trail: the few seals of single values, which every command is to believe.
_TRAIL = """CREATE INDEX audit_settings ON audit(seq) WHERE subject = 'rows' AND instr(detail, '"setting":')"""
_RETIRED = "CREATE INDEX device_retired ON device(id) WHERE retired_at IS NOT NULL"
_HAVE_ROW_NUMBERS = ("ca_chain", "root_crl", "station", "profile", "device")


def make_tables(connection: sqlite3.Connection, now: int) -> None:  # noqa: ARG001 - as every migration
    """Add the tables and an index of the trail, and let ids be those of adopted devices."""
    connection.execute(_TRAIL)
    for table, columns in TABLES.items():
        _make(connection, table, columns)
    # References and views go on naming the tables; and a row that somebody made past the checks stays for who looks.
    connection.execute("PRAGMA legacy_alter_table = ON")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        connection.execute("DROP INDEX IF EXISTS device_retired")
        for table, columns in _WITH_IDS.items():
            connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
            _make(connection, table, columns)
            connection.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")
            connection.execute(f"DROP TABLE old_{table}")
        connection.execute(_RETIRED)
    finally:
        connection.execute("PRAGMA ignore_check_constraints = OFF")
        connection.execute("PRAGMA legacy_alter_table = OFF")


def _make(connection: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> None:
    lines = ",\n    ".join(columns)
    options = "" if table in _HAVE_ROW_NUMBERS else " WITHOUT ROWID"
    connection.execute(f"CREATE TABLE {table} (\n    {lines}){options}")
