"""Taking one journal: in one transaction, so that it is there whole or not at all."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.exchange.journal import NO_ACL
from iotonboard.office import decisions
from iotonboard.office.judging import judge
from iotonboard.office.merging import merge_journal
from iotonboard.office.office import refuse_untrusted
from iotonboard.office.revocations import close_listed
from iotonboard.store.audit import AuditHead
from iotonboard.store.registry.journals import KeptJournal, add_journal
from iotonboard.store.registry.stations import set_answered, set_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iotonboard.office.decisions import RevocationOrder
    from iotonboard.office.journal_files import JournalFile
    from iotonboard.office.judging import Judged
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a journal. ``rows``: how many of each part, none where it was taken before.

    ``closed``: revocations that the office ordered, and that are on the station's list now.
    """

    path: str
    station: int
    name: str
    number: int
    until: int
    rows: Mapping[str, int]
    is_new: bool
    closed: tuple[RevocationOrder, ...] = ()


def take_journal(
    office: Office, file: JournalFile, parts: Mapping[str, bytes], unlock: Callable[[], OfficeKey]
) -> Taken:
    """Take a journal, or find that it was taken before.

    Raises:
        PolicyError: it is not believed, damaged, or there is a gap before it.
        ConflictError: the station told another history before.
        StateError: the office's own trail is not believed.
        BusyError: another machine holds the registry, or the disk refuses.
        KeyUnavailableError: the office's key does not open.
    """
    refuse_untrusted(office)
    if not (found := judge(office.registry, office.decisions, file, parts)).is_new:
        return Taken(file.path, found.station.id, found.station.name, 0, file.head.until.row, {}, is_new=False)
    key = unlock()
    with office.transaction() as now:
        refuse_untrusted(office)
        found = judge(office.registry, office.decisions, file, parts)
        station, number, rows = found.station, len(found.station.taken) + 1, dict[str, int]()
        closed: tuple[RevocationOrder, ...] = ()
        if found.is_new:
            rows = keep_journal(office, found, file, parts, now, key)
            closed = tuple(close_listed(office, station.id, now))
            office.seal(key)
    office.remember()
    until_row = file.head.until.row
    return Taken(file.path, station.id, station.name, number, until_row, rows, is_new=found.is_new, closed=closed)


def keep_journal(
    office: Office, found: Judged, file: JournalFile, parts: Mapping[str, bytes], now: datetime, key: OfficeKey
) -> dict[str, int]:
    """Merge a journal, keep it beside its rows, and decide that it is taken, in the open transaction.

    Returns how many rows of each part it has.

    Raises:
        PolicyError: a part is damaged, or says what no version of the program writes.
    """
    station, head = found.station, file.head
    number = len(station.taken) + 1
    rows = merge_journal(office.registry, station.id, head, parts)
    kept = KeptJournal(station.id, number, file.signed.lines(), head.since.row, head.until.row)
    add_journal(office.registry, kept, file.signed.digest, parts, created=head.created, now=now, machine=key.id)
    until, has_acl = AuditHead(head.until.row, head.until.hash), head.acl["style"] != NO_ACL
    set_taken(office.registry, station.id, until, head.created, has_acl=has_acl)
    if head.office == office.memory.registry:
        set_answered(office.registry, station.id, head.order)
    office.decide(now, decisions.TAKEN, subject=station.name, **_detail(found, file, number))
    return rows


def _detail(found: Judged, file: JournalFile, number: int) -> dict[str, Any]:
    """What the office's trail says: which journal, up to where, and who is believed from now on where that changes."""
    station, believed, until = found.station, found.believed, file.head.until
    detail: dict[str, Any] = {
        "station": station.id,
        "number": number,
        "digest": file.signed.digest,
        "until": [until.row, until.hash.hex()],
        "created": int(file.head.created.timestamp()),
    }
    if believed.cas != station.cas:
        detail["cas"] = [base64.b64encode(der).decode("ascii") for der in believed.cas]
    if believed.recovery != station.recovery:
        detail["recovery"] = believed.recovery.hex()
    return detail
