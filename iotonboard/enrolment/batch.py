"""Certificates for many devices: issued on all cores in groups, recorded in their order, the CRL behind them.

``Batch`` is the way of every group, for devices that are registered and for those that are renewed:

1. *Plan*    - check each request against the database; decide what becomes of it.
2. *Issue*   - key, linted and signed certificate, encrypted key, bundle (on all cores for a long batch).
3. *Record*  - one transaction holds certificates and audit rows. From here on they can be revoked.
4. *Publish* - the devices' files, from the committed rows; with workers, while the next group is recorded.
5. *Answer*  - the results leave the program.
"""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, TypeVar

from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.ca.crl import sign_crls
from iotonboard.enrolment.desk import Desk
from iotonboard.errors import BusyError, IotOnboardError, PolicyError
from iotonboard.model import rfc3339
from iotonboard.pki.profiles import DeviceProfile
from iotonboard.state.acl import mark_acl
from iotonboard.state.device_files import writing
from iotonboard.state.erasure import apply_keep_keys, finish_erasures
from iotonboard.state.publication import EVERYTHING, publish, publish_device_files, refuse_unpublished
from iotonboard.store.certificates import KeyHolder, add_certificate, key_holder
from iotonboard.store.pending import add_pending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.enrolment.desk import Issued, Order
    from iotonboard.enrolment.workers import WorkerPool
    from iotonboard.model import DeviceId, SerialNumber, Unpublished, Validity
    from iotonboard.state.device_files import FileBacklog, StartWriting
    from iotonboard.state.state import State

    StartWorkers = Callable[[Desk], WorkerPool]

# Devices per commit in a batch: enough to share one fsync, few enough to answer several times a second.
GROUP = 256
_RSA_GROUP = 16
_FIRST_GROUP = 32
_UNSETTLED = 64  # on a stream each line waits for its files: so many are made durable together
_POOL_FROM = 24  # a batch shorter than this is issued faster than worker processes start
_POOL_FROM_RSA = 2  # an RSA key takes longer than that start


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that passed its checks, with the order for its certificate. ``line`` 0: not from a list."""

    order: Order
    line: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one device. ``outcome`` says what became of it; ``failed`` comes with the error."""

    outcome: str
    device_id: str
    line: int = 0
    serial: SerialNumber | None = None
    validity: Validity | None = None
    fingerprint: str = ""
    bundle: str | None = None
    bundle_password: str | None = field(default=None, repr=False)
    error: IotOnboardError | None = None


RequestType = TypeVar("RequestType")
PlanType = TypeVar("PlanType", bound=Plan)
AnswerType = TypeVar("AnswerType", bound=Answer)


