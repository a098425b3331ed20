"""Whether brokers may let in the devices of a CA of others too: its certificates and lists, judged before anything.

What a given file must be is said in ``pki/foreign_ca.py``; what OpenSSL makes of it beside our own is asked. Nothing is
taken that would lock our own devices out, that comes without a list in force, or that is older than what is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import list_facts
from iotonboard.broker.check import BrokerFiles, judge_files
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import rfc3339
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl, entries_of_any_writer
from iotonboard.pki.foreign_ca import ForeignCa, has_authority_key_id, read_foreign_ca, read_foreign_crl, signed_by
from iotonboard.state.chain import chain_in_force
from iotonboard.state.opened_cas import opened
from iotonboard.state.trust import crls_above, recorded_trust
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.newest_lists import generation_ders
from iotonboard.store.trust import TrustedCrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from iotonboard.broker.problems import Problem
    from iotonboard.state.state import State

_MOST_OCTETS = 1 << 19  # of all their certificates: a CA file of a mebibyte is still read everywhere


@dataclass(frozen=True, slots=True)
class Entry:
    """A CA of others as it is to be: with its lists, none where it only stands above another one.

    ``is_new``: it was not trusted; ``has_new_crls``: the lists are others than before.
    """

    ca: ForeignCa
    crls: tuple[TrustedCrl, ...]
    is_new: bool
    has_new_crls: bool

    @property
    def changes(self) -> bool:
        """Say whether anything is to be recorded."""
        return self.is_new or self.has_new_crls


@dataclass(frozen=True, slots=True)
class TrustPlan:
    """Every CA of others as it is to be, and what is worth knowing of it before."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]


def plan_trust(state: State, ca_ders: Iterable[bytes], crl_ders: Iterable[bytes], now: datetime) -> TrustPlan:
    """Say what is to be recorded of given CAs and lists; our own among them are passed over.

    Raises:
        PolicyError: one of them is not what it must be, or a broker would stumble over it.
        ConflictError: a CA is our own, or was; or a list is older than the one here.
    """
    given = _given_cas(state, ca_ders, now)
    known = {one.ca.fingerprint: one for one in recorded_trust(state.store)}
    everyone = {one.ca.fingerprint: read_foreign_ca(one.ca.der) for one in known.values()}
    everyone |= {ca.fingerprint: ca for ca in given}
    lists = _sorted_lists(state, crl_ders, list(everyone.values()), now)
    if not given and not lists:
        raise ConflictError("that is this state's own CA", hint="name the file of the other CA")
    warnings: list[str] = []
    entries = []
    for name, ca in everyone.items():
        present, coming = known[name].crls if name in known else (), lists.get(name, ())
        chosen = _newer(ca, present, coming, warnings)
        # One that was taken in and is not sealed by us any more is sealed anew when it is given again.
        is_new = name not in known or (ca in given and not known[name].is_sealed)
        entries.append(Entry(ca, chosen, is_new, has_new_crls=chosen != present))
    _check_whole(state, entries)
    warnings += _check_names(state, entries)
    warnings += _ask_openssl(state, entries, now)
    return TrustPlan(tuple(entries), tuple(dict.fromkeys(warnings)))


def _given_cas(state: State, ders: Iterable[bytes], now: datetime) -> list[ForeignCa]:
    current = {*_own(state), *(row.der for row in current_issuers(state.store))}
    before = {row.der for row in all_issuers(state.store)} - current
    own_keys = {read_foreign_ca(der).spki_der for der in current | before}
    found, added_keys = [], _keys_of_added(state)
    for der in dict.fromkeys(ders):
        if der in current:
            continue
        ca = read_foreign_ca(der)
        if der in before or ca.spki_der in own_keys:
            what = "was retired here" if der in before else "has the key of a CA of this state"
            raise ConflictError(f"{ca.name!r} {what}", hint="'iotonboard ca status' shows the CAs of this state")
        if ca.spki_der in added_keys:
            raise ConflictError(
                f"{ca.name!r} was added to this state for servers: one of its devices could pose as the broker",
                hint="no broker may trust it; devices that speak MQTT get a certificate of the profile mqtt beside",
            )
        if ca.problem:
            raise PolicyError(f"{ca.name!r}: {ca.problem}", hint="name the certificate of the CA that issued")
        if not ca.not_before <= now < ca.not_after:
            when = f"{rfc3339(ca.not_before)} to {rfc3339(ca.not_after)}"
            raise PolicyError(f"{ca.name!r} is valid from {when} only", hint="its devices are refused everywhere")
        found.append(ca)
    return found


