"""``verify``: what a broker will do with ACL, CRL and CA file, and with single devices. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.broker import check
from iotonboard.broker.topics import PLACEHOLDER
from iotonboard.errors import NotFoundError, UsageError
from iotonboard.store.devices import device_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Version
    from iotonboard.broker.check import BrokerFiles, Problem
    from iotonboard.broker.verdict import Verdict
    from iotonboard.model import DeviceRecord
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Request:
    """The moment, the three files, the broker's release, and whom it runs as; a message to try, or none.

    A file that is not named is the published one of the state.
    """

    at: datetime
    acl: str = ""
    crl: str = ""
    ca: str = ""
    version: Version = "2.0"
    topic: str = ""
    access: str = "write"
    user: str = ""


@dataclass(frozen=True, slots=True)
class _Client:
    """A certificate to judge, DER, with the user name that the broker takes from it.

    ``older`` are the device's other certificates, DER, that it may still use.
    """

    name: str
    certificate_der: bytes
    file: str = ""
    older: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What becomes of one device after a start and after a reload, and of its message where one was asked for.

    ``file`` is where its certificate came from; empty for the database. ``older`` is what becomes of it at a start with
    each of its older certificates.
    """

    device_id: str
    at_start: Verdict
    at_reload: Verdict
    message: Verdict | None = None
    file: str = ""
    older: tuple[Verdict, ...] = ()

    @property
    def fails(self) -> bool:
        """Say whether the device would be refused, or its message dropped."""
        verdicts = (self.at_start, self.at_reload, self.message)
        return any(verdict is not None and not verdict.accepted for verdict in verdicts)


@dataclass(frozen=True, slots=True)
class Result:
    """Problems of the files, and one result per device in the order asked for."""

    problems: tuple[Problem, ...]
    devices: tuple[DeviceResult, ...]

    @property
    def fails(self) -> bool:
        """Say whether anything would fail; a warning alone does not."""
        return any(not one.warning for one in self.problems) or any(one.fails for one in self.devices)


def verify_state(state: State, request: Request, device_ids: Sequence[str], certificates: Sequence[str]) -> Result:
    """Judge the published files of a state, and what its devices and the certificates in files would meet.

    Raises:
        UsageError: a topic without anybody to try it, or with a wildcard.
        NotFoundError: a device or file is not there, or a device has no certificate.
        PolicyError: a certificate cannot be read.
    """
    others = [client for path in certificates for client in _read_clients(path)]
    paths = state.paths
    files = replace(
        request,
        acl=request.acl or paths.acl,
        crl=request.crl or paths.crl,
        ca=request.ca or paths.ca_certificate,
        user=request.user or ("" if request.acl or request.crl else state.config.broker_reader),
    )
    devices = [_client_of(device_record(state.store, device_id), request.at) for device_id in device_ids]
    return _verify(files, devices + others)


def verify_files(request: Request, certificates: Sequence[str]) -> Result:
    """Judge the files of a request that names all three, without a state; see ``verify_state``."""
    return _verify(request, [client for path in certificates for client in _read_clients(path)])


def _read_clients(path: str) -> list[_Client]:
    """Read the certificates of a file. CAs beside others are these ones' chain, which no client shows as its own."""
    seen = check.see_certificate_file(path)
    clients = [one for one in seen if not one.is_ca] or seen
    return [_Client(one.common_name or path, one.der, path) for one in clients]


def _client_of(device: DeviceRecord, at: datetime) -> _Client:
    """A device as it would connect at a time: with the newest certificate of then."""
    if not device.certificates:
        raise NotFoundError(f"{device.device_id!r} has no certificate", hint="register it again")
    begun = [one for one in device.certificates if one.created_at <= at] or device.certificates[:1]
    older = tuple(one.der for one in begun[1:] if one.validity.contains(at))
    return _Client(device.device_id, begun[0].der, older=older)


def _verify(request: Request, clients: Sequence[_Client]) -> Result:
    if request.topic and not clients:
        raise UsageError("a topic is tried by a device, and none is named", hint="name one: ID, or --cert FILE")
    if {"+", "#"} & set(request.topic):
        raise UsageError(
            f"{request.topic!r} has a wildcard: the broker decides message by message",
            hint="name a topic of one message, as in 'devices/{device_id}/x'",
        )
    files = check.read_broker_files(
        request.acl, request.crl, request.ca, at=request.at, version=request.version, user=request.user
    )
    return Result(files.problems, tuple(_judge(request, files, client) for client in clients))


def _judge(request: Request, files: BrokerFiles, client: _Client) -> DeviceResult:
    at, version = request.at, request.version
    message = None
    if request.topic:
        topic = request.topic.replace(PLACEHOLDER, client.name)
        message = check.judge_message(client.name, request.access, topic, files, version=version)
    return DeviceResult(
        client.name,
        check.judge_device(client.certificate_der, files, at=at, event="start", version=version),
        check.judge_device(client.certificate_der, files, at=at, event="reload", version=version),
        message,
        client.file,
        tuple(check.judge_device(one, files, at=at, version=version) for one in client.older),
    )
