"""Checks of what the state stands on: database, trail, clock, rights, disk and backup."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.disk.permissions import keeps_modes, mount_decides
from iotonboard.errors import BusyError
from iotonboard.health.finding import Outcome, failed, ok, warning
from iotonboard.health.trail_check import check_trail
from iotonboard.model import rfc3339
from iotonboard.state.share import ELSEWHERE, network_kind
from iotonboard.store.audit import count_unsealed
from iotonboard.store.certificates import newest_device_certificates
from iotonboard.store.damage import damage_of
from iotonboard.store.devices import count_devices
from iotonboard.store.issuers import current_issuers
from iotonboard.store.lock_probe import lock_keeps_others_out
from iotonboard.store.schema.expected import schema_differences
from iotonboard.store.set_aside import rows_set_aside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.state.state import State

READ_THROUGH = 256 << 20  # a database of so many octets is read within seconds, also from a slow disk
COMPARE_INDEXES = 32 << 20  # in one of so many octets each index is held against its table too: 0.2 s
AUDIT_ROWS = 10_000  # rows whose chain is checked each time: 0.1 s; the whole chain is for --deep
SHOWN_ROWS = 20  # 'health --deep' names all
SAMPLE = 50  # newest certificates whose folders and keys are looked at
FREE_BYTES = 64 << 20  # a thousand registrations, a checkpoint of the database's log, and some room
BACKUP_DAYS = 30
NEW_CA_DAYS = 7  # a CA so young may be without a backup
_MAKE_BACKUP = "type: iotonboard backup /path/to/backup.zip"
_SEE_FAILURE = "'iotonboard audit show --subject backup' says why; then " + _MAKE_BACKUP


def database(state: State) -> Outcome:
    """SQLite finds the database sound, where that takes seconds only."""
    number = count_devices(state.store)
    count = f"{number} device{'' if number == 1 else 's'}"
    size = os.path.getsize(state.paths.database)
    if size > READ_THROUGH:
        return ok(f"{count}; too large to be read through now: 'health --deep' does that")
    if damage := damage_of(state.store, with_indexes=size <= COMPARE_INDEXES):
        hint = "type: iotonboard health --repair, which rebuilds indexes; else restore it from the latest backup"
        return failed(f"the database is damaged: {damage}", hint)
    return ok(count)


def locks(state: State) -> Outcome:
    """While one process writes, another one is kept out: where that fails, two of them damage one database."""
    if kind := network_kind(state.paths.database):
        return failed(f"{state.paths.database!r} is on a network share ({kind})", ELSEWHERE)
    try:
        with state.store.without_waiting(), state.store.transaction():
            holds = lock_keeps_others_out(state.store)
    except BusyError:
        return ok("not tried: another command is at work, or the disk cannot be written")
    if holds is None:
        return ok("not tried on this system")
    if not holds:
        return failed(f"locks do not work in {os.path.dirname(state.paths.database)!r}", ELSEWHERE)
    return ok("a second process was kept from writing, as it has to be")


def schema(state: State) -> Outcome:
    """Nothing works on the rows behind the program's back: each table, index, view and trigger is the program's."""
    found = schema_differences(state.store)
    if not found:
        return ok("all as the program made it")
    named = "; ".join(f"{one.kind} {one.name!r} {one.what}" for one in found[:SHOWN_ROWS])
    return failed(named, "take out what is not the program's; 'iotonboard health --repair' makes missing indexes anew")


def set_aside(state: State) -> Outcome:
    """No row had to be set aside because it cannot be; the first of them are named."""
    rows = list(rows_set_aside(state.store))
    if not rows:
        return ok("no row of an earlier version was left out")
    named = ", ".join(map(str, rows[:SHOWN_ROWS])) + (", ..." if len(rows) > SHOWN_ROWS else "")
    message = f"{len(rows)} rows could not be, and were set aside: {named}"
    return failed(message, "revoke or reissue what is named, then type: iotonboard health --repair")


def audit(state: State) -> Outcome:
    """The newest rows of the trail are chained, and the head that the CA signed is there."""
    found = check_trail(state.store, newest=AUDIT_ROWS)
    if found.problem:
        return failed(found.problem, "type: iotonboard health --deep")
    message = f"{found.rows} rows; the newest {min(AUDIT_ROWS, found.rows)} are chained, the head is signed"
    if unsealed := count_unsealed(state.store):
        commands = ", ".join(f"{command} {count}" for command, count in unsealed.items())
        message += f"; {sum(unsealed.values())} rows since were added without the passphrase ({commands})"
    return ok(message)


def clock(state: State) -> Outcome:
    """The clock agrees with the last recorded event."""
    if dispute := state.read_clock().dispute:
        return failed(dispute.message, dispute.hint)
    return ok("agrees with the last event")


def modes(state: State) -> Outcome:
    """Nobody else may use what is private, and all of it has one owner: whoever works with it."""
    if os.name != "posix":
        return ok("not checked on this system")
    if mount_decides(state.paths.root):
        return ok("owners and modes are decided by the mount (uid=, gid=, umask=)")
    owner = os.stat(state.paths.root).st_uid
    if os.geteuid() != owner:
        return warning(
            f"the state belongs to user {owner}, and you are {os.geteuid()}: what you write its owner cannot use",
            f"type: sudo -u '#{owner}' iotonboard ..., or chown -R it to the one user who works with it",
        )
    for path in _private(state):
        found = os.lstat(path)
        is_open = stat.S_IMODE(found.st_mode) & 0o077
        if is_open and not keeps_modes(path if os.path.isdir(path) else os.path.dirname(path)):
            continue  # a stick's owners and modes are the mount's
        if found.st_uid != owner:
            message = f"{path!r} belongs to user {found.st_uid}, the state to {owner}"
            return warning(message, f"type: sudo chown -R {owner} {state.paths.root}")
        if is_open:
            right = "700" if stat.S_ISDIR(found.st_mode) else "600"
            return warning(f"others may use {path!r}", f"type: chmod {right} {path}")
    return ok("folders, database and keys are private, and of one owner")


def _private(state: State) -> Iterator[str]:
    """What nobody else may use, as far as it is there; of the devices, those that were certified last."""
    paths = state.paths
    keys = [os.path.join(paths.certs, issuer.key_file) for issuer in current_issuers(state.store)]
    yield from filter(os.path.lexists, (paths.root, paths.certs, paths.database, *keys))
    for name, *_ in newest_device_certificates(state.store, SAMPLE):
        folder = paths.device(name)
        yield from filter(os.path.lexists, (folder.path, folder.key, folder.bundle))


def disk(state: State) -> Outcome:
    """Every disk in use has room for what comes next: CRL and ACL are written anew beside the old ones."""
    sizes = [os.path.getsize(path) for path in (state.paths.crl, state.paths.acl) if os.path.exists(path)]
    needed = FREE_BYTES + 2 * sum(sizes)
    if state.store.is_read_only:
        message = f"{state.paths.database!r} cannot be written: nothing can be recorded, no revocation either"
        return failed(message, "mount its disk writable (mount -o remount,rw), after a look at what it reports (dmesg)")
    files = (state.paths.database, state.paths.crl, state.paths.acl)
    places = filter(os.path.isdir, {state.paths.root, state.paths.certs, *map(os.path.dirname, files)})
    free, place = min((shutil.disk_usage(place).free, place) for place in places)
    if free < needed:
        message = f"{free >> 20} MiB free at {place!r}, {needed >> 20} MiB are needed"
        return failed(message, "delete what is not needed on that disk: old backups, old results")
    return ok(f"{free >> 20} MiB free")


def backup(state: State) -> Outcome:
    """There is a backup that was read back, is not old, and has the key of the issuing CA; none failed since."""
    last, now = state.store.moment("last_backup"), state.clock()
    newest, oldest = current_issuers(state.store)[0], current_issuers(state.store)[-1]
    failed_at = state.store.moment("backup_failed")
    if failed_at and state.store.number("backup_failed"):  # 0: none failed since the last one
        return warning(f"the backup of {rfc3339(failed_at)} failed, or is not at its end", _SEE_FAILURE)
    if last is None:
        if now - oldest.created_at < timedelta(days=NEW_CA_DAYS):
            return ok("none yet, and the CA is new")
        return warning("there is no backup", _MAKE_BACKUP)
    if last < newest.created_at:
        return warning("the last backup lacks the key of the new CA", _MAKE_BACKUP)
    days = (now - last).days
    if days > BACKUP_DAYS:
        return warning(f"the last backup is {days} days old", _MAKE_BACKUP)
    return ok(f"{days} days old")
