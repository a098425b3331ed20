"""``renew``: a new certificate for a device that has one. The old one stays valid for an overlap, then is superseded.

1. *Unlock* - the CA key, once for all devices, behind those that are refused before the first that is not.
2. *Choose* - the devices that are named, that expire soon, or that have no certificate of the CA that issues now.
3. *Batch*  - plan, issue, record, publish and answer (``enrolment/batch.py``). A key that the workstation made is
   replaced, unless ``same`` asks for the old one; a key that the device made is certified again. CRL and ACL are
   published once, at the end; overlaps that are over end with that CRL.
4. *Keep*   - each answer's row in the results and its password, before it is told; the results are signed.

A list or a choice that broke off is known again (``enrolment/unfinished.py``): the same call goes on where it was.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.ca.credentials import check_certificate
from iotonboard.enrolment.answer_files import ended, keep_each
from iotonboard.enrolment.batch import Enrolled, Pace, Plan, run_batch
from iotonboard.enrolment.desk import KeptKey, Order
from iotonboard.enrolment.leading import refused_ahead
from iotonboard.enrolment.order_profile import choose_profile, refuse_outliving, validity_of
from iotonboard.enrolment.record import record_certificate, refuse_used_key
from iotonboard.enrolment.unfinished import Call
from iotonboard.errors import ConflictError
from iotonboard.ids import in_command
from iotonboard.model import KeyType, Refused, RevocationReason, SerialNumber, Target, rfc3339
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.changes import revoke_certificates
from iotonboard.state.publication import published_numbers, reload_behind
from iotonboard.store.compromised import awaits_reenrolment
from iotonboard.store.device_search import DeviceFilter, find_devices
from iotonboard.store.devices import device_named, device_record, refuse_retired
from iotonboard.store.issuers import devices_behind, issuer_of
from iotonboard.store.keys import is_device_made, sealed_key
from iotonboard.store.list_duplicates import note_seen
from iotonboard.store.overlaps import begin_overlap, overdue_overlaps
from iotonboard.store.revocations import revocable
from iotonboard.store.table_scan import TableScan

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.enrolment.answer_files import Keeping
    from iotonboard.enrolment.batch import StartWorkers
    from iotonboard.enrolment.desk import Issued
    from iotonboard.enrolment.order_profile import ChosenProfile
    from iotonboard.model import CertificateRecord, DeviceRecord
    from iotonboard.pki.csr import Csr
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State
    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class Options:
    """How a whole call is done.

    ``key`` is ``auto``, ``new`` (made here) or ``same``, or ``csr`` is a certification request for one device;
    ``revoke_old`` is ``now``, ``after-overlap`` or ``never``. ``expiring_within`` days: a device that is valid for
    longer is skipped. ``old_ca`` chooses the devices without a certificate of the CA that issues now. ``call`` is the
    same for calls that ask for the same: one that broke off is gone on with; empty: it is not. ``profile`` empty: each
    device keeps its own, as it was when that was issued.
    """

    key: str = "auto"
    csr: Csr | None = None
    key_type: KeyType | None = None
    revoke_old: str = "after-overlap"
    expiring_within: int | None = None
    old_ca: bool = False
    validity_days: int | None = None
    profile: str = ""
    with_bundle: bool = True
    strict: bool = False
    call: str = ""


@dataclass(frozen=True, slots=True)
class _Plan(Plan):
    """``valid`` were the device's certificates when it was planned."""

    renews: SerialNumber
    valid: tuple[SerialNumber, ...]


def renew(
    cas: Opened,
    targets: Iterable[Target | Refused] | None,
    options: Options,
    keeping: Keeping,
    unlocker: Callable[[State], Unlock],
    *,
    stopped: Callable[[], bool] = lambda: False,
    start_workers: StartWorkers | None = None,
) -> Generator[Enrolled | Refused]:
    """Renew devices and yield one answer for each, in their order, once it is durable.

    Without ``targets`` they are those that the options choose, at the CA that brokers trust and at those that were
    added to it. A device that is refused harms no other; with ``strict`` it ends the call. ``stopped`` is asked between
    groups; ``start_workers`` gives a long batch more cores.

    Raises:
        KeyUnavailableError: the CA key cannot be opened.
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses; what was answered is durable.
    """
    calls: dict[str, Call] = {}
    pace, is_cut = Pace(options.strict, stopped, start_workers), False
    states = chain((cas.around,), map(cas.state, cas.names))
    runs = cas.runs(targets) if targets is not None else ((state, None) for state in states)
    with ended(unlocker(cas.around), keeping):
        for state, asked in runs:
            unlock = unlocker(state)
            call = calls.setdefault(state.paths.root, Call(state, options.call))
            chosen = _chosen(state, options, call.serials) if asked is None else asked
            answers = _answers(state, iter(chosen), options, unlock, pace, call)
            with closing(keep_each(state, unlock, answers, keeping)) as kept:
                for answer in kept:
                    is_cut = is_cut or (options.strict and isinstance(answer, Refused))
                    yield answer
            if is_cut or stopped():
                return
    for call in calls.values():
        call.note_ended()


