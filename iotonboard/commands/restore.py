"""``restore``: bring a state back from a backup, with every revocation that a CRL of its brokers knows.

1. Place, archive and CRL are looked at, then the passphrase is asked for.
2. The files of the archive are written into the new folder.
3. In one transaction: the trail is proved whole, the numbers of the known CRLs are passed and what they revoke is
   taken up, and new CRLs are signed.
4. CRL, CA file, ACL and device files are published. Whatever fails, nothing is left in the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit, unlock
from iotonboard.ca.backup_archive import open_archive
from iotonboard.ca.backup_manifest import ACL, CONFIG, DATABASE, refuse_other_contents
from iotonboard.ca.crl import sign_crls
from iotonboard.errors import ConflictError, PolicyError, StateError, UsageError
from iotonboard.files import make_private_dir, refuse_existing, remove_file
from iotonboard.health.trail_check import check_trail
from iotonboard.model import from_epoch
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl, crl_facts, revoked_entries, serial_and_reason
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.reading import read_file
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.changes import revoke_certificates
from iotonboard.state.layout import resolve_paths
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.state import State, load_settings
from iotonboard.store.certificates import certificate_by_serial, has_certificate
from iotonboard.store.crls import CrlRow, add_crl, last_crl
from iotonboard.store.devices import count_devices
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.revocations import foreign_entry, revocation_of, set_foreign_entry
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.ca.backup_archive import BackupArchive
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import Caller, RevocationReason, SerialNumber
    from iotonboard.store.issuers import IssuerRow

# Without the newest CRL nobody knows which numbers were used: the next one lies beyond any of them.
NUMBER_JUMP = 1_000_000
# A lost CRL's thisUpdate was backdated by the skew, an hour by default; the new one must be younger than any of them.
_YOUNGER_THAN_ANY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Request:
    """The backup, and the newest CRL that any broker has.

    What that revokes is taken up and its number passed. ``None``, which must be asked for by name, makes the numbers
    jump instead.
    """

    archive: str
    crl: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """The state that came back. ``taken_up`` counts revocations that the backup did not know."""

    state: str
    devices: int
    taken_up: int
    crl_number: int


def restore(
    root: str,
    environment: Mapping[str, str],
    caller: Caller,
    clock: Callable[[], datetime],
    request: Request,
    ask_passphrase: Callable[[], Passphrase],
) -> Result:
    """Bring a state back into an empty place and sign a CRL that forgets nothing.

    Raises:
        ConflictError: there is something at ``root`` already.
        UsageError: there is no such backup.
        KeyUnavailableError: the passphrase does not open the backup.
        PolicyError: not a backup, or a CRL of another CA.
        StateError: what came out of it is damaged; nothing is left at ``root``.
    """
    if os.path.lexists(root) and (not os.path.isdir(root) or os.listdir(root)):
        raise ConflictError(f"{root!r} is not empty", hint="restore into a new folder, or move the old state away")
    if not os.path.isfile(request.archive):
        raise UsageError(f"there is no backup {request.archive!r}", hint="check the file's name")
    crls = _read_crls(request.crl) if request.crl is not None else None
    passphrase = ask_passphrase()
    with _empty_again_on_failure(root) as copied:
        with open_archive(request.archive, passphrase) as archive:
            _extract_all(archive, root, environment, copied)
        with _open(root, environment, caller, clock) as state:
            refuse_other_contents(archive.manifest, state.store)
            opened = unlock(state, passphrase)
            with state.transaction(signing=True) as now:
                taken_up = _take_up(state, crls, now)
                state.record(now, "restore", detail={"taken_up": taken_up, "crl": crls is not None})
                row = sign_crls(state, opened, now)[0]
                mark_acl(state)
                seal_audit(state, opened)
            refuse_unpublished(publish(state, *EVERYTHING))
            return Result(state.paths.root, count_devices(state.store), taken_up, row.number)


def _read_crls(path: str) -> list[bytes]:
    content = read_file(path, limit=1 << 30)
    try:
        ders = pem.pem_decode_all("X509 CRL", content) if b"-----BEGIN" in content else [content]
        for der in ders:
            crl_facts(der)
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint="name the newest crl.pem that a broker has") from error
    return ders


@contextlib.contextmanager
def _empty_again_on_failure(root: str) -> Iterator[list[str]]:
    """Make the folder; when the block fails, take away what was written there and the files that it lists."""
    made = make_private_dir(root) if not os.path.isdir(root) else False
    copied: list[str] = []
    try:
        yield copied
    except BaseException:
        for path in copied:  # the settings may place them outside of the root
            remove_file(path)
        _clear(root, remove=made)
        raise


def _clear(root: str, *, remove: bool) -> None:
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            remove_file(entry.path)
    if remove:
        with contextlib.suppress(OSError):
            os.rmdir(root)


def _extract_all(archive: BackupArchive, root: str, environment: Mapping[str, str], copied: list[str]) -> None:
    """Write the files of a backup where its own settings place them, each noted in ``copied`` first."""

    def bring_back(name: str, path: str) -> None:
        refuse_existing(path, hint="move it away, then restore again")
        copied.append(path)
        archive.extract(name, path)

    if CONFIG in archive.names:
        bring_back(CONFIG, os.path.join(root, CONFIG))
    paths = resolve_paths(root, load_settings(root, environment))
    make_private_dir(paths.certs)
    bring_back(DATABASE, paths.database)
    for name in archive.manifest.contents.keys:
        bring_back(name, os.path.join(paths.certs, name))
    if ACL in archive.names:
        bring_back(ACL, paths.acl)


@contextlib.contextmanager
def _open(root: str, environment: Mapping[str, str], caller: Caller, clock: Callable[[], datetime]) -> Iterator[State]:
    """Open what was brought back, once its audit trail is proved whole."""
    settings = load_settings(root, environment)
    paths = resolve_paths(root, settings)
    store = Store.open(paths.database, timeout_s=settings["busy_timeout_seconds"], now=clock())
    try:
        store.keep_log()
        verdict = check_trail(store)
        if verdict.problem:
            raise StateError(f"the backup's audit trail is broken: {verdict.problem}", hint="use an older backup")
        yield State(paths, settings, store, caller, clock)
    finally:
        store.close()


def _take_up(state: State, crls: list[bytes] | None, now: datetime) -> int:
    """Pass the numbers of the known CRLs and record every revocation on them."""
    signers = [(der, _signer(state, der)) for der in crls or ()]
    known = {issuer.id for _, issuer in signers}
    for issuer in current_issuers(state.store):
        if issuer.id not in known:
            _pass_number(state, issuer, _last_number(state, issuer) + NUMBER_JUMP, now - _YOUNGER_THAN_ANY, now)
    return sum(_take_up_one(state, issuer, der, now) for der, issuer in signers)


def _signer(state: State, der: bytes) -> IssuerRow:
    issuer = next((row for row in all_issuers(state.store) if _is_from(der, row)), None)
    if issuer is None:
        raise PolicyError(
            "the CRL was not issued by a CA of this backup",
            hint="give the newest crl.pem of a broker of this CA; after a rollover, a backup that was made since",
        )
    return issuer


def _take_up_one(state: State, issuer: IssuerRow, der: bytes, now: datetime) -> int:
    facts = crl_facts(der)
    if facts.number > _last_number(state, issuer):
        _pass_number(state, issuer, facts.number, min(facts.this_update, now), now)
    taken_up = 0
    for serial, date, reason in revoked_entries(der):
        if not reason.replaces(_known_reason(state.store, serial)):
            continue
        taken_up += 1
        if has_certificate(state.store, serial):
            _, holder = certificate_by_serial(state.store, serial)
            revoke_certificates(state, [serial], reason, now, subject=holder, dated=date)
        else:
            set_foreign_entry(state.store, issuer.id, serial, encode_entry(serial, date, reason))
            state.record(now, "foreign", serial=serial.hex, detail={"foreign": reason.value})
    return taken_up


def _known_reason(store: Store, serial: SerialNumber) -> RevocationReason | None:
    """Why a serial is revoked as far as the backup knows, be its certificate known or not."""
    if found := revocation_of(store, serial):
        return found.reason
    entry = foreign_entry(store, serial)
    return serial_and_reason(entry)[1] if entry else None


def _is_from(der: bytes, issuer: IssuerRow) -> bool:
    try:
        check_crl(der, issuer.der)
    except PolicyError:
        return False
    return True


def _last_number(state: State, issuer: IssuerRow) -> int:
    last = last_crl(state.store, issuer.id)
    return last.number if last else 0


def _pass_number(state: State, issuer: IssuerRow, number: int, this_update: datetime, now: datetime) -> None:
    """Record a number as used, so that the next CRL of this issuer lies beyond it."""
    last = last_crl(state.store, issuer.id)
    generation = (last.generation if last else 0) + 1
    earliest = last.this_update if last else from_epoch(0)
    add_crl(state.store, CrlRow(generation, issuer.id, number, max(this_update, earliest), now, 0, None, now))
