"""What is revoked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason, RevocationRecord, SerialNumber, from_epoch, to_epoch
from iotonboard.store.left_to_do import CRL_DUE, is_crl_due
from iotonboard.store.values import octets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.store import Store


def add_revocation(
    store: Store, serial: SerialNumber, date: datetime, reason: RevocationReason, entry_der: bytes
) -> None:
    """Record a revocation; one that is there already stays unless this reason replaces it.

    An index that does not find the certificate is no obstacle.
    """
    found = "SELECT id FROM certificate {} WHERE serial = :serial"
    row = f"coalesce(({found.format('')}), ({found.format('NOT INDEXED')}))"  # the second is asked when the first fails
    store.execute(
        "INSERT INTO revocation (certificate, issuer, revocation_date, reason, not_after, entry_der)"
        f" SELECT id, issuer, :date, :reason, not_after, :entry FROM certificate WHERE id = {row}"
        " ON CONFLICT (certificate) DO UPDATE SET reason = excluded.reason, revocation_date = excluded.revocation_date,"
        " entry_der = excluded.entry_der WHERE revocation.reason = 'certificateHold'"
        " OR (excluded.reason = 'keyCompromise' AND revocation.reason <> 'keyCompromise')",
        {"date": to_epoch(date), "reason": reason.value, "entry": entry_der, "serial": serial.octets},
    )


def remove_revocation(store: Store, serial: SerialNumber, now: datetime) -> None:
    """Take a certificate off hold, and remember when."""
    store.execute(
        "INSERT INTO released (certificate, released_at) SELECT id, ? FROM certificate WHERE serial = ?"
        " ON CONFLICT (certificate) DO UPDATE SET released_at = excluded.released_at",
        (to_epoch(now), serial.octets),
    )
    drop_revocation(store, serial)


def released_serials(store: Store) -> frozenset[SerialNumber]:
    """Certificates that were on hold once, and came back, whatever became of them since."""
    query = "SELECT c.serial FROM released r JOIN certificate c ON c.id = r.certificate"
    return frozenset(store.records(SerialNumber.from_octets, query))


def drop_revocation(store: Store, serial: SerialNumber) -> None:
    """Forget a row that somebody made weaker, before it is recorded again."""
    store.execute(
        "DELETE FROM revocation WHERE certificate = (SELECT id FROM certificate WHERE serial = ?)", (serial.octets,)
    )


def revocable(
    store: Store,
    device_id: str,
    now: datetime,
    reason: RevocationReason = RevocationReason.CERTIFICATE_HOLD,
    *,
    by_index: bool = True,
) -> list[SerialNumber]:
    """Serials of a device's unexpired certificates that can be revoked for ``reason``, oldest first.

    For a hold those are the valid ones. Without ``by_index`` both tables are read through.
    """
    scan = "" if by_index else "NOT INDEXED"
    query = f"""SELECT c.serial, r.reason FROM certificate c {scan} LEFT JOIN revocation r ON r.certificate = c.id
        WHERE c.device IN (SELECT id FROM device {scan} WHERE device_id = ?) AND c.not_after >= ? ORDER BY c.id"""
    found = store.records(_serial_and_reason, query, (device_id, to_epoch(now)))
    return [serial for serial, earlier in found if reason.replaces(earlier)]


def _serial_and_reason(serial: bytes, reason: str | None) -> tuple[SerialNumber, RevocationReason | None]:
    return SerialNumber.from_octets(serial), None if reason is None else RevocationReason(reason)


def held_serials(store: Store, device_id: str) -> list[SerialNumber]:
    """Serials of a device's certificates that are on hold, oldest first."""
    query = """SELECT c.serial FROM certificate c JOIN revocation r ON r.certificate = c.id
        WHERE c.device = (SELECT id FROM device WHERE device_id = ?) AND r.reason = 'certificateHold' ORDER BY c.id"""
    return store.records(SerialNumber.from_octets, query, (device_id,))


