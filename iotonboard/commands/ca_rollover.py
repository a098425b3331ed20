"""``ca rollover``: a new CA beside the old one, and the old one's end.

1. ``begin`` makes the new key durable, then in one transaction records its certificate, makes its vault and
   signs one CRL per CA. Published are first the CRLs, then ``ca.crt`` with both: a broker refuses every device of a
   CA that has no CRL.
2. Devices get certificates of the new CA as they are registered and renewed; both CAs are trusted meanwhile.
3. ``retire`` takes the old CA away when no valid certificate of it is left: certificate, CRL and key file.

``cancel`` takes the new one away instead, as long as it certified nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iotonboard.ca import recovery, secrets_asked
from iotonboard.ca.authority import refuse_changed, seal_audit, sealer, unlock, with_new_ca, without_newest_ca
from iotonboard.ca.copies import refuse_copies
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.founding import check_life
from iotonboard.ca.passphrase import TOKEN_SCHEME, is_in_token, key_is_encrypted
from iotonboard.ca.rollover_status import Standing, name_of, standings
from iotonboard.ca.successor import NewCa, check_name, found_successor
from iotonboard.errors import ConflictError
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.added_cas import refuse_token
from iotonboard.state.chain import is_waiting, refuse_waiting
from iotonboard.state.erasure import erase_retired_keys
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.settings_seal import seal_settings, standing_values
from iotonboard.state.trust import seal_trust, sealed_trust
from iotonboard.store import issuers
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.kind import is_root
from iotonboard.store.stations import valid_stations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow


Request = NewCa  # what the new CA shall be


@dataclass(frozen=True, slots=True)
class Result:
    """``status``: ``begun``, ``under-way``, ``cancelled`` or ``retired``; the CA that issues stands first.

    ``secrets``: what opens the CAs from now on, in the order of the lines of a passphrase file, where a token is among
    them. ``waits``: the new CA waits for the root of the one before. ``of_root``: it is a root. ``in_tokens``: URIs of
    keys of CAs that were taken out, which this program does not erase.
    """

    status: str
    cas: tuple[Standing, ...]
    is_encrypted: bool
    secrets: tuple[str, ...] = ()
    waits: bool = False
    of_root: bool = False
    in_tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What gives the secret of the new key, where that is not the one in force, and a recovery passphrase."""

    secret: Callable[[], Passphrase] | None = field(default=None, repr=False)
    recovery: Callable[[], Passphrase] | None = field(default=None, repr=False)


NOTHING_MORE = Asked()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be asked for a new key beside what opens the state. ``secret``: ``None`` where none will be made."""

    secret: bool | None
    recovery: bool


def wanted(state: State, request: Request) -> Wanted:
    """Say what ``begin`` needs for the new key: a secret of its own, and a recovery passphrase where there is none."""
    if request.token is not None:
        refuse_token(state)
    if len(current_issuers(state.store)) > 1:
        return Wanted(None, recovery=False)
    if request.token is None and not is_in_token(state):
        return Wanted(secret=False, recovery=False)
    needs_recovery = request.token is not None and not recovery.has_recovery(state.store)
    return Wanted(secrets_asked.needs_new_secret(state, request.token), needs_recovery)


def begin(
    state: State,
    request: Request,
    ask_passphrase: Callable[[], Passphrase | None],
    confirm: Callable[[str, bool], None],
    asked: Asked = NOTHING_MORE,
) -> Result:
    """Make the new CA, sign CRLs of both and publish; a rollover that is under way is answered with its standing.

    The new key gets the passphrase that opens the old one, where ``asked`` gives it none of its own. ``confirm`` is
    asked first, with the name of the CA that issues and whether that is a root, where a new one will be made; what it
    raises ends the call.

    Raises:
        ConflictError: a CA had that name before, a rollover to another name is under way, or another copy of the state
            is at work.
        PolicyError: the new CA would be shorter than what it issues, or its name cannot be one.
        KeyUnavailableError: a key that an interrupted call left does not open with the passphrase.
        BusyError: the state is locked or the disk refuses.
    """
    check_life(state.config, request.validity_days)
    refuse_copies(state)
    issuing, *old = current_issuers(state.store)
    if not old:
        check_name(state, request)
        confirm(name_of(issuing), is_root(state.store))
    passphrase = ask_passphrase()
    opened = unlock(state, passphrase)
    secret = passphrase if old or asked.secret is None else asked.secret()
    recovery_passphrase = None if old or asked.recovery is None else asked.recovery()
    with state.transaction(signing=True) as now:
        is_begun = len(current_issuers(state.store)) > 1
        if is_begun:
            _refuse_other_name(state, request.name)
        else:
            refuse_changed(state, opened)
            grown = with_new_ca(state, opened, found_successor(state, opened, request, secret, now))
            if recovery_passphrase is not None:
                recovery.set_recovery(state, grown, recovery_passphrase, now)
            sign_crls(state, grown, now)
            mark_acl(state)  # its region names the CA that issues
            # The old CA's signature counts no more once it is retired.
            seal_settings(state, standing_values(state), now, sealer(grown))
            seal_trust(state.store, sealed_trust(state.store), sealer(grown))
            seal_audit(state, grown)
    refuse_unpublished(publish(state, *EVERYTHING))
    return _result(state, "under-way" if is_begun else "begun", is_encrypted=secret is not None)


def _result(state: State, status: str, *, is_encrypted: bool) -> Result:
    secrets = [one.prompt for one in secrets_asked.asked_secrets(state)] if is_in_token(state) else []
    return Result(status, standings(state), is_encrypted, tuple(secrets), is_waiting(state.store), is_root(state.store))


def _in_tokens(state: State, rows: Sequence[IssuerRow]) -> tuple[str, ...]:
    """The URIs of CAs' keys that lie in tokens; to be called while their files are there."""
    contents = (secrets_asked.key_content(state, row.key_file) for row in rows)
    return tuple(one.decode("ascii").strip() for one in contents if one.startswith(TOKEN_SCHEME) and one.isascii())


