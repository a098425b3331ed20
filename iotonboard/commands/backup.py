"""``backup`` and ``restore``: one encrypted file that brings the state back, and never a revocation less.

The file is an AES-256 ZIP, so that it can be opened without this program too. ZIP's own key derivation is weak;
therefore the archive's password is derived from the passphrase by PBKDF2-HMAC-SHA256 with the rounds and salt
that the archive's comment names, 128 bits spelled as ``vault.spell`` does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyzipper

from iotonboard import __version__
from iotonboard.ca import authority, vault
from iotonboard.errors import BusyError, ConflictError, KeyUnavailableError, PolicyError, StateError, UsageError
from iotonboard.files import PRIVATE, create_exclusive, make_private_dir, read_file, remove_file, replacing
from iotonboard.health.trail import check_trail
from iotonboard.model import from_epoch
from iotonboard.permissions import TAKEN_HINT
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl, crl_facts, revoked_entries, serial_and_reason
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.state.layout import resolve_paths
from iotonboard.state.state import State, load_settings, refuse_existing
from iotonboard.store.certificates import certificate_by_serial, has_certificate
from iotonboard.store.crls import CrlRow, add_crl, crl_generation, last_crl
from iotonboard.store.devices import count_devices
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.revocations import foreign_entry, revocation_of, set_foreign_entry
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import Caller, RevocationReason, SerialNumber
    from iotonboard.store.issuers import IssuerRow

HUMAN_ITERATIONS = 600_000
_COMMENT = re.compile(rb"iotonboard backup v1 salt=([0-9a-f]{32}) iterations=([1-9][0-9]{0,6})")
_DATABASE, _CONFIG, _ACL = "devices.db", "iotonboard.toml", "mosquitto.acl"
_KEY = re.compile(r"ca[A-Za-z0-9.-]{0,80}\.key")
_CHUNK = 1 << 20
_COPY_PREFIX, _COPY_SUFFIX = ".backup-", ".db"
_COPY_IS_OLD_S = 24 * 3600  # what a killed backup left behind; no backup takes a day
# Without the newest CRL nobody knows which numbers were used: the next one lies beyond any of them.
NUMBER_JUMP = 1_000_000
# A lost CRL's thisUpdate was backdated by the skew, an hour by default; the new one must be younger than any of them.
_YOUNGER_THAN_ANY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """The backup that was made."""

    path: str
    sha256: str
    devices: int
    crl_number: int
    audit_seq: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The state that came back. ``taken_up`` counts revocations that the backup did not know."""

    state: str
    devices: int
    taken_up: int
    crl_number: int


def back_up(state: State, opened: authority.Authority, passphrase: Passphrase, path: str, *, noise: bytes) -> BackedUp:
    """Write one consistent, encrypted file while other commands go on.

    Raises:
        ConflictError: something is at ``path`` already.
        BusyError: the disk refuses, or a CA was retired meanwhile; no partial file is left.
    """
    refuse_existing(path, hint=TAKEN_HINT)
    with state.transaction() as now:
        state.store.set_meta("last_backup", int(now.timestamp()))
        state.record(now, "backup", detail={"path": os.path.abspath(path)})
        authority.seal_audit(state, opened)
    copy = os.path.join(state.paths.root, f"{_COPY_PREFIX}{noise.hex()}{_COPY_SUFFIX}")
    _sweep_copies(state.paths.root, now)
    try:
        create_exclusive(copy, b"")
        state.store.copy_to(copy)
        manifest = _describe(state, copy)
        with replacing(path, PRIVATE) as file:
            _write_archive(file, state, copy, manifest, _comment(passphrase, noise), passphrase)
    finally:
        for suffix in ("", "-wal", "-shm"):
            remove_file(copy + suffix)
    return BackedUp(path, _sha256(path), manifest["devices"], manifest["crl_number"], manifest["audit_seq"])


def _sweep_copies(root: str, now: datetime) -> None:
    for entry in os.scandir(root):
        is_copy = entry.name.startswith(_COPY_PREFIX) and entry.name.endswith(_COPY_SUFFIX)
        if is_copy and entry.stat(follow_symlinks=False).st_mtime < now.timestamp() - _COPY_IS_OLD_S:
            remove_file(entry.path)


def _comment(passphrase: Passphrase, noise: bytes) -> bytes:
    iterations = 1 if passphrase.is_random_key else HUMAN_ITERATIONS
    return b"iotonboard backup v1 salt=%s iterations=%d" % (noise[:16].hex().encode("ascii"), iterations)


def _password(comment: bytes, passphrase: Passphrase) -> bytes:
    match = _COMMENT.fullmatch(comment)
    if match is None:
        raise PolicyError("this is not a backup that 'iotonboard backup' made", hint="check the file's name")
    salt, iterations = bytes.fromhex(match[1].decode("ascii")), int(match[2])
    key = hashlib.pbkdf2_hmac("sha256", passphrase.octets, salt, iterations, 16)
    return vault.spell(key).encode("ascii")


def _describe(state: State, copy: str) -> dict[str, Any]:
    """What the copy holds; read from the copy, since the state may have moved on."""
    store = Store.open(copy, timeout_s=1, now=state.clock())
    try:
        crls = crl_generation(store)
        verdict = check_trail(store)
        return {
            "schema": 1,
            "version": __version__,
            "devices": count_devices(store),
            "crl_number": max((row.number for row in crls if row.issuer == crls[0].issuer), default=0),
            "audit_seq": verdict.rows,
            "keys": [row.key_file for row in current_issuers(store)],
        }
    finally:
        store.close()


