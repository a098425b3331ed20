"""The ``index.txt`` in which ``openssl ca`` and easy-rsa keep what they issued (openssl-ca(1), crypto/txt_db)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from iotonboard.errors import PolicyError, quoted
from iotonboard.model import RevocationReason

_FIELDS: Final = 6  # status, expiry, revocation, serial, file, name
_REASONS: Final = {
    **{reason.value.lower(): reason for reason in RevocationReason},
    "holdinstruction": RevocationReason.CERTIFICATE_HOLD,
    "keytime": RevocationReason.KEY_COMPROMISE,  # with the time at which the key was known to be stolen
}


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One line. ``status`` is ``V``, ``R`` or ``E``; ``revoked_at`` and ``reason`` are those of ``R``.

    ``serial`` is a number as it stands there, of whatever size; ``name`` the subject as openssl writes it.
    """

    line: int
    status: str
    not_after: datetime
    revoked_at: datetime | None
    reason: RevocationReason
    serial: int
    name: str


def parse_index(content: bytes) -> list[IndexRow]:
    """Read every line; a reason that an end entity cannot have counts as unspecified.

    Raises:
        PolicyError: a line is not one of such a file; the message has its number.
    """
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1)]
    return [_row(number, line) for number, line in lines if line.strip()]


def _row(number: int, line: str) -> IndexRow:
    fields = line.split("\t")
    if len(fields) != _FIELDS or fields[0] not in ("V", "R", "E"):
        raise PolicyError(
            f"line {number} is none of an openssl index", hint="name the index.txt of the CA, as it stands there"
        )
    status, not_after, revocation, serial, _, name = fields
    if not re.fullmatch(r"-?[0-9A-Fa-f]{1,64}", serial):
        raise PolicyError(f"line {number}: {quoted(serial, 40)} is not a serial number", hint="correct that line")
    moment, _, reason = revocation.partition(",")
    is_revoked = status == "R"
    return IndexRow(
        number,
        status,
        _time(not_after, number),
        _time(moment, number) if is_revoked else None,
        _REASONS.get(reason.split(",")[0].lower(), RevocationReason.UNSPECIFIED),
        int(serial, 16),
        name,
    )


def _time(digits: str, number: int) -> datetime:
    """``YYMMDDHHMMSSZ`` or ``YYYYMMDDHHMMSSZ`` (RFC 5280 4.1.2.5)."""
    if re.fullmatch(r"[0-9]{12}Z", digits):
        digits = ("19" if digits >= "5" else "20") + digits
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise PolicyError(f"line {number}: {quoted(digits, 40)} is not a time", hint="correct that line") from None
