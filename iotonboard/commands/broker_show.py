"""``broker list`` and ``broker show``: the brokers that have a certificate, and how they were set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.enrolment.broker_plan import DEFAULT_PORT, newest_names, recorded_host
from iotonboard.store.brokers import BrokerSetup, broker_setup
from iotonboard.store.certificates import broker_certificates, broker_hosts

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import CertificateRecord
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker as it is ``now``: the names in its newest certificate, all of its certificates, the newest first."""

    setup: BrokerSetup
    names: tuple[str, ...]
    certificates: tuple[CertificateRecord, ...]
    now: datetime


def list_brokers(state: State) -> list[Broker]:
    """All brokers, by name."""
    return [_look_up(state, host) for host in sorted(broker_hosts(state.store))]


def show_broker(state: State, name: str) -> Broker:
    """One broker.

    Raises:
        NotFoundError: there is no such broker.
    """
    return _look_up(state, recorded_host(state.store, name))


def _look_up(state: State, host: str) -> Broker:
    certificates = tuple(broker_certificates(state.store, host))
    unsaid = BrokerSetup(host, DEFAULT_PORT, has_plain_key=False, folder="")
    setup = broker_setup(state.store, host) or unsaid
    return Broker(setup, newest_names(state.store, host), certificates, state.clock())