def _write_archive(
    file: Any,
    state: State,
    copy: str,
    manifest: dict[str, Any],
    comment: bytes,
    passphrase: Passphrase,
) -> None:
    wanted = {_DATABASE: copy, _CONFIG: state.paths.config, _ACL: state.paths.acl}
    for name in manifest["keys"]:
        wanted[name] = os.path.join(state.paths.certs, name)
        if not os.path.exists(wanted[name]):
            raise BusyError("a CA was retired while the backup was made", hint="run the command again")
    with pyzipper.AESZipFile(file, "w", pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(_password(comment, passphrase))
        archive.comment = comment
        archive.writestr("backup.json", json.dumps(manifest))
        for name, path in wanted.items():
            if os.path.exists(path):
                archive.write(path, name)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- restore ----------------------------------------------------------------------------------------------------------


def restore(
    archive_path: str,
    root: str,
    environment: Mapping[str, str],
    caller: Caller,
    clock: Callable[[], datetime],
    passphrase: Passphrase,
    crl_path: str | None,
) -> Restored:
    """Bring a state back into an empty place and sign a CRL that forgets nothing.

    ``crl_path`` names the newest CRL that any broker has; what it revokes is taken up and its number passed.
    ``None``, which must be asked for by name, makes the numbers jump instead.

    Raises:
        ConflictError: there is something at ``root`` already.
        KeyUnavailableError: the passphrase does not open the backup.
        PolicyError: not a backup, or a CRL of another CA.
        StateError: what came out of it is damaged; nothing is left at ``root``.
    """
    if os.path.lexists(root) and (not os.path.isdir(root) or os.listdir(root)):
        raise ConflictError(f"{root!r} is not empty", hint="restore into a new folder, or move the old state away")
    crls = _read_crls(crl_path) if crl_path is not None else None
    made = make_private_dir(root) if not os.path.isdir(root) else False
    copied: list[str] = []
    try:
        with _open_archive(archive_path, passphrase) as archive:
            _extract(archive, root, environment, copied)
        return _finish(root, environment, caller, clock, passphrase, crls)
    except BaseException:
        for path in copied:  # the settings may place them outside of the root
            remove_file(path)
        _clear(root, remove=made)
        raise


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
def _open_archive(path: str, passphrase: Passphrase) -> Iterator[Any]:
    if not os.path.isfile(path):
        raise UsageError(f"there is no backup {path!r}", hint="check the file's name")
    try:
        with pyzipper.AESZipFile(path) as archive:
            archive.setpassword(_password(archive.comment, passphrase))
            yield archive
    except pyzipper.BadZipFile as error:
        raise PolicyError(f"{path!r} is damaged: {error}", hint="use another copy of the backup") from None
    except RuntimeError as error:
        raise KeyUnavailableError(
            "the passphrase does not open this backup", hint="use the passphrase that the CA had when it was made"
        ) from error


def _extract(archive: Any, root: str, environment: Mapping[str, str], copied: list[str]) -> None:
    names = archive.namelist()
    keys = [name for name in names if _KEY.fullmatch(name)]
    if len(set(names)) != len(names) or set(names) - {"backup.json", _DATABASE, _CONFIG, _ACL, *keys} or not keys:
        raise PolicyError("the backup holds files that do not belong there", hint="use another copy of the backup")
    if _CONFIG in names:
        _copy_out(archive, _CONFIG, os.path.join(root, _CONFIG), copied)
    paths = resolve_paths(root, load_settings(root, environment))
    make_private_dir(paths.certs)
    _copy_out(archive, _DATABASE, paths.database, copied)
    for name in keys:
        _copy_out(archive, name, os.path.join(paths.certs, name), copied)
    if _ACL in names:
        _copy_out(archive, _ACL, paths.acl, copied)


def _copy_out(archive: Any, name: str, path: str, copied: list[str]) -> None:
    refuse_existing(path, hint="move it away, then restore again")
    copied.append(path)
    with archive.open(name) as source, replacing(path, PRIVATE) as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _clear(root: str, *, remove: bool) -> None:
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            remove_file(entry.path)
    if remove:
        with contextlib.suppress(OSError):
            os.rmdir(root)


def _finish(
    root: str,
    environment: Mapping[str, str],
    caller: Caller,
    clock: Callable[[], datetime],
    passphrase: Passphrase,
    crls: list[bytes] | None,
) -> Restored:
    settings = load_settings(root, environment)
    paths = resolve_paths(root, settings)
    store = Store.open(paths.database, timeout_s=settings["busy_timeout_seconds"], now=clock())
    try:
        store.keep_log()
        verdict = check_trail(store)
        if verdict.problem:
            raise StateError(f"the backup's audit trail is broken: {verdict.problem}", hint="use an older backup")
        state = State(paths, settings, store, caller, clock)
        opened = authority.unlock(state, passphrase)
        with state.transaction(signing=True) as now:
            taken_up = _take_up(state, crls, now)
            state.record(now, "restore", detail={"taken_up": taken_up, "crl": crls is not None})
            row = authority.sign_crls(state, opened, now)[0]
            state.mark_acl()
            authority.seal_audit(state, opened)
        state.publish()
        return Restored(paths.root, count_devices(store), taken_up, row.number)
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
            state.revoke([serial], reason, now, subject=holder)
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
