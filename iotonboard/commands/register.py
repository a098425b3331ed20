"""``register``: give devices an identity.

The way of one device, and of each group of a batch:

1. *Plan*   - check the request against the database; decide to create, reissue or skip.
2. *Issue*  - key, linted and signed certificate, encrypted key, bundle (on all cores for a batch).
3. *Record* - one transaction holds device, certificate, topics and audit row. From here on it can be revoked.
4. *Publish* - the device's files, from the committed rows.
5. *Answer* - the result leaves the program.
"""

from __future__ import annotations

import os
import uuid
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING

from iotonboard.authority import seal_audit
from iotonboard.brokers import mosquitto
from iotonboard.enrolment import GROUP, at_line, desk_of, group_size, issue_groups, publish_crl, record_certificate
from iotonboard.errors import BusyError, ConflictError, IotOnboardError
from iotonboard.issuing import Order
from iotonboard.lifecycle import refuse_retired
from iotonboard.model import DeviceId, KeyType, SerialNumber
from iotonboard.pki.issuance import validity_for
from iotonboard.record import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from iotonboard.authority import Authority
    from iotonboard.enrolment import StartWorkers
    from iotonboard.issuing import Issued
    from iotonboard.model import TopicRule, Validity
    from iotonboard.pki.csr import Csr
    from iotonboard.statedir import State