def _keys_of_added(state: State) -> set[bytes]:
    """The public keys of all CAs that were added to the state (SubjectPublicKeyInfo, DER).

    Raises:
        StateError: one cannot be opened, so that nobody knows its keys.
    """
    with opened(state) as cas:
        rows = [row for name in cas.names for row in all_issuers(cas.state(name).store)]
    return {read_foreign_ca(row.der).spki_der for row in rows}


def _own(state: State) -> list[bytes]:
    """What our CAs go out with, DER: their certificates, and those above them."""
    chains = (chain_in_force(state.store, row) for row in current_issuers(state.store))
    return list(dict.fromkeys(der for chain in chains for der in chain))


def _sorted_lists(
    state: State, ders: Iterable[bytes], cas: Sequence[ForeignCa], now: datetime
) -> dict[str, tuple[TrustedCrl, ...]]:
    """The lists of each CA, by its fingerprint; several of one are a calendar."""
    found: dict[str, list[TrustedCrl]] = {}
    for der in dict.fromkeys(ders):
        ca = next((one for one in cas if signed_by(der, one)), None)
        if ca is None and not _is_own(state, der):
            raise PolicyError(
                "a CRL in it is of none of these CAs, or its signature is wrong",
                hint="name the certificate of its CA too, or leave that CRL out",
            )
        if ca is not None:
            facts = read_foreign_crl(der, ca)
            times = facts.this_update, facts.next_update
            found.setdefault(ca.fingerprint, []).append(
                TrustedCrl(sha256(der).hexdigest(), facts.number, *times, facts.count, der)
            )
    for name, lists in found.items():
        _check_fresh(next(ca.name for ca in cas if ca.fingerprint == name), lists, now)
    return {name: tuple(sorted(lists, key=lambda one: (one.this_update, one.digest))) for name, lists in found.items()}


def _is_own(state: State, der: bytes) -> bool:
    if any(list_facts(der, above) for above in _own(state)):  # the list of a CA above is taken by 'ca install'
        return True
    for row in all_issuers(state.store):
        try:
            check_crl(der, row.der)
        except PolicyError:
            continue
        return True
    return False


def _check_fresh(name: str, lists: Sequence[TrustedCrl], now: datetime) -> None:
    begun = [one for one in lists if one.this_update <= now]
    if not begun:
        begins = rfc3339(min(one.this_update for one in lists))
        raise PolicyError(f"the CRL of {name!r} begins at {begins}", hint="look at the clocks here and there")
    ends = max(one.next_update for one in begun)
    if ends <= now:
        raise PolicyError(
            f"the CRL of {name!r} ended on {rfc3339(ends)}: brokers would refuse its devices",
            hint="ask for a new one: whoever keeps that CA signs it",
        )


def _newer(
    ca: ForeignCa, present: tuple[TrustedCrl, ...], coming: tuple[TrustedCrl, ...], warnings: list[str]
) -> tuple[TrustedCrl, ...]:
    """The lists that are to be in force; newer by number and by thisUpdate."""
    if not coming or {one.digest for one in coming} == {one.digest for one in present}:
        return present
    if not present:
        return coming
    number, here = (max(one.number for one in lists) for lists in (coming, present))
    begin, begin_here = (max(one.this_update for one in lists) for lists in (coming, present))
    if number < here or begin < begin_here or (number == here and (number or begin == begin_here)):
        what = f"CRL {number} of {ca.name!r}, of {rfc3339(begin)}"
        than = f"CRL {here} of {rfc3339(begin_here)}"
        raise ConflictError(
            f"{what}, is not newer than {than}, which is here: it would un-revoke what was revoked since",
            hint=f"ask for the newest; where that CA began to count anew: iotonboard ca trust remove"
            f" {ca.fingerprint[:16]}, then add it again",
        )
    if lost := _serials(present) - _serials(coming):
        warnings.append(f"CRL {number} of {ca.name!r} lacks {len(lost)} serials that CRL {here} has")
    return coming


