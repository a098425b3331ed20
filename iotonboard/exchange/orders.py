"""Orders: what an office tells one station, in one signed file; each has everything that stands, so the newest counts.

::

    iotonboard orders v1
    {"acknowledged":[18,"<hash>"], "number":44, "office":"...", "production":[...], "revocations":[...], ...}
    <signature of the office's machine, and certificates that lead from it to the office's first, base64>

The first two lines with their line feeds are what is signed (``pki/signatures.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.exchange.journal import TrailPoint
from iotonboard.exchange.signed import Signed, sign, split, statement_of
from iotonboard.model import RevocationReason, SerialNumber, from_epoch, to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.pki.signatures import Signer

LABEL = b"iotonboard orders v1\n"
SUFFIX = ".orders"
LARGEST = 1 << 26  # octets: of some hundred thousand revocations
HASH_OCTETS = 32
_HIGHEST = 1 << 53
_HINT = "nothing was taken; copy the file again, or have the office write it anew"
_NONE = "the office writes them: iotonboard order write"


@dataclass(frozen=True, slots=True)
class OrderedRevocation:
    """A certificate that the station is to revoke. ``id`` is the office's number of it."""

    id: int
    serial: SerialNumber
    device_id: str
    reason: RevocationReason
    time: datetime


@dataclass(frozen=True, slots=True)
class OrderedProduction:
    """How many devices of a profile (empty: any) the station may make before the moment ``until``."""

    id: int
    devices: int
    profile: str
    until: datetime
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """Everything that stands for one station, which is named by its CA's key (``pki.key_id``).

    ``number`` rises with each that an office writes. ``acknowledged`` is the row of the station's trail that the office
    took last: the next journal begins there. ``prefix``: what the ids of new devices there begin with. ``removed``: the
    keys of machines of the office that count no more.
    """

    office: str
    number: int
    station: str
    created: datetime
    acknowledged: TrailPoint
    revocations: tuple[OrderedRevocation, ...] = ()
    production: tuple[OrderedProduction, ...] = ()
    prefix: str = ""
    removed: tuple[str, ...] = ()

    def statement(self) -> bytes:
        """What is signed."""
        values = {
            "acknowledged": [self.acknowledged.row, self.acknowledged.hash.hex()],
            "created": to_epoch(self.created),
            "number": self.number,
            "office": self.office,
            "prefix": self.prefix,
            "production": [
                [one.id, one.devices, one.profile, to_epoch(one.until), one.is_withdrawn] for one in self.production
            ],
            "removed": list(self.removed),
            "revocations": [
                [one.id, one.serial.hex, one.device_id, one.reason.value, to_epoch(one.time)]
                for one in self.revocations
            ],
            "station": self.station,
        }
        return statement_of(LABEL, values)


def sign_orders(orders: Orders, signer: Signer, certificates: tuple[bytes, ...]) -> bytes:
    """The file. ``certificates`` (DER): that of the office's machine, and those above it."""
    return sign(orders.statement(), signer, certificates).lines()


def split_orders(octets: bytes) -> Signed:
    """What stands in a file, before its signature is known to hold.

    Raises:
        PolicyError: it is no file of orders, is damaged, or of a newer version.
    """
    found = split(octets, LABEL, "file of orders", _NONE, largest=LARGEST)
    if found is None or found[1] != len(octets):
        raise PolicyError("the file of orders is damaged", hint=_HINT)
    return found[0]


def read_orders(signed: Signed) -> Orders:
    """What orders say; to be asked for once their signature holds.

    Raises:
        PolicyError: no version of the program writes that.
    """
    try:
        return _read(signed.said)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, PolicyError) as error:
        raise PolicyError("the orders say what cannot be", hint=_HINT) from error


def _read(values: dict[str, Any]) -> Orders:
    row, digest = values["acknowledged"]
    point = TrailPoint(_count(row), bytes.fromhex(digest))
    if len(point.hash) != HASH_OCTETS:
        raise ValueError("no hash of a row")
    return Orders(
        str(values["office"]),
        _count(values["number"]),
        str(values["station"]),
        from_epoch(int(values["created"])),
        point,
        tuple(_revocation(*one) for one in values["revocations"]),
        tuple(_production(*one) for one in values["production"]),
        str(values["prefix"]),
        tuple(str(one) for one in values["removed"]),
    )


def _revocation(number: int, serial: str, device_id: str, reason: str, time: int) -> OrderedRevocation:
    found = SerialNumber.from_hex(serial), str(device_id), RevocationReason(reason)
    return OrderedRevocation(_count(number), *found, from_epoch(int(time)))


def _production(number: int, devices: int, profile: str, until: int, withdrawn: object) -> OrderedProduction:
    return OrderedProduction(_count(number), _count(devices), str(profile), from_epoch(int(until)), bool(withdrawn))


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _HIGHEST:
        raise ValueError("not a number that a database counts to")
    return value
