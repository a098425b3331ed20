"""Types that cross borders between modules: identifiers, enumerations and records.

Times are aware UTC datetimes in whole seconds. Certificates, CRLs and keys are DER; PEM exists only
where a file is written. A ``DeviceId`` or ``SerialNumber`` that exists is valid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, Self

from iotonboard.errors import PolicyError, quoted
from iotonboard.ids import DeviceId as DeviceId  # noqa: PLC0414, TC001 - one of these values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iotonboard.errors import IotOnboardError

_MAX_SERIAL_BITS = 159  # RFC 5280 4.1.2.2: at most 20 octets, positive


class SerialNumber(int):
    """A certificate serial number: positive and at most 159 bits (RFC 5280 4.1.2.2)."""

    def __new__(cls, value: int) -> Self:
        """Check the range of ``value``."""
        if not 0 < value < 1 << _MAX_SERIAL_BITS:
            raise PolicyError("a serial number must be positive and at most 159 bits long")
        return super().__new__(cls, value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Parse upper or lower case hexadecimal, colons allowed, as openssl prints it."""
        digits = text.replace(":", "")
        if not re.fullmatch(r"[0-9A-Fa-f]{1,40}", digits):
            raise PolicyError(
                f"{quoted(text)} is not a serial number", hint="serials are hexadecimal, as 'show' prints them"
            )
        return cls(int(digits, 16))

    @classmethod
    def from_random(cls, octets: bytes) -> Self:
        """Make a serial of 159 bits from 20 random octets; the top bit pair is set so the length is constant."""
        return cls((int.from_bytes(octets[:20]) >> 1) | 1 << (_MAX_SERIAL_BITS - 1))

    @classmethod
    def from_octets(cls, octets: bytes) -> Self:
        """Read what ``octets`` returned."""
        return cls(int.from_bytes(octets))

    @property
    def octets(self) -> bytes:
        """Big-endian, 20 octets: the store's key."""
        return self.to_bytes(20)

    @property
    def hex(self) -> str:
        """Upper-case hexadecimal with an even number of digits, as openssl prints it."""
        digits = f"{int(self):X}"
        return digits if len(digits) % 2 == 0 else "0" + digits


class KeyType(StrEnum):
    """Key types for the CA, devices and brokers."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    ED25519 = "ed25519"


class RevocationReason(StrEnum):
    """CRLReason names (RFC 5280 5.3.1) that make sense for an end entity."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"

    @property
    def code(self) -> int:
        """The CRLReason number (RFC 5280 5.3.1)."""
        return _REASON_CODES[self]

    def replaces(self, earlier: Self | None) -> bool:
        """Say whether a certificate with an ``earlier`` revocation, or none, can be revoked for this reason.

        Any reason but a hold ends a hold, and keyCompromise takes the place of every other: whoever trusts what the
        key signed before needs to know. It is never taken back.
        """
        if earlier is None or self is earlier or self is RevocationReason.CERTIFICATE_HOLD:
            return earlier is None
        return RevocationReason.KEY_COMPROMISE is self or earlier is RevocationReason.CERTIFICATE_HOLD


_REASON_CODES = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.CERTIFICATE_HOLD: 6,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
}


@dataclass(frozen=True, slots=True)
class Validity:
    """notBefore and notAfter, both inclusive (RFC 5280 4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    def __post_init__(self) -> None:
        if self.not_after <= self.not_before:
            raise PolicyError("a certificate must end after it begins")

    def contains(self, moment: datetime) -> bool:
        """Say whether ``moment`` lies inside, ends included."""
        return self.not_before <= moment <= self.not_after


class Access(StrEnum):
    """What a topic rule grants or takes, in Mosquitto's words."""

    READ = "read"
    WRITE = "write"
    READWRITE = "readwrite"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class TopicRule:
    """One topic permission. ``topic`` may hold ``{device_id}`` when it is a template."""

    access: Access
    topic: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs the program: recorded in the audit trail, taken from the system by the cli."""

    operator: str
    host: str
    command: str


@dataclass(frozen=True, slots=True)
class RevocationRecord:
    """One revocation as the store keeps it."""

    serial: SerialNumber
    revocation_date: datetime
    reason: RevocationReason

    @property
    def is_hold(self) -> bool:
        """Say whether it can still be ended, or made final."""
        return self.reason is RevocationReason.CERTIFICATE_HOLD


MQTT_PROFILE = "mqtt"  # the certificate profile of clients of the broker, of which no content is kept


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """One issued certificate with its revocation, if any."""

    serial: SerialNumber
    validity: Validity
    der: bytes
    created_at: datetime
    revocation: RevocationRecord | None = None
    has_key: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the DER certificate, lower-case hex."""
        return sha256(self.der).hexdigest()

    @property
    def is_held(self) -> bool:
        """Whether it is revoked for a time only: certificateHold (RFC 5280 5.3.1)."""
        return self.revocation is not None and self.revocation.is_hold


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """One device with all its certificates, newest first."""

    device_id: DeviceId
    name: str
    attributes: Mapping[str, str]
    created_at: datetime
    certificates: tuple[CertificateRecord, ...] = ()
    retired_at: datetime | None = None

    def status(self, now: datetime) -> str:
        """One of ``active``, ``expired``, ``on-hold``, ``revoked`` and ``retired``."""
        return status_of(self.retired_at, self.certificates, now)


