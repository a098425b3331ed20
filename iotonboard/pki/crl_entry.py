"""One element of a CRL's revokedCertificates, encoded when the certificate is revoked.

It needs no cryptographic library: a revocation that is recorded for later signing stays cheap, and a CRL of a
million entries is a join of octets.
"""

from __future__ import annotations

from datetime import UTC, datetime

from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.pki import der

_REASON_CODE_OID = der.oid("2.5.29.21")


def _reason_extensions(reason: RevocationReason) -> bytes:
    """Encode crlEntryExtensions; empty for unspecified, which SHOULD be left out (RFC 5280 5.3.1)."""
    if reason is RevocationReason.UNSPECIFIED:
        return b""
    # No critical flag: FALSE is the default, and DER leaves defaults out (X.690 11.5).
    value = der.octet_string(der.enumerated(reason.code))
    return der.sequence(der.sequence(_REASON_CODE_OID, value))


_EXTENSIONS = {reason: _reason_extensions(reason) for reason in RevocationReason}


def encode_entry(serial: SerialNumber, revocation_date: datetime, reason: RevocationReason) -> bytes:
    """Encode one revokedCertificates element as DER (RFC 5280 5.1.2.6, 5.3.1).

    ``revocation_date`` is aware; fractions of a second are dropped. The reasonCode extension is not critical,
    and absent for ``unspecified``.

    Raises:
        PolicyError: the date cannot be written (see ``der.x509_time``).

    """
    return der.sequence(der.integer(serial), der.x509_time(revocation_date), _EXTENSIONS[reason])


def serial_and_reason(entry: bytes) -> tuple[SerialNumber, RevocationReason]:
    """Read one entry that ``crl.listed_entries`` cut out."""
    serial, *_ = der.children(entry, der.whole(entry))
    # A reasonCode is the last octet of its entry; without one the entry ends with a time's "Z".
    reason = next((each for each in RevocationReason if each.code and each.code == entry[-1]), None)
    return SerialNumber(int.from_bytes(entry[serial.begin : serial.end])), reason or RevocationReason.UNSPECIFIED


def entry_date(entry: bytes) -> datetime:
    """Read the revocationDate of one entry that ``crl.listed_entries`` cut out (RFC 5280 5.1.2.6)."""
    _, time, *_ = der.children(entry, der.whole(entry))
    digits = entry[time.begin : time.end].decode("ascii")
    if time.tag == der.UTC_TIME:  # 4.1.2.5.1: two digits of the year, 1950 to 2049
        digits = ("20" if digits < "50" else "19") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
