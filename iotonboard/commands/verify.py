"""``verify``: what a broker will do with ACL, CRL and CA file, and with single devices. Nothing is changed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iotonboard.broker.acl_stations import station_lines
from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.broker.check import BrokerFiles, judge_files, judge_message
from iotonboard.broker.conf_files import judge_broker_conf
from iotonboard.broker.pem_views import view_client
from iotonboard.broker.problems import Problem
from iotonboard.broker.topics import PLACEHOLDER, parse_topic_rule
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, NotFoundError, PolicyError, UsageError
from iotonboard.state.own_rules import devices_among, own_users
from iotonboard.state.reload import unread_published
from iotonboard.state.sent_chain import chains_behind
from iotonboard.store.chains import recorded_chain
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import issuer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Version
    from iotonboard.broker.check import ClientVerdicts, Judgement
    from iotonboard.broker.conf_check import ListenerVerdict
    from iotonboard.broker.region import OperatorUser
    from iotonboard.broker.verdict import Verdict
    from iotonboard.model import CertificateRecord, DeviceRecord
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


_LARGEST_ACL = 1 << 30


@dataclass(frozen=True, slots=True)
class Request:
    """The moment, the three files, the broker's release, and whom it runs as; a message to try, or none.

    ``conf`` is a mosquitto.conf to judge with the files that it names; ``published`` are those that it should name.
    A file that is not named is the published one of the state; of its CA file the broker has a copy (``has_own_ca``).
    ``templates`` are the topics that every device of the state has.
    """

    at: datetime
    acl: str = ""
    crl: str = ""
    ca: str = ""
    version: Version = "2.0"
    topic: str = ""
    access: str = "write"
    user: str = ""
    has_own_ca: bool = False
    conf: str = ""
    published: Mapping[str, str] = field(default_factory=dict)
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Client:
    """A certificate to judge with the issuers that are sent along, DER, and the user name that the broker takes.

    ``older`` are the same of the device's other certificates that it may still use. ``is_revoked``: as recorded.
    """

    name: str
    chain: tuple[bytes, ...]
    file: str = ""
    older: tuple[tuple[bytes, ...], ...] = ()
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What becomes of one device after a start and after a reload, and of its message where one was asked for.

    ``file`` is where its certificate came from; empty for the database. ``older`` is what becomes of it at a start with
    each of its older certificates. ``note``: what is to be known of a revoked one that is let in.
    """

    device_id: str
    at_start: Verdict
    at_reload: Verdict
    message: Verdict | None = None
    file: str = ""
    older: tuple[Verdict, ...] = ()
    note: str = ""

    @property
    def fails(self) -> bool:
        """Say whether the device would be refused, or its message dropped."""
        verdicts = (self.at_start, self.at_reload, self.message)
        return any(verdict is not None and not verdict.accepted for verdict in verdicts)


@dataclass(frozen=True, slots=True)
class Result:
    """Problems of the files, one result per device in the order asked for, and what a configuration's listeners do."""

    problems: tuple[Problem, ...]
    devices: tuple[DeviceResult, ...]
    listeners: tuple[ListenerVerdict, ...] = ()

    @property
    def fails(self) -> bool:
        """Say whether anything would fail; a warning alone does not."""
        return any(not one.warning for one in self.problems) or any(one.fails for one in self.devices)


def verify_state(cas: Opened, request: Request, device_ids: Sequence[str], certificates: Sequence[str]) -> Result:
    """Judge the published files of a state, and what its devices and the certificates in files would meet.

    What a CA that was added to the state certified is judged like any other: no broker takes it.

    Raises:
        UsageError: a topic without anybody to try it, or with a wildcard.
        NotFoundError: a device or file is not there, or a device has no certificate.
        PolicyError: a certificate cannot be read.
    """
    others = [client for path in certificates for client in _read_clients(path)]
    state = cas.around
    paths = state.paths
    files = replace(
        request,
        acl=request.acl or paths.acl,
        crl=request.crl or paths.crl,
        ca=request.ca or paths.ca_for_broker,
        has_own_ca=not (request.ca or paths.broker_ca),
        user=request.user or ("" if request.acl or request.crl else state.config.broker_reader),
        templates=tuple(state.config["acl.topics"]),
    )
    if request.conf:
        published = {"acl": files.acl, "crl": files.crl, "ca": files.ca}
        files = replace(files, published=published, user=request.user, has_own_ca=False)
    unread = () if request.acl or request.crl else _unread(state)
    holders = [(cas.holder(device_id), device_id) for device_id in device_ids]
    devices = [_client_of(one, device_record(one.store, device_id), request.at) for one, device_id in holders]
    found = _verify(files, devices + others, lambda users: devices_among(state, users))
    return replace(found, problems=(*found.problems, *unread))


def _unread(state: State) -> tuple[Problem, ...]:
    """What was published and is not in force, because the broker that runs has not read it."""
    process, paths = unread_published(state)
    message = f"the broker (process {process}) has not read it since it was published: it goes by the one before"
    return tuple(Problem(path, "not-read-yet", message, warning=True) for path in paths)


def verify_files(request: Request, certificates: Sequence[str]) -> Result:
    """Judge the files of a request that names all three, or a configuration, without a state; see ``verify_state``."""
    return _verify(request, [client for path in certificates for client in _read_clients(path)])


