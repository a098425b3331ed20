"""``renew``: a new certificate for a device that has one. The old one stays valid for an overlap, then is superseded.

The way of each group is that of ``enrolment.Batch``. A key that the
workstation made is replaced, unless ``same`` asks for the old one; a key that the device made is certified again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.enrolment.batch import Answer, Batch, Plan, at_line, record_certificate
from iotonboard.enrolment.desk import KeptKey, Order
from iotonboard.errors import ConflictError, IotOnboardError
from iotonboard.model import KeyType, RevocationReason, SerialNumber, rfc3339
from iotonboard.pki.certificates import validity_for
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.certificates import is_device_made, sealed_key
from iotonboard.store.devices import device_named, device_record, refuse_retired
from iotonboard.store.overlaps import begin_overlap, overdue_overlaps
from iotonboard.store.revocations import revocable
from iotonboard.store.seen import note_seen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.enrolment.batch import StartWorkers
    from iotonboard.enrolment.desk import Issued
    from iotonboard.model import CertificateRecord, DeviceRecord, Validity
    from iotonboard.pki.csr import Csr
    from iotonboard.state.state import State


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
class Renewed(Answer):
    """The answer for one device. ``outcome`` is ``renewed``, ``skipped`` or ``failed``.

    ``revoke_after`` is the end of the overlap; ``None`` when the old certificate was revoked or stays.
    """

    renews: SerialNumber | None = None
    revoke_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Plan(Plan):
    device: DeviceRecord
    valid: tuple[SerialNumber, ...]


def renew(
    state: State,
    authority: Authority,
    requests: Iterable[Request],
    options: Options,
    *,
    stopped: Callable[[], bool] = lambda: False,
    start_workers: StartWorkers | None = None,
) -> Generator[Renewed]:
    """Renew devices and yield one answer for each, in the order of the requests, once it is durable.

    Overlaps that are over end with the same call. Everything is published at the end.

    Raises:
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses; what was answered is durable.
    """
    yield from _Renewal(state, authority, options, stopped, start_workers).through(requests)


class _Renewal(Batch[Request, _Plan, Renewed]):
    """One call of ``renew``."""

    answer = Renewed

    def __init__(
        self,
        state: State,
        authority: Authority,
        options: Options,
        stopped: Callable[[], bool],
        start_workers: StartWorkers | None,
    ) -> None:
        super().__init__(state, authority, strict=options.strict, stopped=stopped, start_workers=start_workers)
        self._options = options
        self.needs_crl = bool(overdue_overlaps(state.store, state.clock()))

    def plan(self, request: Request) -> _Plan | Renewed:
        """Decide what becomes of one request; a refusal becomes an answer."""
        try:
            return self._plan_device(request)
        except IotOnboardError as error:
            return Renewed("failed", request.device_id, request.line, error=at_line(error, request.line))

    def _plan_device(self, request: Request) -> _Plan | Renewed:
        store, config, now = self.state.store, self.state.config, self.state.clock()
        if request.line and (earlier := note_seen(store, request.device_id, request.line)):
            raise ConflictError(f"{request.device_id!r} stands in line {earlier} already", hint="remove one of the two")
        device = device_record(store, request.device_id)
        newest = _renewable(device, now)
        before = self._options.expiring_before
        if before is not None and newest.validity.not_after >= before:
            return Renewed("skipped", device.device_id, request.line, newest.serial, newest.validity)
        validity = validity_for(
            now,
            self._options.validity_days or config["cert_validity_days"],
            skew_minutes=config["not_before_skew_minutes"],
            issuer_validity=self.desk.issuer.validity,
        )
        valid = tuple(revocable(store, device.device_id, now))
        return _Plan(self._order(request, device, newest, validity), request.line, device, valid)

    def _order(self, request: Request, device: DeviceRecord, newest: CertificateRecord, validity: Validity) -> Order:
        facts = certificate_facts(newest.der)
        sealed = sealed_key(self.state.store, newest.serial)
        spki_der, kept = None, None
        if request.csr:
            spki_der = request.csr.spki_der
        elif self._options.key == "same" and sealed:
            kept = KeptKey(sealed.key_der, newest.serial, sealed.salt)
        elif self._options.key == "same" or (
            self._options.key == "auto" and is_device_made(self.state.store, newest.serial)
        ):
            spki_der = facts.spki_der
            _refuse_other_type(device, facts.key_type, self._options.key_type)
        key_type = request.csr.key_type if request.csr else self._options.key_type or facts.key_type
        serial = SerialNumber.from_random(os.urandom(20))
        with_bundle = self._options.with_bundle
        return Order(device.device_id, serial, validity, key_type, spki_der, with_bundle, kept)

    def insert(self, plan: _Plan, issued: Issued, now: datetime) -> None:
        """Record the new certificate, and what becomes of the old ones."""
        state, device_id = self.state, plan.device.device_id
        refuse_retired(device_named(state.store, device_id))
        if tuple(revocable(state.store, device_id, now)) != plan.valid:
            raise ConflictError(f"device {device_id!r} was changed by another command", hint="run the command again")
        revoke_after = self._revoke_after(plan, now)
        detail = {
            "renews": plan.device.certificates[0].serial.hex,
            "revoke_after": rfc3339(revoke_after) if revoke_after else None,
        }
        record_certificate(state, self.authority, plan.order, issued, now=now, detail=detail)
        if not plan.valid:
            self.needs_acl = True
        elif self._options.revoke_old == "now":
            revoke_certificates(state, plan.valid, RevocationReason.SUPERSEDED, now, subject=device_id)
            self.needs_crl = True
        else:
            for serial in plan.valid:
                begin_overlap(state.store, serial, revoke_after)

    def done(self, plan: _Plan, issued: Issued, now: datetime) -> Renewed:
        """The answer for a device that was recorded."""
        order = plan.order
        return Renewed(
            outcome="renewed",
            device_id=order.device_id,
            line=plan.line,
            serial=order.serial,
            validity=order.validity,
            fingerprint=issued.certificate.fingerprint,
            bundle=self.state.paths.device(order.device_id).bundle if issued.bundle else None,
            bundle_password=issued.password,
            renews=plan.device.certificates[0].serial,
            revoke_after=self._revoke_after(plan, now),
        )

    def _revoke_after(self, plan: _Plan, now: datetime) -> datetime | None:
        if not plan.valid or self._options.revoke_old != "after-overlap":
            return None
        return now + timedelta(days=self.state.config["renewal_overlap_days"])


def _refuse_other_type(device: DeviceRecord, key_type: KeyType, wanted: KeyType | None) -> None:
    if wanted not in (None, key_type):
        raise ConflictError(
            f"device {str(device.device_id)!r} made its key itself, and it is {key_type}, not {wanted}",
            hint="leave --key-type out, give a new request with --csr, or make a key here with --rekey",
        )


def _renewable(device: DeviceRecord, now: datetime) -> CertificateRecord:
    """The certificate that is renewed: the newest that nobody revoked."""
    name, status = str(device.device_id), device.status(now)
    if status == "retired":
        raise ConflictError(f"device {name!r} was retired", hint="register another id")
    if status == "on-hold":
        raise ConflictError(f"device {name!r} is on hold", hint=f"type: iotonboard release {name}")
    if status == "revoked":
        raise ConflictError(
            f"device {name!r} was revoked: a renewal would give it back its access",
            hint=f"if that is meant: iotonboard register {name} --if-exists reissue",
        )
    return next(certificate for certificate in device.certificates if certificate.revocation is None)
