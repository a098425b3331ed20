"""``restore``: bring a state back from a backup, with every revocation that a CRL of its brokers knows.

1. Place and CRL are looked at, then the passphrase is asked for, and the archive is authenticated as a whole.
2. Its files are written into the new folder, the database under another name. Settings that reach out of the folder
   are held back unless they are asked for by name.
3. In one transaction: the trail is proved whole, the numbers of the known CRLs are passed and what they revoke is
   taken up, and new CRLs are signed. Whatever fails until here, nothing is left.
4. The database gets its name. CRL, CA file, ACL and brokers' files are published; what cannot be is told at the end.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca import added_backup, backup_opener
from iotonboard.ca.absorption import continue_alone, read_crls, strangers, take_up
from iotonboard.ca.authority import seal_audit, sealer, unlock
from iotonboard.ca.backup_archive import open_archive, open_unsealed_archive, refuse_no_backup
from iotonboard.ca.backup_manifest import refuse_other_contents
from iotonboard.ca.backup_opener import Secret
from iotonboard.ca.copies import absorb_published
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.denied_elsewhere import Elsewhere, hold_denied
from iotonboard.ca.founding import check_life
from iotonboard.ca.lost_ca import open_lost, replace_lost
from iotonboard.ca.successor import NewCa
from iotonboard.ca.unpacking import (
    bring_back_brokers,
    new_folder,
    put_in_place,
    refuse_plain_keys,
    unpack,
    write_settings,
)
from iotonboard.errors import PolicyError, StateError
from iotonboard.health.trail_check import check_trail
from iotonboard.model import whole_seconds
from iotonboard.state.changes import believe_clock
from iotonboard.state.erasure import erase_retired_keys
from iotonboard.state.held_settings import wanted_settings
from iotonboard.state.opened_cas import opened
from iotonboard.state.publication import publish_added, publish_recorded
from iotonboard.state.settings_seal import holds
from iotonboard.state.share import refuse_network, refuse_without_locks
from iotonboard.state.state import State, open_state
from iotonboard.store.certificates import broker_certificates, broker_hosts
from iotonboard.store.devices import count_devices
from iotonboard.store.kind import is_root
from iotonboard.store.pending import add_pending
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.ca.unpacking import Unpacked
    from iotonboard.errors import Unpublished
    from iotonboard.model import Caller
    from iotonboard.state.held_settings import Held


@dataclass(frozen=True, slots=True)
class Request:
    """The backup, and the newest CRL that any broker has.

    What that revokes is taken up and its number passed. ``None``, which must be asked for by name, makes the numbers
    jump instead. ``in_place`` and ``take`` name settings that may reach out of the new folder: those of the places of
    publication, and single ones. ``is_sealed``: false for one of format 1. ``token``: where the CA's key is on this
    machine, if it lies in a token.
    """

    archive: str
    crl: str | None
    in_place: bool
    take: tuple[str, ...]
    is_sealed: bool
    plain_keys: bool
    accept_clock: bool
    token: TokenUri | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """The CA in the place of one whose token is gone: what it shall be, and what gives the secret of its key."""

    new: NewCa
    secret: Callable[[], Passphrase | None]


New = NewCa


@dataclass(frozen=True, slots=True)
class Result:
    """The state that came back. ``taken_up`` counts revocations that the backup did not know.

    ``held``: settings that were not taken over. ``ignored``: variables of the environment that were not followed.
    ``left_out``: what else did not come back, in words. ``elsewhere``: what the ACL in place says, and no list does.
    ``strangers``: see ``absorption.strangers``. ``of_root``: it is a root's.
    """

    state: str
    devices: int
    taken_up: int
    crl_number: int
    elsewhere: Elsewhere
    strangers: tuple[str, ...]
    held: tuple[Held, ...]
    ignored: tuple[str, ...]
    left_out: tuple[str, ...]
    unpublished: tuple[Unpublished, ...]
    of_root: bool


def restore(
    root: str,
    environment: Mapping[str, str],
    caller: Caller,
    clock: Callable[[], datetime],
    request: Request,
    ask_passphrase: Callable[[], Passphrase],
    lost: Lost | None = None,
) -> Result:
    """Bring a state back into an empty place and sign a CRL that forgets nothing.

    ``lost``: the token that held the CA's key is gone too. The recovery passphrase is then what is asked for.

    Raises:
        ConflictError: there is something at ``root`` already.
        NotFoundError: there is no such backup.
        UsageError: there is no such setting to take over.
        KeyUnavailableError: the passphrase does not open the backup.
        PolicyError: it is not what was sealed, no backup, or the CRL is of another CA.
        StateError: what came out of it is damaged, or the place is a network share, or one where locks keep nobody out;
            nothing is left at ``root``.
    """
    refuse_no_backup(request.archive, is_sealed=request.is_sealed)
    wanted = wanted_settings(request.take, in_place=request.in_place)
    crls = read_crls(request.crl) if request.crl is not None else None
    with new_folder(root) as copied:
        secret = _secret(request, ask_passphrase(), is_lost=lost is not None)
        open_backup = open_archive if request.is_sealed else open_unsealed_archive
        with open_backup(request.archive, secret.archive) as archive:
            if not request.plain_keys:
                refuse_plain_keys(archive)
            unpacked = unpack(archive, root, environment, wanted, copied, clock())
            refuse_network(unpacked.paths.database)
            with _open(unpacked, caller, clock) as state:
                with state.store.transaction():
                    refuse_without_locks(state.store)
                refuse_other_contents(archive.manifest, state.store)
                brokers = bring_back_brokers(archive, state.store, state.paths, copied, plain_keys=request.plain_keys)
                with added_backup.added_of_backup(archive, state, copied, brokers) as added:
                    taken_up, number, elsewhere = _go_on_all(state, added, unpacked, request, crls, secret, lost)
        put_in_place(unpacked)
    with open_state(root, unpacked.environment, caller, clock, holds=holds) as state, opened(state) as cas:
        unpublished = publish_recorded(state) + publish_added(cas)
        if lost is not None:
            erase_retired_keys(state)
        devices, others, of_root = count_devices(state.store), strangers(state, crls), is_root(state.store)
    told = elsewhere, others, unpacked.held, unpacked.ignored, (*unpacked.left_out, *brokers)
    return Result(os.path.abspath(root), devices, taken_up, number, *told, tuple(unpublished), of_root)


def _secret(request: Request, given: Passphrase, *, is_lost: bool) -> Secret:
    if not request.is_sealed:
        return Secret(given, given)
    if is_lost:
        return Secret(backup_opener.find_recovered(request.archive, given), given)
    return backup_opener.find_secret(request.archive, request.token, given)


def _go_on_all(
    state: State,
    added: Mapping[str, State],
    unpacked: Unpacked,
    request: Request,
    crls: Sequence[bytes] | None,
    secret: Secret,
    lost: Lost | None,
) -> tuple[int, int, Elsewhere]:
    """``_go_on``, and the same for the CAs that were added to the state, each with its own lists."""
    own = added_backup.lists_without(crls, added)
    taken_up, number, elsewhere = _go_on(state, unpacked, request, own, secret, lost)
    for one in added.values():
        taken_up += added_backup.go_on(one, secret.state, crls, accept_clock=request.accept_clock)
    return taken_up, number, elsewhere


def _go_on(
    state: State, unpacked: Unpacked, request: Request, crls: Sequence[bytes] | None, secret: Secret, lost: Lost | None
) -> tuple[int, int, Elsewhere]:
    """Take up what the CRLs revoke and sign the next ones; returns how many were new, and the CRL's number.

    With them goes what the ACL in place says, and no list does.
    """
    if lost is None:
        secret.settle(state)
        authority, new_secret = unlock(state, secret.state), None
    else:
        check_life(state.config, lost.new.validity_days)
        authority, new_secret = open_lost(state, secret.state), lost.secret()
    if request.accept_clock:
        with state.noting():
            believe_clock(state, whole_seconds(state.clock()))
    elif dispute := state.read_clock().dispute:
        hint = "set this machine's clock; when it is right, restore with --accept-clock"
        raise PolicyError(dispute.message, hint=hint)
    with state.transaction(signing=True) as now:
        taken_up = absorb_published(state, now) + take_up(state, crls, now)
        elsewhere = hold_denied(state, now)
        for host in broker_hosts(state.store):
            add_pending(state.store, broker_certificates(state.store, host)[0].serial, None)
        held = {one.key: one.value for one in unpacked.held}
        detail = {"taken_up": taken_up, "crl": crls is not None, "held_back": held}
        state.record(now, "restore", detail=detail)
        if lost is not None:
            authority = replace_lost(state, authority, lost.new, new_secret, now)
        write_settings(state, unpacked, now, sealer(authority))
        _count_backup(state)
        row = sign_crls(state, authority, now)[0]
        continue_alone(state)
        seal_audit(state, authority)
    return taken_up, row.number, elsewhere


def _count_backup(state: State) -> None:
    """The backup that this came from was not counted yet when its copy was made; it is whole, as was seen."""
    if begun := state.store.number("backup_failed"):
        state.store.set_meta("last_backup", begun)
        state.store.set_meta("backup_failed", 0)


@contextlib.contextmanager
def _open(unpacked: Unpacked, caller: Caller, clock: Callable[[], datetime]) -> Iterator[State]:
    """Open what was brought back, once its audit trail is proved whole."""
    settings = unpacked.settings
    store = Store.open(unpacked.staged, timeout_s=settings["busy_timeout_seconds"], now=clock())
    try:
        store.keep_log()
        verdict = check_trail(store)
        if verdict.problem:
            raise StateError(f"the backup's audit trail is broken: {verdict.problem}", hint="use an older backup")
        yield State(unpacked.paths, settings, store, caller, clock)
    finally:
        store.close()
