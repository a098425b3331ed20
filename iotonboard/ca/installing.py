"""What a root gave back is judged before a station goes out with it: certificates, names, limits, lists.

The station's key and name must be those that it has, so that all that it issued stays valid; the answer must not be
older than the one in force; and a list of the root must be newer than the one that is here, and not revoke the station.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import rfc3339
from iotonboard.pki.crl import entries_of_any_writer
from iotonboard.pki.foreign_ca import chain_from, read_foreign_ca, read_foreign_crl, serial_of, signed_by
from iotonboard.pki.imported_ca import judge_ca
from iotonboard.pki.lint.candidate import issuer_facts
from iotonboard.pki.profiles import DeviceProfile, check_permitted, is_within, permitted_names, show_name, subject_of
from iotonboard.state.chain import chain_in_force, going_out, identity
from iotonboard.store.issuers import current_issuers, valid_ders
from iotonboard.store.root_crls import RootCrl, root_crl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.ca.answer_to_station import AnswerFile
    from iotonboard.pki.crl import CrlFacts
    from iotonboard.pki.foreign_ca import ForeignCa
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

_ASK = "ask whoever keeps the root for the file that 'iotonboard ca sign' wrote"
_ASK_LIST = "ask whoever keeps the root for its newest list: iotonboard gen-crl"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be installed. ``issuer`` is ``None`` where it is lists alone.

    ``chain`` is the new one (DER), own certificate first; empty where the one in force stays. ``is_new_root``: its root
    is another key's than the one before, or the first. ``was_out``: the CA's
    own certificate went out before. ``revoked`` are fingerprints of certificates of this state's CAs
    that a list revokes.
    """

    issuer: IssuerRow | None
    chain: tuple[bytes, ...] = field(repr=False)
    root: ForeignCa
    is_new_root: bool
    was_out: bool
    crls: tuple[RootCrl, ...]
    warnings: tuple[str, ...]
    revoked: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Say whether there is anything to install."""
        return bool(self.chain or self.crls)


def plan_install(state: State, file: AnswerFile, now: datetime) -> Plan:
    """Judge what a root gave; nothing is changed.

    Raises:
        PolicyError: it is not for a CA of this state, a certificate or list is not what it must be, or has ended.
        ConflictError: it is older than what is in force.
    """
    rows = current_issuers(state.store)
    found = next(((row, der) for row in rows for der in file.certificates if _is_of(row, der)), None)
    if found is None:
        return _plan_lists(state, rows, file, now)
    row, own = found
    chain, before = chain_from(own, file.certificates), chain_in_force(state.store, row)
    root, ders = chain[-1], tuple(one.der for one in chain)
    if not root.is_self_issued:
        raise PolicyError(f"the certificate above {root.name!r} is not in the file", hint=_ASK)
    warnings = _judge(state, row, chain, now)
    _refuse_older(before, chain)
    crls, revoked = _judge_lists(state, chain[1:], file.crls, rows, now)
    serial_of_own = serial_of(own)
    if own != before[0] and any(serial_of_own in _listed(der) for der in file.crls):
        raise PolicyError("the root's list revokes this very certificate", hint=_ASK)
    anchors = {identity(chain_in_force(state.store, one)[-1])[1] for one in rows if _has_chain(state, one)}
    if not file.crls and not all(root_crl(state.store, der) for der in ders[1:]):
        warnings += ("there is no list of the root in the file: nothing tells this station what the root revokes",)
    was_out = row in going_out(state.store, rows) and len(before) == 1
    new_chain = () if ders == before else ders
    return Plan(row, new_chain, root, identity(root.der)[1] not in anchors, was_out, crls, warnings, revoked)


def _has_chain(state: State, row: IssuerRow) -> bool:
    return len(chain_in_force(state.store, row)) > 1


def _is_of(row: IssuerRow, der: bytes) -> bool:
    """Say whether a certificate is of a CA's key and name, by somebody else than the CA itself."""
    try:
        return identity(der) == identity(row.der) and der != row.der and not read_foreign_ca(der).is_self_issued
    except (PolicyError, IndexError):
        return False


def _judge(state: State, row: IssuerRow, chain: Sequence[ForeignCa], now: datetime) -> tuple[str, ...]:
    """Refuse a chain that brokers would not follow; returns what is to be told of it."""
    own, *above = chain
    findings = judge_ca(own.der, [one.der for one in above], now, state.config["cert_validity_days"])
    if hard := [str(finding) for finding in findings if finding.is_hard]:
        raise PolicyError(f"the certificate is of no use: {'; '.join(hard)}", hint=_ASK)
    if issuer_facts(own.der).key_id != issuer_facts(row.der).key_id:
        raise PolicyError(
            "the certificate has another key identifier than this CA: what it issued would not be found below it",
            hint=_ASK,
        )
    for one in above:
        if one.problem:
            raise PolicyError(f"{one.name!r} is no CA for this: {one.problem}", hint=_ASK)
    _refuse_subjects(state, own.der)
    return (*map(str, findings), *_left_outside(state, row, own.der, now))


