"""What an office looks at, check by check: its own trail and key, and how far each station is. Nothing is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, rfc3339
from iotonboard.office.conflicts import find_conflicts, station_names
from iotonboard.office.judging import standing
from iotonboard.office.key import KEY_FILE
from iotonboard.pki.facts import certificate_facts
from iotonboard.store.registry import trail
from iotonboard.store.registry.orders import answered, made_without
from iotonboard.store.registry.stations import station_notes
from iotonboard.store.registry.watch import kept_digests, unlisted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from iotonboard.office.office import Office

OK, WARNING, FAILED = "ok", "warning", "failed"
_OLD = timedelta(days=14)  # of a round that is made every week, one was missed
_SOON = timedelta(days=7)
_FETCH = "fetch its newest journal: iotonboard journal --out FILE there, iotonboard station take FILE here"
_CARRY = "iotonboard order write --out DIR here; order take, gen-crl and journal there; station take here"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw: ``level`` is ``ok``, ``warning`` or ``failed``, and ``hint`` what to do then."""

    name: str
    level: str
    message: str
    hint: str = ""


def look(office: Office, names: tuple[str, ...] = ()) -> list[Seen]:
    """Run the checks, or those that are named; one that finds nothing says what it looked at."""
    now, seen = office.clock(), list[Seen]()
    for name, (_, check) in CHECKS.items():
        if not names or name in names:
            found = list(check(office, now))
            bad = [Seen(name, *one) for one in found if one[0] != OK]
            seen += bad or [Seen(name, OK, found[0][1] if found else "nothing to look at")]
    return seen


_Told = tuple[str, str, str]  # level, message, hint


def _registry(office: Office, _: datetime) -> Iterator[_Told]:
    yield OK, f"{office.registry.place} can be read", ""


def _trail(office: Office, _: datetime) -> Iterator[_Told]:
    if office.problem is not None:
        yield FAILED, office.problem.message, office.problem.hint
    elif office.decisions.unsealed:
        count = office.decisions.unsealed
        rows = "1 row" if count == 1 else f"{count} rows"
        hint = "look at them: iotonboard audit show --unsealed; the next command with the key seals them"
        yield WARNING, f"{rows} of the trail, without a seal", hint
    else:
        yield OK, f"the trail is whole and sealed up to row {trail.head(office.registry).seq}", ""


def _key(office: Office, now: datetime) -> Iterator[_Told]:
    path = os.path.join(office.certs, KEY_FILE)
    end = certificate_facts(office.chain[0]).validity.not_after
    if not os.path.exists(path):
        yield FAILED, f"the office's key {path!r} is missing", "plug its disk in, or bring it back from a backup"
    elif end < now + _SOON:
        yield FAILED, f"the office's certificate ends on {rfc3339(end)}", "make a new office, and pin it at brokers"
    else:
        yield OK, f"the key of this machine is there; its certificate ends on {rfc3339(end)}", ""


def _journals(office: Office, now: datetime) -> Iterator[_Told]:
    stations = standing(office.decisions)
    if not stations:
        yield WARNING, "no station is trusted yet", "type: iotonboard station trust NAME ca.pem"
    for one in stations:
        created = from_epoch(one.created)
        if not one.taken:
            yield FAILED, f"nothing of {one.name!r} was taken yet", _FETCH
        elif created < now - _OLD:
            days = (now - created).days
            yield FAILED, f"the newest journal of {one.name!r} is {days} days old, of {rfc3339(created)}", _FETCH
    if stations:
        oldest = min(from_epoch(one.created) for one in stations)
        yield OK, f"every station told; the oldest of their newest journals is of {rfc3339(oldest)}", ""


def _kept(office: Office, _: datetime) -> Iterator[_Told]:
    kept, count = kept_digests(office.registry), 0
    for one in standing(office.decisions):
        count += len(one.taken)
        if gone := sum(digest not in kept.get(one.id, ()) for digest in one.taken):
            message = f"{gone} of {len(one.taken)} journals that were taken of {one.name!r} are not in the registry"
            yield FAILED, message, "fetch everything anew: iotonboard journal --full --out FILE at the station"
    yield OK, f"{count} journals lie beside what they told", ""


