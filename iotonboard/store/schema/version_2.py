"""Version 2: every column says what it can hold, and views name what is asked often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.store.schema.columns import (
    check,
    column,
    device_id,
    digest,
    is_blob,
    is_number,
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
from iotonboard.store.schema.version_1_rows import move_rows
from iotonboard.store.schema.views import VIEWS

if TYPE_CHECKING:
    import sqlite3

_CERTIFICATE = reference("certificate", "certificate", "PRIMARY KEY")
_REASONS = (
    "unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "certificateHold",
    "privilegeWithdrawn",
)  # fmt: skip
_VALIDITY = check("validity", "typeof(not_before) <> 'integer' OR not_after > not_before")
# The single values that are numbers; of the others, 'vault' is a blob and the rest are text.
_NUMBERS = (
    "initialised", "last_event", "last_backup", "unlisted_revocations", "crl_published", "acl_changes", "acl_published",
    "generation_kept", "log_holds_secrets", "package_counter", "keep_keys days", "keep_keys until-confirmed",
    "retired_keys",
)  # fmt: skip
_VALUE = f"""CASE WHEN key IN ({", ".join(map(repr, _NUMBERS))}) THEN {is_number("value", 0)}
        WHEN key = 'vault' THEN {is_blob("value", 1, 1 << 16)} ELSE typeof(value) IN ('integer', 'text', 'blob') END"""

# Table -> its columns and constraints. A parent stands before its children, and what is about certificates before the
# rest, which takes the space that they leave.
TABLES: dict[str, tuple[str, ...]] = {
    "issuer": (
        row_number("id"), serial("UNIQUE"), time("not_before"), time("not_after"), octets("der"), text("key_file", 1),
        time("created_at"), time("retired_at", null=True), _VALIDITY,
    ),
    "device": (
        row_number("id"), device_id("COLLATE NOCASE UNIQUE"), text("name"), json_object("attributes"),
        time("created_at"), time("retired_at", null=True),
    ),
    # Of device and host, the one that holds the certificate. Its row never changes its size: see store/secrets.py.
    "certificate": (
        row_number("id"), serial("UNIQUE"), reference("issuer", "issuer"), reference("device", "device", null=True),
        text("host", 1, 255, null=True), time("not_before"), time("not_after"), octets("der"), digest("spki_sha256"),
        octets("key_der", null=True), octets("salt", 1, 64, null=True), time("created_at"), _VALIDITY,
        check("holder", "(device IS NULL) <> (host IS NULL)"),
    ),
    # issuer and not_after are repeated and the CRL entry kept encoded, so that a CRL is one scan of this table.
    "revocation": (
        _CERTIFICATE, reference("issuer", "issuer"), time("revocation_date"), one_of("reason", *_REASONS),
        time("not_after"), octets("entry_der", 8, 256),
    ),
    # Certificates that a renewal left valid beside the new one: until ends_at, or until they expire when it is NULL.
    "overlap": (_CERTIFICATE, time("ends_at", null=True)),
    # Revocations of certificates without a row: known from a newer CRL, or from a row that was set aside.
    "foreign_revocation": (
        reference("issuer", "issuer"), serial(), octets("entry_der", 8, 256), "PRIMARY KEY (issuer, serial)",
    ),
    "topic": (
        reference("device", "device"), one_of("access", "read", "write", "readwrite", "deny"), text("topic", 1),
        "PRIMARY KEY (device, access, topic)",
    ),
    # Certificates whose files are to be written from the committed rows; empty when everything is published.
    "pending": (_CERTIFICATE, octets("bundle", null=True)),
    # A copy of a bundle that was handed over: below outbox/ (token, expires_at) or on a disk (place).
    "delivery": (
        row_number("id"), reference("certificate", "certificate"),
        text("token", 32, 32, "UNIQUE", also="token NOT GLOB '*[^0-9a-f]*'", null=True), text("place", 1),
        digest("sha256"), time("created_at"), time("expires_at", null=True), time("written_at", null=True),
        one_of("outcome", "fetched", "expired", "copied", "failed", "purged", null=True), time("erased_at", null=True),
    ),
    "receipt": (
        row_number("id"), reference("certificate", "certificate", "UNIQUE"), time("confirmed_at"),
        number("proved", 0, 1),
    ),
    "purge": (_CERTIFICATE, time("purged_at")),
    "crl": (
        row_number("id"), number("generation", 1), reference("issuer", "issuer"), number("number", 1),
        time("this_update"), time("next_update"), number("revoked", 0), octets("der", 1, 1 << 30, null=True),
        time("created_at"), "UNIQUE (issuer, number)",
    ),
    "audit": (
        row_number("seq"), time("time"), text("operator"), text("host"), text("command"), text("subject"),
        text("serial", 0, 40, also="serial NOT GLOB '*[^0-9A-F]*' AND length(serial) % 2 = 0"), json_object("detail"),
        digest("hash"),
    ),
    "audit_head": (row_number("seq"), digest("hash"), reference("issuer", "issuer"), octets("signature")),
    "migration": (row_number("version"), time("applied_at")),
    "meta": (text("key", 1, 64, "PRIMARY KEY"), column("value", "BLOB", f"({_VALUE})")),
}  # fmt: skip

# A row of version 1 that cannot be: its table and key, the device or host that it is about, the checks that refused
# it, and what it said, as JSON without secrets.
# is_replaced: what could be kept of it stands in its place.
_SET_ASIDE = (
    row_number("id"), text("source", 1), text("key"), text("subject"), text("refused_by", 1),
    number("is_replaced", 0, 1), column("content", "TEXT", "json_valid(content)"),
)  # fmt: skip

_OLD_INDEXES = (
    "device_retired", "certificate_device", "certificate_host", "certificate_not_after", "certificate_spki",
    "overlap_ends_at", "delivery_certificate", "delivery_open",
)  # fmt: skip
_INDEXES = (
    # So that the ACL is written from the index of the ids alone.
    "CREATE INDEX device_retired ON device(id) WHERE retired_at IS NOT NULL",
    "CREATE INDEX certificate_device ON certificate(device) WHERE device IS NOT NULL",
    "CREATE INDEX certificate_host ON certificate(host) WHERE host IS NOT NULL",
    "CREATE INDEX certificate_not_after ON certificate(not_after)",
    "CREATE INDEX certificate_spki ON certificate(spki_sha256)",
    "CREATE INDEX overlap_ends_at ON overlap(ends_at) WHERE ends_at IS NOT NULL",
    "CREATE INDEX delivery_certificate ON delivery(certificate)",
    "CREATE INDEX delivery_open ON delivery(expires_at) WHERE token IS NOT NULL AND erased_at IS NULL",
)


def make_tables(connection: sqlite3.Connection, now: int) -> None:
    """Make the tables anew with their checks, move the rows over, and set aside those that cannot be."""
    for table in TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for index in _OLD_INDEXES:
        connection.execute(f"DROP INDEX {index}")
    for table, columns in {**TABLES, "set_aside": _SET_ASIDE}.items():
        options = " WITHOUT ROWID" if table in ("meta", "foreign_revocation") else ""
        lines = ",\n    ".join(columns)
        connection.execute(f"CREATE TABLE {table} (\n    {lines}){options}")
    names, rest = list(TABLES), list(TABLES).index("crl")
    for tables in (names[:rest], names[rest:]):
        move_rows(connection, tables, now)
        for table in tables:
            connection.execute(f"DROP TABLE old_{table}")
    for statement in (*_INDEXES, *VIEWS):
        connection.execute(statement)
