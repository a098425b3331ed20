"""Certificates for many devices: from a request to its answer in five steps, in groups that are committed together.

1. *Plan*    - check each request against the database; decide what becomes of it.
2. *Issue*   - key, linted and signed certificate, encrypted key, bundle (on all cores for a long batch).
3. *Record*  - one transaction holds certificates and audit rows. From here on they can be revoked.
4. *Publish* - the devices' files, from the committed rows, while the next group is recorded; at the end everything.
5. *Answer*  - the results leave the program.

``run_batch`` takes the groups through. What becomes of a request, and what is recorded for it, its verb decides.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, TypeVar

from iotonboard.ca import crl
from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.ca.copies import refuse_copies
from iotonboard.enrolment.desk import Desk
from iotonboard.enrolment.leading import Named
from iotonboard.errors import BusyError, IotOnboardError, StateError, Unpublished
from iotonboard.model import Refused
from iotonboard.pki.profiles import DeviceProfile
from iotonboard.state import erasure, region_change
from iotonboard.state.alone import attempt
from iotonboard.state.device_files import write_group, writing
from iotonboard.state.publication import EVERYTHING, publish, publish_device_files, refuse_unpublished
from iotonboard.store.left_to_do import has_erasures_left, is_crl_due

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.ca.credentials import Exported
    from iotonboard.enrolment.desk import Issued, Order
    from iotonboard.enrolment.workers import Workers
    from iotonboard.model import DeviceId, SerialNumber, Validity
    from iotonboard.state.device_files import FileBacklog
    from iotonboard.state.layout import Paths
    from iotonboard.state.state import State
    from iotonboard.store.pending import PendingFiles

    StartWorkers = Callable[[Desk], AbstractContextManager[Workers | None]]

# Devices per commit in a batch: enough to share one fsync, few enough to answer several times a second.
_GROUP = 256
_RSA_GROUP = 16
_FIRST_GROUP = 32
_WORKERS_FROM = 24  # a batch shorter than this is issued faster than worker processes start
_WORKERS_FROM_RSA = 2  # an RSA key takes longer than that start
_UNSETTLED = 64  # on a stream each line waits for its files: so many are made durable together


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that passed its checks, with the order for its certificate; a verb adds what it records by."""

    order: Order


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of one device, now that it is durable. ``outcome``: created, reissued, renewed or skipped.

    ``bundle`` is a path. ``renews``, of a renewal: the certificate whose place this one takes, until
    ``revoke_after`` where they overlap. ``needs_crl``: certificates were revoked, and are on no CRL yet.
    """

    outcome: str
    device_id: DeviceId
    line: int
    serial: SerialNumber
    validity: Validity
    fingerprint: str = ""
    bundle: str | None = None
    bundle_password: str | None = field(default=None, repr=False)
    exported: Exported | None = None
    renews: SerialNumber | None = None
    revoke_after: datetime | None = None
    needs_crl: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How a batch goes on.

    With ``strict`` the first device that is refused ends it; otherwise it harms no other. ``stopped`` is asked between
    groups. ``start_workers`` gives a long batch more cores. With a ``backlog`` each device is a group of its own, and
    answered when its files are written; the last few may be not durable yet, and after a power cut the next command
    writes them again. ``put_off`` is told which could not be written yet.
    """

    strict: bool = False
    stopped: Callable[[], bool] = lambda: False
    start_workers: StartWorkers | None = None
    backlog: FileBacklog | None = None
    put_off: Callable[[Sequence[Unpublished]], object] = refuse_unpublished


RequestT = TypeVar("RequestT", bound=Named)
PlanT = TypeVar("PlanT", bound=Plan)