def newest_revocation(store: Store, device_id: str, *, by_index: bool = True) -> RevocationRecord | None:
    """The latest revocation of a device's certificates; as ``revocable``."""
    scan = "" if by_index else "NOT INDEXED"
    query = f"""SELECT c.serial, r.revocation_date, r.reason FROM certificate c {scan}
        JOIN revocation r ON r.certificate = c.id
        WHERE c.device IN (SELECT id FROM device {scan} WHERE device_id = ?)
        ORDER BY r.revocation_date DESC, c.id DESC LIMIT 1"""
    return store.record(
        lambda serial, date, reason: RevocationRecord(
            SerialNumber.from_octets(serial), from_epoch(date), RevocationReason(reason)
        ),
        query,
        (device_id,),
    )


def revocation_of(store: Store, serial: SerialNumber, *, by_index: bool = True) -> RevocationRecord | None:
    """The revocation of a certificate that this state knows; ``None`` when it has none."""
    scan = "" if by_index else "NOT INDEXED"
    query = f"""SELECT r.revocation_date, r.reason FROM certificate c {scan} JOIN revocation r ON r.certificate = c.id
        WHERE c.serial = ?"""
    return store.record(
        lambda date, reason: RevocationRecord(serial, from_epoch(date), RevocationReason(reason)),
        query,
        (serial.octets,),
    )


def revocations_after(store: Store, moment: datetime) -> list[RevocationRecord]:
    """Revocations that are dated later than this."""
    query = """SELECT c.serial, r.revocation_date, r.reason FROM revocation r JOIN certificate c ON c.id = r.certificate
        WHERE r.revocation_date > ? ORDER BY r.certificate"""
    return store.records(
        lambda serial, date, reason: RevocationRecord(
            SerialNumber.from_octets(serial), from_epoch(date), RevocationReason(reason)
        ),
        query,
        (to_epoch(moment),),
    )


def set_revocation_date(store: Store, serial: SerialNumber, date: datetime, entry_der: bytes) -> None:
    """Date a revocation anew."""
    store.execute(
        "UPDATE revocation SET revocation_date = ?, entry_der = ?"
        " WHERE certificate = (SELECT id FROM certificate WHERE serial = ?)",
        (to_epoch(date), entry_der, serial.octets),
    )


@dataclass(frozen=True, slots=True)
class StoredRevocation:
    """A row as it stands, whatever somebody wrote into it; ``certificate`` is its certificate's row, or of none."""

    certificate: int
    certificate_serial: object
    date: object
    reason: object
    entry_der: object


def stored_revocations(store: Store) -> Iterator[StoredRevocation]:
    """Every row beside the serial of its certificate, or ``None`` where that is gone."""
    query = """SELECT r.certificate, c.serial, r.revocation_date, r.reason, r.entry_der FROM revocation r
        LEFT JOIN certificate c ON c.id = r.certificate ORDER BY r.certificate"""
    return store.each(StoredRevocation, query)


def drop_stored(store: Store, row: StoredRevocation) -> None:
    """Forget a row of no certificate that is no entry of a list, in the caller's transaction."""
    store.execute("DELETE FROM revocation WHERE certificate = ?", (row.certificate,))


def stored_foreign(store: Store) -> list[tuple[int, object, object]]:
    """Issuer, serial and entry of every revocation without a certificate, whatever stands there."""
    return store.rows("SELECT issuer, serial, entry_der FROM foreign_revocation")


def drop_foreign(store: Store, stored_serial: object) -> None:
    """Forget one whose entry nobody can read, in the caller's transaction."""
    store.execute("DELETE FROM foreign_revocation WHERE serial = ?", (stored_serial,))


def certificate_row(store: Store, serial: SerialNumber) -> int | None:
    """The row number of a certificate that has a revocation, or could have one; ``None``: it is not known."""
    return store.record(int, "SELECT id FROM certificate WHERE serial = ?", (serial.octets,))


def set_entry(store: Store, certificate: int, date: datetime, reason: RevocationReason, entry_der: bytes) -> None:
    """Write date, reason and entry of a revocation anew, whatever stood there."""
    store.execute(
        """UPDATE revocation SET revocation_date = ?, reason = ?, entry_der = ?, (issuer, not_after) =
            (SELECT c.issuer, c.not_after FROM certificate c WHERE c.id = revocation.certificate)
            WHERE certificate = ?""",
        (to_epoch(date), reason.value, entry_der, certificate),
    )


