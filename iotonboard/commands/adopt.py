"""``adopt``: take over the devices of a CA that another program kept.

1. *Read*   - index, certificates and CRLs, each file once; signatures are verified against the CAs of this state. The
   list that lies where this state will publish its first one is read too.
2. *Plan*   - which devices they make, and what stands against it. Then nothing at all is recorded.
3. *Record* - in one transaction: devices, certificates and revocations; numbers and times of the lists that were given
   are passed, and a new list is signed that has every revocation.
4. *Publish* - CRL, ACL and the devices' files. Rules of a hand-written ACL that are a device's own are in the region
   then; every other octet of it stays.

Called again it records what is new since, and nothing twice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.hand_written import HandWritten, take_rules
from iotonboard.broker.region import has_marker, stream_operator_text
from iotonboard.ca.absorption import pass_lists
from iotonboard.ca.authority import seal_audit
from iotonboard.ca.crl import sign_crls
from iotonboard.disk.reading import read_file, read_pieces
from iotonboard.enrolment.adoption import Adoption, changed, counts, plan_adoption
from iotonboard.enrolment.adoption_record import record_adoption
from iotonboard.enrolment.adoption_sources import GivenList, Names, Sources, read_sources
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.pki.crl import any_crl_facts
from iotonboard.state.acl_file import mark_acl, write_acl_around
from iotonboard.state.alone import attempt
from iotonboard.state.denied import read_denied
from iotonboard.state.foreign_lists import unknown_crls
from iotonboard.state.places import Place, number_there
from iotonboard.state.publication import publish_recorded
from iotonboard.state.reach import others_of
from iotonboard.state.region_change import refuse_other_copy
from iotonboard.store.crls import known_crl
from iotonboard.store.issuers import current_issuers
from iotonboard.store.topics import add_topic, device_topics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.model import TopicRule
    from iotonboard.state.state import State

_MAX_ACL = 1 << 28


@dataclass(frozen=True, slots=True)
class Request:
    """Where everything is; empty where nothing was named. ``is_trial``: it is only said what would be done."""

    index: str
    certificates: tuple[str, ...]
    crls: tuple[str, ...]
    acl: str
    is_trial: bool


@dataclass(frozen=True, slots=True)
class Device:
    """What is said of one device; ``topics`` are those that it takes from the ACL, as ``access:topic``."""

    device_id: str
    status: str
    serials: tuple[str, ...]
    topics: tuple[str, ...]
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What was done, or would be. ``conflicts``: what stands against it, and then nothing was done.

    ``nameless``: revocations of certificates that are not there. ``acl_left``: lines below a device's name that stay in
    the ACL; ``crl_number``: of the list that was signed, 0 where none was.
    """

    devices: tuple[Device, ...]
    counts: Mapping[str, int]
    certificates: int
    nameless: int
    servers: tuple[str, ...]
    left_out: int
    weak: int
    acl_left: tuple[str, ...]
    conflicts: tuple[str, ...]
    crl_number: int = 0
    unpublished: tuple[Unpublished, ...] = ()


def adopt(state: State, request: Request, unlock: Unlock) -> Result:
    """Take devices over, or say what would be done.

    Raises:
        NotFoundError: a file that was named is not there.
        PolicyError: a file is not what it was named for, a broker cannot read the ACL, or the clock cannot be right.
        ConflictError: the ACL is not one that can be taken over; or another copy of the state is at work.
        KeyUnavailableError: the CA key cannot be opened.
        BusyError: the state is locked or the disk refuses; nothing was recorded.
    """
    cas = {row.id: row.der for row in current_issuers(state.store)}
    sources = read_sources(Names(request.index, request.certificates, request.crls), cas)
    sources = _with_list_there(state, sources)
    text = _read_acl(state, request.acl) if request.acl else None
    now = state.clock()
    adoption = plan_adoption(state, sources, now)
    try:
        rules = _rules(state, request.acl, text, adoption)
    except PolicyError as error:
        hint = "correct it there, then run the same command again"
        raise PolicyError(f"{request.acl!r}: {error.message}", hint=hint) from error
    if request.is_trial or adoption.problems:
        return _result(state, adoption, rules, now)
    authority = unlock()
    with state.transaction(signing=True) as now:
        refuse_other_copy(state)
        adoption = plan_adoption(state, sources, now)
        if adoption.problems:
            return _result(state, adoption, rules, now)
        result = _result(state, adoption, rules, now)
        number = 0
        if _is_new(state, adoption, sources, rules):
            record_adoption(state, adoption, now)
            _record_topics(state, rules, now)
            for issuer in cas:
                given = [(one.der, one.facts) for one in sources.lists if one.issuer == issuer]
                pass_lists(state, issuer, given, now, number=sources.last_number)
            number = sign_crls(state, authority, now)[0].number
            seal_audit(state, authority)
    unpublished = [*_write_rest(state, rules), *publish_recorded(state)]
    return replace(result, crl_number=number, unpublished=tuple(unpublished))