def _read_clients(path: str) -> list[_Client]:
    """Read the certificates of a file. CAs beside others are these ones' chain, which a client sends along."""
    seen = [(der, view_client(der)) for der in read_certificate_file(path)]
    if any(view is None for _, view in seen):
        hint = "'openssl x509 -text -in FILE' may say more"
        raise PolicyError(f"{path!r}: a certificate in it cannot be read", hint=hint)
    issuers = tuple(der for der, view in seen if view and view.is_ca)
    clients = [(der, view) for der, view in seen if der not in issuers] or seen[:1]
    return [
        _Client((view and view.user_name) or path, (der, *(one for one in issuers if one != der)), path)
        for der, view in clients
    ]


def _client_of(state: State, device: DeviceRecord, at: datetime) -> _Client:
    """A device as it would connect at a time: with the newest certificate of then, and the CAs that it sends along."""
    if not device.certificates:
        raise NotFoundError(f"{device.device_id!r} has no certificate", hint="register it again")
    begun = [one for one in device.certificates if one.created_at <= at] or device.certificates[:1]
    chains = chains_behind(state.store)
    newest, *before = (_sent(state, one, chains) for one in begun if one is begun[0] or one.validity.contains(at))
    return _Client(device.device_id, newest, older=tuple(before), is_revoked=begun[0].revocation is not None)


def _sent(state: State, certificate: CertificateRecord, chains: Mapping[int, tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """What goes over the line: the CA behind it, unless it is of the time before that had one above it."""
    if not chains:
        return (certificate.der,)
    issuer = issuer_of(state.store, certificate.serial)
    chain = recorded_chain(state.store, issuer)
    is_before = chain is not None and certificate.created_at < chain.installed_at
    return (certificate.der, *(() if is_before else chains.get(issuer, ())))


def _verify(
    request: Request,
    clients: Sequence[_Client],
    devices_of: Callable[[Iterable[OperatorUser]], Iterable[OperatorUser]] = lambda _: (),
) -> Result:
    """Judge files and clients; ``devices_of`` says which users of the ACL are devices beside the clients."""
    if request.topic and not clients:
        raise UsageError("a topic is tried by a device, and none is named", hint="name one: ID, or --cert FILE")
    if {"+", "#"} & set(request.topic):
        raise UsageError(
            f"{request.topic!r} has a wildcard: the broker decides message by message",
            hint="name a topic of one message, as in 'devices/{device_id}/x'",
        )
    files = BrokerFiles(
        request.acl, request.crl, request.ca, request.at, request.version, request.user, request.has_own_ca
    )
    listeners: tuple[ListenerVerdict, ...] = ()
    problems: list[Problem] = []
    beside: list[Problem] = []
    if request.conf:
        conf = judge_broker_conf(request.conf, request.published, files)
        listeners, problems = conf.listeners, list(conf.problems)
        if not conf.files:
            return Result(tuple(problems), (), listeners)
        files = conf.files[0]  # clients are tried at the first listener that enforces something
        others = tuple(one for other in conf.files[1:] for one in judge_files(other).problems)
        problems += others
        beside = replace(conf, problems=(*conf.problems, *others)).at_the_first()
    questions = [one for client in clients for one in (client.chain, *client.older)]
    judged = judge_files(files, questions, beside)
    answers = iter(judged.clients)
    results = []
    for client in clients:
        now, older = next(answers), tuple(next(answers).at_start for _ in client.older)
        results.append(_result(request, judged, client, now, older))
    problems += [*judged.problems, *_own_rules(files.acl, clients, devices_of)]
    return Result(tuple(dict.fromkeys(problems)), tuple(results), listeners)


def _own_rules(
    path: str, clients: Sequence[_Client], devices_of: Callable[[Iterable[OperatorUser]], Iterable[OperatorUser]]
) -> list[Problem]:
    """Devices with the rights of a user in the operator's own rules: a warning for each, which names the line."""
    try:
        users = own_users(path)
    except IotOnboardError:
        return []  # judged already
    found = {user.line: user for user in devices_of(users.values())}
    named = {user.line: user for client in clients if (user := users.get(client.name.lower()))}
    if named:  # what another station's package brought for its own device is nobody's rule but that one's
        blocks = station_lines(read_file(path, limit=_LARGEST_ACL))
        found |= {line: user for line, user in named.items() if not any(line in block for block in blocks)}
    message = "line {}: user {!r} is a device too, with what is written there"
    return [
        Problem(path, "own-rules", message.format(user.line, user.name), warning=True)
        for _, user in sorted(found.items())
    ]


def _result(
    request: Request, judged: Judgement, client: _Client, now: ClientVerdicts, older: tuple[Verdict, ...]
) -> DeviceResult:
    message = None
    if request.topic:
        topic = request.topic.replace(PLACEHOLDER, client.name)
        message = judge_message(judged, client.name, request.access, topic, version=request.version)
    note = _note_of(request, judged, client, now)
    return DeviceResult(client.name, now.at_start, now.at_reload, message, client.file, older, note)


def _note_of(request: Request, judged: Judgement, client: _Client, now: ClientVerdicts) -> str:
    """What is to be known of a device that is revoked here and let in all the same; empty of every other."""
    if not client.is_revoked or not now.at_start.accepted:
        return ""
    note = f"{client.name!r} is revoked here, and the CRL does not say so yet: it can connect"
    rules = [parse_topic_rule(text, template=True) for text in request.templates]
    tried = [
        judge_message(judged, client.name, access, re.sub("[#+]", "x", rule.topic.replace(PLACEHOLDER, client.name)))
        for rule in rules
        for access in ("read", "write")
    ]
    if judged.acl is None or not tried or any(one.accepted for one in tried):
        return note
    return f"{note}, and the ACL denies it its topics"
