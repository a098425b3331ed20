"""``register``: give devices an identity.

1. *Unlock* - the CA key, once for all devices, behind those that are refused before the first that is not.
2. *Batch*  - plan, issue, record, publish and answer (``enrolment/batch.py``). A device is created, or reissued with a
   certificate in place of all that it has, or skipped. CRL and ACL are published once, at the end.
3. *Keep*   - each answer's row in the results, its password and its credentials in a format, before it is told; the
   results are signed.

A call for many that broke off is known again (``enrolment/unfinished.py``): the same call leaves what it did before,
and completes the rest.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from iotonboard.enrolment import production
from iotonboard.enrolment.admission import Admission, new_id
from iotonboard.enrolment.answer_files import ended, keep_each
from iotonboard.enrolment.batch import Enrolled, Pace, Plan, run_batch
from iotonboard.enrolment.desk import Order
from iotonboard.enrolment.leading import refused_ahead
from iotonboard.enrolment.order_profile import ca_of, choose_profile, validity_of
from iotonboard.enrolment.put_off import PutOff
from iotonboard.enrolment.record import record_certificate, refuse_used_key
from iotonboard.enrolment.unfinished import Call
from iotonboard.errors import IotOnboardError, Unpublished
from iotonboard.model import DeviceId, KeyType, Refused, SerialNumber
from iotonboard.pki import csr as requests
from iotonboard.state import superseding
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.device_files import FileBacklog
from iotonboard.state.own_rules import OwnRules
from iotonboard.state.publication import (
    EVERYTHING,
    publish,
    published_numbers,
    reload_behind,
    try_reload,
)
from iotonboard.store import devices, topics
from iotonboard.store.acl_members import is_lost_device
from iotonboard.store.devices import add_device, device_named, device_record, find_device, refuse_retired

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.enrolment.answer_files import Keeping
    from iotonboard.enrolment.batch import StartWorkers
    from iotonboard.enrolment.desk import Issued
    from iotonboard.enrolment.order_profile import ChosenProfile
    from iotonboard.enrolment.request import Request
    from iotonboard.errors import UnpublishedError
    from iotonboard.model import TopicRule
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Options:
    """How a whole call is done. ``if_exists`` is ``fail``, ``skip`` or ``reissue``.

    ``is_list`` requests must name every device once; on a stream a script that lost an answer asks again.
    ``is_stream`` requests are committed and answered one by one; their files are made durable some at a time.
    ``reach``: topics of other devices are meant, and with ``own_rules`` the rights of the operator's users.
    ``reload`` is done on a stream whenever it rests; at the end of any call the caller does it (``reload_broker``).
    ``tell_unpublished`` is called on a stream with what could not be published or reloaded yet: the stream goes on, and
    tries again whenever it rests, and at its end. ``call`` is the same for calls that ask for the same: one that broke
    off is gone on with; empty: it is not. With ``ends_stopped`` one that was asked to stop has come to its end.
    """

    if_exists: str = "fail"
    with_bundle: bool = True
    strict: bool = False
    is_list: bool = False
    is_stream: bool = False
    reach: bool = False
    own_rules: bool = False
    reload: Reload | None = None
    tell_unpublished: Callable[[UnpublishedError], object] = lambda _: None
    call: str = ""
    ends_stopped: bool = False


@dataclass(frozen=True, slots=True)
class _Plan(Plan):
    request: Request
    topics: tuple[TopicRule, ...]
    is_new: bool
    gets_own_rules: bool
    attributes: dict[str, str]


def register(
    cas: Opened,
    requests: Iterable[Request | Refused | None],
    options: Options,
    keeping: Keeping,
    unlocker: Callable[[State], Unlock],
    *,
    stopped: Callable[[], bool] = lambda: False,
    start_workers: StartWorkers | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Generator[Enrolled | Refused]:
    """Register devices and yield one answer for each, in the order of the requests, once it is durable.

    The CA is unlocked with the first that is not refused; for a stream, which opens it once for a shift, at once. A
    refused request harms no other; with ``strict`` it ends the call. Of ``cas``, those that were added to the state
    issue to the devices whose profiles say so. ``None`` among the requests says that none comes for a moment.
    ``stopped`` is asked between groups; ``start_workers`` gives a long batch more cores. ``tell`` is called with what
    people should know of the call as a whole.

    Raises:
        KeyUnavailableError: the CA key cannot be opened.
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses; what was answered is durable.
        UnpublishedError: at the end not everything is published; what was answered stays.
    """
    unlock = unlocker(cas.around)
    if options.is_stream:
        unlock()
    put_off, is_cut = PutOff(options.tell_unpublished), False
    pace = Pace(options.strict, stopped, start_workers, None, put_off.add)
    desks = {"": _desk(cas.around, unlock, options, pace, tell)}
    asked = _publish_when_idle(desks, requests, options.reload, put_off)
    routed = _routed(asked, desks, cas, lambda state: _desk(state, unlocker(state), options, pace, tell))
    with ended(unlock, keeping):
        for desk, run in groupby(routed, itemgetter(0)):
            answers = _answers(desk, (request for _, request in run), options)
            with closing(keep_each(desk.state, desk.unlock, answers, keeping)) as kept:
                for answer in kept:
                    is_cut = is_cut or (options.strict and isinstance(answer, Refused))
                    yield answer
            if is_cut or stopped():
                break
    if not is_cut and (options.ends_stopped or not stopped()):
        for desk in desks.values():
            desk.call.note_ended()


@dataclass(frozen=True, slots=True, eq=False)
class _Desk:
    """Where a CA certifies: its state, and what a whole call keeps of it."""

    state: State
    unlock: Unlock
    call: Call
    admission: Admission
    pace: Pace


def _desk(state: State, unlock: Unlock, options: Options, pace: Pace, tell: Callable[[str], object]) -> _Desk:
    call = Call(state, options.call)
    if call.serials:
        tell(f"this call broke off before: {len(call.serials)} of its devices are left as they are")
    own_rules, users = options.own_rules, OwnRules(state, tell)
    admission = Admission(state, options.if_exists, options.is_list, options.reach, own_rules, users, call.serials)
    backlog = FileBacklog() if options.is_stream else None
    return _Desk(state, unlock, call, admission, replace(pace, backlog=backlog))


def _routed(
    asked: Iterator[Request | Refused], desks: dict[str, _Desk], cas: Opened, open_desk: Callable[[State], _Desk]
) -> Iterator[tuple[_Desk, Request | Refused]]:
    """Each request with the desk of the CA that is to certify it; a desk is opened with the first that needs it."""
    desk = desks[""]
    for request in asked:
        answer = request
        if not isinstance(request, Refused):
            try:
                name = ca_of(cas, request.profile, request.device_id)
                if name not in desks:
                    desks[name] = open_desk(cas.state(name))
                desk = desks[name]
            except IotOnboardError as error:  # of that CA, and no obstacle for the others
                answer = Refused(request.device_id or "", request.line, error)
        yield desk, answer


def _answers(desk: _Desk, asked: Iterator[Request | Refused], options: Options) -> Generator[Enrolled | Refused]:
    """What becomes of each request; the CA is unlocked behind those that lead and are refused."""
    state, call, admission = desk.state, desk.call, desk.admission
    first: list[Request] = []
    if not options.is_stream:
        first = yield from refused_ahead(asked, admission.check, strict=options.strict, stopped=desk.pace.stopped)
        if not first:
            return
    authority = desk.unlock()
    yield from run_batch(
        state,
        authority,
        chain(first, asked),
        desk.pace,
        plan=partial(_plan, state, authority, options, admission, call),
        record=partial(_record, state, authority, call),
    )


def in_force(state: State) -> tuple[int, int]:
    """Numbers of the CRL and ACL that are published: where a call changed them, the broker must reload."""
    return published_numbers(state)


def reload_broker(state: State, before: tuple[int, int], reload: Reload | None) -> bool:
    """Reload the broker behind all that was registered, or say whether it must be, where ``before`` was in force.

    Raises:
        UnpublishedError: it was not reloaded; what was registered stays.
    """
    if reload is not None:
        reload_behind(state, reload)
    return reload is None and in_force(state) != before


def _publish_when_idle(
    desks: Mapping[str, _Desk],
    requests: Iterable[Request | Refused | None],
    reload: Reload | None,
    put_off: PutOff,
) -> Iterator[Request | Refused]:
    """Nobody closes a stream that serves a whole shift: what is recorded is published whenever no line comes."""
    is_due, state = False, desks[""].state
    for request in requests:
        if request is not None:
            yield request
        elif desks[""].pace.backlog is not None:
            before, unpublished = published_numbers(state), list[Unpublished]()
            for desk in desks.values():
                settle = () if desk.pace.backlog is None else (desk.pace.backlog.settle,)
                unpublished += publish(desk.state, *settle, *EVERYTHING)
            is_due = is_due or published_numbers(state) != before
            if reload and is_due:
                refused = try_reload(state, reload)
                is_due = bool(refused)
                unpublished += refused
            put_off.set(unpublished)


def _plan(
    state: State, authority: Authority, options: Options, admission: Admission, call: Call, request: Request
) -> _Plan | Enrolled:
    """Decide what becomes of one request."""
    before = None if request.device_id else _made_before(state, call, request)
    device_id = request.device_id or before or new_id(state)
    admission.note(device_id, request.line)
    found = admission.find(device_id) if request.device_id or before else None
    admitted = admission.admit(request, device_id, found)
    if isinstance(admitted, Enrolled):
        return admitted
    device = None if admitted.is_new else device_record(state.store, device_id)
    newest = device.certificates[0].serial if device and device.certificates else None
    chosen = choose_profile(state, request.profile, newest)
    order = _order(state, authority, request, device_id, chosen, with_bundle=options.with_bundle)
    attributes = dict(request.attributes)
    if chosen:
        attributes = {**(device.attributes if device else {}), **attributes}
        order = chosen.apply(state, order, attributes, request.key_type)
    if device and (not chosen or attributes == device.attributes):
        attributes = {}  # they stay as they are
    return _Plan(order, request, admitted.topics, admitted.is_new, admitted.gets_own_rules, attributes)


def _made_before(state: State, call: Call, request: Request) -> DeviceId | None:
    """The device that this call made before it broke off, where this request names none and asks for the same."""
    name = call.next_unnamed(request.line)
    if not name or not find_device(state.store, name):
        return None
    device = device_record(state.store, name)
    is_same = (device.name, dict(device.attributes)) == (request.name, dict(request.attributes))
    return device.device_id if is_same else None


def _order(
    state: State,
    authority: Authority,
    request: Request,
    device_id: DeviceId,
    chosen: ChosenProfile | None,
    *,
    with_bundle: bool,
) -> Order:
    csr = None if request.csr is None else requests.parse_csr(request.csr)
    return Order(
        device_id=device_id,
        line=request.line,
        serial=SerialNumber.from_random(os.urandom(20)),
        validity=validity_of(state, chosen, request.validity_days, authority.active.issuer.validity, authority.chain),
        key_type=csr.key_type if csr else request.key_type or KeyType(state.config["key_type"]),
        csr_spki_der=csr.spki_der if csr else None,
        with_bundle=with_bundle,
    )


def _words(plan: _Plan) -> dict[str, object]:
    """What the trail tells of a device beside its certificate."""
    request = plan.request
    told: dict[str, object] = {"name": request.name} if plan.is_new else {}
    told |= {"attributes": plan.attributes, "topics": list(request.topics), "own_rules": plan.gets_own_rules}
    return {key: value for key, value in told.items() if value}


def _record(state: State, authority: Authority, call: Call, plan: _Plan, issued: Issued, now: datetime) -> Enrolled:
    """Record a new device, or a new certificate in place of all that an old one has."""
    store, request, order = state.store, plan.request, plan.order
    call.note_begun()
    refuse_used_key(state, order, issued)
    is_superseded = False
    if plan.is_new:
        add_device(store, order.device_id, request.name, plan.attributes, now)
    else:
        refuse_retired(device_named(store, order.device_id))
        if plan.attributes:  # which its profile needs, now and at its renewals
            devices.set_attributes(store, order.device_id, plan.attributes)
        is_superseded = superseding.supersede(state, order.device_id, now)
    mark = call.mark(None if request.device_id else request.line)
    under = production.choose_order(state, order, now) if state.config["office"] or state.config["orders"] else None
    told = {"order": under.order} if under else {}
    record_certificate(state, authority, order, issued, now=now, detail=_words(plan) | mark | told)
    if under:
        under.note(state, order.serial)
    for rule in plan.topics:
        topics.add_topic(store, order.device_id, rule)
    has_block = not plan.is_new or plan.topics or state.config["acl.style"] == "per-device"
    if has_block or is_lost_device(store, order.device_id):  # such a one is denied by name, in the pattern style too
        mark_acl(state)
    return Enrolled(
        outcome="created" if plan.is_new else "reissued",
        device_id=order.device_id,
        line=order.line,
        serial=order.serial,
        validity=order.validity,
        fingerprint=issued.certificate.fingerprint,
        bundle=state.paths.device(order.device_id).bundle if issued.bundle else None,
        bundle_password=issued.password,
        needs_crl=is_superseded,
    )
