"""``health``: named checks over state, keys, CRL, ACL, files and clock. Nothing is changed."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard import audit, fsio
from iotonboard.errors import IotOnboardError
from iotonboard.model import from_epoch, rfc3339
from iotonboard.pki import pem
from iotonboard.record import dataclass
from iotonboard.statedir import check_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from iotonboard.statedir import State

PER_DEVICE_LIMIT = 5000  # measured on Mosquitto 2.0: 10 000 blocks freeze the broker for 0.6 s at every reload
OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. ``hint`` says what to type when it is not ``ok``."""

    name: str
    status: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One named check: returns status, message and hint."""

    name: str
    about: str
    run: Callable[[State], tuple[str, str, str]]


def run_checks(state: State, names: Iterable[str] = ()) -> list[Finding]:
    """Run the named checks, or all of them; a check that cannot run has failed."""
    chosen = set(names)
    return [_run(state, check) for check in CHECKS if not chosen or check.name in chosen]


def _run(state: State, check: Check) -> Finding:
    try:
        return Finding(check.name, *check.run(state))
    except IotOnboardError as error:
        return Finding(check.name, FAILED, error.message, error.hint)


def _database(state: State) -> tuple[str, str, str]:
    answer = state.store.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        return FAILED, f"the database is damaged: {answer}", "restore it from the latest backup"
    return OK, f"{state.store.count_devices()} devices", ""


def _ca_key(state: State) -> tuple[str, str, str]:
    issuer = state.store.issuers()[0]
    path = os.path.join(state.paths.certs, issuer.key_file)
    if not os.path.exists(path):
        return FAILED, f"the CA key {path!r} is missing", "bring back the disk or the backup that holds it"
    if b"ENCRYPTED" not in fsio.read_file(path, limit=1 << 16):
        return WARNING, "the CA key is not encrypted", "'iotonboard passwd' gives it a passphrase"
    if os.name == "posix" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        return FAILED, f"others may read {path!r}", f"type: chmod 600 {path}"
    return OK, "encrypted, readable by its owner only", ""


def _ca_certificate(state: State) -> tuple[str, str, str]:
    issuer, now = state.store.issuers()[0], state.clock()
    left = (issuer.validity.not_after - now).days
    if left < 0:
        return (
            FAILED,
            f"the CA certificate expired on {rfc3339(issuer.validity.not_after)}",
            "set up a new CA",
        )
    if left < state.config["cert_validity_days"]:
        return WARNING, f"{left} days left: shorter than a new device certificate", "plan a new CA"
    return OK, f"{left} days left", ""


def _crl(state: State) -> tuple[str, str, str]:
    rows, now = state.store.crl_generation(), state.clock()
    if not rows:
        return FAILED, "there is no CRL", "type: iotonboard gen-crl"
    last = max(rows, key=lambda row: row.next_update)
    if last.next_update <= now:
        return (
            FAILED,
            f"the CRL ended on {rfc3339(last.next_update)}: every device is refused",
            "type: iotonboard gen-crl",
        )
    on_disk = pem.pem_decode_all("X509 CRL", fsio.read_file(state.paths.crl, limit=1 << 30))
    if on_disk != [row.der for row in rows]:
        return FAILED, f"{state.paths.crl!r} is not the CRL that was signed last", "type: iotonboard gen-crl"
    left = last.next_update - now
    if left < timedelta(days=state.config["crl_next_update_days"]) / 3:
        return WARNING, f"the CRL ends on {rfc3339(last.next_update)}", "type: iotonboard gen-crl"
    return OK, f"number {last.number}, {left.days} days left", ""


def _unpublished(state: State) -> tuple[str, str, str]:
    deferred = state.store.unlisted_revocations()
    if deferred:
        return FAILED, f"{deferred} revocations are on no CRL yet", "type: iotonboard gen-crl"
    if state.store.pending(1):
        return WARNING, "device files are still to be written", "type: iotonboard sync-acl"
    return OK, "everything recorded is published", ""


def _acl(state: State) -> tuple[str, str, str]:
    path, devices = state.paths.acl, state.store.count_devices()
    if not state.acl_is_current(path, state.clock()):
        return FAILED, f"{path!r} is not what the database says", "type: iotonboard sync-acl"
    if state.config["acl.style"] == "per-device" and devices >= PER_DEVICE_LIMIT:
        return (
            WARNING,
            f"{devices} blocks slow the broker down",
            "type: iotonboard config set acl.style pattern",
        )
    return OK, "as the database says", ""


def _audit(state: State) -> tuple[str, str, str]:
    broken = audit.first_broken(state.store.connection)
    if broken is not None:
        return (
            FAILED,
            f"the audit trail is broken at row {broken}",
            "compare with a backup; somebody changed the database",
        )
    return OK, f"{audit.head(state.store.connection).seq} rows, chained", ""


def _clock(state: State) -> tuple[str, str, str]:
    last = state.store.meta("last_event")
    check_clock(state.clock(), from_epoch(last), state.config)
    return OK, "agrees with the last event", ""


def _modes(state: State) -> tuple[str, str, str]:
    if os.name != "posix":
        return OK, "not checked on this system", ""
    for path in (state.paths.root, state.paths.certs):
        if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            return WARNING, f"others may enter {path!r}", f"type: chmod 700 {path}"
    return OK, "folders are private", ""


CHECKS = (
    Check("database", "SQLite finds the database sound", _database),
    Check("clock", "the clock agrees with the last recorded event", _clock),
    Check("ca-key", "the CA key is there, encrypted and private", _ca_key),
    Check("ca-certificate", "the CA lives longer than what it issues", _ca_certificate),
    Check("crl", "crl.pem is the last one signed and has time left", _crl),
    Check("unpublished", "no revocation or file waits to be published", _unpublished),
    Check("acl", "mosquitto.acl says what the database says", _acl),
    Check("audit", "the audit trail's chain is whole", _audit),
    Check("modes", "folders are private", _modes),
)
