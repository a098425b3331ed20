"""Version 4: where a CA comes from: chains to a root, a root's newest lists, and what a root certified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.store.schema.columns import (
    column,
    digest,
    octets,
    one_of,
    reference,
    row_number,
    serial,
    text,
    time,
)  # fmt: skip

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
    # Profiles by which certificates were issued, as the settings had them then: a JSON object with the name.
    "profile": (row_number("id"), column("content", "TEXT UNIQUE", "json_valid(content)")),
    "certificate_profile": (reference("certificate", "certificate", "PRIMARY KEY"), reference("profile", "profile")),
}
_HAVE_ROW_NUMBERS = ("ca_chain", "root_crl", "station", "profile")


def make_tables(connection: sqlite3.Connection, now: int) -> None:  # noqa: ARG001 - as every migration
    """Add the tables."""
    for table, columns in TABLES.items():
        lines = ",\n    ".join(columns)
        options = "" if table in _HAVE_ROW_NUMBERS else " WITHOUT ROWID"
        connection.execute(f"CREATE TABLE {table} (\n    {lines}){options}")
