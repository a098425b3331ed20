"""One element of a CRL's revokedCertificates, encoded when the certificate is revoked.

It needs no cryptographic library: a revocation that is recorded for later signing stays cheap, and a CRL of a
million entries is a join of octets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason
from iotonboard.pki import der

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import SerialNumber

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
