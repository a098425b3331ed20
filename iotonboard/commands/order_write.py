"""``order write`` at an office: one signed file for each station, with everything that stands for it.

1. Seal what was decided meanwhile without the key, and that these orders are written: their number is the row of that.
2. Write the files, each whole or not at all. A call that broke off is repeated, with a higher number.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.errors import BusyError, NotFoundError
from iotonboard.exchange.orders import SUFFIX, OrderedProduction, OrderedRevocation, Orders, sign_orders
from iotonboard.model import RevocationReason, SerialNumber, from_epoch
from iotonboard.office.judging import standing
from iotonboard.office.meant import station_named
from iotonboard.office.office import refuse_untrusted
from iotonboard.pki.key_id import key_id
from iotonboard.store.registry import trail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iotonboard.office.decisions import TrustedStation
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office

SUBJECT = "orders"


@dataclass(frozen=True, slots=True)
class Written:
    """The file of a station, and how many revocations and orders for production that stand are in it."""

    station: str
    path: str
    number: int
    revocations: int
    production: int


def write_orders(office: Office, folder: str, names: Sequence[str], unlock: Callable[[], OfficeKey]) -> list[Written]:
    """Write the files into a folder, of all stations or of those that are named.

    Raises:
        NotFoundError: there is no such folder, or no station of a name; or none is trusted.
        StateError: the office's trail is not believed.
        KeyUnavailableError: the office's key does not open.
        BusyError: the disk or the registry refuses.
    """
    refuse_untrusted(office)
    if not os.path.isdir(folder):
        raise NotFoundError(f"there is no folder {folder!r}", hint="plug the stick in, or make the folder")
    stations = [station_named(office, name) for name in names] or standing(office.decisions)
    if not stations:
        raise NotFoundError("no station is trusted yet", hint="iotonboard station trust NAME ca.pem")
    key = unlock()
    with office.transaction() as now:
        refuse_untrusted(office)
        number = trail.head(office.registry).seq + 1
        detail = {"orders": number, "stations": [one.name for one in stations]}
        trail.append(office.registry, office.caller, now, subject=SUBJECT, detail=detail)
        office.seal(key)
    office.remember()
    return [_write(office, key, one, folder, number, now) for one in stations]


def _write(office: Office, key: OfficeKey, station: TrustedStation, folder: str, number: int, now: datetime) -> Written:
    found = office.decisions
    revocations = tuple(
        OrderedRevocation(
            one.id, SerialNumber.from_hex(one.serial), one.device_id, RevocationReason(one.reason), from_epoch(one.time)
        )
        for one in found.open_revocations
        if one.station == station.id
    )
    production = tuple(
        OrderedProduction(one.id, one.devices, one.profile, from_epoch(one.until), one.is_withdrawn)
        for one in found.production.values()
        if one.station == station.id
    )
    orders = Orders(
        office.memory.registry, number, key_id(station.cas[-1]), now, station.until, revocations, production,
        station.prefix, tuple(sorted(found.removed_machines)),
    )  # fmt: skip
    path = os.path.join(folder, station.name + SUFFIX)
    try:
        write_atomic(path, sign_orders(orders, key.signer, key.chain), PUBLIC)
    except BusyError as error:
        hint = "what was decided stays; once the disk is mended, type: iotonboard order write"
        raise BusyError(error.message, hint=hint) from error
    made = sum(not one.is_withdrawn and one.until > now for one in production)
    return Written(station.name, path, number, len(revocations), made)