def recorded_entry(store: Store, serial: SerialNumber, *, by_index: bool = True) -> bytes | None:
    """The CRL entry of a revocation whose certificate this state knows; ``by_index`` as elsewhere.

    ``None`` also where its row is not one for the lists of the certificate's CA as long as the certificate lives.
    """
    scan = "" if by_index else "NOT INDEXED"
    query = f"""SELECT r.entry_der FROM certificate c {scan} JOIN revocation r ON r.certificate = c.id
        WHERE c.serial = ? AND r.issuer = c.issuer AND r.not_after = c.not_after"""
    return store.record(bytes, query, (serial.octets,))


def foreign_entry(store: Store, serial: SerialNumber) -> bytes | None:
    """The CRL entry of a revocation whose certificate this state does not know."""
    return store.record(octets, "SELECT entry_der FROM foreign_revocation WHERE serial = ?", (serial.octets,))


def set_foreign_entry(store: Store, issuer: int, serial: SerialNumber, entry_der: bytes | None) -> None:
    """Keep a revocation whose certificate this state does not know on every CRL, or with ``None`` forget it."""
    store.execute("DELETE FROM foreign_revocation WHERE serial = ?", (serial.octets,))
    if entry_der is not None:
        store.execute(
            "INSERT INTO foreign_revocation (issuer, serial, entry_der) VALUES (?, ?, ?)",
            (issuer, serial.octets, entry_der),
        )


def add_foreign_entry(store: Store, issuer: int, serial: SerialNumber, entry_der: bytes) -> None:
    """Keep a revocation whose certificate this state does not know on the CRLs of one more issuer."""
    store.execute(
        "INSERT INTO foreign_revocation (issuer, serial, entry_der) VALUES (?, ?, ?)"
        " ON CONFLICT (issuer, serial) DO UPDATE SET entry_der = excluded.entry_der",
        (issuer, serial.octets, entry_der),
    )


def note_lost_device(store: Store, device_id: str, serial: SerialNumber) -> None:
    """Note whose certificate was revoked that this state has no row of, so that the ACL denies that device."""
    store.execute(
        "INSERT INTO lost_device (device_id, serial) VALUES (?, ?)"
        " ON CONFLICT (device_id) DO UPDATE SET serial = excluded.serial",
        (device_id, serial.octets),
    )


def note_listed(store: Store, issuer: int, number: int) -> None:
    """Note the CRL of an issuer that has its revocations, for those that were on none before."""
    store.execute("UPDATE revocation SET listed = ? WHERE listed IS NULL AND issuer = ?", (number, issuer))


def set_crl_due(store: Store, *, is_due: bool) -> None:
    """Note whether ``is_crl_due``, in the transaction that records the revocations, or that signs."""
    if is_due is not is_crl_due(store):
        store.set_meta(CRL_DUE, int(is_due))


def left_serials(store: Store, issuer: int, since: datetime, now: datetime) -> dict[SerialNumber, str]:
    """Serials that are on no list of an issuer any more, and why: ``expired`` after ``since``, or ``released``.

    An entry stays until it was on one list after its expiry (RFC 5280 3.3), so one that expired just now may be listed.
    """
    expired = """SELECT c.serial FROM revocation r JOIN certificate c ON c.id = r.certificate
        WHERE r.issuer = ? AND r.not_after BETWEEN ? AND ?"""
    released = """SELECT c.serial FROM released r JOIN certificate c ON c.id = r.certificate
        WHERE c.issuer = ? AND c.id NOT IN (SELECT certificate FROM revocation)"""
    times = (issuer, to_epoch(since), to_epoch(now))
    found = dict.fromkeys(store.records(SerialNumber.from_octets, expired, times), "expired")
    return found | dict.fromkeys(store.records(SerialNumber.from_octets, released, (issuer,)), "released")


def unlisted_revocations(store: Store) -> int:
    """How many revocations were recorded after the last CRL was signed."""
    return store.number("unlisted_revocations") or 0
