"""Digests of rows for the audit trail, so that a row that somebody else wrote, changed or took away is found.

What a connection changes is noted (``watching.py``). Who ends a change asks for the digests of that and appends them to
the trail in the same transaction. A digest is the first 80 bits of a SHA-256 over all values of a row; keys and salts
are random, so it gives nothing of them away. Left out are notes that are held against files: what was published, and
which files are still to write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iotonboard.store.store import Store

    # Of a row that is new; of one that was there, the begin of what it had before, ``>``, and what it has now, or
    # nothing where it is gone. Earlier versions wrote both whole, as a list with ``None``.
    Digest = str
    # Table -> key of a row -> its digest.
    Digests = Mapping[str, Mapping[str, Digest]]

DIGITS = 20
_DIGITS_BEFORE = 8  # enough to tell that a row was edited by hand before the program wrote over it
_DIGEST = re.compile(rf"(?:([0-9a-f]{{{_DIGITS_BEFORE}}})>)?([0-9a-f]{{{DIGITS}}})?")
_ROWS_PER_PART = 1000
# Single values that only say what was published or erased, or since when something is so; and the trail's own.
NOTES = (
    "acl_published", "acl_row", "acl_seen", "acl_settings", "ca_published", "clock_disputed", "clock_settled",
    "crl_published", "crl_seen", "generation_kept", "log_holds_secrets", "replaced_files", "retired_keys",
    "trust_published", "unfinished",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table whose rows are sealed: the columns that name a row, and all of them; ``only`` limits the rows."""

    name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    only: str = ""

    def key_text(self, row: str) -> str:
        """An expression for the name of a ``row`` (an alias) as the trail has it."""
        return " || ' ' || ".join(f"lower(hex({row}.{key}))" if key in _OCTETS else f"{row}.{key}" for key in self.keys)


_OCTETS = frozenset({"serial", "sha256", "root"})
_CERTIFICATE = ("certificate",)
TABLES = (
    Sealed("issuer", ("id",), (
        "id", "serial", "not_before", "not_after", "der", "key_file", "created_at", "retired_at",
    )),
    Sealed("device", ("id",), ("id", "device_id", "name", "attributes", "created_at", "retired_at")),
    Sealed("certificate", ("id",), (
        "id", "serial", "issuer", "device", "host", "not_before", "not_after", "der", "spki_sha256", "key_der", "salt",
        "created_at",
    )),
    Sealed("revocation", _CERTIFICATE, (
        "certificate", "issuer", "revocation_date", "reason", "not_after", "entry_der", "listed",
    )),
    Sealed("overlap", _CERTIFICATE, ("certificate", "ends_at")),
    Sealed("foreign_revocation", ("issuer", "serial"), ("issuer", "serial", "entry_der")),
    Sealed("topic", ("device", "access", "topic"), ("device", "access", "topic")),
    Sealed("delivery", ("id",), (
        "id", "certificate", "token", "place", "sha256", "created_at", "expires_at", "written_at", "outcome",
        "erased_at",
    )),
    Sealed("receipt", ("id",), ("id", "certificate", "confirmed_at", "proved")),
    Sealed("purge", _CERTIFICATE, ("certificate", "purged_at")),
    # Without its octets, which are large, and signed; known_crl has their digest.
    Sealed("crl", ("id",), (
        "id", "generation", "issuer", "number", "this_update", "next_update", "revoked", "created_at",
    )),
    # Without its octets, as above: it is signed.
    Sealed("crl_idp", ("crl",), ("crl",)),
    Sealed("broker", ("host",), ("host", "port", "has_plain_key", "folder", "seen_as")),
    # Without the list's octets, as above.
    Sealed("compromised_ca", ("issuer",), (
        "issuer", "replaced_at", "anchors", "old_signature", "new_signature",
    )),
    Sealed("reenrolment", _CERTIFICATE, ("certificate", "issuer")),
    Sealed("lost_device", ("device_id",), ("device_id", "serial")),
    Sealed("released", _CERTIFICATE, ("certificate", "released_at")),
    Sealed("broker_receipt", ("id",), ("id", "broker", "path", "time", "counter", "acl_change", "is_read")),
    Sealed("broker_receipt_crl", ("receipt", "issuer"), ("receipt", "issuer", "number")),
    Sealed("trusted_ca", ("id",), (
        "id", "sha256", "name", "der", "not_after", "added_at", "removed_at", "issuer", "signature",
    )),
    # Named by the digest of the octets, which are left out.
    Sealed("trusted_crl", ("sha256",), ("sha256", "ca", "number", "this_update", "next_update", "revoked")),
    Sealed("ca_chain", ("issuer",), ("issuer", "certificates", "installed_at", "signature")),
    # Without the list's octets: its signature is the root's.
    Sealed("root_crl", ("root",), ("root", "number", "this_update", "next_update")),
    Sealed("station", ("id",), (
        "id", "name", "spki_sha256", "serial", "issuer", "not_before", "not_after", "der", "request", "signed_at",
        "revoked_at", "reason",
    )),
    Sealed("profile", ("id",), ("id", "content")),
    Sealed("certificate_profile", _CERTIFICATE, ("certificate", "profile")),
    Sealed("office_orders", ("registry",), ("registry", "number", "taken_at", "content")),
    Sealed("production", _CERTIFICATE, ("certificate", "registry", "production_order")),
    Sealed("production_count", ("registry", "production_order"), ("registry", "production_order", "made")),
    Sealed("known_crl", ("sha256",), ("sha256", "issuer", "number")),
    Sealed("setting", ("key",), ("key", "value")),
    Sealed("setting_seal", ("id",), ("id", "settings", "issuer", "signature", "created_at")),
    Sealed("earlier_vault", ("last_issuer",), ("last_issuer", "wrapped")),
    Sealed("set_aside", ("id",), ("id", "source", "key", "subject", "refused_by", "is_replaced", "content")),
    Sealed("meta", ("key",), ("key", "value"), f"key NOT IN ({', '.join(map(repr, NOTES))})"),
)  # fmt: skip
_BY_NAME = {table.name: table for table in TABLES}
_MOST_COLUMNS = max(len(table.columns) for table in TABLES)