def _with_list_there(state: State, sources: Sources) -> Sources:
    """Add the old program's lists that lie where this state is to publish its own, and never did."""
    if (number_there(state, Place.CRL) or 0) > 0:
        return sources
    known = {one.der for one in sources.lists}
    there = [
        GivenList(issuer.id, der, any_crl_facts(der))
        for issuer, ders in unknown_crls(state).items()
        for der in ders
        if der not in known
    ]
    return replace(sources, lists=(*sources.lists, *there))


def _is_new(state: State, adoption: Adoption, sources: Sources, rules: HandWritten | None) -> bool:
    """Say whether anything is to be recorded, so that a second call signs no list for nothing."""
    has_lists = any(known_crl(state.store, sha256(one.der).digest()) is None for one in sources.lists)
    has_topics = rules is not None and any(_new_topics(state, *one) for one in rules.topics.items())
    return bool(has_lists or has_topics or adoption.nameless or changed(state, adoption.devices))


def _result(state: State, adoption: Adoption, rules: HandWritten | None, now: datetime) -> Result:
    topics = rules.topics if rules else {}
    new = {one.device_id for one in changed(state, adoption.devices)}
    devices = tuple(
        Device(
            one.device_id,
            one.status(now),
            tuple(each.serial.hex for each in one.certificates),
            tuple(f"{rule.access}:{rule.topic}" for rule in topics.get(one.device_id, ())),
            one.device_id in new,
        )
        for one in adoption.devices
    )
    return Result(
        devices,
        counts(adoption, now),
        sum(len(one.certificates) for one in adoption.devices),
        len(adoption.nameless),
        adoption.servers,
        adoption.left_out,
        adoption.weak,
        rules.left if rules else (),
        adoption.problems,
    )


# -- the ACL ----------------------------------------------------------------------------------------------------------


def _read_acl(state: State, path: str) -> bytes:
    """The hand-written text; a region in it is this state's own."""
    text = read_file(path, limit=_MAX_ACL)
    if not _is_own_acl(state, path) and has_marker([text]):
        raise ConflictError(
            f"{path!r} has the region of a state already",
            hint="where it is this state's, set broker_acl_file to that file; else take BEGIN, END and all between out",
        )
    return text


def _is_own_acl(state: State, path: str) -> bool:
    return os.path.exists(state.paths.acl) and os.path.samefile(path, state.paths.acl)


def _rules(state: State, path: str, text: bytes | None, adoption: Adoption) -> HandWritten | None:
    """What the devices take from the ACL, and what stays; ``None`` where none was named."""
    if text is None:
        return None
    operator = stream_operator_text([text])
    devices = {str(one.device_id) for one in adoption.devices}
    if not operator.has_region:
        rules = take_rules(text, devices, others_of(state))
    else:  # what stands in the region is the program's already
        parts = [take_rules(part, devices, others_of(state)) for part in (operator.before, operator.after)]
        region = text[len(operator.before) : len(text) - len(operator.after)]
        topics = {name: (*parts[0].topics.get(name, ()), *parts[1].topics.get(name, ()))
                  for name in parts[0].topics | parts[1].topics}  # fmt: skip
        rules = HandWritten(topics, parts[0].rest + region + parts[1].rest, parts[0].left + parts[1].left)
    _refuse_other_text(state, path, rules)
    return rules


def _refuse_other_text(state: State, path: str, rules: HandWritten) -> None:
    """Refuse to write over rules that somebody wrote into the state's own ACL."""
    own = state.paths.acl
    if _is_own_acl(state, path) or not os.path.exists(own):
        return
    there = stream_operator_text(read_pieces(own))
    if (there.before + there.after).strip() not in (b"", rules.rest.strip()):
        raise ConflictError(
            f"{own!r} has rules of somebody's own, which would be lost",
            hint=f"put them into {path!r}, or set broker_acl_file to that file",
        )


def _new_topics(state: State, device_id: str, rules: Sequence[TopicRule]) -> list[TopicRule]:
    known = device_topics(state.store, device_id)
    return [rule for rule in rules if rule not in known]


def _record_topics(state: State, rules: HandWritten | None, now: datetime) -> None:
    for device_id, own in rules.topics.items() if rules else ():
        if new := _new_topics(state, device_id, own):
            for rule in new:
                add_topic(state.store, device_id, rule)
            texts = [f"{rule.access}:{rule.topic}" for rule in new]
            state.record(now, device_id, detail={"topics": {"add": texts}})
    mark_acl(state)


def _write_rest(state: State, rules: HandWritten | None) -> list[Unpublished]:
    """Put what stays of the hand-written text around the region, before anything else is published."""
    if rules is None:
        return []

    def write() -> None:
        with state.noting():
            denied = read_denied(state, now := state.trusted_time())
            write_acl_around(state, state.paths.acl, rules.rest, now, denied)

    return attempt("acl", state.paths.acl, write)
