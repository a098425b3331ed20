"""``export --format aws-bulk`` and ``azure-import``: one file that tells a cloud of devices.

It holds no keys. Devices that are revoked, on hold or retired are in it as what disables them; AWS takes these in
another way, and so they are in a second file, and in a third what enables again after a hold.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit
from iotonboard.ca.credentials import check_certificate
from iotonboard.ca.recorded import check_recorded
from iotonboard.delivery import clouds
from iotonboard.delivery.cloud_table import AWS
from iotonboard.delivery.export_places import check_place
from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.enrolment.leading import refused_ahead
from iotonboard.errors import BusyError, IotOnboardError, NotFoundError, PolicyError, StateError
from iotonboard.ids import in_command
from iotonboard.model import Refused
from iotonboard.state.added_targets import name_of_added
from iotonboard.state.chain import chain_in_force
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import current_issuers
from iotonboard.store.revocations import released_serials

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.delivery.cloud_table import Cloud
    from iotonboard.model import CertificateRecord, DeviceRecord, SerialNumber, Target
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Listed:
    """A device, and whether it is enabled or disabled; its ``lines`` of the files."""

    device_id: str
    is_enabled: bool
    lines: str = ""
    disable_lines: str = ""
    enable_lines: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the list goes, and where, at AWS, those that are disabled, and enabled again; empty: into the first."""

    path: str
    disable_path: str = ""
    enable_path: str = ""


def places_of(cloud: Cloud, path: str) -> Places:
    """The files of a list: two beside the first, for what AWS takes apart."""
    if cloud.name != AWS:
        return Places(path)
    stem, suffix = os.path.splitext(path)
    return Places(path, f"{stem}.disable{suffix}", f"{stem}.enable{suffix}")


def of_one_ca(cas: Opened, targets: Iterable[Target | Refused]) -> Iterator[Target | Refused]:
    """The targets of the state's CA, whose certificate a cloud is given with a list; those of others are refused."""
    for state, run in cas.runs(targets):
        for target in run:
            if state is cas.around or isinstance(target, Refused):
                yield target
                continue
            name = name_of_added(state)
            error = PolicyError(
                f"{target.device_id!r} is of the CA {name!r}, and a list is of one CA",
                hint=f"into another file, with: iotonboard export --ca {name}",
            )
            yield Refused(target.device_id, target.line, error)


def list_devices(
    state: State, targets: Iterable[Target | Refused], cloud: Cloud, places: Places, unlock: Unlock, *, force: bool
) -> Iterator[Listed | Refused]:
    """Write the list of devices; a row that is refused harms no other, and where all are, no file is written.

    The devices are handed on once the files lie there.

    Raises:
        NotFoundError: the folder of the file is not there.
        ConflictError: something is in the way; or the database lost a revocation of which the trail tells.
        PolicyError: the cloud takes none of this CA's certificates.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        BusyError: the state is locked or the disk refuses.
    """
    for problem in clouds.ca_problems(
        cloud, chain_in_force(state.store, current_issuers(state.store)[0])[0], state.clock()
    ):
        raise PolicyError(problem.message, hint=problem.hint)
    for path in filter(None, (places.path, places.disable_path, places.enable_path)):
        check_place(path, is_folder=False, force=force)
    check_recorded(state.store)
    now, asked, released = state.clock(), iter(targets), released_serials(state.store)
    first = yield from refused_ahead(asked, lambda target: _list(state, target.device_id, cloud, now, released))
    if not first:
        return
    authority = unlock()
    answers = [_list_or_refuse(state, one, cloud, now, released) for one in chain(first, asked)]
    listed = [one for one in answers if isinstance(one, Listed)]
    _record(state, authority, cloud, places, listed)
    texts = {
        places.path: "".join(one.lines for one in listed),
        places.disable_path: "".join(one.disable_lines for one in listed),
        places.enable_path: "".join(one.enable_lines for one in listed),
    }
    for path, text in texts.items():
        if text or (path and os.path.lexists(path)):  # an old list that was to be replaced would go on disabling
            write_atomic(path, text.encode("ascii"), PUBLIC)
    yield from answers


def _record(state: State, authority: Authority, cloud: Cloud, places: Places, listed: list[Listed]) -> None:
    """Tell of the list in the trail, before it leaves the program."""
    with state.transaction() as now:
        enabled = sum(one.is_enabled for one in listed)
        numbers = {"enabled": enabled, "disabled": len(listed) - enabled}
        detail = {"format": cloud.format_name, "path": os.path.abspath(places.path), **numbers}
        state.record(now, "cloud", detail=detail)
        seal_audit(state, authority)


def _list_or_refuse(
    state: State, target: Target | Refused, cloud: Cloud, now: datetime, released: Collection[SerialNumber]
) -> Listed | Refused:
    if isinstance(target, Refused):
        return target
    try:
        return _list(state, target.device_id, cloud, now, released)
    except (BusyError, StateError):
        raise  # the database and not the device
    except IotOnboardError as error:
        return Refused(target.device_id, target.line, error)


def _list(state: State, device_id: str, cloud: Cloud, now: datetime, released: Collection[SerialNumber]) -> Listed:
    """The lines of one device. ``released``: what came back from a hold, and is disabled there if it was listed then.

    Raises:
        NotFoundError: no such device, or its certificates have all expired.
        PolicyError: the cloud takes no device of this id, or refuses its certificate.
        KeyUnavailableError: the certificate in its row is another one's.
    """
    device = device_record(state.store, device_id)
    status = device.status(now)
    if status == "expired":
        hint = f"'iotonboard register {in_command(device_id)} --if-exists reissue' makes a new one"
        raise NotFoundError(f"device {device_id!r} has no valid certificate", hint=hint)
    for certificate in device.certificates:
        check_certificate(state, device.device_id, certificate)
    _refuse_problems(cloud, device, now, is_enabled=status == "active")
    if cloud.name == AWS:
        return _aws(device, now, released, is_enabled=status == "active")
    was_disabled = any(one.revocation is not None or one.serial in released for one in device.certificates)
    line = clouds.azure_line(device.device_id, is_enabled=status == "active", was_disabled=was_disabled)
    return Listed(device.device_id, status == "active", line)


def _refuse_problems(cloud: Cloud, device: DeviceRecord, now: datetime, *, is_enabled: bool) -> None:
    problems = list(clouds.id_problems(cloud, device.device_id))
    if is_enabled:
        problems += clouds.certificate_problems(cloud, device.device_id, _newest(device, now).der, now)
    if problems:
        raise PolicyError("; ".join(one.message for one in problems), hint=problems[0].hint)


def _newest(device: DeviceRecord, now: datetime) -> CertificateRecord:
    return next(one for one in device.certificates if one.revocation is None and one.validity.not_after >= now)


def _aws(device: DeviceRecord, now: datetime, released: Collection[SerialNumber], *, is_enabled: bool) -> Listed:
    """AWS knows certificates, and not only names: each one that was revoked, or came back, is told for itself."""
    unexpired = [one for one in device.certificates if one.validity.not_after >= now]
    disable = "".join(clouds.aws_status_line(one) for one in unexpired if one.revocation is not None)
    back = (one for one in unexpired if one.revocation is None and one.serial in released)
    enable = "".join(map(clouds.aws_status_line, back)) if is_enabled else ""
    line = clouds.aws_line(device.device_id, _newest(device, now)) if is_enabled else ""
    if not line + disable:
        raise NotFoundError(f"the certificates of {str(device.device_id)!r} have all expired", hint="leave it out")
    return Listed(device.device_id, is_enabled, line, disable, enable)
