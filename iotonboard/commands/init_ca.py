"""``init-ca``: make a state directory with its CA, database, empty CRL and ACL.

The CA certificate is recorded and the key file written before the state counts as initialised; an
interrupted call is finished by the next one, with the same key.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from iotonboard.ca import recovery
from iotonboard.ca.authority import Authority, seal_audit, sealer
from iotonboard.ca.ca_key import CA_KEY_FILE
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.founding import NewKey, check_begin, check_life, found_ca
from iotonboard.ca.importing import Source, import_ca, open_source, read_source
from iotonboard.ca.vault import VAULT_KEY_OCTETS, Vault
from iotonboard.disk.files import make_private_dir, remove_empty_dir, remove_file
from iotonboard.errors import ConflictError, KeyUnavailableError, StateError, UsageError
from iotonboard.pki.ca_profiles import Subject
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.foreign_ca import read_foreign_ca
from iotonboard.state import profile_problems
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.layout import resolve_paths
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.recorded_settings import load_settings
from iotonboard.state.setting_table import SETTINGS
from iotonboard.state.settings_file import note_file, write_settings_file
from iotonboard.state.settings_seal import seal_settings, standing_values
from iotonboard.state.share import refuse_network, refuse_without_locks
from iotonboard.state.state import State
from iotonboard.store.kind import BELOW_ROOT, ROOT, make_root
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iotonboard.ca.authority import SigningCa
    from iotonboard.ca.importing import Given, ImportedCa
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.model import Caller, KeyType
    from iotonboard.pki.imported_ca import Finding
    from iotonboard.state.config import Config
    from iotonboard.state.layout import Paths

_CRL_DAYS = "crl_next_update_days"
# A root comes out of its safe once a year, and not on the day.
_ROOT_SETTINGS = {_CRL_DAYS: 400, "max_clock_jump_days": 800}


class CaKind(StrEnum):
    """Who certifies the CA: itself, as one that issues or as a root of others; or a root, whose answer it waits for."""

    ALONE = "alone"
    ROOT = "root"
    BELOW_ROOT = "below-root"


Files = Source  # of a CA that is taken over, as the cli names them


@dataclass(frozen=True, slots=True)
class Request:
    """What the CA shall be.

    Without a ``common_name`` it gets one that no other has. ``not_before``: when it begins, where that is not now.
    ``passphrase`` is asked once nothing stands in the way; it is told whether an interrupted call is being finished.
    Its answer ``None`` leaves the key in the clear, which must be asked for by name. ``source``: a CA that another
    program made is taken over, and is as it is. ``token``: where the key is instead of a file, whose PIN is asked for;
    without a ``key_type`` it is there already. ``recovery`` gives what opens the bundles should it be lost.
    """

    common_name: str | None
    organization: str | None
    key_type: KeyType | None
    validity_days: int
    not_before: datetime | None
    passphrase: Callable[[bool], Passphrase | None] = field(repr=False)
    source: Source | None = None
    token: TokenUri | None = None
    recovery: Callable[[], Passphrase] | None = field(default=None, repr=False)
    kind: CaKind = CaKind.ALONE


@dataclass(frozen=True, slots=True)
class Result:
    """The new state; ``name``: what its CA is called, ``findings``: what is to be told of one that was taken over."""

    state: str
    name: str
    ca_fingerprint: str
    not_after: datetime
    crl_number: int
    findings: tuple[Finding, ...] = ()


def init_ca(
    root: str, environment: Mapping[str, str], caller: Caller, clock: Callable[[], datetime], request: Request
) -> Result:
    """Make the state, or finish making it.

    Raises:
        PolicyError: it would end before what it shall issue, or is not valid yet; or cannot be taken over.
        NotFoundError: a file of the CA that is to be taken over is not there.
        ConflictError: a state is there already, or CA files lie where the new ones would go.
        KeyUnavailableError: an interrupted call left a key that this passphrase does not open.
        StateError: the place is a network share, or one where locks keep nobody out; nothing is left there.
        BusyError: the disk refuses.
    """
    settings = load_settings(root, environment)
    profile_problems.refuse_bad_profiles(settings["profiles"], settings.file.text)
    for problem in (*settings.file.problems, *settings.environment_problems):
        raise problem
    paths = resolve_paths(root, settings)
    refuse_network(paths.database)
    given = _check(request, settings, clock())
    is_resumed, is_given_up = os.path.exists(paths.database), False
    above = _missing_above(paths.root)
    _make_folders(paths)
    store = Store.open(paths.database, timeout_s=settings["busy_timeout_seconds"], now=clock(), create=True)
    try:
        state = State(paths, settings, store, caller, clock)
        with state.transaction():
            refuse_without_locks(store)
            _refuse_second(store, paths)
            is_given_up = not is_resumed  # until the passphrase is there, nothing was made
            imported = open_source(given, clock(), settings["cert_validity_days"]) if given else None
            passphrase = request.passphrase(is_resumed)
            is_given_up = False
            result = _fill(state, request, imported, passphrase)
        if state.store.meta("settings_file") is not None:
            write_settings_file(state, _settings(state, request), named=state.config.file.values)
        refuse_unpublished(publish(state, *EVERYTHING))
    except StateError:
        is_given_up = not is_resumed
        raise
    except (ConflictError, KeyUnavailableError, UsageError):  # a token that did not open, or make a key, left nothing
        is_given_up = not is_resumed and not os.path.lexists(os.path.join(paths.certs, CA_KEY_FILE))
        raise
    finally:
        store.close()
        if is_given_up:
            _leave_nothing(paths, above)
    return result


def _refuse_second(store: Store, paths: Paths) -> None:
    if store.meta("initialised") is not None:
        raise ConflictError(
            f"there is a state in {paths.root!r} already", hint="use it, or choose another folder with --state"
        )


def _missing_above(root: str) -> list[str]:
    """The folders above a place that are not there yet, the innermost first."""
    folder, found = os.path.dirname(root), list[str]()
    while folder and not os.path.lexists(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found


def _leave_nothing(paths: Paths, above: list[str]) -> None:
    """Take away the database of a state that was not begun, and the folders that are empty without it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        remove_file(paths.database + suffix)
    for folder in (paths.devices, paths.certs, os.path.dirname(paths.database), paths.root, *above):
        remove_empty_dir(folder)