def run_batch(
    state: State,
    authority: Authority,
    requests: Iterable[RequestT | Refused],
    pace: Pace,
    *,
    plan: Callable[[RequestT], PlanT | Enrolled],
    record: Callable[[PlanT, Issued, datetime], Enrolled],
    needs_crl: bool = False,
) -> Generator[Enrolled | Refused]:
    """Yield what became of each device, in the order of the requests, once it is durable and its files are written.

    ``plan`` decides what becomes of a request. ``record`` checks inside the transaction of its group whether that still
    holds, and writes one device. What either raises refuses that device alone, and undoes what was written for it.
    At the end CRLs are signed where they are due, and everything is published, also when the caller stops listening.

    Raises:
        PolicyError: the clock cannot be right.
        ConflictError: another copy of the state is at work.
        BusyError, TokenLostError: the state is locked, the disk refuses, or a worker or token went; answers stay true.
        IotOnboardError: the requests broke off; those before are done and answered before that is raised.
    """
    refuse_copies(state)
    waiting: list[Enrolled | Refused] = []  # the answers of a group that is durable, and whose files are to come
    asked = _Asked(requests)
    try:
        desk, groups = desk_of(state, authority), plan_groups(iter(asked), plan, pace)
        first = next(groups, [])
        with _workers(first, desk, pace) as workers:
            for group in issue_groups(chain((first,), groups), desk, workers):
                files = publish_files(state, waiting, workers)
                recorded = record_group(state, authority, group, record, files, strict=pace.strict)
                needs_crl = needs_crl or any(isinstance(one, Enrolled) and one.needs_crl for one in recorded)
                yield from waiting
                waiting = recorded
                if pace.backlog is not None:
                    pace.put_off(publish_unsettled(state, waiting, pace.backlog))
                    yield from waiting
                    waiting = []
                if pace.stopped() or (pace.strict and any(isinstance(one, Refused) for one in recorded)):
                    break  # what is issued ahead was not released, and is forgotten
    except IotOnboardError as error:
        asked.problem = error
    finally:
        unpublished = publish_all(state, authority, pace.backlog, needs_crl=needs_crl)
    yield from waiting
    if asked.problem:
        raise asked.problem
    refuse_unpublished(unpublished)
    region_change.refuse_other_copy(state)  # seen while this was published: its ACL lacks the new devices


class _Asked(Generic[RequestT]):
    """Requests up to where they break off, and why they or the batch did: what was asked before is done first."""

    def __init__(self, requests: Iterable[RequestT | Refused]) -> None:
        self._requests = requests
        self.problem: IotOnboardError | None = None

    def __iter__(self) -> Iterator[RequestT | Refused]:
        try:
            yield from self._requests
        except IotOnboardError as error:
            self.problem = error


def plan_groups(
    requests: Iterator[RequestT | Refused], plan: Callable[[RequestT], PlanT | Enrolled], pace: Pace
) -> Iterator[list[PlanT | Enrolled | Refused]]:
    """Decide what becomes of each request; groups are small at the beginning, and where keys take long to make."""
    size = _FIRST_GROUP if pace.backlog is None else 1
    while group := [_plan_one(request, plan) for request in islice(requests, size)]:
        yield group
        if pace.stopped():
            return
        if pace.backlog is None:
            size = _RSA_GROUP if _makes_rsa(group) else _GROUP


def _plan_one(request: RequestT | Refused, plan: Callable[[RequestT], PlanT | Enrolled]) -> PlanT | Enrolled | Refused:
    if isinstance(request, Refused):
        return request
    try:
        return plan(request)
    except (BusyError, StateError):
        raise  # the database and not the device
    except IotOnboardError as error:
        return Refused(request.device_id or "", request.line, error)


def issue_groups(
    groups: Iterable[list[PlanT | Enrolled | Refused]], desk: Desk, workers: Workers | None
) -> Iterator[list[tuple[PlanT, Issued] | Enrolled | Refused]]:
    """Put what was issued to each plan. With workers, groups are planned and issued ahead of what is yielded."""
    planned: deque[list[PlanT | Enrolled | Refused]] = deque()

    def orders() -> Iterator[list[Order]]:
        for group in groups:
            planned.append(group)
            yield [place.order for place in group if isinstance(place, Plan)]

    for results in workers.issue(orders()) if workers else map(desk.issue_all, orders()):
        issued = iter(results)
        yield [_with_issued(place, issued) if isinstance(place, Plan) else place for place in planned.popleft()]


def _with_issued(plan: PlanT, results: Iterator[Issued | Refused]) -> tuple[PlanT, Issued] | Refused:
    issued = next(results)
    return issued if isinstance(issued, Refused) else (plan, issued)


def record_group(
    state: State,
    authority: Authority,
    group: list[tuple[PlanT, Issued] | Enrolled | Refused],
    record: Callable[[PlanT, Issued, datetime], Enrolled],
    files: AbstractContextManager[None] | None,
    *,
    strict: bool,
) -> list[Enrolled | Refused]:
    """Commit a group in one transaction, in which ``files`` of the group before are written too; ``None``: none are.

    So nobody else changes meanwhile what is written. With ``strict`` the group ends with the first refusal.
    """
    if not files and not any(isinstance(place, tuple) for place in group):
        return _until_refused((place for place in group if not isinstance(place, tuple)), strict=strict)
    with state.transaction(signing=True) as now, files or nullcontext():
        refuse_changed(state, authority)
        region_change.refuse_other_copy(state)
        recorded = (_record_one(state, place, record, now) if isinstance(place, tuple) else place for place in group)
        answers = _until_refused(recorded, strict=strict)
        if _are_new(answers):
            seal_audit(state, authority)
    return answers