def _serials(lists: Iterable[TrustedCrl]) -> set[str]:
    return {serial.hex for one in lists for serial, _, _ in entries_of_any_writer(one.der)}


def _check_whole(state: State, entries: Sequence[Entry]) -> None:
    """Every CA has one above it up to a root, and every one that may have issued to devices has a list."""
    own = [read_foreign_ca(der) for der in _own(state)]
    cas = [one.ca for one in entries]
    listed = {(one.ca.subject, one.ca.spki_der) for one in entries if one.crls}
    for one in entries:
        if not one.changes:
            continue
        ca = one.ca
        if not ca.is_self_issued and not any(other.issued(ca) for other in (*cas, *own)):
            raise PolicyError(
                f"the CA above {ca.name!r} is missing: brokers would refuse all of its devices",
                hint="put the certificates of all CAs up to the root into one file",
            )
        if (ca.subject, ca.spki_der) not in listed and not any(ca.issued(other) for other in cas):
            raise PolicyError(
                f"there is no CRL of {ca.name!r}: brokers would refuse all of its devices",
                hint="name its file with --crl; whoever keeps that CA signs one, also when nothing is revoked",
            )
    if sum(len(ca.der) for ca in cas) > _MOST_OCTETS:
        raise PolicyError("these are too many CAs", hint="take out those that no device has any more")


def _check_names(state: State, entries: Sequence[Entry]) -> list[str]:
    """Two CAs of one name are told apart by their keys' ids alone, in certificates and in lists."""
    own = [read_foreign_ca(der) for der in _own(state)]
    cas, told = [*own, *(one.ca for one in entries)], []
    for one in entries:
        twins = [ca for ca in cas if ca.subject == one.ca.subject and ca.spki_der != one.ca.spki_der]
        if not twins or not one.changes:
            continue
        if not all(ca.key_id for ca in (one.ca, *twins)) or not all(has_authority_key_id(crl.der) for crl in one.crls):
            raise PolicyError(
                f"{one.ca.name!r} is the name of another trusted CA too, and no key id tells them apart: brokers could"
                " take one's list for the other's",
                hint="apply it at a broker of its own",
            )
        told.append(f"another trusted CA is called {one.ca.name!r} too: brokers tell them apart by their key ids")
    return told


def _ask_openssl(state: State, entries: Sequence[Entry], now: datetime) -> list[str]:
    """Ask what a broker makes of the files with these CAs in them; returns what could not be judged."""
    own = _own(state)
    lists = [*generation_ders(state.store), *crls_above(state.store, current_issuers(state.store))]
    before = _judge(own, lists, now)
    cas = [*own, *(one.ca.der for one in entries)]
    after = _judge(cas, [*lists, *(crl.der for one in entries if one.changes for crl in one.crls)], now)
    unchanged = {one.ca.fingerprint for one in entries if not one.changes}
    failing = [one for one in after if not one.warning and one not in before and one.ca not in unchanged]
    if failing:
        raise PolicyError(
            f"a broker would stumble over it: {failing[0].message}; {failing[0].at_start}",
            hint="nothing was changed; ask whoever keeps that CA for other files",
        )
    return [one.message for one in after if one.warning and one.code == "not-judged"]


def _judge(cas: Iterable[bytes], lists: Iterable[bytes], now: datetime) -> tuple[Problem, ...]:
    contents = {
        "ACL": b"",
        "ca.crt": b"".join(pem.pem_encode("CERTIFICATE", der) for der in cas),
        "crl.pem": b"".join(pem.pem_encode("X509 CRL", der) for der in lists),
    }
    return judge_files(BrokerFiles("ACL", "crl.pem", "ca.crt", now, contents=contents)).problems
