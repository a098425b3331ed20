"""The checks of ``health``: each looks at one thing and answers status, message and what to type.

All of them stay cheap with a million devices; ``health --deep`` looks at everything.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.broker.render import style_warning
from iotonboard.ca.calendar import CALENDAR, load_calendar
from iotonboard.errors import IotOnboardError
from iotonboard.files import read_file
from iotonboard.health.trail import check_trail
from iotonboard.model import from_epoch, rfc3339
from iotonboard.permissions import READER_HINT, unreadable_for
from iotonboard.pki import pem
from iotonboard.pki.keys import HUMAN_ITERATIONS, RANDOM_ITERATIONS, kdf_iterations
from iotonboard.state.state import clock_problem
from iotonboard.store import issuers
from iotonboard.store.certificates import newest_device_certificates
from iotonboard.store.crls import crl_generation
from iotonboard.store.deliveries import never_fetched, open_deliveries
from iotonboard.store.devices import count_devices
from iotonboard.store.issuers import current_issuers
from iotonboard.store.overlaps import overdue_overlaps
from iotonboard.store.pending import pending_files
from iotonboard.store.revocations import unlisted_revocations
from iotonboard.store.secrets import kept_for_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.state.state import State

AUDIT_ROWS = 10_000  # rows whose chain is checked each time: 0.1 s; the whole chain is for --deep
SAMPLE = 50  # newest certificates whose files are compared
BACKUP_DAYS = 30
DEAD_KEY_DAYS = 30  # a key whose device ended so long ago serves nobody
READ_THROUGH = 256 << 20  # a database of so many octets is read within seconds, also from a slow disk
FREE_BYTES = 64 << 20  # a thousand registrations, a checkpoint of the database's log, and some room
OK, WARNING, FAILED = "ok", "warning", "failed"
Answer = tuple[str, str, str]
_KEY_IS_MISSING = "bring back the disk that holds it, or type: iotonboard restore /path/to/backup.zip --state NEW"


@dataclass(frozen=True, slots=True)
class Check:
    """One named check: returns status, message and hint."""

    name: str
    about: str
    run: Callable[[State], Answer]


def _database(state: State) -> Answer:
    count = f"{count_devices(state.store)} devices"
    if os.path.getsize(state.paths.database) > READ_THROUGH:
        return OK, f"{count}; too large to be read through now: 'health --deep' does that", ""
    if damage := state.store.damage():
        return FAILED, f"the database is damaged: {damage}", "restore it from the latest backup"
    return OK, count, ""


def _ca_key(state: State) -> Answer:
    for issuer in current_issuers(state.store):
        path = os.path.join(state.paths.certs, issuer.key_file)
        if not os.path.exists(path):
            return FAILED, f"the CA key {path!r} is missing", _KEY_IS_MISSING
        if b"ENCRYPTED" not in read_file(path, limit=1 << 16):
            return WARNING, "the CA key is not encrypted", "type: iotonboard ca passwd"
        if os.name == "posix" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            return FAILED, f"others may read {path!r}", f"type: chmod 600 {path}"
    return OK, "encrypted, readable by its owner only", ""


def _ca_certificate(state: State) -> Answer:
    issuer, now = current_issuers(state.store)[0], state.clock()
    left = (issuer.validity.not_after - now).days
    if left < 0:
        return (
            FAILED,
            f"the CA certificate expired on {rfc3339(issuer.validity.not_after)}",
            "type: iotonboard ca rollover begin",
        )
    published = _published("CERTIFICATE", state.paths.ca_certificate, limit=1 << 20)
    if {each.der for each in current_issuers(state.store)} != set(published):
        message = f"{state.paths.ca_certificate!r} lacks a CA, or holds another one"
        return FAILED, message, "type: iotonboard health --repair"
    if left < state.config["cert_validity_days"]:
        message = f"{left} days left: shorter than a new device certificate"
        return WARNING, message, "type: iotonboard ca rollover begin"
    return OK, f"{left} days left", ""


def _ca_rollover(state: State) -> Answer:
    _, *old = current_issuers(state.store)
    if not old:
        return OK, "none is under way", ""
    devices = issuers.valid_devices(state.store, old[0].id, state.clock())
    if not devices:
        return WARNING, "no device hangs on the old CA any more", "type: iotonboard ca rollover --retire"
    left = (old[0].validity.not_after - state.clock()).days
    message = f"{devices} devices have certificates of the old CA, which has {left} days left"
    if left < state.config["expiring.device_days"]:
        return WARNING, message, "type: iotonboard renew --old-ca"
    return OK, message, ""


def _published(kind: str, path: str, *, limit: int) -> list[bytes]:
    """The DER blocks of a published file; none when it is missing or damaged: then it is to be published anew."""
    try:
        return pem.pem_decode_all(kind, read_file(path, limit=limit))
    except IotOnboardError:
        return []


def _crl(state: State) -> Answer:
    rows, now = crl_generation(state.store), state.clock()
    if not rows:
        return FAILED, "there is no CRL", "type: iotonboard gen-crl"
    last = max(rows, key=lambda row: row.next_update)
    current = max((row for row in rows if row.this_update <= now), key=lambda row: row.this_update, default=last)
    if last.next_update <= now:
        return (
            FAILED,
            f"the CRL ended on {rfc3339(last.next_update)}: every device is refused",
            "type: iotonboard gen-crl",
        )
    if _published("X509 CRL", state.paths.crl, limit=1 << 30) != [row.der for row in rows]:
        return FAILED, f"{state.paths.crl!r} is not the CRL that was signed last", "type: iotonboard gen-crl"
    left = last.next_update - now
    calendar = load_calendar(state.store.meta(CALENDAR))
    if calendar:
        calendar = calendar.capped(state.config["crl_calendar_max_days"])
    life = calendar.horizon_days if calendar else state.config["crl_next_update_days"]
    if left < timedelta(days=life) / 3:
        what = "calendar" if calendar else "CRL"
        return WARNING, f"the {what} ends on {rfc3339(last.next_update)}", "type: iotonboard gen-crl"
    if calendar:
        horizon = f"calendar of {calendar.count} x {calendar.every_days} days until {rfc3339(last.next_update)}"
        return OK, f"number {current.number}, {horizon}, {left.days} days left", ""
    return OK, f"number {last.number}, {left.days} days left", ""


def _unpublished(state: State) -> Answer:
    deferred = unlisted_revocations(state.store)
    if deferred:
        return FAILED, f"{deferred} revocations are on no CRL yet", "type: iotonboard gen-crl"
    if pending_files(state.store, 1):
        return WARNING, "device files are still to be written", "type: iotonboard sync-acl"
    return OK, "everything recorded is published", ""


def _overlaps(state: State) -> Answer:
    overdue = overdue_overlaps(state.store, state.clock())
    if overdue:
        message = f"{len(overdue)} old certificates are past their overlap and still valid, such as {overdue[0][1]!r}'s"
        return WARNING, message, "type: iotonboard gen-crl"
    return OK, "no renewed certificate is past its overlap", ""


def _deliveries(state: State) -> Answer:
    if missed := never_fetched(state.store, state.clock()):
        message = f"{len(missed)} deliveries expired and nobody fetched them, such as {missed[0]!r}'s"
        return WARNING, message, f"type: iotonboard deliver {missed[0]}, or confirm {missed[0]}"
    return OK, f"{len(open_deliveries(state.store))} wait to be fetched", ""


def _kept_keys(state: State) -> Answer:
    kept = kept_for_nothing(state.store, state.clock() - timedelta(days=DEAD_KEY_DAYS))
    if kept:
        message = f"{len(kept)} keys are of devices that ended over {DEAD_KEY_DAYS} days ago, such as {kept[0]!r}"
        return WARNING, message, f"type: iotonboard purge {kept[0]}, or set 'keep_keys'"
    return OK, f"none outlived its device by {DEAD_KEY_DAYS} days", ""


def _acl(state: State) -> Answer:
    path, devices = state.paths.acl, count_devices(state.store)
    if not state.acl_is_current(path, state.trusted_time()):
        return FAILED, f"{path!r} is not what the database says", "type: iotonboard sync-acl"
    if state.config["acl.style"] == "per-device" and style_warning(devices):
        return WARNING, style_warning(devices), "type: iotonboard config set acl.style pattern"
    return OK, "as the database says", ""


def _audit(state: State) -> Answer:
    verdict = check_trail(state.store, newest=AUDIT_ROWS)
    if verdict.problem:
        return FAILED, verdict.problem, "type: iotonboard health --deep"
    return OK, f"{verdict.rows} rows; the newest {min(AUDIT_ROWS, verdict.rows)} are chained, the head is signed", ""


def _clock(state: State) -> Answer:
    last = state.store.meta("last_event")
    if problem := clock_problem(state.clock(), from_epoch(last), state.config):
        raise problem
    return OK, "agrees with the last event", ""


def _modes(state: State) -> Answer:
    if os.name != "posix":
        return OK, "not checked on this system", ""
    owner = os.stat(state.paths.root).st_uid
    if os.geteuid() != owner:
        who = f"the state belongs to user {owner}, and you are {os.geteuid()}: what you write its owner cannot use"
        return (
            WARNING,
            who,
            f"type: sudo -u '#{owner}' iotonboard ..., or chown -R it to the one user who works with it",
        )
    for path in _private(state):
        found = os.lstat(path)
        if found.st_uid != owner:
            message = f"{path!r} belongs to user {found.st_uid}, the state to {owner}"
            return WARNING, message, f"type: sudo chown -R {owner} {state.paths.root}"
        if stat.S_IMODE(found.st_mode) & 0o077:
            right = "700" if stat.S_ISDIR(found.st_mode) else "600"
            return WARNING, f"others may use {path!r}", f"type: chmod {right} {path}"
    return OK, "folders, database and keys are private, and of one owner", ""


def _private(state: State) -> Iterator[str]:
    """What nobody else may use, as far as it is there; of the devices, those that were certified last."""
    paths = state.paths
    keys = [os.path.join(paths.certs, issuer.key_file) for issuer in current_issuers(state.store)]
    yield from filter(os.path.lexists, (paths.root, paths.certs, paths.database, *keys))
    for name, _ in newest_device_certificates(state.store, SAMPLE):
        folder = paths.device(name)
        yield from filter(os.path.lexists, (folder, os.path.join(folder, "device.key"), paths.bundle(name)))


def _passphrase(state: State) -> Answer:
    paths = [os.path.join(state.paths.certs, issuer.key_file) for issuer in current_issuers(state.store)]
    return max((_passphrase_of(path) for path in paths), key=lambda answer: answer[0] != OK)


def _passphrase_of(path: str) -> Answer:
    if not os.path.exists(path):
        return FAILED, f"the CA key {path!r} is missing", _KEY_IS_MISSING
    content = read_file(path, limit=1 << 16)
    if b"ENCRYPTED" not in content:
        return WARNING, "the CA key has no passphrase", "type: iotonboard ca passwd"
    rounds = kdf_iterations(pem.pem_decode_all("ENCRYPTED PRIVATE KEY", content)[0])
    if rounds == RANDOM_ITERATIONS:
        return OK, "a random key file", ""
    if rounds is None or rounds < HUMAN_ITERATIONS:
        return WARNING, f"the passphrase can be guessed quickly ({rounds} rounds)", "type: iotonboard ca passwd"
    return OK, f"{rounds} rounds of PBKDF2", ""


def _files(state: State) -> Answer:
    for name, der in newest_device_certificates(state.store, SAMPLE):
        path = os.path.join(state.paths.device(name), "device.crt")
        if not os.path.exists(path) or read_file(path, limit=1 << 16) != pem.pem_encode("CERTIFICATE", der):
            return FAILED, f"{path!r} is not what the database says", "type: iotonboard health --repair"
    return OK, f"the newest {SAMPLE} certificates are as recorded (--deep looks at all)", ""


def _disk(state: State) -> Answer:
    sizes = [os.path.getsize(path) for path in (state.paths.crl, state.paths.acl) if os.path.exists(path)]
    needed = FREE_BYTES + 2 * sum(sizes)
    places = {state.paths.root, state.paths.certs, *map(os.path.dirname, (state.paths.database, state.paths.crl))}
    free, place = min((shutil.disk_usage(place).free, place) for place in places)
    if free < needed:
        message = f"{free >> 20} MiB free at {place!r}, {needed >> 20} MiB are needed"
        return FAILED, message, "delete what is not needed on that disk: old backups, old results"
    return OK, f"{free >> 20} MiB free", ""


def _backup(state: State) -> Answer:
    last, now = state.store.meta("last_backup"), state.clock()
    if last is None:
        if now - current_issuers(state.store)[-1].validity.not_before < timedelta(days=7):
            return OK, "none yet, and the CA is new", ""
        return WARNING, "there is no backup", "type: iotonboard backup /path/to/backup.zip"
    skew = timedelta(minutes=state.config["not_before_skew_minutes"])
    if from_epoch(last) < current_issuers(state.store)[0].validity.not_before + skew:
        return WARNING, "the last backup lacks the key of the new CA", "type: iotonboard backup /path/to/backup.zip"
    days = (now - from_epoch(last)).days
    if days > BACKUP_DAYS:
        return WARNING, f"the last backup is {days} days old", "type: iotonboard backup /path/to/backup.zip"
    return OK, f"{days} days old", ""


def _broker_files(state: State) -> Answer:
    if not state.config.broker_reader:
        return OK, "not checked: neither [broker] user nor group is configured", ""
    for path in (state.paths.acl, state.paths.crl):
        if reason := unreadable_for(path, state.config.broker_reader):
            return FAILED, f"{path!r}: {reason}; at a reload it would let everyone in", READER_HINT
    return OK, "readable for the broker's user", ""


CHECKS = (
    Check("database", "SQLite finds the database sound", _database),
    Check("clock", "the clock agrees with the last recorded event", _clock),
    Check("ca-key", "the CA key is there, encrypted and private", _ca_key),
    Check("ca-certificate", "the CA lives longer than what it issues", _ca_certificate),
    Check("ca-rollover", "a rollover that is under way can go on, or end", _ca_rollover),
    Check("crl", "crl.pem is the last one signed and has time left", _crl),
    Check("unpublished", "no revocation or file waits to be published", _unpublished),
    Check("overlaps", "no certificate is valid past its overlap", _overlaps),
    Check("deliveries", "no delivery expired before somebody fetched it", _deliveries),
    Check("kept-keys", "no key is kept long after its device ended", _kept_keys),
    Check("acl", "mosquitto.acl says what the database says", _acl),
    Check("audit", "the newest rows of the trail are chained and its head is signed", _audit),
    Check("files", "the newest devices' files are what the database says", _files),
    Check("modes", "folders, database and keys are private and have one owner", _modes),
    Check("broker-files", "the broker's user can read ACL and CRL", _broker_files),
    Check("passphrase", "the passphrase costs a guesser enough", _passphrase),
    Check("disk", "there is room for what comes next", _disk),
    Check("backup", "there is a backup, and it is not old", _backup),
)