def in_force(state: State) -> tuple[int, int]:
    """Numbers of the CRL and ACL that are published: where a call changed them, the broker must reload."""
    return published_numbers(state)


def reload_broker(state: State, before: tuple[int, int], reload: Reload | None) -> bool:
    """Reload the broker behind all renewals, or say whether it must be, where ``before`` was published.

    Raises:
        UnpublishedError: it was not reloaded; what was renewed stays.
    """
    if reload is not None:
        reload_behind(state, reload)
    return reload is None and published_numbers(state) != before


def _answers(
    state: State, asked: Iterator[Target | Refused], options: Options, unlock: Unlock, pace: Pace, call: Call
) -> Generator[Enrolled | Refused]:
    """What becomes of each device; the CA is unlocked behind those that lead and are refused.

    It is unlocked for none too where an overlap is over: its end goes onto a CRL.
    """
    check = partial(_check, state, options, call)
    first = yield from refused_ahead(asked, check, strict=options.strict, stopped=pace.stopped)
    needs_crl = bool(overdue_overlaps(state.store, state.clock()))
    if not (first or needs_crl):
        return
    authority = unlock()
    yield from run_batch(
        state,
        authority,
        chain(first, asked),
        pace,
        plan=partial(_plan, state, authority, options, call, TableScan(state.store, read_through=0)),
        record=partial(_record, state, authority, options, call),
        needs_crl=needs_crl,
    )


def _check(state: State, options: Options, call: Call, target: Target) -> None:
    """Refuse a device as its plan would, without the CA.

    Raises:
        NotFoundError: it is not there.
        ConflictError: it was revoked or retired, is on hold, stands twice in the list, or has a key of another type.
        PolicyError: it would outlive the CA, or does not fit its profile.
    """
    _refuse_second(state.store, target)
    device = device_record(state.store, target.device_id)
    newest = _renewable(state.store, device, state.clock())
    if _is_left(options, call, device, newest, state.clock()):
        return
    if options.csr is None and _keeps_key(state.store, options, newest):
        _refuse_other_type(device, certificate_facts(newest.der).key_type, options.key_type)
    chosen = choose_profile(state, options.profile, newest.serial)
    if chosen:
        chosen.fill(state, device.device_id, device.attributes)
    refuse_outliving(state, chosen, options.validity_days)


def _refuse_second(store: Store, target: Target) -> None:
    if target.line and (earlier := note_seen(store, target.device_id, target.line)):
        raise ConflictError(f"{target.device_id!r} stands in line {earlier} already", hint="remove one of the two")


def _keeps_key(store: Store, options: Options, newest: CertificateRecord) -> bool:
    """Whether the key that the device made itself is certified again."""
    if options.key == "same":
        return sealed_key(store, newest.serial) is None
    return options.key == "auto" and is_device_made(store, newest.serial)


def _chosen(state: State, options: Options, before: Mapping[str, str]) -> Iterator[Target]:
    """The devices that only an old CA vouches for, or that expire within so many days or did so as many days ago.

    First come those that this call renewed ``before`` it broke off, and perhaps did not answer.
    """
    now, span = state.clock(), timedelta(days=options.expiring_within or 0)
    if options.old_ca:
        found: Iterable[str] = devices_behind(state.store, now)
    else:
        soon = DeviceFilter(expiring_before=now + span, expired_since=now - span)
        found = (device.device_id for device in find_devices(state.store, soon, now))
    return map(Target, chain(before, (device_id for device_id in found if device_id not in before)))


def _plan(
    state: State, authority: Authority, options: Options, call: Call, scan: TableScan, target: Target
) -> _Plan | Enrolled:
    """Decide what becomes of one device; none of its certificates stays valid because a damaged index hides it."""
    store, now = state.store, state.clock()
    scan.make_found(target.device_id)
    _refuse_second(store, target)
    device = device_record(store, target.device_id)
    newest = _renewable(store, device, now)
    if _is_left(options, call, device, newest, now):
        return _skipped(state, device, newest, target.line)
    chosen = choose_profile(state, options.profile, newest.serial)
    order = _order(state, authority, options, target.line, device, newest, chosen)
    if chosen:
        order = chosen.apply(state, order, dict(device.attributes), order.key_type)
    return _Plan(order, device.certificates[0].serial, tuple(revocable(store, device.device_id, now)))


