"""``ca add``: put a CA beside the one of the state, for devices that brokers and MQTT clients must not take.

1. Look at its name and at the state; then unlock the CA of the state.
2. Make the key, the certificate, the database and the first CRL of the new one, in its own folders, and publish them.
3. Tell of it in the trail of the state, signed: from here on it counts.

An interrupted call is finished by the next one, with the same key: until the third step nothing counts of it.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from iotonboard.ca.authority import Authority, refuse_changed, seal_audit, unlock
from iotonboard.ca.ca_key import CA_KEY_FILE
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.founding import NewKey, check_life, found_ca
from iotonboard.ca.passphrase import is_in_token, key_is_encrypted
from iotonboard.ca.rollover_status import name_of
from iotonboard.ca.vault import VAULT_KEY_OCTETS, Vault
from iotonboard.disk.files import make_private_dir
from iotonboard.errors import ConflictError, KeyUnavailableError, PolicyError
from iotonboard.ids import DeviceId
from iotonboard.pki.ca_profiles import Subject
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.profile_form import PROFILE_NAME
from iotonboard.pki.signatures import sign_statement
from iotonboard.state.added_cas import paths_within, state_within, told_cas
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.store.added_cas import NAME, WHICH, added_statement
from iotonboard.store.audit import ADDED_CAS
from iotonboard.store.crls import last_crl
from iotonboard.store.issuers import all_issuers
from iotonboard.store.kind import is_root, make_added
from iotonboard.store.store import Store
from iotonboard.store.succession import VOUCHED

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import KeyType
    from iotonboard.state.state import State

_FOUNDS: Final = "init-ca"  # by which a trail knows the first CA of its state


@dataclass(frozen=True, slots=True)
class Request:
    """What the CA shall be: ``name`` as profiles call it; without a ``common_name`` it gets one that no other has.

    ``anew``: in the place of one whose database was lost, with every backup.
    """

    name: str
    common_name: str | None
    organization: str | None
    key_type: KeyType
    validity_days: int
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The new CA: what it is called in its certificate, and where its certificate and lists are."""

    name: str
    common_name: str
    fingerprint: str
    not_after: datetime
    crl_number: int
    certificate: str
    crl: str
    is_encrypted: bool


def add_ca(
    state: State,
    request: Request,
    ask: Callable[[], Passphrase | None],
    open_ca: Callable[[Passphrase | None], Authority],
) -> Result:
    """Make the CA, or finish making it. ``ask`` gives the passphrase of the state, which opens it too.

    Raises:
        PolicyError: the name cannot be one, the state is a root's, or the CA would end before what it shall issue.
        ConflictError: there is such a CA already, or one that is called so in its certificate.
        KeyUnavailableError: the CA key is missing, lies in a token, or the passphrase does not open it or what an
            interrupted call left.
        BusyError: the state is locked or the disk refuses; the same command again goes on.
    """
    _check(state, request)
    passphrase = ask()
    authority = open_ca(passphrase)
    paths = paths_within(state.paths, request.name)
    for folder in (os.path.dirname(paths.root), paths.root, os.path.dirname(paths.certs), paths.certs, paths.devices):
        make_private_dir(folder)
    timeout_s = state.config["busy_timeout_seconds"]
    with closing(Store.open(paths.database, timeout_s=timeout_s, now=state.clock(), create=True)) as store:
        added = state_within(state, request.name, store)
        added = replace(added, caller=replace(state.caller, command=_FOUNDS))
        if store.meta("initialised") is None:
            _found(added, request, passphrase)
        opened = unlock(added, passphrase)
        if passphrase is not None and not key_is_encrypted(added):
            raise KeyUnavailableError(
                f"the key of a CA {request.name!r} lies there unencrypted",
                hint=f"no command left it so: move {paths.root!r} and {paths.certs!r} away, and run this one again",
            )
        refuse_unpublished(publish(added, *EVERYTHING))
        _tell(state, authority, request.name, opened)
        ca, last = opened.active, last_crl(store, opened.active.row, with_der=False)
    return Result(
        request.name,
        certificate_facts(ca.certificate_der).subject_cn,
        ca.identity,
        ca.issuer.validity.not_after,
        last.number if last else 0,
        paths.ca_certificate,
        paths.crl,
        passphrase is not None,
    )


