"""``expiring`` at an office: what will expire at all stations, as far as they told."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from iotonboard.health.due import Due, due_of, write_found
from iotonboard.health.expiry import REMEDIES, Expiring
from iotonboard.pki.certificates import NEW_CA
from iotonboard.pki.facts import certificate_facts, fingerprint
from iotonboard.state.ca_life import last_longer
from iotonboard.state.cas_above import NEWER_ROOT_LIST
from iotonboard.state.chain import split_chain
from iotonboard.state.setting_table import SETTINGS
from iotonboard.store.registry.ends import broker_ends, issuer_ends, list_ends
from iotonboard.store.registry.fleet import FleetFilter, find_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.office.office import Office
    from iotonboard.store.registry.ends import IssuerEnd, ListEnd

_SHOWN = 16  # digits of a fingerprint


def find_fleet_expiring(
    office: Office, within_days: int | None, *, ics: str | None = None, prometheus: str | None = None
) -> Due:
    """What expires within ``within_days``, or within the days that are usual for its kind, as at a station.

    Raises:
        BusyError: the disk refuses.
    """

    def days(kind: str) -> int:
        return within_days if within_days is not None else int(SETTINGS[f"expiring.{kind}_days"].default)

    now = office.clock()
    standing = tuple(_standing(office, now))
    due = (*due_of(standing, days, now), *_due_devices(office, days("device"), now))
    window = timedelta(days=max(map(days, REMEDIES)))
    return write_found(Due(due, standing, now, window, office.memory.registry[:_SHOWN]), ics, prometheus)


def _due_devices(office: Office, days: int, now: datetime) -> Iterator[Expiring]:
    window = timedelta(days=days)
    chosen = FleetFilter(expiring_before=now + window, expired_since=now - window)
    for device in find_fleet(office.registry, chosen, now):
        valid = (one for one in device.certificates if one.revocation is None)
        last = max(valid, key=lambda one: one.validity.not_after)
        made = partial(_at, device.station)
        yield made("device", device.device_id, last.serial.hex, last.validity.not_after, device.device_id)


def _at(station: str, kind: str, name: str, key: str, end: datetime, holder: str, otherwise: str = "") -> Expiring:
    place = f"at the station {station!r}"
    return Expiring(kind, name, key, end, f"{station}/{holder}", place, otherwise, station)


def _standing(office: Office, now: datetime) -> Iterator[Expiring]:
    """CAs, those above them, the lists of both and each broker's newest certificate, due or not."""
    for issuer in issuer_ends(office.registry, now):
        yield from _of_issuer(issuer)
    for one in list_ends(office.registry):
        yield _of_list(one)
    for broker in broker_ends(office.registry):
        yield _at(broker.station, "broker", broker.host, broker.serial.hex, broker.not_after, broker.host)


def _of_issuer(issuer: IssuerEnd) -> Iterator[Expiring]:
    chain = split_chain(issuer.chain) or (issuer.der,)
    own = fingerprint(issuer.der)
    end = certificate_facts(chain[0]).validity.not_after
    yield _at(issuer.station, "ca", own[:_SHOWN], own, end, own[:_SHOWN], last_longer(chain))
    for der in chain[1:]:
        facts, above = certificate_facts(der), fingerprint(der)
        yield _at(issuer.station, "ca", facts.subject_cn, above, facts.validity.not_after, above[:_SHOWN], NEW_CA)


def _of_list(one: ListEnd) -> Expiring:
    name, key, ca = f"CRL {one.number}", one.number, one.ca[:_SHOWN]
    if not one.ca:
        return _at(one.station, "crl", name, key, one.not_after, "")
    otherwise = NEWER_ROOT_LIST if one.is_above else ""
    return _at(one.station, "crl", f"{name} of {ca}", f"{key}-{ca}", one.not_after, ca, otherwise)
