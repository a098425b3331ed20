"""Revocations, CRLs and the trail's signed head in the database."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason, RevocationRecord, SerialNumber, from_epoch, to_epoch
from iotonboard.store.connection import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class CrlRow:
    """One CRL of the published generation. ``der`` is ``None`` once it was thinned out."""

    generation: int
    issuer: int
    number: int
    this_update: datetime
    next_update: datetime
    revoked: int
    der: bytes | None


class Revocations(Database):
    """What is revoked, and what was signed of it."""

    def add_revocation(self, serial: SerialNumber, date: datetime, reason: RevocationReason, entry_der: bytes) -> None:
        """Record a revocation; one that is there already stays unless this reason replaces it."""
        self.connection.execute(
            "INSERT INTO revocation (certificate, revocation_date, reason, not_after, entry_der)"
            " SELECT id, ?, ?, not_after, ? FROM certificate WHERE serial = ? ON CONFLICT (certificate)"
            " DO UPDATE SET reason = excluded.reason, revocation_date = excluded.revocation_date,"
            " entry_der = excluded.entry_der WHERE revocation.reason = 'certificateHold'"
            " OR (excluded.reason = 'keyCompromise' AND revocation.reason <> 'keyCompromise')",
            (to_epoch(date), reason.value, entry_der, serial.octets),
        )

    def revocable(
        self, device: int, now: datetime, reason: RevocationReason = RevocationReason.CERTIFICATE_HOLD
    ) -> list[SerialNumber]:
        """Serials of a device's unexpired certificates that can be revoked for ``reason``, oldest first.

        For a hold those are the valid ones.
        """
        query = (
            "SELECT c.serial, r.reason FROM certificate c LEFT JOIN revocation r ON r.certificate = c.id"
            " WHERE c.device = ? AND c.not_after >= ? ORDER BY c.id"
        )
        return [
            SerialNumber(int.from_bytes(serial))
            for serial, earlier in self._all(query, (device, to_epoch(now)))
            if reason.replaces(earlier and RevocationReason(earlier))
        ]

    def revocation_of(self, serial: SerialNumber) -> RevocationRecord | None:
        """The revocation of a certificate that this state knows; ``None`` when it has none."""
        query = (
            "SELECT r.revocation_date, r.reason FROM revocation r JOIN certificate c ON c.id = r.certificate"
            " WHERE c.serial = ?"
        )
        row = self._one(query, (serial.octets,))
        return RevocationRecord(serial, from_epoch(row[0]), RevocationReason(row[1])) if row else None

    def foreign_entry(self, serial: SerialNumber) -> bytes | None:
        """The CRL entry of a revocation whose certificate this state does not know."""
        row = self._one("SELECT entry_der FROM foreign_revocation WHERE serial = ?", (serial.octets,))
        return row[0] if row else None

    def set_foreign_entry(self, issuer: int, serial: SerialNumber, entry_der: bytes | None) -> None:
        """Keep a revocation whose certificate this state does not know on every CRL, or with ``None`` forget it."""
        self.connection.execute("DELETE FROM foreign_revocation WHERE serial = ?", (serial.octets,))
        if entry_der is not None:
            self.connection.execute(
                "INSERT INTO foreign_revocation (issuer, serial, entry_der) VALUES (?, ?, ?)",
                (issuer, serial.octets, entry_der),
            )

    def crl_entries(self, issuer: int, listed_since: datetime) -> Iterator[bytes]:
        """Encoded CRL entries of an issuer's certificates that expire at ``listed_since`` or later."""
        known, foreign, parameters = self._listed(issuer, listed_since)
        for query in (known, foreign):
            yield from map(itemgetter(0), self.connection.execute(f"SELECT entry_der {query}", parameters))

    def count_crl_entries(self, issuer: int, listed_since: datetime) -> int:
        """How many entries ``crl_entries`` has."""
        known, foreign, parameters = self._listed(issuer, listed_since)
        return sum(int(self._one(f"SELECT count(*) {query}", parameters)[0]) for query in (known, foreign))

    def crl_entry(self, issuer: int, listed_since: datetime, serial: SerialNumber) -> bytes | None:
        """The one of ``crl_entries`` that the row of this serial's certificate has; ``None`` when there is none."""
        query = (
            "SELECT r.entry_der FROM certificate c JOIN revocation r ON r.certificate = c.id"
            " WHERE c.serial = :serial AND r.not_after >= :since AND c.issuer = :issuer UNION ALL"
            " SELECT entry_der FROM foreign_revocation WHERE serial = :serial AND issuer = :issuer"
        )
        row = self._one(query, {"serial": serial.octets, "since": to_epoch(listed_since), "issuer": issuer})
        return row[0] if row else None

    def _listed(self, issuer: int, listed_since: datetime) -> tuple[str, str, dict[str, int]]:
        """Where the revocations of a CRL stand: those of known certificates, in their order, and the others."""
        known = "FROM revocation r WHERE r.not_after >= :since"
        if len(self._all("SELECT id FROM issuer LIMIT 2")) > 1:
            known = (
                "FROM revocation r JOIN certificate c ON c.id = +r.certificate"
                " WHERE r.not_after >= :since AND c.issuer = :issuer"
            )
        foreign = "FROM foreign_revocation WHERE issuer = :issuer"
        return known, foreign, {"since": to_epoch(listed_since), "issuer": issuer}

    def unlisted_revocations(self) -> int:
        """How many revocations were recorded after the last CRL was signed."""
        return int(self.meta("unlisted_revocations") or 0)

    def add_crl(self, row: CrlRow, now: datetime) -> None:
        """Record a CRL; its number can be used once only."""
        self.connection.execute(
            "INSERT INTO crl (generation, issuer, number, this_update, next_update, revoked, der, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.generation, row.issuer, row.number, to_epoch(row.this_update), to_epoch(row.next_update),
                row.revoked, row.der, to_epoch(now),
            ),
        )  # fmt: skip

    def last_crl(self, issuer: int, *, with_der: bool = True) -> CrlRow | None:
        """The CRL of an issuer with the highest number."""
        rows = self._crls("WHERE issuer = ? ORDER BY number DESC LIMIT 1", (issuer,), with_der=with_der)
        return rows[0] if rows else None

    def last_listed_crl(self, issuer: int) -> CrlRow | None:
        """The newest CRL of an issuer whose octets are kept; a number that ``restore`` only passed has none."""
        rows = self._crls("WHERE issuer = ? AND der IS NOT NULL ORDER BY number DESC LIMIT 1", (issuer,))
        return rows[0] if rows else None

    def newest_generation(self) -> int:
        """Number of the generation that ``crl.pem`` holds; 0 before the first one."""
        return int(self._one("SELECT coalesce(max(generation), 0) FROM crl")[0])

    def newest_update(self, now: datetime) -> datetime | None:
        """The latest thisUpdate that is not in the future, of the CRLs of the newest generation."""
        query = (
            "SELECT max(this_update) FROM crl WHERE generation = (SELECT max(generation) FROM crl) AND this_update <= ?"
        )
        found = self._one(query, (to_epoch(now),))[0]
        return None if found is None else from_epoch(found)

    def crl_generation(self, *, with_der: bool = True) -> list[CrlRow]:
        """Every CRL of the newest generation: what ``crl.pem`` holds."""
        return self._crls("WHERE generation = (SELECT max(generation) FROM crl) ORDER BY id", (), with_der=with_der)

    def replaced_crls(self, limit: int) -> list[CrlRow]:
        """The CRLs of earlier generations that were signed last, oldest first, without their octets."""
        tail = "WHERE generation < (SELECT max(generation) FROM crl) ORDER BY id DESC LIMIT ?"
        return self._crls(tail, (limit,), with_der=False)[::-1]

    def generation_ders(self) -> Iterator[bytes]:
        """The octets of the newest generation's CRLs, one at a time: a calendar of large ones fills the memory."""
        query = (
            "SELECT der FROM crl WHERE generation = (SELECT max(generation) FROM crl) AND der IS NOT NULL ORDER BY id"
        )
        return map(itemgetter(0), self.connection.execute(query))

    def _crls(self, tail: str, parameters: Sequence[object], *, with_der: bool = True) -> list[CrlRow]:
        der = "der" if with_der else "NULL"
        query = f"SELECT generation, issuer, number, this_update, next_update, revoked, {der} FROM crl {tail}"  # noqa: S608
        return [
            CrlRow(generation, issuer, number, from_epoch(this), from_epoch(following), revoked, der)
            for generation, issuer, number, this, following, revoked, der in self._all(query, parameters)
        ]

    def thin_crls(self, keep: int) -> None:
        """Keep the octets of the newest ``keep`` generations; number and times of all stay."""
        self.connection.execute(
            "UPDATE crl SET der = NULL WHERE der IS NOT NULL AND generation <= (SELECT max(generation) FROM crl) - ?",
            (keep,),
        )

    def audit_head(self) -> tuple[int, bytes, int, bytes] | None:
        """The newest signed head of the trail: row number, hash, issuer and signature."""
        row = self._one("SELECT seq, hash, issuer, signature FROM audit_head ORDER BY seq DESC LIMIT 1")
        return (row[0], row[1], row[2], row[3]) if row else None

    def set_audit_head(self, seq: int, digest: bytes, issuer: int, signature: bytes) -> None:
        """Keep the newest signed head of the audit trail in place of the one before."""
        self.connection.execute("DELETE FROM audit_head WHERE seq <> ?", (seq,))
        self.connection.execute(
            "INSERT OR REPLACE INTO audit_head (seq, hash, issuer, signature) VALUES (?, ?, ?, ?)",
            (seq, digest, issuer, signature),
        )