def _check(state: State, request: Request) -> None:
    """Refuse a CA that cannot be, before anything is made or asked."""
    if not PROFILE_NAME.fullmatch(request.name):
        raise PolicyError(
            f"{request.name[:80]!r} cannot be the name of a CA of this state",
            hint="use 1 to 32 lower-case letters, digits and dashes: iotonboard ca add servers",
        )
    DeviceId(request.name)  # it is the name of a folder, on every system
    if is_root(state.store):
        raise PolicyError("this is a root, which has no devices", hint="add the CA at a station: name it with --state")
    if request.name in told_cas(state):
        _refuse_second(state, request)
    if is_in_token(state):
        raise KeyUnavailableError(
            "the CA key of this state lies in a token, whose PIN opens no file",
            hint="a CA beside it needs a state with a passphrase",
        )
    check_life(state.config, request.validity_days)
    if request.common_name is not None:
        _refuse_taken(state, Subject(request.common_name, request.organization).common_name)


def _refuse_second(state: State, request: Request) -> None:
    """Refuse a CA that is there already, unless nothing is left of it and it is to be made anew."""
    name, paths = request.name, paths_within(state.paths, request.name)
    if os.path.exists(paths.database):
        raise ConflictError(f"there is a CA {name!r} already", hint=f"see: iotonboard ca status --ca {name}")
    if not request.anew:
        raise ConflictError(
            f"there is a CA {name!r} already, and its database is gone: {paths.database!r}",
            hint=f"restore the latest backup; where none has it: iotonboard ca add {name} --anew",
        )
    if os.path.exists(key := os.path.join(paths.certs, CA_KEY_FILE)):
        raise ConflictError(f"{key!r} is of the CA that was lost", hint="move that folder away, then run this again")


def _refuse_taken(state: State, common_name: str) -> None:
    """Refuse the name of another CA: verifiers tell CAs, and their lists, by it."""
    if common_name.casefold() in {name_of(row).casefold() for row in all_issuers(state.store)}:
        raise ConflictError(
            f"a CA of this state is called {common_name!r} already", hint="choose another --common-name"
        )


def _subject(request: Request, digits: str) -> Subject:
    return Subject(request.common_name or f"IoT {request.name} CA {digits}".rstrip(), request.organization)


def _found(added: State, request: Request, passphrase: Passphrase | None) -> None:
    """Inside one transaction: key file, CA certificate, vault, first CRL."""
    with added.transaction() as now:
        make_added(added.store)
        key, begin = NewKey(request.key_type, passphrase), added.config.backdated_to
        subject = partial(_subject, request)
        ca = found_ca(added, CA_KEY_FILE, subject, key, request.validity_days, now, not_before=begin)
        vault = Vault(os.urandom(VAULT_KEY_OCTETS))
        added.store.set_meta("vault", ca.key.wrap(vault.key))
        opened = Authority((ca,), vault)
        sign_crls(added, opened, now)
        added.store.set_meta("initialised", 1)
        seal_audit(added, opened)


def _tell(state: State, authority: Authority, name: str, opened: Authority) -> None:
    """Let the CA of the state sign in its trail that this one belongs to it: no other counts."""
    fingerprint = opened.active.identity
    serial = certificate_facts(opened.active.certificate_der).serial
    with state.transaction(signing=True) as now:
        refuse_changed(state, authority)
        signature = sign_statement(authority.active.issuer.signer, added_statement(name, fingerprint))
        detail = {NAME: name, WHICH: fingerprint, VOUCHED: signature.hex()}
        state.record(now, "ca", serial=serial.hex, detail=detail)
        state.store.forget_small(ADDED_CAS)
        seal_audit(state, authority)
