"""``ca replace --compromised``: a CA key was stolen. A new CA at once, and nothing of the old one counts any more.

1. Read what was named, then unlock with the passphrase of before.
2. In one transaction: revoke every certificate of the old CA that has not expired, and sign its last CRL; make the new
   CA with a vault of its own; have both keys sign the new anchors; retire the old CA; sign the new CA's first CRL, the
   settings and the trail. CRL numbers and counters of packages begin anew.
3. Publish: CRL, CA file without the old CA, ACL, and the folder with what is to be carried further.
4. Erase the old key file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.ca import secrets_asked
from iotonboard.ca.absorption import continue_alone
from iotonboard.ca.authority import refuse_changed, seal_audit, sealer, unlock, with_new_ca
from iotonboard.ca.crl import sign_crls, sign_last_crl
from iotonboard.ca.founding import check_life
from iotonboard.ca.passphrase import is_in_token
from iotonboard.ca.replacement import anchors_after
from iotonboard.ca.rollover_status import Replaced, Standing, name_of, replaced_cas, standings
from iotonboard.ca.successor import NewCa, check_name, found_successor
from iotonboard.errors import ConflictError, NotFoundError, PolicyError
from iotonboard.model import RevocationReason
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.added_cas import refuse_token, told_cas
from iotonboard.state.alone import attempt
from iotonboard.state.chain import is_waiting
from iotonboard.state.changes import date_of_next_list, revoke_certificates
from iotonboard.state.erasure import erase_retired_keys
from iotonboard.state.publication import publish_recorded, refuse_unpublished
from iotonboard.state.settings_seal import seal_settings, standing_values
from iotonboard.state.trust import seal_trust, sealed_trust
from iotonboard.store.certificates import has_certificate
from iotonboard.store.compromised import (
    add_compromised,
    compromised_cas,
    count_waiting,
    is_compromised,
    note_reenrolments,
    unexpired,
    waiting_brokers,
)
from iotonboard.store.issuers import all_issuers, current_issuers, retire_issuer
from iotonboard.store.revocations import add_foreign_entry, foreign_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import SerialNumber
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

New = NewCa  # what the CA that follows shall be
_LEAST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """What the ``new`` CA shall be.

    ``which``: the beginning of the fingerprint of the CA whose key was stolen; empty means every CA that is trusted.

    ``until``: the end of its last CRL, if not that of its certificate; ``certificates``: files with certificates that
    somebody made with the stolen key.
    """

    new: NewCa
    which: str = ""
    until: datetime | None = None
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """``status``: ``replaced``, or ``was-replaced`` where an earlier call did it; what is trusted now, and what was.

    So many devices, and these brokers, have no new certificate yet. ``waits``: nor has the new CA, of the root of the
    one before. ``also_added``: the CAs that were added to the state, whose keys lie beside.
    """

    status: str
    cas: tuple[Standing, ...]
    replaced: tuple[Replaced, ...]
    waiting_devices: int
    waiting_brokers: tuple[str, ...]
    waits: bool
    also_added: tuple[str, ...] = ()


def needs_new_secret(state: State, new: NewCa) -> bool:
    """Say whether the new key is opened by another secret than the CA that issues: either of them lies in a token.

    Raises:
        ConflictError: it shall lie in one, and the passphrase of the state opens other CAs too.
    """
    if new.token is not None:
        refuse_token(state)
    return (new.token is not None or is_in_token(state)) and secrets_asked.needs_new_secret(state, new.token)


def stolen_cas(state: State, which: str) -> list[IssuerRow]:
    """The trusted CAs that are meant; none when they were replaced before, or some were and none is named.

    Raises:
        NotFoundError: no CA begins so.
        ConflictError: it was retired, and nobody trusts it.
        PolicyError: it is no fingerprint, or too short.
    """
    current = current_issuers(state.store)
    if not which:
        return [] if compromised_cas(state.store) else current
    digits = which.replace(":", "").lower()
    if not re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},64}}", digits):
        raise PolicyError(f"{which!r} is not the beginning of a fingerprint", hint="'iotonboard ca status' shows them")
    row = next((one for one in all_issuers(state.store) if one.fingerprint.startswith(digits)), None)
    if row is None:
        raise NotFoundError(f"no CA of this state begins with {which!r}", hint="'iotonboard ca status' shows them")
    if row in current:
        return [row]
    if is_compromised(state.store, row.id):
        return []
    raise ConflictError(
        f"{name_of(row)!r} was retired: no broker trusts it", hint="'iotonboard ca status' shows who is"
    )


def replace_ca(
    state: State,
    request: Request,
    ask_passphrase: Callable[[], Passphrase | None],
    new_passphrase: Callable[[], Passphrase] | None = None,
    *,
    reload: Reload | None = None,
) -> Result:
    """Replace CAs whose key was stolen; a call after one that did it publishes what that one left, and answers so.

    ``new_passphrase`` gives that of the new key, if it is not to be the one of before.

    Raises:
        ConflictError: the name was used before, the CA is retired, or a surviving CA's list would lose a revocation.
        NotFoundError: no CA or file of that name.
        PolicyError: the clock cannot be right, the new CA would be shorter than what it issues, or a given certificate
            is of another CA.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        UnpublishedError: it is done, and not wholly published.
    """
    rows = stolen_cas(state, request.which)
    if rows:
        check_life(state.config, request.new.validity_days)
        is_one_of_many = len(rows) < len(current_issuers(state.store))
        if new_passphrase and is_one_of_many and not needs_new_secret(state, request.new):
            raise ConflictError(
                "another CA stays, and one passphrase opens all",
                hint="leave the new passphrase to 'iotonboard ca passwd'",
            )
        given = _given_certificates(request.certificates, rows)
        check_name(state, request.new)
        passphrase = ask_passphrase()
        opened = unlock(state, passphrase)
        passphrase = new_passphrase() if new_passphrase else passphrase
        with state.transaction(signing=True) as now:
            refuse_changed(state, opened)
            _replace(state, request, opened, [row.id for row in rows], given, passphrase, now)
    unpublished = publish_recorded(state)
    if reload is not None:
        unpublished += attempt("reload", str(state.config["broker.reload"]), reload)
    refuse_unpublished(unpublished)
    erase_retired_keys(state)
    waiting = count_waiting(state.store), tuple(waiting_brokers(state.store))
    status = "replaced" if rows else "was-replaced"
    return Result(
        status, standings(state), replaced_cas(state), *waiting, is_waiting(state.store), tuple(told_cas(state))
    )


def _given_certificates(paths: Sequence[str], rows: Sequence[IssuerRow]) -> list[tuple[int, SerialNumber]]:
    """What the files hold that one of the CAs signed, each with the CA's row; the CA itself is passed over."""
    found = []
    for path in paths:
        for der in read_certificate_file(path):
            if der in {row.der for row in rows}:
                continue
            issuer = next((row.id for row in rows if is_issued_by(der, row.der)), None)
            if issuer is None:
                raise PolicyError(f"{path!r} holds a certificate of another CA", hint="nothing was done; leave it out")
            found.append((issuer, certificate_facts(der).serial))
    return found


