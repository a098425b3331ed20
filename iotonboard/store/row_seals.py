"""Digests of rows for the audit trail, so that a row that somebody else wrote, changed or took away is found.

A connection that writes notes by temporary triggers which rows of the sealed tables changed. Who ends a change asks for
their digests and appends them to the trail in the same transaction: so no change is forgotten, whoever makes it. A
digest is the first 80 bits of a SHA-256 over all values of a row; keys and salts in it are random, so it gives nothing
of them away. Left out are notes that are held against files: what was published, and which files are still to write.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.errors import StateError

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
    Sealed("known_crl", ("sha256",), ("sha256", "issuer", "number")),
    Sealed("setting", ("key",), ("key", "value")),
    Sealed("setting_seal", ("id",), ("id", "settings", "issuer", "signature", "created_at")),
    Sealed("earlier_vault", ("last_issuer",), ("last_issuer", "wrapped")),
    Sealed("set_aside", ("id",), ("id", "source", "key", "subject", "refused_by", "is_replaced", "content")),
    Sealed("meta", ("key",), ("key", "value"), f"key NOT IN ({', '.join(map(repr, NOTES))})"),
)  # fmt: skip
_BY_NAME = {table.name: table for table in TABLES}
_MOST_COLUMNS = max(len(table.columns) for table in TABLES)


# -- watching ---------------------------------------------------------------------------------------------------------


def watch(store: Store) -> bool:
    """Note from now on which sealed rows this connection changes; outside of a transaction, once. Returns ``True``."""
    values = ", ".join(f"v{number}" for number in range(_MOST_COLUMNS))
    store.execute(f"CREATE TEMP TABLE changed (tab, a, b, c, is_after, {values})")
    for table in TABLES:
        with contextlib.suppress(StateError):  # a table that somebody took away is told by who looks for it
            for statement in _triggers(table):
                store.execute(statement)
    return True


def _triggers(table: Sealed) -> Iterator[str]:
    """What notes what a row said before it was changed, and what it says since."""
    for event, row, images in (
        ("INSERT", "new", ("new",)),
        ("UPDATE", "old", ("old", "new")),
        ("DELETE", "old", ("old",)),
    ):
        when = f"WHEN {row}.{table.only}" if table.only else ""
        notes = "; ".join(f"INSERT INTO changed VALUES ({_noted(table, image)})" for image in images)
        yield f"""CREATE TEMP TRIGGER watch_{table.name}_{event} AFTER {event} ON main.{table.name} {when}
            BEGIN {notes}; END"""


def _noted(table: Sealed, image: str) -> str:
    """The values of a row of ``changed``: of the row as it was (``old``), or as it is since (``new``)."""
    key = [f"{image}.{column}" for column in table.keys] + ["NULL"] * (3 - len(table.keys))
    said = [f"{image}.{column}" for column in table.columns] + ["NULL"] * (_MOST_COLUMNS - len(table.columns))
    return ", ".join([f"'{table.name}'", *key, str(int(image == "new")), *said])


def take_changes(store: Store) -> Iterator[Digests]:
    """Digests of the rows that were changed since this was asked last, in parts of bounded size.

    Of a row that was there before, its digest before and after: so an edit that the program wrote over is found too.
    """
    changes: dict[tuple[Any, ...], tuple[str | None, str | None]] = {}
    for name, a, b, c, is_after, *values in store.each_row("SELECT * FROM temp.changed ORDER BY rowid"):
        said = digest_of(values[: len(_BY_NAME[name].columns)])
        before, _ = changes.get((name, a, b, c), (None if is_after else said, None))
        changes[name, a, b, c] = before, said if is_after else None
    if changes:
        store.execute("DELETE FROM temp.changed")
    yield from _parts(
        (name, _name(*key), _digest(before, now)) for (name, *key), (before, now) in changes.items() if before != now
    )


def _digest(before: str | None, now: str | None) -> Digest:
    return now or "" if before is None else f"{before[:_DIGITS_BEFORE]}>{now or ''}"


def read_digest(said: object) -> tuple[str | None, str | None] | None:
    """The digest (or the begin of it) before a row of the trail, and behind it; ``None``: no version wrote that."""
    if isinstance(said, list):
        is_pair = len(said) == len(("before", "now")) and all(isinstance(one, str | None) for one in said)
        return (said[0], said[1]) if is_pair else None
    found = _DIGEST.fullmatch(said) if isinstance(said, str) else None
    return (found[1], found[2]) if found and said else None


def _name(*key: object) -> str:
    """As ``Sealed.key_text``."""
    return " ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key if part is not None)


def _parts(digests: Iterable[tuple[str, str, Digest]]) -> Iterator[Digests]:
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
    return sha256(b"".join(map(_octets, row))).hexdigest()[:DIGITS]


def _octets(value: object) -> bytes:
    if value is None:
        return b"n;"
    if isinstance(value, bytes):
        return b"b%d:%s;" % (len(value), value)
    if isinstance(value, str):
        octets = value.encode("utf-8")
        return b"t%d:%s;" % (len(octets), octets)
    return b"%s%r;" % (b"i" if isinstance(value, int) else b"f", value)


# -- everything that is there -----------------------------------------------------------------------------------------


def count_rows(store: Store) -> dict[str, int]:
    """How many rows each sealed table has that has any."""
    counts = {
        table.name: int(store.row(f"SELECT count(*) FROM main.{table.name} {_where(table)}")[0]) for table in TABLES
    }
    return {name: count for name, count in counts.items() if count}


def take_all(store: Store) -> Iterator[Digests]:
    """Digests of all sealed rows, in parts of bounded size."""
    return _parts(
        (table.name, key, digest_of(row))
        for table in TABLES
        for key, *row in store.each_row(
            f"SELECT {table.key_text('t')}, {', '.join(table.columns)} FROM main.{table.name} t {_where(table)}"
        )
    )


def _where(table: Sealed, row: str = "") -> str:
    return f"WHERE {row}{table.only}" if table.only else ""


# -- comparing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is not as the trail says. ``seq``: the newest row of the trail that speaks of it.

    ``what``: changed, unrecorded, gone; or passing: it was not as recorded when the program changed it.
    """

    table: str
    key: str
    what: str
    seq: int | None


