"""``station put-back``: go on with a station whose disk was lost, and whose backup is older than what it told.

1. Read its full journal, which tells another history than the office knows. Somebody confirms that.
2. In one transaction: put what it tells in the place of what was known, and order again every revocation that the
   station does not know any more: it is denied at once, and the station puts it on its next list.

Certificates that the station does not know any more are named: their devices are at no broker, since the ACL comes from
what the station tells, and work again once they are registered there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.office import decisions
from iotonboard.office.journal_files import read_head, read_parts
from iotonboard.office.judging import judge_put_back
from iotonboard.office.office import refuse_untrusted
from iotonboard.office.revocations import close_listed
from iotonboard.office.taking import keep_journal
from iotonboard.store.registry.orders import note_revocation
from iotonboard.store.registry.put_back import Known, foreign_revocations, known_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from iotonboard.office.decisions import TrustedStation
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it: ``ordered`` are revocations that the station lost, ``lost`` its certificates.

    ``until``: the row of its trail up to which it is taken now.
    """

    until: int
    ordered: tuple[Known, ...]
    lost: tuple[Known, ...]


def put_back(
    office: Office, name: str, path: str, unlock: Callable[[], OfficeKey], *, confirm: Callable[[], None]
) -> Result:
    """Take a full journal of a station that was put back from an older copy; asked once it is clear that it was.

    Raises:
        NotFoundError: no station is called so, or there is no such file.
        PolicyError: the journal is not the station's, damaged, not full, or joins what was taken.
        StateError: the office's trail is not believed.
        BusyError: another machine holds the registry, or the disk refuses.
    """
    refuse_untrusted(office)
    station, file = _called(office, name), read_head(path)
    parts = read_parts(file)
    judge_put_back(office.registry, station, file, parts)
    confirm()
    key = unlock()
    with office.transaction() as now:
        refuse_untrusted(office)
        station = _called(office, name)
        found = judge_put_back(office.registry, station, file, parts)
        before = known_certificates(office.registry, station.id, now)
        keep_journal(office, found, file, parts, now, key)
        after = known_certificates(office.registry, station.id, now)
        ordered = tuple(_not_revoked(before.values(), after, foreign_revocations(office.registry, station.id)))
        _order(office, station, ordered, now)
        close_listed(office, station.id, now)
        office.seal(key)
    office.remember()
    lost = tuple(one for one in before.values() if one.serial not in after and not one.reason)
    return Result(file.head.until.row, ordered, lost)


def _called(office: Office, name: str) -> TrustedStation:
    station = office.decisions.station_called(name)
    if station is None:
        raise NotFoundError(f"there is no station {name[:80]!r}", hint="'iotonboard station list' shows them")
    return station


def _not_revoked(before: Iterable[Known], after: Mapping[bytes, Known], listed: set[bytes]) -> Iterable[Known]:
    for one in before:
        now = after.get(one.serial)
        earlier = RevocationReason(now.reason) if now and now.reason else None
        if one.reason and one.serial not in listed and RevocationReason(one.reason).replaces(earlier):
            yield one


def _order(office: Office, station: TrustedStation, ordered: Iterable[Known], now: datetime) -> None:
    known = {one.serial for one in office.decisions.open_revocations if one.station == station.id}
    number = max(office.decisions.revocations, default=0)
    for one in ordered:
        serial, reason = SerialNumber.from_octets(one.serial), RevocationReason(one.reason)
        if serial.hex in known:
            continue
        number += 1
        what = {"order": number, "station": station.id, "reason": reason.value}
        office.decide(now, decisions.REVOKE, subject=one.holder, serial=serial.hex, **what)
        note_revocation(office.registry, number, station.id, serial, one.holder, reason, now)
