"""What was signed of the revocations."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from iotonboard.errors import StateError
from iotonboard.model import SerialNumber, from_epoch, to_epoch
from iotonboard.store.certificates import has_certificate
from iotonboard.store.newest_lists import IN_ORDER, NEWEST, OF_NEWEST
from iotonboard.store.values import number as whole
from iotonboard.store.values import octets, optional_octets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.store.store import Store


_COLUMNS = "generation, issuer, number, this_update, next_update, revoked, {}, created_at"


@dataclass(frozen=True, slots=True)
class CrlRow:
    """One signed CRL. ``der`` is ``None`` once it was thinned out.

    ``fetched``: the same list with a distribution point, where one was signed just now.
    """

    generation: int
    issuer: int
    number: int
    this_update: datetime
    next_update: datetime
    revoked: int
    der: bytes | None
    created_at: datetime
    fetched: bytes | None = None


def crl_entries(store: Store, issuer: int, listed_since: datetime) -> Iterator[bytes]:
    """Encoded CRL entries of an issuer's certificates that expire at ``listed_since`` or later.

    In the order of the certificates; behind them those of certificates that this state has no row of.
    """
    query = "SELECT entry_der FROM crl_entry WHERE issuer = :issuer AND not_after >= :since"
    return map(itemgetter(0), store.each_row(query, {"issuer": issuer, "since": to_epoch(listed_since)}))


def count_crl_entries(store: Store, issuer: int, listed_since: datetime) -> int:
    """How many entries ``crl_entries`` has."""
    query = "SELECT count(*) FROM crl_entry WHERE issuer = :issuer AND not_after >= :since"
    return store.record(int, query, {"issuer": issuer, "since": to_epoch(listed_since)}) or 0


def crl_entry(store: Store, issuer: int, listed_since: datetime, serial: SerialNumber) -> bytes | None:
    """The one of ``crl_entries`` that the row of this serial's certificate has; ``None`` when there is none.

    An index that does not find the certificate is no reason to list it a second time.
    """
    query = (
        "SELECT r.entry_der FROM certificate c {} JOIN revocation r ON r.certificate = c.id"
        " WHERE c.serial = :serial AND r.not_after >= :since AND r.issuer = :issuer UNION ALL"
        " SELECT entry_der FROM foreign_revocation WHERE serial = :serial AND issuer = :issuer"
    )
    values = {"serial": serial.octets, "since": to_epoch(listed_since), "issuer": issuer}
    found = store.record(octets, query.format(""), values)
    if found is None and not has_certificate(store, serial):
        return store.record(octets, query.format("NOT INDEXED"), values)
    return found


@dataclass(frozen=True, slots=True)
class StoredCrl:
    """A row as it stands, with what it says as a record; ``None`` where that cannot be."""

    id: int
    generation: object
    number: object
    der: object
    values: CrlRow | None


def stored_crls(store: Store) -> list[StoredCrl]:
    """Every row, whatever somebody wrote into it."""
    query = f"SELECT id, {_COLUMNS.format('der')} FROM crl ORDER BY id"
    return [_stored_crl(store, *row) for row in store.rows(query)]


def _stored_crl(store: Store, row: int, *columns: Any) -> StoredCrl:
    generation, _, number, *_, der, _ = columns
    try:
        values = store.make_record(_crl_row, columns)
    except StateError:
        values = None
    return StoredCrl(row, generation, number, der, values)


def drop_crl(store: Store, row: int) -> None:
    """Forget a row that says what cannot be, in the caller's transaction."""
    store.execute("DELETE FROM crl WHERE id = ?", (row,))
    store.forget_small(NEWEST)


def orphaned_number(store: Store) -> int:
    """The highest number of lists whose CA has no row any more: one that was given another row number goes on."""
    query = """SELECT coalesce(max(number), 0) FROM crl
        WHERE issuer NOT IN (SELECT id FROM issuer) AND typeof(number) = 'integer' AND number < 1 << 53"""
    return store.record(whole, query) or 0


def known_numbers(store: Store) -> frozenset[tuple[int, int]]:
    """Issuer and number of every row."""
    return frozenset(store.rows("SELECT issuer, number FROM crl"))


def add_crl(store: Store, row: CrlRow) -> None:
    """Record a CRL; its number can be used once only."""
    store.execute(
        "INSERT INTO crl (generation, issuer, number, this_update, next_update, revoked, der, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.generation, row.issuer, row.number, to_epoch(row.this_update), to_epoch(row.next_update),
            row.revoked, row.der, to_epoch(row.created_at),
        ),
    )  # fmt: skip
    store.forget_small(NEWEST)
    if row.fetched is not None:
        query = "INSERT OR REPLACE INTO crl_idp (crl, der) SELECT id, ? FROM crl WHERE issuer = ? AND number = ?"
        store.execute(query, (row.fetched, row.issuer, row.number))
    if row.der is not None:
        note_crl(store, sha256(row.der).digest(), row.issuer, row.number)


