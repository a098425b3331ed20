"""Who is denied in the ACL: by the rows of the database, and by the name that each revoked certificate itself has.

A broker knows a device by the commonName of its certificate. Somebody who renames a device in the database, or lets the
row of a certificate lead elsewhere, would have the ACL deny another name. Then it denies both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from iotonboard.errors import ConflictError, DamageError, PolicyError, StateError
from iotonboard.model import DeviceId, from_epoch
from iotonboard.pki.common_name import serial_and_common_name
from iotonboard.pki.crl_entry import serial_and_reason
from iotonboard.store import row_subjects
from iotonboard.store.acl_members import denied_ids
from iotonboard.store.issuers import all_issuers
from iotonboard.store.misnamed import (
    certificate_suspects,
    issued_as,
    topic_suspects,
    valid_of_device,
)
from iotonboard.store.newest_lists import newest_update
from iotonboard.store.recalled import recorded_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from iotonboard.model import SerialNumber, TopicRule
    from iotonboard.state.state import State
    from iotonboard.store.misnamed import Suspect

    # Topic rules of devices, and what to tell of those that were changed.
    _Rules = tuple[Mapping[str, Sequence[TopicRule]] | None, ConflictError | None]

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Denied:
    """Who is denied. ``beside``: by the certificate's name, where a row leads elsewhere.

    ``others``: rows of valid certificates that are not those of the devices that they lead to. ``not_theirs``: devices
    whose topic rules nobody gets. ``edits``: of whom this tells that rows were changed; ``is_misled``: by these alone
    somebody would get something. ``rules``: topic rules of devices, as they were recorded; ``None`` where nobody can
    read them. ``topics``: what to tell where those of the database are not as the trail says.
    """

    names: tuple[str, ...]
    beside: frozenset[str] = frozenset()
    others: frozenset[int] = frozenset()
    not_theirs: frozenset[str] = frozenset()
    edits: tuple[str, ...] = ()
    is_misled: bool = False
    rules: Mapping[str, Sequence[TopicRule]] | None = None
    topics: ConflictError | None = None

    @property
    def unlisted(self) -> frozenset[str]:
        """Names that get nothing, whatever their rows say."""
        return self.beside | self.not_theirs

    @property
    def told(self) -> ConflictError | None:
        """What to tell of rows that were changed."""
        if not self.edits:
            return self.topics
        names = ", ".join(map(repr, self.edits[:_SHOWN])) + (" and others" if len(self.edits) > _SHOWN else "")
        return ConflictError(
            f"somebody changed in the database whose certificates these are: {names}",
            hint="the ACL denies who was revoked by every name; 'iotonboard health --deep' tells what was changed, and"
            " 'iotonboard health --repair' puts it right",
        )

    @property
    def misled(self) -> ConflictError | None:
        """The same, where somebody would get something by it."""
        return self.told if self.is_misled else self.topics


_SHOWN = 10


def listed_since(state: State, now: datetime) -> datetime:
    """A revoked certificate that expired before this moment was on a CRL after its expiry (RFC 5280 3.3).

    Of lists that began by either of the times when the clock is disputed.
    """
    return newest_update(state.store, min(now, state.read_clock().earliest)) or from_epoch(0)


def read_denied(state: State, now: datetime, *, is_to_tell: bool = False) -> Denied:
    """Whom the ACL denies, each revoked certificate held against the row that it leads to, and topic rules so too.

    Where the trail cannot be asked, the rules are those of the database. ``is_to_tell``: look also for names that give
    nobody anything, where there are not too many devices for that.
    """
    store, since = state.store, listed_since(state, now)
    unread: _Rules = None, None
    rules, edited = _unless_gone(unread, partial(_recorded_topics, state))
    by_rows = denied_ids(store, now, since)
    cas = [name for issuer in all_issuers(store) if (name := _named(issuer.der)[1])]
    *suspects, unknown = certificate_suspects(store, cas, now, since, with_unknown=is_to_tell)
    revoked, valid = ([one for one in kind if not _is_right(one)] for kind in suspects)
    with_topics: list[Suspect] = [] if rules == {} else _unless_gone([], partial(topic_suspects, store, cas))
    topics = {one.holder for one in with_topics if _named(one.der)[1] not in ("", one.holder)}
    renamed = _renamed(unknown)
    if not (revoked or valid or topics or renamed):
        return Denied(tuple(by_rows), rules=rules, topics=edited)
    others = frozenset(one.certificate for one in valid)
    certified = _certified(state, revoked)
    beside = frozenset(name for name in certified if not _has_valid(state, name, now))
    names = {*denied_ids(store, now, since, others), *beside}
    edits = {
        *certified,
        *topics,
        *renamed,
        *(one.holder for one in (*revoked, *valid)),
        *(_named(one.der)[1] for one in valid),
    }
    told = tuple(sorted(edits - {""}))
    is_misled = bool(topics - names) or not names <= set(by_rows)
    return Denied(tuple(sorted(names)), beside, others, frozenset(topics), told, is_misled, rules, edited)


def _renamed(unknown: Sequence[Suspect]) -> set[str]:
    """Names of devices that none of their certificates has, and what these are called; "" of those without any."""
    names: dict[str, set[str]] = {}
    for one in unknown:
        names.setdefault(one.holder, set()).add(_named(one.der)[1])
    return {each for holder, certified in names.items() if holder not in certified for each in (holder, *certified)}


def _unless_gone(otherwise: AnswerT, ask: Callable[[], AnswerT]) -> AnswerT:
    """What ``ask`` answers; what is denied does not wait for rules that nobody can read, as who renders them tells."""
    try:
        return ask()
    except DamageError:  # indexes that can be built anew
        raise
    except StateError:
        return otherwise


def _recorded_topics(state: State) -> _Rules:
    rules, keys = recorded_topics(state.store)
    if not keys:
        return rules, None
    names = dict.fromkeys(filter(None, (row_subjects.subject_of(state.store, "topic", key, None) for key in keys)))
    return rules, ConflictError(
        f"somebody changed the topic rules of {', '.join(map(repr, names)) or 'devices'} in the database",
        hint="the ACL has what was recorded; 'iotonboard health --repair' puts the database right",
    )


def _is_right(suspect: Suspect) -> bool:
    """Say whether a row leads to whom its certificate names, and is the one that was revoked."""
    serial, name = _named(suspect.der)
    if suspect.entry_der and serial != _listed(suspect.entry_der):
        return False
    if not suspect.is_device:
        return bool(suspect.holder) and _CLIENT_AUTH not in suspect.der
    is_itself = bool(suspect.entry_der) or (serial is not None and serial.octets == suspect.serial)
    return is_itself and name in ("", suspect.holder)  # without a commonName a broker lets nobody in


_CLIENT_AUTH = bytes.fromhex("06082b06010505070302")  # extendedKeyUsage of a device (RFC 5280 4.2.1.12)


def _named(der: bytes) -> tuple[SerialNumber | None, str]:
    try:
        return serial_and_common_name(der)
    except PolicyError:
        return None, ""


def _listed(entry_der: bytes) -> SerialNumber | None:
    try:
        return serial_and_reason(entry_der)[0]
    except (PolicyError, ValueError, IndexError):
        return None


def _certified(state: State, revoked: Sequence[Suspect]) -> set[str]:
    """The names that revoked certificates have: each by its octets, or as the trail tells where it has other ones."""
    names, unread = set[str](), set[str]()
    for suspect in revoked:
        serial, name = _named(suspect.der)
        listed = _listed(suspect.entry_der)
        if listed is not None and serial != listed:
            unread.add(listed.hex)
        elif name:
            names.add(name)
    names |= set(issued_as(state.store, unread).values() if unread else ())
    return {name for name in names if _is_device_id(name)}


def _is_device_id(name: str) -> bool:
    """Say whether a device can be called so: else no certificate of this program has that name, and no ACL either."""
    try:
        return DeviceId.adopted(name) == name
    except PolicyError:
        return False


def _has_valid(state: State, name: str, now: datetime) -> bool:
    return any(one.holder == name and _is_right(one) for one in valid_of_device(state.store, name, now))