class Batch(Generic[RequestType, PlanType, AnswerType]):
    """One call over many devices: plans ahead of the workers, records behind them.

    ``group`` bounds the devices per commit. With a ``backlog`` the files of up to ``_UNSETTLED`` devices may be
    written and not durable when these are answered. ``stopped`` is asked before each group. With ``strict`` the first
    device that is refused ends the call; otherwise it harms no other.
    """

    answer: type[AnswerType]

    def __init__(
        self,
        state: State,
        authority: Authority,
        *,
        strict: bool,
        stopped: Callable[[], bool],
        start_workers: StartWorkers | None,
        group: int = GROUP,
        backlog: FileBacklog | None = None,
    ) -> None:
        self.state = state
        self.authority = authority
        self.desk = desk_of(state, authority)
        self.needs_crl = False
        self.needs_acl = False
        self._strict = strict
        self._stopped = stopped
        self._start_workers = start_workers
        self._group = group
        self._backlog = backlog
        self._halted = False
        self._start_writing: StartWriting | None = None
        self._recorded: list[AnswerType] = []  # durable, and their files not written yet
        self._written: list[AnswerType] = []  # and their files too, so that they may be answered

    def plan(self, request: RequestType) -> PlanType | AnswerType:
        """Decide what becomes of one request; a refusal is an answer."""
        raise NotImplementedError

    def insert(self, plan: PlanType, issued: Issued, now: datetime) -> None:
        """Record one device inside the transaction of its group; without a CSR, refuse before anything is written.

        Raises:
            IotOnboardError: the device is refused.
        """
        raise NotImplementedError

    def done(self, plan: PlanType, issued: Issued, now: datetime) -> AnswerType:
        """The answer for a device that was recorded."""
        raise NotImplementedError

    def through(self, requests: Iterable[RequestType]) -> Iterator[AnswerType]:
        """Take all groups through plan, issue, record, publish and answer; then sign and publish what is left."""
        groups = self._planned(iter(requests))
        try:
            for plans, issued in self._issued(groups):
                yield from self._answers()  # while workers have the next group already
                if self._start_writing is None and self._recorded:
                    refuse_unpublished(publish(self.state, publish_device_files))
                    yield from self._answers(self._recorded)
                self._recorded, self._written = self._record(plans, issued), self._recorded
                if self._backlog is not None:
                    self._write_unsettled(self._backlog)
                    yield from self._answers(self._recorded)
                if self._halted or self._stopped():  # what is issued ahead was not released, and is forgotten
                    break
            if self.needs_crl:
                with self.state.transaction(signing=True) as now:
                    sign_crls(self.state, self.authority, now)
                    seal_audit(self.state, self.authority)
            apply_keep_keys(self.state)
        except IotOnboardError:  # what is recorded is published and answered all the same
            self.publish()
            yield from self._answers(self._recorded)
            raise
        except GeneratorExit:  # who takes the answers was refused
            self.publish()
            raise
        unpublished = self.publish()
        finish_erasures(self.state)
        yield from self._answers(self._recorded)
        refuse_unpublished(unpublished)

    def publish(self) -> list[Unpublished]:
        """Publish everything that is recorded."""
        settle = () if self._backlog is None else (self._backlog.settle,)
        return publish(self.state, *settle, *EVERYTHING)

    def _write_unsettled(self, backlog: FileBacklog) -> None:
        if len(backlog) < _UNSETTLED:
            backlog.write(self.state)
        else:
            refuse_unpublished(publish(self.state, backlog.settle, publish_device_files))

    def _answers(self, recorded: Sequence[AnswerType] = ()) -> list[AnswerType]:
        """The answers that were held back until their files were written, and those of ``recorded``."""
        answers = [*self._written, *recorded]
        self._written = []
        if recorded:
            self._recorded = []
        return answers

    def _issued(
        self, groups: Iterator[list[PlanType | AnswerType]]
    ) -> Iterator[tuple[list[PlanType | AnswerType], Iterator[Issued | IotOnboardError]]]:
        """Issue what each group of plans orders; yields the group with one answer for each of its orders.

        Groups are taken ahead of what is yielded: a long batch is planned while its certificates are made, in worker
        processes where these are to be had.
        """
        first = next(groups, [])
        planned: deque[list[PlanType | AnswerType]] = deque()

        def orders() -> Iterator[list[Order]]:
            for group in chain((first,), groups):
                planned.append(group)
                yield [order for plan in group if (order := _order_of(plan)) is not None]

        if self._start_workers is None or not _is_long([_order_of(plan) for plan in first]):
            for ordered in orders():
                yield planned.popleft(), iter(self.desk.issue(ordered))
            return
        with self._start_workers(self.desk) as pool:
            self._start_writing = pool.start_writing
            for issued in pool.issue(orders()):
                yield planned.popleft(), iter(issued)

    def _planned(self, requests: Iterator[RequestType]) -> Iterator[list[PlanType | AnswerType]]:
        last = None
        while group := list(islice(requests, group_size(self._group, last))):
            if self._halted or self._stopped():
                return
            plans = [self.plan(request) for request in group]
            last = [_order_of(plan) for plan in plans]
            yield plans

    def _record(
        self, plans: list[PlanType | AnswerType], issued: Iterator[Issued | IotOnboardError]
    ) -> list[AnswerType]:
        """Commit a group in one transaction; a row that is refused is rolled back alone.

        Meanwhile workers write the files of the group before.
        """
        answers: list[AnswerType] = []
        if not self._recorded and not any(isinstance(plan, Plan) for plan in plans):
            answers = [plan for plan in plans if isinstance(plan, Answer)]
            return self._until_failure(answers)
        start = self._start_writing if self._recorded else None
        with self.state.transaction(signing=True) as now, writing(self.state, start) if start else nullcontext():
            refuse_changed(self.state, self.authority)
            is_recorded = False
            for plan in plans:
                if isinstance(plan, Answer):
                    answers.append(plan)
                else:
                    answers.append(self._record_one(plan, next(issued), now))
                    is_recorded = is_recorded or answers[-1].error is None
                if answers[-1].error and self._strict:
                    break
            if self.needs_acl:
                mark_acl(self.state)
                self.needs_acl = False
            if is_recorded:
                seal_audit(self.state, self.authority)
        return self._until_failure(answers)

    def _record_one(self, plan: PlanType, issued: Issued | IotOnboardError, now: datetime) -> AnswerType:
        try:
            if isinstance(issued, IotOnboardError):
                raise issued
            # What refuses a row with a new key does so before anything is written, and savepoints double the writing.
            with self.state.store.savepoint() if plan.order.csr_spki_der else nullcontext():
                self.insert(plan, issued, now)
        except BusyError:
            raise  # the disk and not the row: SQLite may have ended the whole transaction
        except IotOnboardError as error:
            return self.answer("failed", plan.order.device_id, plan.line, error=at_line(error, plan.line))
        return self.done(plan, issued, now)

    def _until_failure(self, answers: list[AnswerType]) -> list[AnswerType]:
        """With ``strict``, cut the answers after the first failure and end the run."""
        for number, answer in enumerate(answers, start=1):
            if answer.error and self._strict:
                self._halted = True
                return answers[:number]
        return answers