def _record_one(
    state: State, planned: tuple[PlanT, Issued], record: Callable[[PlanT, Issued, datetime], Enrolled], now: datetime
) -> Enrolled | Refused:
    plan, issued = planned
    try:
        with state.store.savepoint():
            return record(plan, issued, now)
    except (BusyError, StateError):
        raise  # the database and not the device: SQLite may have ended the whole transaction
    except IotOnboardError as error:
        return Refused(plan.order.device_id, plan.order.line, error)


def _until_refused(answers: Iterable[Enrolled | Refused], *, strict: bool) -> list[Enrolled | Refused]:
    taken = []
    for answer in answers:
        taken.append(answer)
        if strict and isinstance(answer, Refused):
            break
    return taken


def publish_files(
    state: State, waiting: list[Enrolled | Refused], workers: Workers | None
) -> AbstractContextManager[None] | None:
    """A block at whose end the files of the devices that wait are written; ``None`` when none got a certificate."""
    if not _are_new(waiting):
        return None
    return writing(state, workers.start_writing if workers else _write_here)


def _write_here(paths: Paths, group: list[PendingFiles]) -> Callable[[], dict[int, IotOnboardError]]:
    refused = write_group(paths, group)
    return lambda: refused


def publish_unsettled(state: State, waiting: list[Enrolled | Refused], backlog: FileBacklog) -> list[Unpublished]:
    """Write the files of the devices that wait, and make durable what the backlog holds when that is enough.

    Returns what could not be written.

    Raises:
        BusyError: the state is locked.
    """
    if not _are_new(waiting):
        return []
    if len(backlog) < _UNSETTLED:
        return backlog.write(state)
    return publish(state, backlog.settle, publish_device_files)


def publish_all(
    state: State, authority: Authority, backlog: FileBacklog | None, *, needs_crl: bool
) -> list[Unpublished]:
    """Sign new CRLs where they are due, and publish everything; returns what could not be signed or written.

    They are due too where an earlier ``revoke`` could not sign them.
    """
    unpublished: list[Unpublished] = []
    if needs_crl or is_crl_due(state.store):
        unpublished += attempt("crl", state.paths.crl, partial(_sign_crls, state, authority), is_unsigned=True)
    if state.config["keep_keys"] != "always":
        unpublished += attempt("purge", state.paths.database, partial(erasure.apply_keep_keys, state))
    settle = () if backlog is None else (backlog.settle,)
    unpublished += publish(state, *settle, *EVERYTHING)
    if has_erasures_left(state.store):
        erasure.finish_erasures(state)
    return unpublished


def _sign_crls(state: State, authority: Authority) -> None:
    with state.transaction(signing=True) as now:
        crl.sign_crls(state, authority, now)
        seal_audit(state, authority)


def _are_new(answers: Iterable[Enrolled | Refused]) -> bool:
    """Say whether any of these devices got a certificate."""
    return any(isinstance(answer, Enrolled) and answer.outcome != "skipped" for answer in answers)


def desk_of(state: State, authority: Authority) -> Desk:
    """The issuing desk of a state, with the subject fields that the operator configured."""
    profile = DeviceProfile(state.config.subject_extra, state.config["crl_url"])
    return Desk(authority.active.issuer, authority.chain, authority.anchors, authority.vault, profile)


def _workers(first: list[PlanT | Enrolled | Refused], desk: Desk, pace: Pace) -> AbstractContextManager[Workers | None]:
    """Worker processes for a batch that begins long enough to be worth them."""
    is_long = len(first) >= (_WORKERS_FROM_RSA if _makes_rsa(first) else _WORKERS_FROM)
    return pace.start_workers(desk) if pace.start_workers and is_long else nullcontext()


def _makes_rsa(group: Iterable[Plan | Enrolled | Refused]) -> bool:
    orders = (place.order for place in group if isinstance(place, Plan))
    return any(order.key_type.startswith("rsa") and not order.csr_spki_der for order in orders)
