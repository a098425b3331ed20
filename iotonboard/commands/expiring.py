"""``expiring``: what will expire among devices, brokers, CAs and CRLs of a state, or among a broker's files."""

from __future__ import annotations

from datetime import date, timedelta
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.broker.file_ends import BrokerMachine, ends_in_files
from iotonboard.health.due import Due, due_of, write_found
from iotonboard.health.expiry import REMEDIES, Expiring
from iotonboard.pki.certificates import NEW_CA
from iotonboard.state.added_targets import name_of_added
from iotonboard.state.ca_life import ASK_ROOT, last_longer, validity_in_force
from iotonboard.state.cas_above import NEWER_ROOT_LIST, cas_above
from iotonboard.state.chain import chain_in_force
from iotonboard.state.setting_table import SETTINGS
from iotonboard.state.trust import recorded_trust
from iotonboard.store.certificates import broker_certificates, broker_hosts
from iotonboard.store.crls import crl_generation
from iotonboard.store.device_search import DeviceFilter, find_devices
from iotonboard.store.issuers import all_issuers, current_issuers, valid_devices
from iotonboard.store.kind import is_root
from iotonboard.store.stations import newest_of_each
from iotonboard.store.statistics import days_of_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.model import CertificateRecord
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow


def find_expiring(
    cas: Opened, within_days: int | None, *, ics: str | None = None, prometheus: str | None = None
) -> Due:
    """What expires within ``within_days``, or within the days that are configured for its kind.

    A device counts when its last valid certificate goes, or went as many days ago at most; one that was
    renewed does not. With the state go the CAs that were added to it.
    ``ics`` and ``prometheus`` name files that take a calendar and metrics; ``ics`` may be ``-``.

    Raises:
        BusyError: the disk refuses.
    """
    state = cas.around

    def days(kind: str) -> int:
        return within_days if within_days is not None else int(state.config[f"expiring.{kind}_days"])

    now, states = state.clock(), [state, *map(cas.state, cas.names)]
    standing = tuple(chain.from_iterable(map(_standing, states)))
    devices = chain.from_iterable(_due_devices(one, days("device"), now) for one in states)
    due = (*due_of(standing, days, now), *devices)
    windows = {kind: timedelta(days=days(kind)) for kind in REMEDIES}
    owner, replaced = all_issuers(state.store)[0].fingerprint[:16], frozenset[date]()
    if ics is not None:
        replaced = frozenset(day for one in states for day in days_of_ends(one.store, now, windows))
    return write_found(Due(due, standing, now, max(windows.values()), owner, replaced), ics, prometheus)


def find_in_files(
    files: Mapping[str, Sequence[str]],
    within_days: int | None,
    now: datetime,
    *,
    ics: str | None = None,
    prometheus: str | None = None,
) -> Due:
    """As ``find_expiring``, of files by the fields of ``BrokerMachine``, without a state: the days are default.

    Raises:
        NotFoundError: there is no such file.
        ConflictError: one is too large.
        PolicyError: one holds none of what it is named for, or something damaged.
        BusyError: one cannot be read, or the disk refuses.
    """

    def days(kind: str) -> int:
        return within_days if within_days is not None else int(SETTINGS[f"expiring.{kind}_days"].default)

    standing = tuple(
        Expiring(one.kind, one.name, one.key, one.not_after, one.holder, place="on the workstation")
        for one in ends_in_files(BrokerMachine(**files))
    )
    window = timedelta(days=max(map(days, REMEDIES)))
    owner = sha256("\n".join(sorted(item.holder for item in standing)).encode()).hexdigest()[:16]
    return write_found(Due(tuple(due_of(standing, days, now)), standing, now, window, owner), ics, prometheus)


def _due_devices(state: State, days: int, now: datetime) -> Iterator[Expiring]:
    window = timedelta(days=days)
    chosen = DeviceFilter(expiring_before=now + window, expired_since=now - window)
    for device in find_devices(state.store, chosen, now):
        last = max((one for one in device.certificates if one.revocation is None), key=_not_after)
        name = device.device_id
        yield Expiring("device", name, last.serial.hex, last.validity.not_after, holder=name)


def _standing(state: State) -> Iterator[Expiring]:
    """CAs, the published CRLs' end and each broker's newest certificate, due or not.

    A CA whose successor issues counts as long as a device has a valid certificate of it.
    """
    issuing, *old = current_issuers(state.store)
    for issuer in (issuing, *(row for row in old if valid_devices(state.store, row.id, state.clock()))):
        short, end = issuer.fingerprint[:16], validity_in_force(state.store, issuer).not_after
        longer = last_longer(chain_in_force(state.store, issuer))
        if added := name_of_added(state):
            longer = f"iotonboard ca rollover begin --ca {added}"
        yield Expiring("ca", short, issuer.fingerprint, end, holder=short, otherwise=longer)
    for issuer in (issuing, *old):
        rows = [row for row in crl_generation(state.store) if row.issuer == issuer.id]
        if rows:
            last, short = max(rows, key=lambda row: row.next_update), issuer.fingerprint[:16]
            name, key = f"CRL {last.number}", str(last.number)
            if issuer is not issuing or state.main:
                name, key = f"{name} of {short}", f"{key}-{short}"
            yield Expiring("crl", name, key, last.next_update, holder=short)
    yield from _of_cas_above(state, (issuing, *old))
    yield from _of_stations(state)
    yield from _of_others(state)
    for host in broker_hosts(state.store):
        newest = broker_certificates(state.store, host)[0]
        if newest.revocation is None:
            yield Expiring("broker", host, newest.serial.hex, newest.validity.not_after, holder=host)


def _of_cas_above(state: State, issuers: Sequence[IssuerRow]) -> Iterator[Expiring]:
    """The CAs above ours, and the copies of their lists that are here."""
    for ca in cas_above(state.store, issuers):
        short = ca.fingerprint[:16]
        yield Expiring("ca", ca.name, ca.fingerprint, ca.not_after, holder=short, place="at the root", otherwise=NEW_CA)
        if ca.crl:
            name, key = f"CRL {ca.crl.number} of {ca.name}", f"{ca.crl.number}-{short}"
            yield Expiring("crl", name, key, ca.crl.next_update, holder=short, otherwise=NEWER_ROOT_LIST)


def _of_stations(state: State) -> Iterator[Expiring]:
    """The CAs that a root certified."""
    for one in newest_of_each(state.store) if is_root(state.store) else ():
        fingerprint = sha256(one.der).hexdigest()
        short, asked = fingerprint[:16], {"place": "at the station", "otherwise": ASK_ROOT}
        yield Expiring("ca", one.name, fingerprint, one.validity.not_after, holder=short, **asked)


def _of_others(state: State) -> Iterator[Expiring]:
    """CAs of others that are trusted, and their lists: an end of either locks their devices out."""
    for one in recorded_trust(state.store):
        ca, short = one.ca, one.ca.fingerprint[:16]
        remove = f"iotonboard ca trust remove {short}"
        yield Expiring("ca", ca.name, ca.fingerprint, ca.not_after, holder=short, otherwise=remove)
        if one.crls:
            last = max(one.crls, key=lambda crl: crl.next_update)
            name, key = f"CRL {last.number} of {ca.name}", f"{last.number}-{short}"
            add = "iotonboard ca trust add --crl FILE"
            yield Expiring("crl", name, key, last.next_update, holder=short, otherwise=add)


def _not_after(certificate: CertificateRecord) -> datetime:
    return certificate.validity.not_after
