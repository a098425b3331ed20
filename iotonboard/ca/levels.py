"""Who certified whom, as a tree: roots, the CAs of this state, and at a root the stations below it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.rollover_status import Standing, standings
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.ca_life import validity_in_force
from iotonboard.state.cas_above import cas_above, is_revoked_above
from iotonboard.state.chain import chain_in_force, going_out
from iotonboard.store.chains import certified_before_chain
from iotonboard.store.crls import newest_of_issuer
from iotonboard.store.issuers import current_issuers, devices_up_to
from iotonboard.store.kind import is_root
from iotonboard.store.stations import stations

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.state.cas_above import CaAbove
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.stations import StationCertificate


@dataclass(frozen=True, slots=True)
class Node:
    """One CA of the tree; ``below`` are those that it certified.

    ``role``: ``root``, ``above`` (between a root and ours), ``issuing``, ``trusted`` until it is retired, or
    ``station``. ``status``: ``valid``, ``expired``, ``revoked`` or ``waiting`` for a root. ``fingerprint`` is SHA-256
    of the certificate that it goes out with, in lower-case hex. ``crl_number`` and ``crl_until`` are of its newest list
    that is here: 0 and ``None`` without one. ``devices`` and ``brokers`` hang on it, and of the devices
    ``unaware`` trust the certificate that it signed itself.
    """

    name: str
    fingerprint: str
    role: str
    status: str
    not_after: datetime
    crl_number: int = 0
    crl_until: datetime | None = None
    devices: int = 0
    brokers: tuple[str, ...] = ()
    unaware: int = 0
    reason: str = ""
    below: tuple[Node, ...] = ()


def ca_tree(state: State) -> tuple[Node, ...]:
    """The roots first; nothing is changed and no key is needed."""
    now, rows = state.clock(), current_issuers(state.store)
    if is_root(state.store):
        return tuple(_root(state, row, standing, now) for row, standing in zip(rows, standings(state), strict=True))
    own = [(row, _own(state, row, standing, now)) for row, standing in zip(rows, standings(state), strict=True)]
    above = {one.der: one for one in cas_above(state.store, rows)}
    return _joined([(chain_in_force(state.store, row)[1:], node) for row, node in own], above, now)


def _joined(
    lower: Iterable[tuple[tuple[bytes, ...], Node]],
    above: dict[bytes, CaAbove],
    now: datetime,
    *,
    role: str = "root",
) -> tuple[Node, ...]:
    """Nodes below what stands above each (DER, the nearest first); those with the same CA above stand together."""
    tops: dict[bytes, list[tuple[tuple[bytes, ...], Node]]] = {}
    found: list[Node] = []
    for chain, node in lower:
        if chain:
            tops.setdefault(chain[-1], []).append((chain[:-1], node))
        else:
            found.append(node)
    for der, below in tops.items():
        ca = above[der]
        number, until = (ca.crl.number, ca.crl.next_update) if ca.crl else (0, None)
        status = "valid" if now <= ca.not_after else "expired"
        nodes = _joined(below, above, now, role="above")
        found.append(Node(ca.name, ca.fingerprint, role, status, ca.not_after, number, until, below=nodes))
    return tuple(found)


def _own(state: State, row: IssuerRow, standing: Standing, now: datetime) -> Node:
    chain = chain_in_force(state.store, row)
    is_out = row in going_out(state.store, current_issuers(state.store))
    ends = validity_in_force(state.store, row).not_after
    status = "waiting" if not is_out else "valid" if now <= ends else "expired"
    before = certified_before_chain(state.store, row.fingerprint) if len(chain) > 1 else None
    if len(chain) > 1 and is_revoked_above(state.store, row):
        status = "revoked"
    return Node(
        standing.name,
        sha256(chain[0]).hexdigest(),
        standing.role,
        status,
        ends,
        standing.crl_number,
        _until(state, row),
        standing.valid_devices,
        standing.brokers,
        devices_up_to(state.store, row.id, before, now) if before else 0,
    )


def _until(state: State, row: IssuerRow) -> datetime | None:
    return max((one.next_update for one in newest_of_issuer(state.store, row.id)), default=None)


def _root(state: State, row: IssuerRow, standing: Standing, now: datetime) -> Node:
    newest: dict[bytes, StationCertificate] = {}
    for one in stations(state.store):
        if one.issuer == row.id:
            newest[one.spki_sha256] = one
    below = tuple(_station(one, now) for one in sorted(newest.values(), key=lambda one: one.name.casefold()))
    status = "valid" if now <= row.validity.not_after else "expired"
    ends, until = row.validity.not_after, _until(state, row)
    return Node(standing.name, row.fingerprint, "root", status, ends, standing.crl_number, until, below=below)


def _station(one: StationCertificate, now: datetime) -> Node:
    status = "revoked" if one.reason else "valid" if now <= one.validity.not_after else "expired"
    fingerprint = certificate_facts(one.der).fingerprint
    return Node(one.name, fingerprint, "station", status, one.validity.not_after, reason=one.reason or "")
