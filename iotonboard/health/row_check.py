"""Rows, schema and trail against each other: each row is as the trail says, and nothing works on them unseen."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError, StateError
from iotonboard.health.difference import Difference, Repair
from iotonboard.pki.facts import certificate_facts
from iotonboard.store.compromised import compromised_cas
from iotonboard.store.crls import kept_ders, known_crl
from iotonboard.store.inspection import odd_bundles
from iotonboard.store.row_differences import differences
from iotonboard.store.row_seals import TABLES
from iotonboard.store.row_subjects import certificates_of_row, subject_of
from iotonboard.store.schema.expected import schema_differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.store.row_differences import RowDifference
    from iotonboard.store.row_seals import Sealed
    from iotonboard.store.store import Store
    from iotonboard.store.trail_replay import Folded

_MOST = 1000  # of one table: whoever changed more changed everything
_WHAT = {
    "changed": "is not as the trail says",
    "unrecorded": "is not known to the trail",
    "gone": "is gone",
    "passing": "was not as the trail says when the program changed it",
}


def check_schema(store: Store) -> Iterator[Difference]:
    """Name tables, indexes, views and triggers that are not as the program makes them."""
    for one in schema_differences(store):
        yield Difference("schema", f"{one.kind} {one.name}", one.what)


def check_rows(store: Store, folded: Folded) -> Iterator[Difference]:
    """Name every row that is not as the trail says, which was folded before.

    A state of an earlier version, in which nothing was changed since, has no seals yet.
    """
    for seq in folded.anew:
        yield Difference("trail", f"row {seq}", "begins the seals of all rows anew: what was changed before is hidden")
    for seq, problem in folded.broken:
        yield Difference("trail", f"row {seq}", f"the seal before it was broken: {problem}", Repair.ACCEPT)
    for seq in folded.weakened:
        yield Difference("trail", f"row {seq}", "takes a revocation back, as no command does")
    if folded.is_sealed:
        for table in TABLES:
            yield from _of_table(store, table)
    for certificate, holder in odd_bundles(store):
        yield Difference("row", holder or "bundle", f"row {str(certificate)!r} of bundle is not as the trail says")


def _of_table(store: Store, table: Sealed) -> Iterator[Difference]:
    try:
        for count, found in enumerate(differences(store, table)):
            if count == _MOST:
                yield Difference("row", table.name, f"more than {_MOST} rows are not as the trail says")
                return
            yield _named(store, found)
    except StateError as error:
        yield Difference("row", table.name, f"cannot be compared: {error.message}")


def _certified(store: Store, found: RowDifference) -> str:
    """To whom the certificates of a device were issued whose row is gone."""
    ders = certificates_of_row(store, found.key) if found.table == "device" else []
    return certificate_facts(ders[-1]).subject_cn if ders else ""


def _named(store: Store, found: RowDifference) -> Difference:
    try:
        subject = subject_of(store, found.table, found.key, found.seq) or _certified(store, found)
    except IotOnboardError:  # what would name it was edited too
        subject = ""
    where = f"row {found.key!r} of {found.table}"
    told = f" (row {found.seq} of the trail)" if found.seq else ""
    repair = Repair.ACCEPT if found.what == "passing" else Repair.NOTHING
    return Difference("row", subject or found.table, f"{where} {_WHAT[found.what]}{told}", repair)


def check_kept_lists(store: Store) -> Iterator[Difference]:
    """Octets of lists that are kept, which the trail does not seal: their digests were noted when they were signed."""
    edited = "its octets in the database are not those that were signed"
    for issuer, number, der in kept_ders(store):
        if known_crl(store, sha256(der).digest()) != (issuer, number):
            yield Difference("crl", f"CRL {number}", edited)
    for ca in compromised_cas(store):
        known = known_crl(store, sha256(ca.last_crl).digest())
        if known is None or known[0] != ca.issuer:
            yield Difference("crl", "last CRL of a stolen CA", edited)
