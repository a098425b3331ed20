"""``pack``: ACL, CRL and CA file, made anew from the database, in one signed file for a broker's machine.

1. Look at the place, then unlock the CA.
2. In one transaction: sign CRLs of all that is recorded, render the files from the database, and count the package.
3. Publish, so that here and there the same is in force.
4. Sign the package with the key of each CA, and write it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.broker.acl_stations import split_stations
from iotonboard.broker.own_certificate import own_files
from iotonboard.broker.package import ACL, CA, CRL, NEWEST_FORMAT, IssuerPart, Manifest, describe, render_package
from iotonboard.ca.authority import seal_audit
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.recorded import refuse_edited_overlaps
from iotonboard.disk.beforehand import refuse_unwritable
from iotonboard.disk.files import PUBLIC, refuse_existing, replacing
from iotonboard.errors import IotOnboardError, PolicyError, Unpublished
from iotonboard.model import to_epoch
from iotonboard.pki import pem
from iotonboard.pki.key_id import key_id
from iotonboard.state.acl_file import mark_acl, renew_acl, tell_edits
from iotonboard.state.chain import chain_in_force, going_out
from iotonboard.state.denied import read_denied
from iotonboard.state.places import Place, check_here
from iotonboard.state.publication import publish_recorded
from iotonboard.state.region_change import pack_change
from iotonboard.state.sent_chain import as_sent, chains_behind
from iotonboard.state.trust import ca_file, foreign_crls
from iotonboard.store.brokers import broker_setup
from iotonboard.store.certificates import broker_certificates, broker_hosts
from iotonboard.store.issuers import all_issuers, current_issuers, issuer_of
from iotonboard.store.kind import is_root
from iotonboard.store.revocations import left_serials
from iotonboard.store.stations import stations
from iotonboard.store.trust import removed_cas

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority, SigningCa, Unlock
    from iotonboard.state.denied import Denied
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

DEFAULT_VALID_DAYS = 30
_COUNTER, _COUNTER_KEY = "package_counter", "package_counter_key"
_EXPLAINED = timedelta(days=2 * 366)  # a broker that nobody visited for longer is told why no serial left its list


@dataclass(frozen=True, slots=True)
class Result:
    """The new package; ``size`` in octets. ``unpublished`` is what could not be published here, or is not in it."""

    path: str
    manifest: Manifest
    size: int
    unpublished: tuple[Unpublished, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """Where to, and until when it can be applied; ``form`` is that of the package."""

    out: str
    valid_days: int | None = None
    force: bool = False
    form: int = NEWEST_FORMAT


def pack(state: State, request: Request, unlock: Unlock) -> Result:
    """Sign new CRLs, write them with ACL and CA file as a package, and publish what is in it.

    It is meant for ``valid_days``, at most until its last CRL ends. An ACL that cannot be rendered, or whose disk is
    away, is left out of it: the broker keeps the one that it has, and the revocations travel.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        ConflictError: ``out`` exists, or a revocation would be lost.
        PolicyError: the clock cannot be right; the CA waits for its root; or a root is asked for form 1.
        BusyError: the state is locked or the disk refuses.
        IotOnboardError: the ACL cannot be rendered, and form 1 has no packages without.
    """
    refuse_unwritable(request.out)
    if not request.force:
        refuse_existing(request.out)
    _refuse_waiting(state)
    if request.form == 1 and is_root(state.store):
        raise PolicyError("form 1 has an ACL, and a root has none", hint="leave --format out")
    authority = unlock()
    with state.transaction(signing=True) as now:
        refuse_edited_overlaps(state)
        rows = sign_crls(state, authority, now)
        signing = _going_out(state, authority)
        key = key_id(signing[0].certificate_der)
        counter = _count(state, key, now)
        number = next(row.number for row in rows if row.issuer == signing[0].row)
        state.record(now, "package", detail={"counter": counter, "crl_number": number, "form": request.form})
        denied = read_denied(state, now, is_to_tell=True)
        if denied.told:
            mark_acl(state)
        files, left_out = _files(state, rows, now, denied)
        if request.form > 1:
            files |= _own_files(state, now)
        if left_out and request.form == 1:
            raise left_out[0].error
        expires = min(now + timedelta(days=request.valid_days or DEFAULT_VALID_DAYS), _end_of_lists(rows))
        begins = now - timedelta(minutes=state.config["not_before_skew_minutes"])
        manifest = Manifest(counter, now, begins, expires, number, describe(files))
        if request.form > 1:
            manifest = replace(manifest, format=request.form, key=key, **_words(state, rows, denied, now))
        seal_audit(state, authority)
    signers = [ca.issuer.signer for ca in signing]
    below = dict.fromkeys(der for ca in signing for der in ca.chain[:-1])
    unpublished = left_out + [one for one in publish_recorded(state) if one.what != "acl" or not left_out]
    unpublished += tell_edits(state, denied.told, unpublished)
    with replacing(request.out, PUBLIC) as file:
        file.writelines(render_package(manifest, files, signers, below))
        size = file.tell()
    return Result(request.out, manifest, size, tuple(unpublished))


def _refuse_waiting(state: State) -> None:
    """A CA whose root has not certified it stands in no CA file, and signs no package.

    Raises:
        PolicyError: no other is here.
    """
    if not going_out(state.store, current_issuers(state.store)):
        raise PolicyError(
            "this CA waits for its root: nothing of it goes to a broker before its answer is installed",
            hint="type: iotonboard ca request --out FILE; what a stolen CA certified a package of the root shuts out",
        )


def _going_out(state: State, authority: Authority) -> list[SigningCa]:
    """The CAs that go out, the one that issues first."""
    out = {row.id for row in going_out(state.store, current_issuers(state.store))}
    return [ca for ca in authority.signing if ca.row in out]


def _count(state: State, key: str, now: datetime) -> int:
    """The next counter of the CA that issues: of time, so that it rises past what a restored backup has forgotten too.

    It begins anew with a new CA, whatever was counted to with the key of the one before.
    """
    last = state.store.number(_COUNTER) or 0
    if state.store.meta(_COUNTER_KEY) not in {None, key}:
        last = 0
    counter = max(last + 1, to_epoch(now))
    state.store.set_meta(_COUNTER, counter)
    state.store.set_meta(_COUNTER_KEY, key)
    return counter


def _files(
    state: State, rows: Sequence[CrlRow], now: datetime, denied: Denied
) -> tuple[dict[str, bytes], list[Unpublished]]:
    """The files as the database says them: what else somebody wrote into ``ca.crt`` is not signed."""
    files = {
        CRL: b"".join(
            pem.pem_encode("X509 CRL", der) for der in (*(row.der or b"" for row in rows), *foreign_crls(state))
        ),
        CA: ca_file(state, current_issuers(state.store)),
    }
    if is_root(state.store):  # it has no devices, and so nothing to say of anybody's rights
        return files, []
    try:
        with state.store.savepoint():
            check_here(state, Place.ACL)
            whole = b"".join(renew_acl(state, state.paths.acl, now, denied))
            files[ACL], _ = split_stations(whole)  # what other stations put there is carried by their own packages
    except IotOnboardError as error:
        return files, [Unpublished("acl", state.paths.acl, error)]
    return files, []


def _own_files(state: State, now: datetime) -> dict[str, bytes]:
    """Certificate and configuration of each broker whose key was made on its own machine."""
    files: dict[str, bytes] = {}
    chains = chains_behind(state.store)
    for host in broker_hosts(state.store):
        newest, setup = broker_certificates(state.store, host)[0], broker_setup(state.store, host)
        is_valid = newest.revocation is None and newest.validity.not_after >= now
        if setup and is_valid and not newest.has_key:
            folder = os.path.basename(state.paths.broker(host).path)
            certificate = as_sent(newest.der, chains.get(issuer_of(state.store, newest.serial), ()))
            files |= own_files(folder, host, certificate, setup.port, state.config["broker.version"])
    return files


def _issuers(state: State, rows: Sequence[CrlRow], now: datetime) -> tuple[IssuerPart, ...]:
    parts = []
    for issuer in going_out(state.store, current_issuers(state.store)):
        in_force = next(row for row in rows if row.issuer == issuer.id)
        left = left_serials(state.store, issuer.id, now - _EXPLAINED, now)
        reasons = {serial.hex: reason for serial, reason in left.items()}
        certificate = sha256(chain_in_force(state.store, issuer)[0]).hexdigest()
        parts.append(IssuerPart(certificate, in_force.number, reasons))
    return tuple(parts)


def _gone(state: State) -> tuple[str, ...]:
    """The CAs of this state that are retired, and those of others that were taken out again.

    Our own also by their keys: a broker may have another certificate of one than this state.
    """
    current = {issuer.id for issuer in current_issuers(state.store)}
    retired = [issuer for issuer in all_issuers(state.store) if issuer.id not in current]
    names = (name for issuer in retired for name in (issuer.fingerprint, key_id(issuer.der)))
    return (*names, *removed_cas(state.store), *_stations_taken_back(state))


def _stations_taken_back(state: State) -> list[str]:
    """The keys of the stations of which nothing stands any more that this root certified."""
    every = stations(state.store) if is_root(state.store) else []
    stands = {one.spki_sha256 for one in every if one.reason is None}
    return list(dict.fromkeys(key_id(one.der) for one in every if one.spki_sha256 not in stands))


def _words(state: State, rows: Sequence[CrlRow], denied: Denied, now: datetime) -> dict[str, Any]:
    """What form 2 says beside."""
    of_acl = {} if is_root(state.store) else _acl_words(state, denied)
    version = state.config["broker.version"]
    return {"issuers": _issuers(state, rows, now), "gone": _gone(state), "broker_version": version, **of_acl}


def _acl_words(state: State, denied: Denied) -> dict[str, Any]:
    """What a package says of its ACL, also where that is left out of it."""
    lineage = pack_change(state)
    return {
        "acl_change": lineage.change,
        "acl_floor": lineage.floor,
        "acl_before": lineage.before,
        "denied": denied.names,
    }


def _end_of_lists(rows: Sequence[CrlRow]) -> datetime:
    """When the first CA has no current list left."""
    return min(max(row.next_update for row in rows if row.issuer == issuer) for issuer in {row.issuer for row in rows})
