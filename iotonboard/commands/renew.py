"""``renew``: a new certificate for a device that has one. The old one stays valid for an overlap, then is superseded.

The way of each group is that of ``register``: plan, issue on all cores, record, publish, answer. A key that the
workstation made is replaced, unless ``same`` asks for the old one; a key that the device made is certified again.
"""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from iotonboard import lifecycle
from iotonboard.authority import seal_audit
from iotonboard.enrolment import GROUP, at_line, desk_of, issue_groups, publish_crl, record_certificate
from iotonboard.errors import BusyError, ConflictError, IotOnboardError
from iotonboard.issuing import KeptKey, Order
from iotonboard.model import KeyType, RevocationReason, SerialNumber, rfc3339
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.issuance import validity_for
from iotonboard.record import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from iotonboard.authority import Authority
    from iotonboard.enrolment import StartWorkers
    from iotonboard.issuing import Issued
    from iotonboard.model import CertificateRecord, DeviceRecord, Validity
    from iotonboard.pki.csr import Csr
    from iotonboard.statedir import State


@dataclass(frozen=True, slots=True)
class Request:
    """One device whose certificate is to be renewed. ``line`` 0: not from a list."""

    device_id: str
    line: int = 0
    csr: Csr | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How a whole call is done.

    ``key`` is ``auto``, ``new`` (made here) or ``same``; ``revoke_old`` is ``now``, ``after-overlap`` or ``never``.
    ``expiring_before``: a device that is valid until then or longer is skipped.
    """

    key: str = "auto"
    key_type: KeyType | None = None
    revoke_old: str = "after-overlap"
    expiring_before: datetime | None = None
    validity_days: int | None = None
    with_bundle: bool = True
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    """The answer for one device. ``outcome`` is ``renewed``, ``skipped`` or ``failed``.

    ``revoke_after`` is the end of the overlap; ``None`` when the old certificate was revoked or stays.
    """

    outcome: str
    device_id: str
    line: int = 0
    serial: SerialNumber | None = None
    validity: Validity | None = None
    fingerprint: str = ""
    bundle: str | None = None
    bundle_password: str | None = field(default=None, repr=False)
    renews: SerialNumber | None = None
    revoke_after: datetime | None = None
    error: IotOnboardError | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    request: Request
    device: DeviceRecord
    device_row: int
    valid: tuple[SerialNumber, ...]
    order: Order


def renew(
    state: State,
    authority: Authority,
    requests: Iterable[Request],
    options: Options,
    *,
    stopped: Callable[[], bool] = lambda: False,
    start_workers: StartWorkers | None = None,
) -> Iterator[Renewed]:
    """Renew devices and yield one answer for each, in the order of the requests, once it is durable.

    Overlaps that are over end with the same call. The ACL is published by the caller.

    Raises:
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses; what was answered is durable.
    """
    yield from _Run(state, authority, options, stopped, start_workers).through(requests)


class _Run:
    """One call of ``renew``."""

    def __init__(
        self,
        state: State,
        authority: Authority,
        options: Options,
        stopped: Callable[[], bool],
        start_workers: StartWorkers | None,
    ) -> None:
        self._state = state
        self._authority = authority
        self._desk = desk_of(state, authority)
        self._options = options
        self._stopped = stopped
        self._start_workers = start_workers
        self._halted = False
        self._superseded = False

    def through(self, requests: Iterable[Request]) -> Iterator[Renewed]:
        """Take all groups through plan, issue, record, publish and answer."""
        groups = self._planned(iter(requests))
        for plans, issued in issue_groups(self._desk, self._authority, groups, _order_of, self._start_workers):
            answers = self._record(plans, issued)
            self._state.publish(acl=False)
            yield from answers
            if self._halted:
                break
        if self._superseded or lifecycle.overdue_overlaps(self._state.store, self._state.clock()):
            publish_crl(self._state, self._authority)

    def _planned(self, requests: Iterator[Request]) -> Iterator[list[_Plan | Renewed]]:
        while group := list(islice(requests, GROUP)):
            if self._halted or self._stopped():
                return
            yield [self._plan(request) for request in group]

    def _plan(self, request: Request) -> _Plan | Renewed:
        try:
            return self._plan_device(request)
        except IotOnboardError as error:
            return Renewed("failed", request.device_id, request.line, error=at_line(error, request.line))

    def _plan_device(self, request: Request) -> _Plan | Renewed:
        store, config, now = self._state.store, self._state.config, self._state.clock()
        if request.line and (earlier := store.note_seen(request.device_id, request.line)):
            raise ConflictError(f"{request.device_id!r} stands in line {earlier} already", hint="remove one of the two")
        device = store.device(request.device_id)
        row = store.device_named(request.device_id)
        newest = _renewable(device, now)
        before = self._options.expiring_before
        if before is not None and newest.validity.not_after >= before:
            return Renewed("skipped", device.device_id, request.line, newest.serial, newest.validity)
        validity = validity_for(
            now,
            self._options.validity_days or config["cert_validity_days"],
            skew_minutes=config["not_before_skew_minutes"],
            issuer_validity=self._desk.issuer.validity,
        )
        valid = tuple(store.revocable(row, now))
        return _Plan(request, device, row, valid, self._order(request, device, newest, validity))

    def _order(self, request: Request, device: DeviceRecord, newest: CertificateRecord, validity: Validity) -> Order:
        facts = certificate_facts(newest.der)
        encrypted, salt = self._state.store.certificate_secret(newest.serial)
        spki_der, kept = None, None
        if request.csr:
            spki_der = request.csr.spki_der
        elif self._options.key == "same" and encrypted and salt:
            kept = KeptKey(encrypted, newest.serial, salt)
        elif self._options.key == "same" or (
            self._options.key == "auto" and lifecycle.is_device_made(self._state.store, newest.serial)
        ):
            spki_der = facts.spki_der
        key_type = request.csr.key_type if request.csr else self._options.key_type or facts.key_type
        serial = SerialNumber.from_random(os.urandom(20))
        with_bundle = self._options.with_bundle
        return Order(device.device_id, serial, validity, key_type, spki_der, with_bundle, kept)

    def _record(self, plans: list[_Plan | Renewed], issued: Iterator[Issued | IotOnboardError]) -> list[Renewed]:
        """Commit a group in one transaction; a device that is refused is rolled back alone."""
        answers: list[Renewed] = []
        with self._state.transaction(signing=True) as now:
            for plan in plans:
                answers.append(plan if isinstance(plan, Renewed) else self._record_one(plan, next(issued), now))
                if answers[-1].error and self._options.strict:
                    self._halted = True
                    break
            if any(answer.outcome == "renewed" for answer in answers):
                seal_audit(self._state, self._authority)
        return answers

    def _record_one(self, plan: _Plan, issued: Issued | IotOnboardError, now: datetime) -> Renewed:
        revoke_after = None
        if plan.valid and self._options.revoke_old == "after-overlap":
            revoke_after = now + timedelta(days=self._state.config["renewal_overlap_days"])
        try:
            if isinstance(issued, IotOnboardError):
                raise issued
            with self._state.store.savepoint():
                self._insert(plan, issued, now, revoke_after)
        except BusyError:
            raise  # the disk and not the row: SQLite may have ended the whole transaction
        except IotOnboardError as error:
            return Renewed("failed", plan.device.device_id, plan.request.line, error=at_line(error, plan.request.line))
        bundle = self._state.paths.bundle(plan.device.device_id) if issued.bundle else None
        return Renewed(
            "renewed", plan.device.device_id, plan.request.line, plan.order.serial, plan.order.validity,
            issued.certificate.fingerprint, bundle, issued.password, plan.device.certificates[0].serial, revoke_after,
        )  # fmt: skip

    def _insert(self, plan: _Plan, issued: Issued, now: datetime, revoke_after: datetime | None) -> None:
        state, device_id = self._state, plan.device.device_id
        lifecycle.refuse_retired(state.store, plan.device_row, device_id)
        if tuple(state.store.revocable(plan.device_row, now)) != plan.valid:
            raise ConflictError(f"device {device_id!r} was changed by another command", hint="run the command again")
        detail = {
            "renews": plan.device.certificates[0].serial.hex,
            "revoke_after": rfc3339(revoke_after) if revoke_after else None,
        }
        record_certificate(state, self._authority, plan.order, issued, device=plan.device_row, now=now, detail=detail)
        if not plan.valid:
            state.mark_acl()
        elif self._options.revoke_old == "now":
            state.revoke(plan.valid, RevocationReason.SUPERSEDED, now, subject=device_id)
            self._superseded = True
        else:
            for serial in plan.valid:
                lifecycle.begin_overlap(state.store, serial, revoke_after)


def _renewable(device: DeviceRecord, now: datetime) -> CertificateRecord:
    """The certificate that is renewed: the newest that nobody revoked."""
    status = device.status(now)
    if status == "retired":
        raise ConflictError(f"device {str(device.device_id)!r} was retired", hint="register another id")
    for certificate in device.certificates:
        if certificate.revocation is None:
            return certificate
    if any(each.revocation and each.revocation.reason is RevocationReason.CERTIFICATE_HOLD
           for each in device.certificates):  # fmt: skip
        raise ConflictError(
            f"device {str(device.device_id)!r} is on hold", hint=f"type: iotonboard release {device.device_id}"
        )
    raise ConflictError(
        f"device {str(device.device_id)!r} was revoked: a renewal would give it back its access",
        hint=f"if that is meant: iotonboard register {device.device_id} --if-exists reissue",
    )


def _order_of(plan: _Plan | Renewed) -> Order | None:
    return plan.order if isinstance(plan, _Plan) else None
