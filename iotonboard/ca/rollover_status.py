"""Which CAs a state has, and what still uses each: where a rollover stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.pki.facts import certificate_facts
from iotonboard.state.ca_life import validity_in_force
from iotonboard.state.replaced_files import folder_of
from iotonboard.store.compromised import compromised_cas
from iotonboard.store.crls import last_crl
from iotonboard.store.issuers import all_issuers, brokers_of, current_issuers, valid_devices

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

_GENERATION = re.compile(r" G[0-9]+$")


@dataclass(frozen=True, slots=True)
class Standing:
    """One CA. ``role``: ``issuing``, or ``trusted`` until it is retired."""

    name: str
    fingerprint: str
    role: str
    not_after: datetime
    crl_number: int
    valid_devices: int
    brokers: tuple[str, ...]


def standings(state: State) -> tuple[Standing, ...]:
    """Every CA that is trusted, the one that issues first; nothing is changed and no key is needed."""
    with state.store.reading():
        now = state.clock()
        return tuple(
            _standing(state, row, "trusted" if number else "issuing", now)
            for number, row in enumerate(current_issuers(state.store))
        )


def _standing(state: State, row: IssuerRow, role: str, now: datetime) -> Standing:
    last = last_crl(state.store, row.id, with_der=False)
    return Standing(
        name_of(row),
        row.fingerprint,
        role,
        validity_in_force(state.store, row).not_after,
        last.number if last else 0,
        valid_devices(state.store, row.id, now),
        tuple(brokers_of(state.store, row.id, now)),
    )


@dataclass(frozen=True, slots=True)
class Replaced:
    """A CA whose key was stolen. ``folder`` holds its last CRL, which ends ``until``, and the anchors that followed."""

    name: str
    fingerprint: str
    replaced_at: datetime
    last_crl_number: int
    until: datetime
    folder: str


def replaced_cas(state: State) -> tuple[Replaced, ...]:
    """The CAs whose keys were stolen, oldest first."""
    with state.store.reading():
        rows = {row.id: row for row in all_issuers(state.store)}
        return tuple(_replaced(state, rows[ca.issuer], ca.replaced_at) for ca in compromised_cas(state.store))


def _replaced(state: State, row: IssuerRow, replaced_at: datetime) -> Replaced:
    last = last_crl(state.store, row.id, with_der=False)
    number, until = (last.number, last.next_update) if last else (0, row.validity.not_after)
    folder = folder_of(state, row.fingerprint)
    return Replaced(name_of(row), row.fingerprint, replaced_at, number, until, folder)


def name_of(row: IssuerRow) -> str:
    """The commonName of a CA."""
    return certificate_facts(row.der).subject_cn


def stem_of(name: str) -> str:
    """What the commonNames of a CA and of those that follow it have in common: without `` G2``."""
    return _GENERATION.sub("", name)