@dataclass(frozen=True, slots=True)
class Request:
    """One device that is to be registered. ``device_id`` ``None``: a UUIDv4 is made. ``line`` 0: not from a list."""

    device_id: DeviceId | None = None
    name: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    topics: tuple[str, ...] = ()
    csr: Csr | None = None
    key_type: KeyType | None = None
    validity_days: int | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was already refused when it was read, so that it keeps its place in the order."""

    subject: str
    line: int
    error: IotOnboardError


@dataclass(frozen=True, slots=True)
class Options:
    """How a whole call is done. ``if_exists`` is ``fail``, ``skip`` or ``reissue``.

    ``is_list`` requests must name every device once; on a stream a script that lost an answer asks again.
    A device is answered when it is durable in the database and its files are written. Those of ``unsettled`` devices
    may be not yet durable: the caller's last ``publish`` makes them so, or the next command after a power cut.
    """

    if_exists: str = "fail"
    with_bundle: bool = True
    strict: bool = False
    group: int = GROUP
    is_list: bool = True
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer for one device. ``outcome`` is ``created``, ``reissued``, ``skipped`` or ``failed``."""

    outcome: str
    device_id: str
    line: int = 0
    serial: SerialNumber | None = None
    validity: Validity | None = None
    fingerprint: str = ""
    bundle: str | None = None
    bundle_password: str | None = field(default=None, repr=False)
    error: IotOnboardError | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request that passed its checks, with the order for its certificate."""

    request: Request
    device_id: DeviceId
    topics: tuple[TopicRule, ...]
    order: Order
    device_row: int | None


def register(
    state: State,
    authority: Authority,
    requests: Iterable[Request | Refused],
    options: Options,
    *,
    stopped: Callable[[], bool] = lambda: False,
    start_workers: StartWorkers | None = None,
) -> Iterator[Registered]:
    """Register devices and yield one answer for each, in the order of the requests, once it is durable.

    A refused request is answered with ``failed`` and harms no other; with ``strict`` it ends the batch.
    ``stopped`` is asked before each group. ``start_workers`` gives a long batch more cores.
    The ACL is published by the caller, at the end of its batch.

    Raises:
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses; what was answered is durable.
    """
    yield from _Run(state, authority, options, stopped, start_workers).through(requests)


class _Run:
    """One call of ``register``: plans ahead of the workers, records behind them."""

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

    def through(self, requests: Iterable[Request | Refused]) -> Iterator[Registered]:
        """Take all groups through plan, issue, record, publish and answer."""
        groups = self._planned(iter(requests))
        for plans, issued in issue_groups(self._desk, self._authority, groups, _order_of, self._start_workers):
            answers = self._record(plans, issued)
            self._state.publish(acl=False, unsettled=self._options.unsettled)
            yield from answers
            if self._halted:
                break
        if self._superseded:
            publish_crl(self._state, self._authority)

    def _planned(self, requests: Iterator[Request | Refused]) -> Iterator[list[_Plan | Registered]]:
        last = None
        while group := list(islice(requests, group_size(self._options.group, last))):
            if self._halted or self._stopped():
                return
            plans = [self._plan(request) for request in group]
            last = [_order_of(plan) for plan in plans]
            yield plans

    # -- plan ---------------------------------------------------------------------------------------------------

    def _plan(self, request: Request | Refused) -> _Plan | Registered:
        """Decide what becomes of one request; a refusal becomes an answer."""
        if isinstance(request, Refused):
            return Registered("failed", request.subject, request.line, error=request.error)
        device_id = request.device_id or DeviceId(str(uuid.uuid4()))
        try:
            return self._plan_device(request, device_id)
        except IotOnboardError as error:
            return Registered("failed", device_id, request.line, error=at_line(error, request.line))

    def _plan_device(self, request: Request, device_id: DeviceId) -> _Plan | Registered:
        store, config = self._state.store, self._state.config
        if self._options.is_list and request.line and (earlier := store.note_seen(device_id, request.line)):
            raise ConflictError(f"{str(device_id)!r} stands in line {earlier} already", hint="remove one of the two")
        found = store.find_device(device_id)
        if found and found[1] != device_id:
            raise ConflictError(
                f"{str(device_id)!r} exists already, spelled {found[1]!r}",
                hint="ids differ by more than their case",
            )
        if found:
            refuse_retired(store, found[0], device_id)
        if found and self._options.if_exists != "reissue":
            return self._existing(device_id, request.line)
        now = self._state.clock()
        validity = validity_for(
            now,
            request.validity_days or config["cert_validity_days"],
            skew_minutes=config["not_before_skew_minutes"],
            issuer_validity=self._desk.issuer.validity,
        )
        order = Order(
            device_id=device_id,
            serial=SerialNumber.from_random(os.urandom(20)),
            validity=validity,
            key_type=request.csr.key_type if request.csr else request.key_type or KeyType(config["key_type"]),
            csr_spki_der=request.csr.spki_der if request.csr else None,
            with_bundle=self._options.with_bundle,
        )
        topics = tuple(mosquitto.parse_topic_rule(text) for text in request.topics)
        return _Plan(request, device_id, topics, order, found[0] if found else None)

    def _existing(self, device_id: DeviceId, line: int) -> Registered:
        if self._options.if_exists == "fail":
            raise ConflictError(
                f"device {str(device_id)!r} exists already",
                hint="'--if-exists skip' leaves it, '--if-exists reissue' makes a new certificate",
            )
        newest = self._state.store.device(device_id).certificates[0]
        bundle = self._state.paths.bundle(device_id)
        return Registered(
            "skipped", device_id, line, newest.serial, newest.validity, newest.fingerprint,
            bundle if os.path.exists(bundle) else None,
        )  # fmt: skip

    # -- record -------------------------------------------------------------------------------------------------

    def _record(self, plans: list[_Plan | Registered], issued: Iterator[Issued | IotOnboardError]) -> list[Registered]:
        """Commit a group in one transaction; a row that is refused is rolled back alone."""
        answers: list[Registered] = []
        if not any(isinstance(plan, _Plan) for plan in plans):
            answers = [plan for plan in plans if isinstance(plan, Registered)]
            return self._until_failure(answers)
        with self._state.transaction(signing=True) as now:
            for plan in plans:
                answer = plan if isinstance(plan, Registered) else self._record_one(plan, next(issued), now)
                answers.append(answer)
                if answer.error and self._options.strict:
                    break
            if any(answer.outcome in ("created", "reissued") for answer in answers):
                seal_audit(self._state, self._authority)
        return self._until_failure(answers)

    def _until_failure(self, answers: list[Registered]) -> list[Registered]:
        """With ``strict``, cut the answers after the first failure and end the run."""
        for number, answer in enumerate(answers, start=1):
            if answer.error and self._options.strict:
                self._halted = True
                return answers[:number]
        return answers

    def _record_one(self, plan: _Plan, issued: Issued | IotOnboardError, now: datetime) -> Registered:
        try:
            if isinstance(issued, IotOnboardError):
                raise issued
            # What refuses a row with a new key does so before anything is written, and savepoints double the writing.
            with self._state.store.savepoint() if plan.order.csr_spki_der else nullcontext():
                self._insert(plan, issued, now)
        except BusyError:
            raise  # the disk and not the row: SQLite may have ended the whole transaction
        except IotOnboardError as error:
            return Registered("failed", plan.device_id, plan.request.line, error=at_line(error, plan.request.line))
        order = plan.order
        return Registered(
            outcome="created" if plan.device_row is None else "reissued",
            device_id=plan.device_id,
            line=plan.request.line,
            serial=order.serial,
            validity=order.validity,
            fingerprint=issued.certificate.fingerprint,
            bundle=self._state.paths.bundle(plan.device_id) if issued.bundle else None,
            bundle_password=issued.password,
        )

    def _insert(self, plan: _Plan, issued: Issued, now: datetime) -> None:
        store, request = self._state.store, plan.request
        device = plan.device_row
        if device is None:
            device = store.add_device(plan.device_id, request.name, dict(request.attributes), now)
        else:
            refuse_retired(store, device, plan.device_id)
            if self._state.supersede(device, plan.device_id, now):
                self._superseded = True
        record_certificate(self._state, self._authority, plan.order, issued, device=device, now=now)
        for rule in plan.topics:
            store.add_topic(device, rule)
        if plan.topics or self._state.config["acl.style"] == "per-device":
            self._state.mark_acl()


def _order_of(plan: _Plan | Registered) -> Order | None:
    return plan.order if isinstance(plan, _Plan) else None
