"""``verify --cloud``: which ids and certificates a cloud would refuse. Nothing is changed, and nobody is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.delivery import clouds
from iotonboard.delivery.clouds import CloudProblem
from iotonboard.enrolment.each_device import known_devices
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.added_targets import divide
from iotonboard.state.chain import chain_in_force
from iotonboard.store.device_search import DeviceFilter, find_devices
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from iotonboard.delivery.cloud_table import Cloud
    from iotonboard.model import DeviceRecord, Refused, Target
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Judged:
    """A device, a certificate of a ``file``, or a CA (without an id), with why it would be refused, if so."""

    device_id: str
    problems: tuple[CloudProblem, ...]
    file: str = ""

    @property
    def is_accepted(self) -> bool:
        """Say whether nothing speaks against it."""
        return not self.problems


def judge_all(cas: Opened, cloud: Cloud, at: datetime) -> list[Judged]:
    """Every CA of the state and its devices."""
    return [one for state in (cas.around, *map(cas.state, cas.names)) for one in judge_devices(state, cloud, (), at)]


def judge_named(
    cas: Opened, cloud: Cloud, targets: Iterable[Target | Refused], at: datetime
) -> tuple[list[Judged], list[Refused]]:
    """Devices that are named, and the CAs that they are of; and rows of a list that are refused.

    Raises:
        NotFoundError: a device that was named on the command line is not there.
    """
    judged: list[Judged] = []
    refused: list[Refused] = []
    for part in divide(cas, targets).parts:
        named, bad = known_devices(part.state, part.targets)
        refused += bad
        if named:
            judged += judge_devices(part.state, cloud, named, at)
    return judged, refused


def judge_devices(state: State, cloud: Cloud, device_ids: Sequence[str], at: datetime) -> Iterator[Judged]:
    """The CA that issues, then devices; all that have a valid certificate, unless some are named.

    Raises:
        NotFoundError: there is no device of a name.
    """
    ca = chain_in_force(state.store, current_issuers(state.store)[0])[0]
    yield Judged("", tuple(clouds.ca_problems(cloud, ca, at)), state.paths.ca_certificate)
    if device_ids:
        for device_id in device_ids:
            yield _judge(cloud, device_record(state.store, device_id), at)
        return
    for device in find_devices(state.store, DeviceFilter(status="active"), at):
        yield _judge(cloud, device, at)


def _judge(cloud: Cloud, device: DeviceRecord, at: datetime) -> Judged:
    problems = list(clouds.id_problems(cloud, device.device_id))
    valid = [one for one in device.certificates if one.revocation is None and one.validity.not_after >= at]
    if valid:
        problems += clouds.certificate_problems(cloud, device.device_id, valid[0].der, at)
    else:
        problems.append(CloudProblem("certificate", f"{str(device.device_id)!r} has no valid certificate"))
    return Judged(device.device_id, tuple(problems))


def judge_files(cloud: Cloud, paths: Sequence[str], at: datetime) -> Iterator[Judged]:
    """The certificates of files, each by the id in its commonName.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it holds no certificate, or one that cannot be read.
    """
    for path in paths:
        for der in read_certificate_file(path):
            found = certificate_facts(der)
            if found.is_ca:
                yield Judged("", tuple(clouds.ca_problems(cloud, der, at)), path)
                continue
            name = found.subject_cn
            problems = (*clouds.id_problems(cloud, name), *clouds.certificate_problems(cloud, name, der, at))
            yield Judged(name, problems, path)