def note_crl(store: Store, digest: bytes, issuer: int, number: int) -> None:
    """Remember a CRL by the SHA-256 of its octets: one that was signed here, or was taken up."""
    statement = "INSERT OR IGNORE INTO known_crl (sha256, issuer, number) VALUES (?, ?, ?)"
    store.execute(statement, (digest, issuer, number))


def known_crl(store: Store, digest: bytes) -> tuple[object, object] | None:
    """CA (its row) and number of a CRL that was signed here or taken up, as they stand there; ``None`` for others."""
    return store.record(
        lambda issuer, number: (issuer, number), "SELECT issuer, number FROM known_crl WHERE sha256 = ?", (digest,)
    )


def kept_ders(store: Store) -> Iterator[tuple[int, int, bytes]]:
    """Issuer, number and octets of every list that is kept, one at a time."""
    query = "SELECT issuer, number, der FROM crl WHERE der IS NOT NULL"
    return store.each(lambda *row: (whole(row[0]), whole(row[1]), octets(row[2])), query)


def crl_without_digest(store: Store, issuer: int, number: int) -> CrlRow | None:
    """The CRL of a number, without its octets, if a version signed it that remembered no digests."""
    known = "SELECT 1 FROM known_crl k WHERE (k.issuer, k.number) = (crl.issuer, crl.number)"
    tail = f"WHERE issuer = ? AND number = ? AND NOT EXISTS ({known})"
    rows = _crls(store, tail, (issuer, number), with_der=False)
    return rows[0] if rows else None


def last_crl(store: Store, issuer: int, *, with_der: bool = True) -> CrlRow | None:
    """The CRL of an issuer with the highest number."""
    newest = "WHERE id = (SELECT id FROM crl WHERE issuer = ? ORDER BY number DESC LIMIT 1)"
    rows = _crls(store, newest, (issuer,), with_der=with_der)
    return rows[0] if rows else None


def last_listed_crl(store: Store, issuer: int) -> CrlRow | None:
    """The newest CRL of an issuer whose octets are kept; a number that ``restore`` only passed has none."""
    # By its row: lists that are sorted are copied with their octets.
    newest = "WHERE id = (SELECT id FROM crl WHERE issuer = ? AND der IS NOT NULL ORDER BY number DESC LIMIT 1)"
    rows = _crls(store, newest, (issuer,))
    return rows[0] if rows else None


def crl_generation(store: Store, *, with_der: bool = True) -> list[CrlRow]:
    """Every CRL of the newest generation: what ``crl.pem`` holds."""
    return _crls(
        store,
        f"WHERE {OF_NEWEST} {IN_ORDER}",
        (),
        with_der=with_der,
    )


def newest_of_issuer(store: Store, issuer: int) -> list[CrlRow]:
    """The CRLs of one issuer that were signed last, without their octets."""
    tail = "WHERE issuer = ? AND generation = (SELECT max(generation) FROM crl WHERE issuer = ?) ORDER BY id"
    return _crls(store, tail, (issuer, issuer), with_der=False)


def newest_crls(store: Store, generations: int) -> list[CrlRow]:
    """The CRLs of the newest generations, oldest first, without their octets."""
    tail = "WHERE generation > (SELECT max(generation) FROM crl) - ? ORDER BY id"
    return _crls(store, tail, (generations,), with_der=False)


def replaced_crls(store: Store, limit: int) -> list[CrlRow]:
    """The CRLs of earlier generations that were signed last, oldest first, without their octets."""
    tail = "WHERE generation < (SELECT max(generation) FROM crl) ORDER BY id DESC LIMIT ?"
    return _crls(store, tail, (limit,), with_der=False)[::-1]


def fetched_lists(store: Store) -> list[tuple[int, int, bytes]]:
    """The newest generation's lists with a distribution point, in the order of ``generation_ders``.

    Each as row of its issuer, number and octets.
    """
    query = f"SELECT issuer, number, f.der FROM crl JOIN crl_idp f ON f.crl = crl.id WHERE {OF_NEWEST} {IN_ORDER}"
    return store.rows(query)


def _crls(store: Store, tail: str, parameters: Sequence[object], *, with_der: bool = True) -> list[CrlRow]:
    columns = _COLUMNS.format("der" if with_der else "NULL")
    return store.records(_crl_row, f"SELECT {columns} FROM crl {tail}", parameters)


def _crl_row(
    generation: int, issuer: int, number: int, begin: int, end: int, revoked: int, der: bytes | None, created_at: int
) -> CrlRow:
    times = from_epoch(begin), from_epoch(end)
    numbers = whole(generation), whole(issuer), whole(number)
    return CrlRow(*numbers, *times, whole(revoked), optional_octets(der), from_epoch(created_at))


def thin_crls(store: Store, keep: int) -> None:
    """Keep the octets of the newest ``keep`` generations, and of the newest alone those that are fetched.

    Number and times of all stay.
    """
    store.execute(
        "UPDATE crl SET der = NULL WHERE der IS NOT NULL AND generation <= (SELECT max(generation) FROM crl) - ?",
        (keep,),
    )
    store.execute(f"DELETE FROM crl_idp WHERE crl NOT IN (SELECT id FROM crl WHERE {OF_NEWEST})")