class Certified(Protocol):
    """What the status of a device is read from, of a certificate."""

    @property
    def validity(self) -> Validity:
        """For how long it is valid."""

    @property
    def revocation(self) -> RevocationRecord | None:
        """How it was taken back, if it was."""


def status_of(retired_at: datetime | None, certificates: Sequence[Certified], now: datetime) -> str:
    """The status of a device by its certificates, newest first.

    Without a certificate that is valid or on hold the newest decides: one that a renewal left behind may have expired
    unrevoked, and a device that was revoked since is revoked all the same.
    """
    if retired_at is not None:
        return "retired"
    unexpired = [certificate for certificate in certificates if certificate.validity.not_after >= now]
    if any(certificate.revocation is None for certificate in unexpired):
        return "active"
    if any(certificate.revocation and certificate.revocation.is_hold for certificate in unexpired):
        return "on-hold"
    return "expired" if certificates and certificates[0].revocation is None else "revoked"


def certificate_json(
    serial: SerialNumber | None, validity: Validity | None, fingerprint: str | None
) -> dict[str, str | None]:
    """Name a certificate as every JSON of the program does; what is not known is null.

    Times are RFC 3339 UTC, the serial is upper-case and the SHA-256 fingerprint lower-case hexadecimal.
    """
    return {
        "serial": serial.hex if serial is not None else None,
        "not_before": rfc3339(validity.not_before) if validity is not None else None,
        "not_after": rfc3339(validity.not_after) if validity is not None else None,
        "fingerprint": fingerprint,
    }


@dataclass(frozen=True, slots=True)
class Target:
    """A device, or one certificate, that is there already, as it was named; empty where nothing was said.

    ``line`` 0: not from a list. ``is_reported``: the device itself reported the fingerprint, or its public key, of
    which ``spki_sha256`` is the SHA-256.
    """

    device_id: str
    line: int = 0
    serial: str = ""
    fingerprint: str = ""
    is_reported: bool = False
    spki_sha256: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """A device that was refused, in its place among the others.

    ``device_id`` is what the list names, be it an id or not; ``line`` 0: not from a list.
    """

    device_id: str
    line: int
    error: IotOnboardError

    @property
    def message(self) -> str:
        """Why, with the line of the list."""
        return f"line {self.line}: {self.error.message}" if self.line else self.error.message


# The years that X.509 can write (RFC 5280 4.1.2.5): 1950 to 9999, in seconds since 1970.
EARLIEST, LATEST = -631_152_000, 253_402_300_799


def whole_seconds(moment: datetime) -> datetime:
    """Drop the fraction of a second; X.509 times have none (RFC 5280 4.1.2.5)."""
    return moment.astimezone(UTC).replace(microsecond=0)


def to_epoch(moment: datetime) -> int:
    """Seconds since 1970 in UTC: how the store keeps times."""
    return int(moment.timestamp())


def from_epoch(seconds: int) -> datetime:
    """Turn the store's seconds into an aware UTC datetime, on every platform and for every year."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def parse_moment(text: str) -> datetime:
    """Read ``1970-01-01`` or ``1970-01-01T00:00:00Z`` (RFC 3339 5.6); of a day, its beginning in UTC.

    Raises:
        PolicyError: it is neither, or before 1970.
    """
    try:
        moment = datetime.fromisoformat(text)
        moment = whole_seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment < from_epoch(0):
        raise PolicyError(f"{quoted(text, 40)} is not a day from 1970 on", hint="write it as 1970-01-01")
    return moment


def rfc3339(moment: datetime) -> str:
    """Write a time as ``2030-01-31T12:00:00Z`` (RFC 3339 5.6)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