def begin_fold(store: Store) -> None:
    """Make room for what the trail says of each row."""
    for name in ("sealed", "passing"):
        store.execute(f"DROP TABLE IF EXISTS temp.{name}")
    store.execute("CREATE TEMP TABLE sealed (tab, key, digest, seq, PRIMARY KEY (tab, key)) WITHOUT ROWID")
    store.execute("CREATE TEMP TABLE passing (tab, key, seq)")


def fold(store: Store, seq: int, digests: Digests, *, is_repair: bool) -> None:
    """Let what a later row of the trail says take the place of what was said before, and note where that does not fit.

    A repair settles what did not fit before it.
    """
    if is_repair:
        store.execute("DELETE FROM temp.passing")
    for table, rows in digests.items():
        for key, digest in rows.items():
            read, row = read_digest(digest), (table, key)
            said = store.row("SELECT digest FROM temp.sealed WHERE tab = ? AND key = ?", row)
            if not is_repair and (read is None or not _fits(read[0], said[0] if said else None)):
                store.execute("INSERT INTO temp.passing VALUES (?, ?, ?)", (*row, seq))
            if read is not None:
                store.execute("INSERT OR REPLACE INTO temp.sealed VALUES (?, ?, ?, ?)", (*row, read[1], seq))


def _fits(before: str | None, said: str | None) -> bool:
    return before is said is None or (before is not None and said is not None and said.startswith(before))


def differences(store: Store, table: Sealed) -> Iterator[RowDifference]:
    """Hold the rows of a table against the trail that was folded, in both directions.

    Raises:
        StateError: the table is not one that can be read.
    """
    key_text = f"CAST({table.key_text('t')} AS TEXT)"
    query = f"""SELECT {key_text}, s.digest, s.seq, {", ".join(f"t.{each}" for each in table.columns)}
        FROM main.{table.name} t LEFT JOIN temp.sealed s ON s.tab = '{table.name}' AND s.key = {key_text}
        {_where(table, "t.")}"""
    for key, said, seq, *row in store.each_row(query):
        if said is None:
            yield RowDifference(table.name, key, "unrecorded", seq)
        elif said != digest_of(row):
            yield RowDifference(table.name, key, "changed", seq)
    gone = f"""SELECT 'gone', key, seq FROM temp.sealed WHERE tab = '{table.name}' AND digest IS NOT NULL
        AND key NOT IN (SELECT {key_text} FROM main.{table.name} t)
        UNION ALL SELECT 'passing', key, seq FROM temp.passing WHERE tab = '{table.name}'"""
    for what, key, seq in store.each_row(gone):
        yield RowDifference(table.name, key, what, seq)