# -- digests -----------------------------------------------------------------------------------------------------------


def digest_of_change(before: str | None, now: str | None) -> Digest:
    """What the trail says of a row that had one digest and has another; ``None``: it was not there, or is gone."""
    return now or "" if before is None else f"{before[:_DIGITS_BEFORE]}>{now or ''}"


def read_digest(said: object) -> tuple[str | None, str | None] | None:
    """The digest (or the begin of it) before a row of the trail, and behind it; ``None``: no version wrote that."""
    if isinstance(said, list):
        is_pair = len(said) == len(("before", "now")) and all(isinstance(one, str | None) for one in said)
        return (said[0], said[1]) if is_pair else None
    found = _DIGEST.fullmatch(said) if isinstance(said, str) else None
    return (found[1], found[2]) if found and said else None


def key_text(*key: object) -> str:
    """As ``Sealed.key_text``."""
    return " ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key if part is not None)


def in_parts(digests: Iterable[tuple[str, str, Digest]]) -> Iterator[Digests]:
    """Digests (table, key, digest) as the rows of the trail hold them, in parts of bounded size."""
    part: dict[str, dict[str, Digest]] = {}
    for count, (table, key, digest) in enumerate(digests, start=1):
        part.setdefault(table, {})[key] = digest
        if count % _ROWS_PER_PART == 0:
            yield part
            part = {}
    if part:
        yield part


def digest_of(row: Iterable[object]) -> str:
    """The digest of a row's values: each with its type and length, so that no two rows are the same octets."""
    parts = []
    for value in row:  # in one loop: of a million rows a call for each value would take as long as all else
        if isinstance(value, str):
            octets = value.encode("utf-8")
            parts.append(b"t%d:%s;" % (len(octets), octets))
        elif isinstance(value, bytes):
            parts.append(b"b%d:%s;" % (len(value), value))
        elif isinstance(value, int):
            parts.append(b"i%d;" % value)
        else:
            parts.append(b"n;" if value is None else b"f%r;" % value)
    return sha256(b"".join(parts)).hexdigest()[:DIGITS]


# -- everything that is there -----------------------------------------------------------------------------------------


def count_rows(store: Store) -> dict[str, int]:
    """How many rows each sealed table has that has any."""
    counts = {
        table.name: int(store.row(f"SELECT count(*) FROM main.{table.name} {where(table)}")[0]) for table in TABLES
    }
    return {name: count for name, count in counts.items() if count}


def take_all(store: Store) -> Iterator[Digests]:
    """Digests of all sealed rows, in parts of bounded size."""
    return in_parts(
        (table.name, key, digest_of(row))
        for table in TABLES
        for key, *row in store.each_row(
            f"SELECT {table.key_text('t')}, {', '.join(table.columns)} FROM main.{table.name} t {where(table)}"
        )
    )


def where(table: Sealed, row: str = "") -> str:
    """The condition of a query on a table (or on its alias, ``row`` with a dot) that finds its sealed rows alone."""
    return f"WHERE {row}{table.only}" if table.only else ""