def _crls(office: Office, now: datetime) -> Iterator[_Told]:
    notes, waiting = station_notes(office.registry), unlisted(office.registry, now)
    for one in standing(office.decisions):
        ends = notes[one.id].crl_ends if one.id in notes else None
        if ends is not None and from_epoch(ends) < now + _SOON:
            is_over = from_epoch(ends) < now
            message = f"the CRL of {one.name!r} {'ended' if is_over else 'ends'} on {rfc3339(from_epoch(ends))}"
            hint = "iotonboard gen-crl and journal at the station; station take and pack here"
            yield FAILED if is_over else WARNING, message, hint
        if count := waiting.get(one.id):
            message = f"{count} revocations at {one.name!r} are not on its CRL"
            yield FAILED, message, "iotonboard gen-crl and journal at the station; station take and pack here"
    yield OK, "every station's CRL holds, and has every revocation that it told of", ""


def _conflicts(office: Office, now: datetime) -> Iterator[_Told]:
    names = station_names(office)
    for one in find_conflicts(office, now):
        where = " and ".join(repr(names.get(device.station, "?")) for device in one.devices)
        message = f"{one.devices[0].device_id!r} lives at {where}: no broker lets it in"
        yield FAILED, message, "revoke it at one of them: iotonboard revoke ID --station NAME"
    yield OK, "no id lives at two stations", ""


def _revocations(office: Office, _: datetime) -> Iterator[_Told]:
    names = station_names(office)
    for one in office.decisions.open_revocations:
        message = f"the revocation of {one.device_id!r}, of {rfc3339(from_epoch(one.time))}, is not on the CRL of"
        yield FAILED, f"{message} {names.get(one.station, '?')!r}", _CARRY
    yield OK, "every revocation that was ordered is on its station's CRL", ""


def _orders(office: Office, now: datetime) -> Iterator[_Told]:
    written, taken = _written(office), answered(office.registry)
    for one in standing(office.decisions):
        number, time = written.get(one.name, (0, 0))
        if number > taken.get(one.id, 0) and from_epoch(time) < now - _OLD:
            message = f"{one.name!r} did not say that it took the orders {number}, of {rfc3339(from_epoch(time))}"
            yield WARNING, message, "iotonboard order take and journal at the station; station take here"
    first: dict[int, int] = {}
    for order in office.decisions.production.values():
        first[order.station] = min(order.time, first.get(order.station, order.time))
    names = station_names(office)
    for station, count in made_without(office.registry, first).items():
        if count:
            yield WARNING, f"{names[station]!r} made {count} devices under no order", "iotonboard order list"
    yield OK, "the stations took their newest orders, and made nothing without one", ""


def _written(office: Office) -> dict[str, tuple[int, int]]:
    """Number and time of the newest orders that were written for each station."""
    found: dict[str, tuple[int, int]] = {}
    for row in trail.rows_about(office.registry, "orders"):
        stations = row.said.get("stations")
        if isinstance(stations, list):
            found |= dict.fromkeys(map(str, stations), (row.seq, row.time))
    return found


CHECKS: dict[str, tuple[str, Callable[[Office, datetime], Iterator[_Told]]]] = {
    "registry": ("the registry can be reached", _registry),
    "trail": ("the office's trail is whole, sealed, and not behind what this machine saw", _trail),
    "key": ("this machine's key is there, and its certificate holds", _key),
    "journals": ("every station told, and not long ago", _journals),
    "kept": ("the journals that were taken lie in the registry", _kept),
    "crls": ("the stations' CRLs hold, and have every revocation", _crls),
    "conflicts": ("no id lives at two stations", _conflicts),
    "revocations": ("what was ordered to be revoked is on its station's CRL", _revocations),
    "orders": ("the stations took their orders, and made nothing without one", _orders),
}