def _make_folders(paths: Paths) -> None:
    """Create the folders; a CA without its database is never taken for a place to start anew.

    An interrupted call leaves at most a key, and never one without a database.
    """
    has_database = os.path.exists(paths.database) and os.path.getsize(paths.database) > 0
    left = next(filter(os.path.exists, (paths.ca_certificate, os.path.join(paths.certs, CA_KEY_FILE))), None)
    if not has_database and left is not None:
        raise ConflictError(
            f"{left!r} belongs to a CA whose database is missing",
            hint="restore the database from a backup, or choose another folder for the new CA",
        )
    with suppress(OSError):  # the parent may be anything; what matters is that the next line succeeds
        os.makedirs(os.path.dirname(paths.root), exist_ok=True)
    for folder in (
        paths.root,
        os.path.dirname(paths.database),
        paths.certs,
        paths.devices,
    ):
        make_private_dir(folder)


def _check(request: Request, settings: Config, now: datetime) -> Given | None:
    """Refuse a CA that would be of no use, before anything is made or asked; what is to be taken over is read."""
    if request.source is not None:
        return read_source(request.source, now, settings["cert_validity_days"])
    if request.kind is not CaKind.ROOT:
        check_life(settings, request.validity_days)
    check_begin(request.not_before, now)
    _subject(request, "")
    return None


def _subject(request: Request, digits: str) -> Subject:
    """The name that was asked for, or one with a few digits of the key: no two CAs may share a name."""
    if request.common_name is not None:
        return Subject(request.common_name, request.organization)
    begin = "IoT Root CA" if request.kind is CaKind.ROOT else "IoT Onboarding CA"
    return Subject(f"{begin} {digits}".rstrip(), request.organization)


def _settings(state: State, request: Request) -> dict[str, Any]:
    """The settings that a state of this kind begins with."""
    values = standing_values(state)
    begin = _ROOT_SETTINGS if request.kind is CaKind.ROOT else {}
    return values | {key: value for key, value in begin.items() if values[key] == SETTINGS[key].default}


def _make_ca(
    state: State, request: Request, imported: ImportedCa | None, passphrase: Passphrase | None, now: datetime
) -> SigningCa:
    if imported is not None:
        return import_ca(state, CA_KEY_FILE, imported, passphrase, now)
    if request.kind is CaKind.ROOT:
        make_root(state.store)
    subject, days = partial(_subject, request), request.validity_days
    begin = request.not_before or state.config.backdated_to
    key = NewKey(request.key_type, passphrase, request.token)
    ca = found_ca(state, CA_KEY_FILE, subject, key, days, now, not_before=begin)
    if request.kind is not CaKind.ALONE:
        serial = certificate_facts(ca.certificate_der).serial
        state.record(now, "ca", serial=serial.hex, detail={ROOT if request.kind is CaKind.ROOT else BELOW_ROOT: True})
    return ca


def _fill(state: State, request: Request, imported: ImportedCa | None, passphrase: Passphrase | None) -> Result:
    """Inside one transaction: key file, CA certificate, vault, first CRL."""
    now = state.clock()
    recovery_passphrase = request.recovery() if request.recovery else None
    ca = _make_ca(state, request, imported, passphrase, now)
    vault = Vault(os.urandom(VAULT_KEY_OCTETS))
    state.store.set_meta("vault", ca.key.wrap(vault.key))
    opened = Authority((ca,), vault)
    if recovery_passphrase is not None:
        recovery.set_recovery(state, opened, recovery_passphrase, now)
    values = _settings(state, request)
    if values != standing_values(state):
        note_file(state)
        seal_settings(state, values, now, sealer(opened))
    crl = sign_crls(state, opened, now, next_update_days=values[_CRL_DAYS])[0]
    mark_acl(state)
    state.store.set_meta("initialised", 1)
    seal_audit(state, opened)
    findings = imported.findings if imported else ()
    name = read_foreign_ca(ca.certificate_der).name if imported else certificate_facts(ca.certificate_der).subject_cn
    return Result(state.paths.root, name, ca.identity, ca.issuer.validity.not_after, crl.number, findings)