def cancel(state: State, unlock_ca: Unlock) -> Result:
    """Take the new CA away again, with its key, while nothing hangs on it: the one before issues as it did.

    Raises:
        ConflictError: it certified something, or no rollover is under way.
        BusyError: the state is locked or the disk refuses.
    """
    _refuse_to_cancel(state)
    opened = unlock_ca()
    with state.transaction(signing=True) as now:
        refuse_changed(state, opened)
        newest = _refuse_to_cancel(state)
        trusted = sealed_trust(state.store)
        in_tokens = _in_tokens(state, [newest])
        left = without_newest_ca(state, opened)
        issuers.retire_issuer(state.store, newest.id, now)
        detail = {"retired": newest.fingerprint, "cancelled": True}
        state.record(now, "ca", serial=certificate_facts(newest.der).serial.hex, detail=detail)
        seal_audit(state, left, before=opened)  # what the new CA sealed counts on the lists
        sign_crls(state, left, now)
        mark_acl(state)
        seal_settings(state, standing_values(state), now, sealer(left))
        seal_trust(state.store, trusted, sealer(left))
        seal_audit(state, left)
    refuse_unpublished(publish(state, *EVERYTHING))
    erase_retired_keys(state)
    result = _result(state, "cancelled", is_encrypted=key_is_encrypted(state))
    return replace(result, of_root=is_root(state.store), in_tokens=in_tokens)


def _refuse_to_cancel(state: State) -> IssuerRow:
    """The CA that a rollover made, unless something hangs on it already."""
    newest, *old = current_issuers(state.store)
    if not old:
        raise ConflictError("no rollover is under way", hint="'iotonboard ca status' shows the CA")
    if issuers.has_certified(state.store, newest.id):
        raise ConflictError(
            f"the rollover cannot be cancelled: {name_of(newest)!r} certified something already",
            hint="go on with it: iotonboard renew --old-ca, then iotonboard ca rollover --retire",
        )
    return newest


def retire(state: State, unlock_ca: Unlock) -> Result:
    """Take the old CA out of ``ca.crt`` and the CRLs, and erase its key; one that is retired already is answered so.

    Raises:
        ConflictError: devices or brokers still have valid certificates of it, or there is no old CA.
        BusyError: the state is locked or the disk refuses.
    """
    _retirable(state, state.trusted_time())
    opened = unlock_ca()
    with state.transaction(signing=True) as now:
        refuse_changed(state, opened)
        old = _retirable(state, now)
        in_tokens = _in_tokens(state, old)
        for row in old:
            issuers.retire_issuer(state.store, row.id, now)
            facts = certificate_facts(row.der)
            state.record(now, "ca", serial=facts.serial.hex, detail={"retired": row.fingerprint})
        if old:
            left = replace(opened, signing=opened.signing[:1])
            sign_crls(state, left, now)
            seal_audit(state, left)
    refuse_unpublished(publish(state, *EVERYTHING))
    erase_retired_keys(state)
    return replace(_result(state, "retired", is_encrypted=key_is_encrypted(state)), in_tokens=in_tokens)


def _retirable(state: State, now: datetime) -> list[IssuerRow]:
    """The CAs before the one that issues, none of which is in use any more."""
    refuse_waiting(state.store)
    _, *old = current_issuers(state.store)
    if not old and len(all_issuers(state.store)) == 1:
        raise ConflictError(
            "there is one CA, and it issues", hint="'iotonboard ca rollover begin' makes a new one first"
        )
    for row in old:
        _refuse_in_use(state, row, now)
    return old


def _refuse_other_name(state: State, name: str | None) -> None:
    current = name_of(current_issuers(state.store)[0])
    if name is not None and name != current:
        raise ConflictError(
            f"a rollover to {current!r} is under way",
            hint="'iotonboard ca rollover --retire' ends it when the old CA is not used any more",
        )


def _refuse_in_use(state: State, row: IssuerRow, now: datetime) -> None:
    if devices := issuers.valid_devices(state.store, row.id, now):
        raise ConflictError(
            f"{devices} devices still have a valid certificate of {name_of(row)!r}",
            hint="'iotonboard renew --old-ca' gives them new ones; the old ones end with their overlap,"
            " or with 'iotonboard revoke'",
        )
    if names := valid_stations(state.store, row.id, now):
        raise ConflictError(
            f"the station {names[0]!r} has its newest certificate from {name_of(row)!r}",
            hint="type at that station: iotonboard ca request --out FILE, and here: iotonboard ca sign FILE --out FILE",
        )
    if hosts := issuers.brokers_of(state.store, row.id, now):
        raise ConflictError(
            f"the broker {hosts[0]!r} has its certificate from {name_of(row)!r}",
            hint=f"type: iotonboard broker issue {hosts[0]}, and give the broker its new files",
        )
