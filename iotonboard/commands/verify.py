"""``verify``: what a broker will do with ACL, CRL and CA file, and with single devices. Nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard import brokercheck
from iotonboard.brokers.topics import PLACEHOLDER
from iotonboard.record import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.brokercheck import BrokerFiles, Problem
    from iotonboard.brokers.acl import Version
    from iotonboard.brokers.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Request:
    """The three files, the broker's release and the moment; a message to try, or none."""

    acl: str
    crl: str
    ca: str
    at: datetime
    version: Version = "2.0"
    topic: str = ""
    access: str = "write"
    user: str = ""


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What becomes of one device after a start and after a reload, and of its message where one was asked for."""

    device_id: str
    at_start: Verdict
    at_reload: Verdict
    message: Verdict | None = None

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


def verify(request: Request, certificates: Iterable[tuple[str, bytes]]) -> Result:
    """Judge the files and each (device id, certificate DER).

    Raises:
        PolicyError: a certificate cannot be read.
    """
    files = brokercheck.read_broker_files(
        request.acl, request.crl, request.ca, at=request.at, version=request.version, user=request.user
    )
    devices = tuple(_judge(request, files, name, der) for name, der in certificates)
    return Result(files.problems, devices)


def _judge(request: Request, files: BrokerFiles, name: str, certificate_der: bytes) -> DeviceResult:
    at, version = request.at, request.version
    message = None
    if request.topic:
        topic = request.topic.replace(PLACEHOLDER, name)
        message = brokercheck.judge_message(name, request.access, topic, files, version=version)
    return DeviceResult(
        name,
        brokercheck.judge_device(certificate_der, files, at=at, event="start", version=version),
        brokercheck.judge_device(certificate_der, files, at=at, event="reload", version=version),
        message,
    )
