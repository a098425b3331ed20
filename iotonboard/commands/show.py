"""``show``: one device with its certificates, its topics and what was handed over. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.health.arrival import arrivals
from iotonboard.store.deliveries import confirmed_at, deliveries_of, is_proved
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import all_issuers, issuer_of
from iotonboard.store.overlaps import overlap_end
from iotonboard.store.profiles import profile_name_of
from iotonboard.store.secrets import purged_at
from iotonboard.store.topics import device_topics

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.health.arrival import Arrival
    from iotonboard.model import CertificateRecord, DeviceRecord, TopicRule
    from iotonboard.state.state import State
    from iotonboard.store.deliveries import Delivery


@dataclass(frozen=True, slots=True)
class CertificateLife:
    """One certificate: who issued it, when it was confirmed, by a proof or not, and purged, and when a renewal ends it.

    ``arrivals``: at which brokers its revocation is in force, as far as they sent receipts. ``profile``: its name.
    """

    certificate: CertificateRecord
    ca_fingerprint: str
    confirmed_at: datetime | None
    is_proved: bool
    purged_at: datetime | None
    revoke_after: datetime | None
    arrivals: tuple[Arrival, ...]
    profile: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A device at the time ``now``: certificates newest first, deliveries newest first, each with its status."""

    device: DeviceRecord
    now: datetime
    topics: tuple[TopicRule, ...]
    certificates: tuple[CertificateLife, ...]
    deliveries: tuple[tuple[Delivery, str], ...]


def show(state: State, device_id: str) -> Shown:
    """Everything that is known of a device.

    Raises:
        NotFoundError: there is none of that id.
    """
    store, now = state.store, state.trusted_time()
    with store.reading():
        device = device_record(store, device_id)
        issuers = {issuer.id: issuer.fingerprint for issuer in all_issuers(store)}
        return Shown(
            device,
            now,
            tuple(device_topics(store, device_id)),
            tuple(_life(state, one, issuers) for one in device.certificates),
            tuple((one, one.status(now)) for one in deliveries_of(store, device_id)),
        )


def _life(state: State, certificate: CertificateRecord, issuers: dict[int, str]) -> CertificateLife:
    store, serial = state.store, certificate.serial
    issuer = issuer_of(store, serial)
    return CertificateLife(
        certificate,
        issuers.get(issuer, ""),
        confirmed_at(store, serial),
        is_proved(store, serial),
        purged_at(store, serial),
        None if certificate.revocation else overlap_end(store, serial),
        arrivals(store, issuer, serial, state.trusted_time()) if certificate.revocation else (),
        profile_name_of(store, serial),
    )
