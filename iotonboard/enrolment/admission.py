"""What is decided of a device that shall be registered without the CA, so that it is said before a passphrase is."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.broker.topics import parse_topic_rule
from iotonboard.enrolment import production
from iotonboard.enrolment.batch import Enrolled
from iotonboard.enrolment.order_profile import choose_profile, refuse_outliving
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import MQTT_PROFILE, DeviceId
from iotonboard.pki import csr
from iotonboard.state import reach
from iotonboard.store import list_duplicates, table_scan
from iotonboard.store.devices import device_record, refuse_retired
from iotonboard.store.recalled import find_or_recall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.enrolment.request import Request
    from iotonboard.model import TopicRule
    from iotonboard.state.own_rules import OwnRules
    from iotonboard.state.state import State
    from iotonboard.store.devices import DeviceRow

PREFIX = "id_prefix"  # single value: what the office ordered that ids of new devices begin with


@dataclass(frozen=True, slots=True)
class Admitted:
    """A device that gets a certificate: its topics, whether it is new, and whether it gets an operator's own rules."""

    topics: tuple[TopicRule, ...]
    is_new: bool
    gets_own_rules: bool


@dataclass(frozen=True, slots=True)
class Admission:
    """How one call admits devices. ``if_exists`` is ``fail``, ``skip`` or ``reissue``.

    An ``is_list`` names every device once. ``reach``: topics of other devices are meant, and with ``own_rules`` the
    ``users`` of the operator's own rules. ``done`` is what the call did before it broke off. ``ahead``: what was found
    by the name that was checked before a passphrase is asked for.
    """

    state: State
    if_exists: str
    is_list: bool
    reach: bool
    own_rules: bool
    users: OwnRules
    done: Mapping[str, str]
    ahead: dict[DeviceId, DeviceRow | None] = field(default_factory=dict)

    def check(self, request: Request) -> None:
        """Refuse a request as its admission would, and one whose own request cannot be read.

        Raises:
            ConflictError: the device is there already, or stands twice in the list.
            PolicyError: its id, a topic or its request is not allowed, it does not fit its profile, it would outlive
                the CA, or no order of the office is open for it.
        """
        name, found = request.device_id, None
        if name:
            self.note(name, request.line)
            found = self.find(name)
            self.ahead[name] = found
        device_id = name or new_id(self.state)
        if isinstance(self.admit(request, device_id, found), Enrolled):
            return
        device = device_record(self.state.store, device_id) if found else None
        newest = device.certificates[0].serial if device and device.certificates else None
        chosen = choose_profile(self.state, request.profile, newest)
        if chosen:
            chosen.fill(self.state, device_id, {**(device.attributes if device else {}), **dict(request.attributes)})
        if self.state.config["office"] or self.state.config["orders"]:
            profile = chosen.profile.name if chosen else MQTT_PROFILE
            production.order_for(self.state, device_id, profile, self.state.trusted_time())
        refuse_outliving(self.state, chosen, request.validity_days)
        if request.csr is not None:
            csr.parse_csr(request.csr)

    def note(self, device_id: DeviceId, line: int) -> None:
        """Note where a list names a device.

        Raises:
            ConflictError: it did before.
        """
        if self.is_list and (earlier := list_duplicates.note_seen(self.state.store, device_id, line)):
            raise ConflictError(f"{str(device_id)!r} stands in line {earlier} already", hint="remove one of the two")

    def find(self, device_id: DeviceId) -> DeviceRow | None:
        """The device of a name that was given; asked once of a name that was checked: what is recorded, decides.

        Raises:
            ConflictError: it is spelled otherwise, was retired, or was taken out of the database.
            PolicyError: there is none, and a new one cannot be called so.
        """
        if device_id in self.ahead:
            return self.ahead.pop(device_id)
        found, is_recalled = find_or_recall(self.state.store, device_id)
        if found and found.device_id != device_id:
            raise ConflictError(
                f"{str(device_id)!r} exists already, spelled {str(found.device_id)!r}",
                hint="ids differ by more than their case",
            )
        if found:
            refuse_retired(found)
            return found
        DeviceId(device_id)  # it may name an adopted device, and a new one is called otherwise
        if not device_id.startswith(prefix := id_prefix(self.state)):
            raise PolicyError(
                f"ids of new devices begin with {prefix!r} here, as the office ordered",
                hint=f"register {prefix + device_id!r}; 'iotonboard order list' shows the orders",
            )
        if is_recalled:
            raise ConflictError(
                f"the audit trail knows {str(device_id)!r}, and the database has no such device any more",
                hint="'iotonboard health --deep' names what was changed; restore it from the latest backup",
            )
        return None

    def admit(self, request: Request, device_id: DeviceId, found: DeviceRow | None) -> Admitted | Enrolled:
        """Decide what becomes of a device, ``found`` by its name if it is there.

        Raises:
            ConflictError: it is there already.
            PolicyError: a topic is not allowed, or its id would get rights that are not meant.
        """
        if found and device_id in self.done:
            return self._existing(device_id, request.line, "skip")
        if found and self.if_exists != "reissue":
            return self._existing(device_id, request.line, self.if_exists)
        if found:  # else what a damaged index hides stays valid
            table_scan.TableScan(self.state.store, read_through=0).make_found(device_id)
        gets_own_rules = self.users.grants(device_id, is_meant=self.own_rules)
        topics = tuple(parse_topic_rule(text) for text in request.topics)
        if topics and self.state.main:
            raise PolicyError(
                f"{str(device_id)!r} is no client of the broker by this certificate", hint="leave --topic out"
            )
        if topics and not self.reach:
            reach.others_of(self.state).refuse_reaching(topics, device_id)
        return Admitted(topics, found is None, gets_own_rules)

    def _existing(self, device_id: DeviceId, line: int, if_exists: str) -> Enrolled:
        """Leave a device that is there as it is, unless it must not be there."""
        if if_exists == "fail":
            raise ConflictError(
                f"device {str(device_id)!r} exists already",
                hint="'--if-exists skip' leaves it, '--if-exists reissue' makes a new certificate",
            )
        newest = device_record(self.state.store, device_id).certificates[0]
        bundle = self.state.paths.device(device_id).bundle
        return Enrolled(
            outcome="skipped",
            device_id=device_id,
            line=line,
            serial=newest.serial,
            validity=newest.validity,
            fingerprint=newest.fingerprint,
            bundle=bundle if os.path.exists(bundle) else None,
        )


def new_id(state: State) -> DeviceId:
    """An id that nobody has: a UUID, behind what the office ordered that ids begin with."""
    return DeviceId(id_prefix(state) + str(uuid.uuid4()))


def id_prefix(state: State) -> str:
    """What the ids of new devices begin with."""
    prefix = state.store.meta(PREFIX)
    return prefix if isinstance(prefix, str) else ""