def _is_left(options: Options, call: Call, device: DeviceRecord, newest: CertificateRecord, now: datetime) -> bool:
    """Whether a device is left as it is: this call renewed it before it broke off, or it is valid for long enough."""
    within = options.expiring_within
    if call.serials.get(device.device_id) == newest.serial.hex:
        return True
    return within is not None and newest.validity.not_after >= now + timedelta(days=within)


def _skipped(state: State, device: DeviceRecord, newest: CertificateRecord, line: int) -> Enrolled:
    path = state.paths.device(device.device_id).bundle
    bundle = path if os.path.exists(path) else None
    return Enrolled("skipped", device.device_id, line, newest.serial, newest.validity, newest.fingerprint, bundle)


def _order(
    state: State,
    authority: Authority,
    options: Options,
    line: int,
    device: DeviceRecord,
    newest: CertificateRecord,
    chosen: ChosenProfile | None,
) -> Order:
    check_certificate(state, device.device_id, newest)
    facts = certificate_facts(newest.der)
    sealed = sealed_key(state.store, newest.serial)
    spki_der, key_type, kept = None, options.key_type or facts.key_type, None
    if options.csr:
        spki_der, key_type = options.csr.spki_der, options.csr.key_type
    elif options.key == "same" and sealed:
        vault = authority.vault_of(issuer_of(state.store, newest.serial))
        kept = KeptKey(sealed.key_der, vault.bundle_password(newest.serial, sealed.salt), facts.spki_der)
    elif _keeps_key(state.store, options, newest):
        spki_der = facts.spki_der
        _refuse_other_type(device, facts.key_type, options.key_type)
    return Order(
        device_id=device.device_id,
        line=line,
        serial=SerialNumber.from_random(os.urandom(20)),
        validity=validity_of(state, chosen, options.validity_days, authority.active.issuer.validity, authority.chain),
        key_type=key_type,
        csr_spki_der=spki_der,
        with_bundle=options.with_bundle,
        kept_key=kept,
    )


def _record(
    state: State, authority: Authority, options: Options, call: Call, plan: _Plan, issued: Issued, now: datetime
) -> Enrolled:
    """Record the new certificate, and what becomes of the old ones."""
    order = plan.order
    call.note_begun()
    refuse_used_key(state, order, issued)
    refuse_retired(device_named(state.store, order.device_id))
    if tuple(revocable(state.store, order.device_id, now)) != plan.valid:
        raise ConflictError(f"device {order.device_id!r} was changed by another command", hint="run the command again")
    revoke_after = None
    if plan.valid and options.revoke_old == "after-overlap":
        revoke_after = now + timedelta(days=state.config["renewal_overlap_days"])
    detail = {"renews": plan.renews.hex, "revoke_after": rfc3339(revoke_after) if revoke_after else None}
    record_certificate(state, authority, order, issued, now=now, detail=detail | call.mark())
    is_superseded = bool(plan.valid) and options.revoke_old == "now"
    if not plan.valid:
        mark_acl(state)  # a device that had expired is let in again
    elif is_superseded:
        revoke_certificates(state, plan.valid, RevocationReason.SUPERSEDED, now, subject=order.device_id)
    else:
        for serial in plan.valid:
            begin_overlap(state.store, serial, revoke_after)
    return Enrolled(
        outcome="renewed",
        device_id=order.device_id,
        line=order.line,
        serial=order.serial,
        validity=order.validity,
        fingerprint=issued.certificate.fingerprint,
        bundle=state.paths.device(order.device_id).bundle if issued.bundle else None,
        bundle_password=issued.password,
        renews=plan.renews,
        revoke_after=revoke_after,
        needs_crl=is_superseded,
    )


def _refuse_other_type(device: DeviceRecord, key_type: KeyType, wanted: KeyType | None) -> None:
    if wanted not in (None, key_type):
        raise ConflictError(
            f"device {str(device.device_id)!r} made its key itself, and it is {key_type}, not {wanted}",
            hint="leave --key-type out, give a new request with --csr, or make a key here with --rekey",
        )


def _renewable(store: Store, device: DeviceRecord, now: datetime) -> CertificateRecord:
    """The certificate that is renewed: the newest that nobody revoked, or that only a stolen CA key ended."""
    name, status = str(device.device_id), device.status(now)
    if status == "retired":
        raise ConflictError(f"device {name!r} was retired", hint="register another id")
    if status == "on-hold":
        raise ConflictError(f"device {name!r} is on hold", hint=f"type: iotonboard release {in_command(name)}")
    if status == "revoked" and awaits_reenrolment(store, name):
        return device.certificates[0]
    if status == "revoked":
        raise ConflictError(
            f"device {name!r} was revoked: a renewal would give it back its access",
            hint=f"if that is meant: iotonboard register {in_command(name)} --if-exists reissue",
        )
    return next(certificate for certificate in device.certificates if certificate.revocation is None)
