"""``register``: give devices an identity.

The way of each group is that of ``enrolment.Batch``; a device is created, reissued or skipped.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.topics import parse_topic_rule
from iotonboard.enrolment.batch import GROUP, Answer, Batch, Plan, at_line, record_certificate
from iotonboard.enrolment.desk import Order
from iotonboard.enrolment.request import Request
from iotonboard.errors import ConflictError, IotOnboardError
from iotonboard.model import DeviceId, KeyType, Refused, SerialNumber
from iotonboard.pki.certificates import validity_for
from iotonboard.pki.csr import parse_csr
from iotonboard.state.changes import supersede
from iotonboard.state.device_files import FileBacklog
from iotonboard.state.publication import refuse_unpublished
from iotonboard.store.devices import add_device, device_named, device_record, find_device, refuse_retired
from iotonboard.store.seen import note_seen
from iotonboard.store.topics import add_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.enrolment.batch import StartWorkers
    from iotonboard.enrolment.desk import Issued
    from iotonboard.model import TopicRule, Validity
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Options:
    """How a whole call is done. ``if_exists`` is ``fail``, ``skip`` or ``reissue``.

    ``is_list`` requests must name every device once; on a stream a script that lost an answer asks again.
    A device is answered when it is durable in the database and its files are written. On a stream each is a group of
    its own, and the files of the last few may be not yet durable: then the next command after a power cut writes them.
    """

    if_exists: str = "fail"
    with_bundle: bool = True
    strict: bool = False
    is_list: bool = True
    is_stream: bool = False


Registered = Answer  # ``outcome`` is ``created``, ``reissued``, ``skipped`` or ``failed``


@dataclass(frozen=True, slots=True)
class _Plan(Plan):
    request: Request
    topics: tuple[TopicRule, ...]
    is_new: bool


def register(
    state: State,
    authority: Authority,
    requests: Iterable[Request | Refused | None],
    options: Options,
    *,
    stopped: Callable[[], bool] = lambda: False,
    start_workers: StartWorkers | None = None,
) -> Generator[Registered]:
    """Register devices and yield one answer for each, in the order of the requests, once it is durable.

    A refused request is answered with ``failed`` and harms no other; with ``strict`` it ends the batch.
    ``stopped`` is asked before each group. ``start_workers`` gives a long batch more cores.
    Everything is published at the end; what refused to be is raised behind the last answer.

    Raises:
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses; what was answered is durable.
    """
    backlog = FileBacklog() if options.is_stream else None
    batch = _Registration(state, authority, options, stopped, start_workers, backlog)
    yield from batch.through(_publish_when_idle(batch, requests))


def _publish_when_idle(
    batch: _Registration, requests: Iterable[Request | Refused | None]
) -> Iterator[Request | Refused]:
    """Nobody closes a stream that serves a whole shift: what is recorded is published whenever no line comes."""
    for request in requests:
        if request is None:
            refuse_unpublished(batch.publish())
        else:
            yield request


class _Registration(Batch[Request | Refused, _Plan, Registered]):
    """One call of ``register``."""

    answer = Registered

    def __init__(
        self,
        state: State,
        authority: Authority,
        options: Options,
        stopped: Callable[[], bool],
        start_workers: StartWorkers | None,
        backlog: FileBacklog | None,
    ) -> None:
        super().__init__(
            state,
            authority,
            strict=options.strict,
            stopped=stopped,
            start_workers=start_workers,
            group=1 if options.is_stream else GROUP,
            backlog=backlog,
        )
        self._options = options
        self._validities: dict[tuple[datetime, int], Validity] = {}

    def plan(self, request: Request | Refused) -> _Plan | Registered:
        """Decide what becomes of one request; a refusal becomes an answer."""
        if isinstance(request, Refused):
            return Registered("failed", request.device_id, request.line, error=at_line(request.error, request.line))
        device_id = request.device_id or DeviceId(str(uuid.uuid4()))
        try:
            return self._plan_device(request, device_id)
        except IotOnboardError as error:
            return Registered("failed", device_id, request.line, error=at_line(error, request.line))

    def _plan_device(self, request: Request, device_id: DeviceId) -> _Plan | Registered:
        store, config = self.state.store, self.state.config
        if self._options.is_list and request.line and (earlier := note_seen(store, device_id, request.line)):
            raise ConflictError(f"{str(device_id)!r} stands in line {earlier} already", hint="remove one of the two")
        found = find_device(store, device_id) if request.device_id else None  # nobody has a new UUID
        if found and found.device_id != device_id:
            raise ConflictError(
                f"{str(device_id)!r} exists already, spelled {str(found.device_id)!r}",
                hint="ids differ by more than their case",
            )
        if found:
            refuse_retired(found)
        if found and self._options.if_exists != "reissue":
            return self._existing(device_id, request.line)
        validity = self._validity(self.state.clock(), request.validity_days or config["cert_validity_days"])
        csr = None if request.csr is None else parse_csr(request.csr)
        order = Order(
            device_id=device_id,
            serial=SerialNumber.from_random(os.urandom(20)),
            validity=validity,
            key_type=csr.key_type if csr else request.key_type or KeyType(config["key_type"]),
            csr_spki_der=csr.spki_der if csr else None,
            with_bundle=self._options.with_bundle,
        )
        topics = tuple(parse_topic_rule(text) for text in request.topics)
        return _Plan(order, request.line, request, topics, found is None)

    def _validity(self, now: datetime, days: int) -> Validity:
        """Of the certificates that are ordered in one second and for as long; most of a group are."""
        if (now, days) not in self._validities:
            skew = self.state.config["not_before_skew_minutes"]
            made = validity_for(now, days, skew_minutes=skew, issuer_validity=self.desk.issuer.validity)
            self._validities = {(now, days): made}
        return self._validities[now, days]

    def _existing(self, device_id: DeviceId, line: int) -> Registered:
        if self._options.if_exists == "fail":
            raise ConflictError(
                f"device {str(device_id)!r} exists already",
                hint="'--if-exists skip' leaves it, '--if-exists reissue' makes a new certificate",
            )
        newest = device_record(self.state.store, device_id).certificates[0]
        bundle = self.state.paths.device(device_id).bundle
        return Registered(
            "skipped", device_id, line, newest.serial, newest.validity, newest.fingerprint,
            bundle if os.path.exists(bundle) else None,
        )  # fmt: skip

    def insert(self, plan: _Plan, issued: Issued, now: datetime) -> None:
        """Record a new device, or a new certificate in place of all that an old one has."""
        store, request, device_id = self.state.store, plan.request, plan.order.device_id
        if plan.is_new:
            add_device(store, device_id, request.name, dict(request.attributes), now)
        else:
            refuse_retired(device_named(store, device_id))
            if supersede(self.state, device_id, now):
                self.needs_crl = True
        record_certificate(self.state, self.authority, plan.order, issued, now=now)
        for rule in plan.topics:
            add_topic(store, device_id, rule)
        if plan.topics or self.state.config["acl.style"] == "per-device":
            self.needs_acl = True

    def done(self, plan: _Plan, issued: Issued, now: datetime) -> Registered:
        """The answer for a device that was recorded."""
        del now
        order = plan.order
        return Registered(
            outcome="created" if plan.is_new else "reissued",
            device_id=order.device_id,
            line=plan.line,
            serial=order.serial,
            validity=order.validity,
            fingerprint=issued.certificate.fingerprint,
            bundle=self.state.paths.device(order.device_id).bundle if issued.bundle else None,
            bundle_password=issued.password,
        )
