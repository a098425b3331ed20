"""The fleet as brokers are to have it: each trusted station's CAs and lists, those that its root did not take back."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import list_facts, revoked_above
from iotonboard.errors import PolicyError, StateError
from iotonboard.exchange.journal import NO_ACL
from iotonboard.office.judging import standing
from iotonboard.pki.key_id import key_id, same_ca
from iotonboard.state.chain import split_chain
from iotonboard.store.registry import given_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from iotonboard.errors import IotOnboardError
    from iotonboard.exchange.journal import JournalHead
    from iotonboard.office.decisions import Decisions, TrustedStation
    from iotonboard.office.derived import Derived
    from iotonboard.store.registry.given_out import Issuer, List
    from iotonboard.store.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Station:
    """A station that goes out. ``chains``: of each CA in force (its row) its certificates, its own first (DER).

    ``keys``: of all CAs that it ever had.
    """

    trusted: TrustedStation
    head: JournalHead
    chains: Mapping[int, tuple[bytes, ...]]
    lists: tuple[List, ...]
    keys: tuple[str, ...]
    retired: tuple[bytes, ...]

    @property
    def id(self) -> int:
        """Its number at the office."""
        return self.trusted.id

    @property
    def name(self) -> str:
        """What it is called at the office."""
        return self.trusted.name


@dataclass(frozen=True, slots=True)
class Fleet:
    """What goes out. ``root_lists`` are of the CAs above the stations' (DER).

    ``apart``: stations, by their numbers, whose CA no broker trusts: nothing of them goes out.
    ``gone``: the CAs that go, by their keys and the SHA-256 of their certificates. ``leaving``: stations that were
    removed, or that a root took back. ``problems``: by a station's name, what keeps something of it from going out.
    """

    registry: Registry
    stations: tuple[Station, ...]
    leaving: tuple[TrustedStation, ...]
    apart: frozenset[int]
    root_lists: tuple[bytes, ...]
    gone: tuple[str, ...]
    problems: tuple[tuple[str, IotOnboardError], ...]

    @property
    def cas(self) -> list[bytes]:
        """The CA file's certificates (DER): the roots first, then what is below them."""
        chains = [chain for one in self.stations for chain in one.chains.values()]
        return list(dict.fromkeys((*(chain[-1] for chain in chains), *(der for chain in chains for der in chain[:-1]))))


def read_fleet(derived: Derived, decisions: Decisions) -> Fleet:
    """Read what goes out.

    Raises:
        StateError: what was derived says what cannot be.
    """
    registry, problems = derived.registry, list[tuple[str, "IotOnboardError"]](derived.problems.items())
    made = list[Station]()
    apart = frozenset(number for number, head in derived.heads.items() if head.acl["style"] == NO_ACL)
    for trusted in (one for one in standing(decisions) if one.id not in apart):
        head = derived.heads.get(trusted.id)
        if head is None:
            problems.append((trusted.name, _nothing_of(trusted)))
            continue
        made.append(_station(registry, trusted, head))
    above = _root_lists(registry, made)
    every = list(dict.fromkeys(der for one in made for chain in one.chains.values() for der in chain))
    taken_back, keys = revoked_above(every, above) if above else ((), set[str]())
    out = [one for one in made if _stands(one, taken_back, keys)]
    problems += [(one.name, _taken_back(one.name)) for one in made if one not in out]
    leaving = [one for one in decisions.stations.values() if one.id not in {there.id for there in out} | apart]
    return Fleet(
        registry, tuple(out), tuple(leaving), apart, tuple(above), _gone(registry, out, leaving), tuple(problems)
    )


def _nothing_of(station: TrustedStation) -> StateError:
    return StateError(
        f"nothing of {station.name!r} was taken yet: its devices are in no file",
        hint="at the station: iotonboard journal --out FILE; here: iotonboard station take FILE",
    )


def _taken_back(name: str) -> PolicyError:
    return PolicyError(
        f"a root revoked the CA of {name!r}: it goes from the brokers with its list and its devices",
        hint=f"'iotonboard station remove {name}' where that is for good; else fetch its newest journal",
    )


def _station(registry: Registry, trusted: TrustedStation, head: JournalHead) -> Station:
    cas = given_out.issuers(registry, trusted.id)
    chains = {one.id: _chain(one) for one in cas if not one.is_retired}
    lists = tuple(one for one in given_out.newest_lists(registry, trusted.id) if one.issuer in chains)
    keys = tuple(dict.fromkeys(one.key for one in cas))
    return Station(trusted, head, chains, lists, keys, tuple(one.der for one in cas if one.is_retired))


def signed_list(registry: Registry, station: Station, one: List) -> bytes:
    """The octets (DER) of a list of a station.

    Raises:
        PolicyError: its CA did not sign them.
    """
    der = given_out.list_der(registry, station.id, one.id)
    if list_facts(der, station.chains[one.issuer][0]) is None:
        raise PolicyError(
            f"CRL {one.number} of {station.name!r} is not signed by its CA", hint="fetch a newer journal of it"
        )
    return der


def _chain(issuer: Issuer) -> tuple[bytes, ...]:
    """How a CA goes out: its own certificate first."""
    try:
        chain = split_chain(issuer.chain) if issuer.chain else ()
    except PolicyError:
        chain = ()
    return chain if chain and same_ca(chain[0], issuer.der) else (issuer.der,)


def _root_lists(registry: Registry, stations: Sequence[Station]) -> list[bytes]:
    """The newest list of each CA above, of those that the stations have."""
    above = dict.fromkeys(der for one in stations for chain in one.chains.values() for der in chain[1:])
    lists = list(dict.fromkeys(der for one in stations for der in given_out.root_lists(registry, one.id)))
    return [newest for ca in above if (newest := _newest(ca, lists))]


def _newest(ca: bytes, lists: Iterable[bytes]) -> bytes | None:
    own = [(facts.number, facts.this_update, der) for der in lists if (facts := list_facts(der, ca))]
    return max(own)[2] if own else None


def _stands(station: Station, taken_back: Sequence[bytes], keys: set[str]) -> bool:
    return not any(chain[0] in taken_back or key_id(chain[0]) in keys for chain in station.chains.values())


def _gone(registry: Registry, out: Sequence[Station], leaving: Sequence[TrustedStation]) -> tuple[str, ...]:
    """The CAs that go: those that ended, and those of the stations that leave, but for what another station has."""
    there = {key_id(chain[0]) for one in out for chain in one.chains.values()}
    ended = [der for one in out for der in one.retired]
    ended += [ca.der for one in leaving for ca in given_out.issuers(registry, one.id)]
    ended += [der for one in leaving for der in (one.certificate, *one.cas)]
    return tuple(_names(der for der in ended if key_id(der) not in there))


def _names(ders: Iterable[bytes]) -> Iterator[str]:
    return iter(dict.fromkeys(name for der in ders for name in (sha256(der).hexdigest(), key_id(der))))