def _order_of(plan: Plan | Answer) -> Order | None:
    return plan.order if isinstance(plan, Plan) else None


def desk_of(state: State, authority: Authority) -> Desk:
    """The issuing desk of a state, with the subject fields that the operator configured."""
    names = ("country", "organization", "organizational_unit")
    extra = tuple((name, state.config[f"subject.{name}"]) for name in names if state.config[f"subject.{name}"])
    return Desk(authority.active.issuer, authority.chain, authority.anchors, authority.vault, DeviceProfile(extra))


def _is_long(first: list[Order | None]) -> bool:
    """Say whether a batch that begins like this is worth worker processes."""
    return len(first) >= (_POOL_FROM_RSA if _makes_rsa(first) else _POOL_FROM)


def _makes_rsa(orders: Iterable[Order | None]) -> bool:
    return any(order and order.key_type.startswith("rsa") and not order.csr_spki_der for order in orders)


def group_size(limit: int, last: Iterable[Order | None] | None) -> int:
    """How many devices to take after those of the ``last`` group, at most ``limit``; few at the beginning."""
    return min(limit, _FIRST_GROUP if last is None else _RSA_GROUP if _makes_rsa(last) else GROUP)


def record_certificate(
    state: State,
    authority: Authority,
    order: Order,
    issued: Issued,
    *,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Record a certificate, its files and its audit row, inside the caller's transaction.

    Raises:
        PolicyError: the device's own public key is somebody else's, or was revoked as keyCompromise.
    """
    new = issued.certificate
    if order.csr_spki_der or order.kept_key:
        _refuse_used_key(key_holder(state.store, new.spki_sha256), order.device_id)
    add_certificate(state.store, new, issuer=authority.active.row, device_id=order.device_id, now=now)
    add_pending(state.store, new.serial, issued.bundle)
    facts: dict[str, object] = {
        "fingerprint": new.fingerprint,
        "key": "device" if order.csr_spki_der else "workstation",
        "not_after": rfc3339(order.validity.not_after),
        **(detail or {}),
    }
    if issued.bundle:
        facts["bundle"] = sha256(issued.bundle).hexdigest()
    state.record(now, order.device_id, serial=order.serial.hex, detail=facts)


def _refuse_used_key(holder: KeyHolder | None, device_id: DeviceId) -> None:
    if holder is None:
        return
    if holder.is_compromised:
        raise PolicyError(
            f"this public key was revoked as keyCompromise (device {holder.name!r})",
            hint="make a new key on the device",
        )
    if holder.name != device_id:
        raise PolicyError(
            f"this public key already has a certificate for {holder.name!r}",
            hint="every device needs a key of its own",
        )


def at_line(error: IotOnboardError, line: int) -> IotOnboardError:
    """The same error, with the line of the list that it is about."""
    if not line or error.message.startswith("line "):
        return error
    return type(error)(f"line {line}: {error.message}", hint=error.hint)
