"""``receipts``: take what brokers' machines say is in place there.

A receipt is believed as far as it says something that this state signed: it names lists by their octets. It decides
nothing; ``show`` and ``health`` tell what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.receipt import read_receipt
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.health.arrival import never_reported
from iotonboard.model import rfc3339
from iotonboard.pki.key_id import key_id
from iotonboard.state.chain import chain_in_force
from iotonboard.store.crls import crl_without_digest, known_crl
from iotonboard.store.issuers import all_issuers
from iotonboard.store.receipts import ReceiptRow, receipt_from, set_receipt

if TYPE_CHECKING:
    from iotonboard.broker.receipt import ListInPlace, Receipt
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow


@dataclass(frozen=True, slots=True)
class Taken:
    """A receipt, and what became of it: ``taken``, ``known`` (it was taken before) or ``older``.

    ``numbers`` are those of the lists in place, by the start of the CA's fingerprint. ``is_back``: it was taken, and
    something in it is older than what that broker had before.
    """

    row: ReceiptRow
    status: str
    numbers: dict[str, int]
    is_back: bool = False


def take_receipt(state: State, path: str) -> Taken:
    """Take one receipt.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it is no receipt, is damaged, or is of a broker of another CA.
        ConflictError: it names a list that this state did not sign: another copy of it did.
        BusyError: the state is locked or the disk refuses.
    """
    receipt = read_receipt(path)
    with state.transaction() as now:
        own = _own_lists(state, path, receipt)
        keys = {key_id(issuer.der) for issuer in all_issuers(state.store)}
        change = receipt.acl_change if receipt.acl_key in keys else 0
        numbers = {issuer.id: one.number for issuer, one in own}
        row = ReceiptRow(
            receipt.broker, receipt.path, receipt.time, receipt.counter, change, receipt.is_read, numbers
        )  # fmt: skip
        shown = {issuer.fingerprint[:16]: one.number for issuer, one in own}
        last = receipt_from(state.store, row.broker, row.path)
        if last == row:
            return Taken(row, "known", shown)
        if last is not None and _is_older(row, last):
            return Taken(row, "older", shown)
        set_receipt(state.store, row)
        detail = {
            "place": row.path,
            "time": rfc3339(row.time),
            "counter": row.counter,
            "acl_change": row.acl_change,
            "is_read": row.is_read,
            "crl_numbers": {issuer.fingerprint: one.number for issuer, one in own},
        }
        state.record(now, row.broker, detail={"receipt": detail})
    return Taken(row, "taken", shown, is_back=last is not None and _is_behind(row, last))


def silent_brokers(state: State) -> tuple[str, ...]:
    """The brokers that have a certificate of this state, and never sent a receipt."""
    return never_reported(state.store, state.clock())


def _own_lists(state: State, path: str, receipt: Receipt) -> list[tuple[IssuerRow, ListInPlace]]:
    """The lists of the CAs of this state."""
    rows = all_issuers(state.store)
    issuers = {sha256(der).hexdigest(): row for row in rows for der in (row.der, chain_in_force(state.store, row)[0])}
    # A broker may have a certificate of the CA that is none of these any more: its list is ours all the same.
    by_list = {one.crl: known_crl(state.store, bytes.fromhex(one.crl)) for one in receipt.issuers}
    issuers |= {
        one.certificate: row for one in receipt.issuers for row in rows if by_list[one.crl] == (row.id, one.number)
    }
    own = [(issuers[one.certificate], one) for one in receipt.issuers if one.certificate in issuers]
    if not own:
        what = "a broker of another CA" if receipt.issuers else "a broker without any CRL"
        raise PolicyError(
            f"{path!r} is of {what}", hint="take it to the workstation whose 'iotonboard pack' made that package"
        )
    for issuer, one in own:
        _check_list(state, path, issuer, one)
    return own


def _check_list(state: State, path: str, issuer: IssuerRow, one: ListInPlace) -> None:
    """Make sure that this state knows the list: by its octets, or where an earlier version kept no digest by the rest.

    Raises:
        PolicyError: it says another number of the list than the list does.
        ConflictError: another copy of the state signed it.
    """
    known = known_crl(state.store, bytes.fromhex(one.crl))
    if known == (issuer.id, one.number):
        return
    if known is not None:
        raise PolicyError(f"{path!r} says something else of a CRL than the CRL does", hint="do not believe it")
    row = crl_without_digest(state.store, issuer.id, one.number)
    if row is None or (row.this_update, row.next_update, row.revoked) != one.said:
        raise ConflictError(
            f"{path!r} names CRL {one.number}, and this state did not sign that one: another copy of it is at work",
            hint="bring that broker's crl.pem and type: iotonboard restore --crl FILE",
        )


def _is_older(row: ReceiptRow, last: ReceiptRow) -> bool:
    """Say whether a receipt was written before the last one: by what it says, and where that went both ways by time.

    A broker's clock may begin in 1970 again; its content goes forwards all the same. What is behind and later is of a
    broker that went back, which is to be known.
    """
    if row.versions == last.versions:
        return row.time <= last.time
    return row.time <= last.time and _is_behind(row, last)


def _is_behind(row: ReceiptRow, last: ReceiptRow) -> bool:
    return any(row.versions.get(what, 0) < number for what, number in last.versions.items())