def _replace(
    state: State,
    request: Request,
    opened: Authority,
    stolen: Sequence[int],
    given: Sequence[tuple[int, SerialNumber]],
    passphrase: Passphrase | None,
    now: datetime,
) -> None:
    """Do all of it inside the caller's transaction: afterwards the old CA is no part of this state's trust."""
    old, trusted = [ca for ca in opened.signing if ca.row in stolen], sealed_trust(state.store)
    dated = date_of_next_list(state)
    for row in stolen:
        _revoke_all(state, row, now, dated)
    for issuer, serial in given:
        _list_unknown(state, issuer, serial, now, dated)
    last = {ca.row: sign_last_crl(state, ca, request.until or ca.issuer.validity.not_after, now) for ca in old}
    grown = opened
    if opened.active.row in stolen:
        grown = with_new_ca(state, opened, found_successor(state, opened, request.new, passphrase, now))
    left = replace(grown, signing=tuple(ca for ca in grown.signing if ca.row not in stolen))
    for ca in old:
        retire_issuer(state.store, ca.row, now)
        add_compromised(state.store, anchors_after(ca, left, last[ca.row].der or b"", now))
        of_ca = certificate_facts(ca.certificate_der).serial
        state.record(now, "ca", serial=of_ca.hex, detail={"compromised": ca.identity})
    if len(old) == len(opened.signing):
        continue_alone(state)  # no other copy of this state has the new CA
    seal_audit(state, left, before=opened)  # what the old CA sealed counts on the new lists
    sign_crls(state, left, now)
    mark_acl(state)
    seal_settings(state, standing_values(state), now, sealer(left))
    seal_trust(state.store, trusted, sealer(left))
    seal_audit(state, left)


def _revoke_all(state: State, issuer: int, now: datetime, dated: datetime) -> None:
    """Revoke all that has not expired: whoever has the CA's key opens the keys that were made here.

    A key that only its device has may be certified again, so it is not barred.
    """
    note_reenrolments(state.store, issuer, now)
    for one in unexpired(state.store, issuer, state.read_clock().earliest):
        reason = RevocationReason.SUPERSEDED if one.is_device_made else RevocationReason.KEY_COMPROMISE
        if reason.replaces(RevocationReason(one.reason) if one.reason else None):
            revoke_certificates(state, [one.serial], reason, now, subject=one.subject, dated=dated)


def _list_unknown(state: State, issuer: int, serial: SerialNumber, now: datetime, dated: datetime) -> None:
    """Put a certificate that the database does not know on the last CRL of the CA whose key made it."""
    if has_certificate(state.store, serial) or foreign_entry(state.store, serial):
        return
    reason = RevocationReason.KEY_COMPROMISE
    add_foreign_entry(state.store, issuer, serial, encode_entry(serial, dated, reason))
    state.record(now, "foreign", serial=serial.hex, detail={"foreign": reason.value})