def _left_outside(state: State, row: IssuerRow, own: bytes, now: datetime) -> Iterator[str]:
    """What the root's limit of names shuts out of what was certified before."""
    permitted = permitted_names(own)
    if not permitted:
        return
    subjects = (subject_of(der) for der in valid_ders(state.store, row.id, now))
    outside = sum(bool(list(subject)) and not is_within(subject, permitted) for subject in subjects)
    if outside:
        yield (
            f"{outside} valid certificates have subjects outside of {'; or '.join(map(show_name, permitted))}: brokers"
            " refuse them from the next reload on, and devices such brokers; type: iotonboard renew --expiring-within"
            " 36500"
        )


def _refuse_subjects(state: State, own: bytes) -> None:
    """Refuse limits of names that what this state issues would break: brokers would refuse it."""
    check_permitted(DeviceProfile(state.config.subject_extra).name("ID"), own)


def _refuse_older(before: Sequence[bytes], chain: Sequence[ForeignCa]) -> None:
    """Refuse an answer of the same root that it gave before the one in force."""
    if len(before) < 2 or identity(before[-1])[1] != identity(chain[-1].der)[1]:
        return
    old, new = read_foreign_ca(before[0]), chain[0]
    if old.der != new.der and new.not_before < old.not_before:
        raise ConflictError(
            f"the answer is older than the one in force: of {rfc3339(new.not_before)}, not {rfc3339(old.not_before)}",
            hint="install the newest one; nothing was changed",
        )


def _plan_lists(state: State, rows: Sequence[IssuerRow], file: AnswerFile, now: datetime) -> Plan:
    """Lists without a certificate for a CA of this state."""
    chains = [chain_in_force(state.store, row) for row in rows if _has_chain(state, row)]
    above = {der: read_foreign_ca(der) for chain in chains for der in chain[1:]}
    strangers = [der for der in file.certificates if der not in above]
    if strangers or not above or not file.crls:
        names = ", ".join(repr(read_foreign_ca(der).name) for der in strangers) or "a list alone"
        raise PolicyError(f"no certificate in the file is for a CA of this state: it holds {names}", hint=_ASK)
    crls, revoked = _judge_lists(state, list(above.values()), file.crls, rows, now, is_alone=True)
    return Plan(
        None, (), list(above.values())[-1], is_new_root=False, was_out=False, crls=crls, warnings=(), revoked=revoked
    )


def _judge_lists(
    state: State,
    above: Sequence[ForeignCa],
    ders: Sequence[bytes],
    rows: Sequence[IssuerRow],
    now: datetime,
    *,
    is_alone: bool = False,
) -> tuple[tuple[RootCrl, ...], tuple[str, ...]]:
    """The lists that are newer than those that are here, and the certificates of this state's CAs that they revoke."""
    newer, revoked = [], list[str]()
    own = {serial_of(der): sha256(der).hexdigest() for row in rows for der in chain_in_force(state.store, row)[:-1]}
    for ca, facts, der in _in_force(above, ders, now):
        recorded = root_crl(state.store, ca.der)
        if recorded and (facts.number, facts.this_update) < (recorded.number, recorded.this_update):
            if is_alone:
                raise ConflictError(
                    f"the list of {ca.name!r} has number {facts.number}, and number {recorded.number} is here",
                    hint="a list from a backup, or of another copy of the root? nothing was changed",
                )
            continue
        revoked += [own[serial] for serial in sorted(own.keys() & _listed(der))]
        if recorded is None or recorded.der != der:
            newer.append(RootCrl(ca.fingerprint, facts.number, facts.this_update, facts.next_update, der))
    return tuple(newer), tuple(revoked)


def _in_force(
    above: Sequence[ForeignCa], ders: Sequence[bytes], now: datetime
) -> Iterator[tuple[ForeignCa, CrlFacts, bytes]]:
    """Of each CA above the list that is in force: of a calendar the newest that has begun."""
    found = [(ca, read_foreign_crl(der, ca), der) for der in ders for ca in above if signed_by(der, ca)]
    if ders and not found:
        raise PolicyError("no list in the file is of a CA above this one", hint=_ASK_LIST)
    for ca in dict.fromkeys(ca for ca, *_ in found):
        lists = sorted((one for one in found if one[0] is ca), key=lambda one: one[1].number)
        begun = [one for one in lists if one[1].this_update <= now]
        if not begun:
            begins = rfc3339(lists[0][1].this_update)
            raise PolicyError(f"the list of {ca.name!r} begins at {begins}", hint="is the clock of this machine right?")
        if begun[-1][1].next_update <= now:
            ended = rfc3339(begun[-1][1].next_update)
            raise PolicyError(f"the list of {ca.name!r} ended on {ended}", hint=_ASK_LIST)
        yield begun[-1]


def _listed(crl_der: bytes) -> set[int]:
    return {int(serial) for serial, *_ in entries_of_any_writer(crl_der)}
