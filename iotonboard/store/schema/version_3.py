"""Version 3: settings, places, receipts, CAs of others, digests of bundles, and all CRLs that were signed or met."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.store.schema.columns import (
    column,
    device_id,
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
)  # fmt: skip

if TYPE_CHECKING:
    import sqlite3

# Table -> its columns and constraints, as in version 2.
TABLES: dict[str, tuple[str, ...]] = {
    # Values as JSON.
    "setting": (text("key", 1, 64, "PRIMARY KEY"), column("value", "TEXT", "json_valid(value)")),
    # ``last``: number of what was published there; -1 is a place that was named for its first use.
    "place": (
        one_of("kind", "acl", "broker-ca", "ca", "crl"),
        text("path", 1),
        number("last", -1),
        "PRIMARY KEY (kind, path)",
    ),
    # By the digest of its octets: a CRL of this CA that is not here was signed by another copy of the state.
    "known_crl": (digest("sha256", "PRIMARY KEY"), reference("issuer", "issuer"), number("number", 1)),
    # Keys from which the passwords of bundles derive, wrapped for the CA that issues now: of what the CAs up to a row
    # certified. The key for what later ones certify is the single value 'vault'.
    "earlier_vault": (reference("last_issuer", "issuer", "PRIMARY KEY"), octets("wrapped", 1, 1 << 16)),
    # Settings as a CA signed them: a JSON object of those that are not default. The newest row is in force; older ones
    # stay, for when that is damaged.
    "setting_seal": (
        row_number("id"),
        json_object("settings"),
        reference("issuer", "issuer"),
        octets("signature"),
        time("created_at"),
    ),
    # How brokers were set up last; ``folder`` on this machine, or nothing; ``seen_as`` in its container.
    "broker": (
        text("host", 1, 255, "PRIMARY KEY"),
        number("port", 1, 65535),
        number("has_plain_key", 0, 1),
        text("folder"),
        text("seen_as"),
    ),
    # CAs whose key somebody stole: their last CRL, the file of anchors that followed with what both keys signed of it.
    "compromised_ca": (
        reference("issuer", "issuer", "PRIMARY KEY"),
        time("replaced_at"),
        octets("last_crl", 1, 1 << 30),
        octets("anchors"),
        octets("old_signature"),
        octets("new_signature"),
    ),
    # The newest certificates of devices and brokers that had a valid one of such a CA.
    "reenrolment": (reference("certificate", "certificate", "PRIMARY KEY"), reference("issuer", "issuer")),
    # Devices whose certificate this state never knew, or forgot, as a signed list names them, and which was revoked.
    "lost_device": (device_id("COLLATE NOCASE PRIMARY KEY"), serial()),
    # Changes of the ACL's region, with the row of the trail that marks each: a note of what was published.
    "region_change": (
        number("number", 0),
        number("row", 0),
        text("mark", 16, 16),
        number("is_packed", 0, 1),
        "PRIMARY KEY (number, row, mark)",
    ),
    # Certificates whose hold ended, and when last: why they left a CRL.
    "released": (reference("certificate", "certificate", "PRIMARY KEY"), time("released_at")),
    # Of the bundle that was made last, as the trail tells too: what lies in the device's folder is held against it.
    "bundle": (reference("certificate", "certificate", "PRIMARY KEY"), digest("sha256")),
    # What is in place at brokers, as their machines said last.
    "broker_receipt": (
        row_number("id"),
        text("broker", 1, 1 << 10),
        text("path", 1, 1 << 13),
        time("time"),
        number("counter", 0),
        number("acl_change", 0),
        number("is_read", 0, 1),
        "UNIQUE (broker, path)",
    ),
    "broker_receipt_crl": (
        reference("receipt", "broker_receipt"),
        reference("issuer", "issuer"),
        number("number", 0),
        "PRIMARY KEY (receipt, issuer)",
    ),
    # CAs of others whose devices brokers let in too, as a CA of the state signed it. One that was taken out stays here:
    # packages say that it goes.
    "trusted_ca": (
        row_number("id"),
        digest("sha256", "UNIQUE"),
        text("name", 1),
        octets("der", 1, 1 << 16),
        time("not_after"),
        time("added_at"),
        time("removed_at", null=True),
        reference("issuer", "issuer", null=True),
        octets("signature", null=True),
    ),
    # Their lists in force; ``number`` in decimal, as large as theirs may be, and empty where a list has none.
    "trusted_crl": (
        digest("sha256", "PRIMARY KEY"),
        reference("ca", "trusted_ca"),
        text("number", 0, 49, also="number NOT GLOB '*[^0-9]*'"),
        time("this_update"),
        time("next_update"),
        number("revoked", 0),
        octets("der", 1, 1 << 28),
    ),
}
_HAVE_ROW_NUMBERS = ("setting_seal", "broker_receipt", "compromised_ca", "trusted_ca", "trusted_crl")
# Number of the first CRL that has it: so a broker's number says what is in force there. The index is not by issuer: a
# CRL is to be read from the table, in the order of the certificates.
_LISTED = (
    f"ALTER TABLE revocation ADD COLUMN {number('listed', 1, null=True)}",
    "CREATE INDEX revocation_listed ON revocation(listed)",
)
# Says the same as certificate_device, and is asked for that alone (store/table_scan.py): SQLite takes an index of an
# expression for no other query.
_SECOND_INDEX = "CREATE INDEX certificate_device_again ON certificate(-device) WHERE device IS NOT NULL"
# Of the trail: what was issued to whom, who was retired, and the few seals that give access by themselves.
_TRAIL = (
    "CREATE INDEX audit_issued ON audit(subject) WHERE serial <> ''",
    """CREATE INDEX audit_retired ON audit(subject) WHERE detail = '{"retired":true}'""",
    """CREATE INDEX audit_topics ON audit(seq) WHERE subject = 'rows' AND instr(detail, '"topic":')""",
    """CREATE INDEX audit_overlaps ON audit(seq) WHERE subject = 'rows' AND instr(detail, '"overlap":')""",
)


def make_tables(connection: sqlite3.Connection, now: int) -> None:  # noqa: ARG001 - as every migration
    """Add the tables, know CRLs and bundles, and note from now on which CRL has a revocation first."""
    for table, columns in TABLES.items():
        lines = ",\n    ".join(columns)
        options = "" if table in _HAVE_ROW_NUMBERS else " WITHOUT ROWID"
        connection.execute(f"CREATE TABLE {table} (\n    {lines}){options}")
    for statement in (*_LISTED, _SECOND_INDEX, *_TRAIL):
        connection.execute(statement)
    _know_bundles(connection)
    kept = "SELECT issuer, number, der FROM crl WHERE der IS NOT NULL ORDER BY id"
    known = "INSERT OR IGNORE INTO known_crl (sha256, issuer, number) VALUES (?, ?, ?)"
    for issuer, crl_number, der in connection.execute(kept):
        connection.execute(known, (sha256(der).digest(), issuer, crl_number))
    held = "SELECT serial, max(time) FROM audit WHERE detail = '{\"released\":true}' GROUP BY serial"
    released = "INSERT INTO released (certificate, released_at) SELECT id, ? FROM certificate WHERE serial = ?"
    for serial_hex, released_at in connection.execute(held):
        connection.execute(released, (released_at, bytes.fromhex(serial_hex).rjust(20, b"\0")))


def _know_bundles(connection: sqlite3.Connection) -> None:
    """Note of each certificate the bundle that the trail says was made last."""
    query = """SELECT serial, CASE WHEN json_valid(detail) THEN json_extract(detail, '$.bundle') END FROM audit
        WHERE detail LIKE '%"bundle":"%' ORDER BY seq"""
    note = "INSERT OR REPLACE INTO bundle SELECT id, ? FROM certificate WHERE serial = ? AND length(?1) = 32"
    for serial_hex, said in connection.execute(query):
        with suppress(ValueError, TypeError):  # a row that somebody damaged
            connection.execute(note, (bytes.fromhex(said), bytes.fromhex(serial_hex).rjust(20, b"\0")))
