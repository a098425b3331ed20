"""Which devices another program's certificates make, and what stands against it: decided before anything is done.

A device is called by its certificate's commonName. One that is valid must be its only one; what is revoked keeps date
and reason; what has expired is history. A revocation without a certificate stays on every list.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.ids import DeviceId
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.pki.crl import entries_of_any_writer
from iotonboard.pki.crl_entry import serial_and_reason
from iotonboard.store.certificates import certificate_by_serial, certificate_der, has_certificate
from iotonboard.store.devices import device_record, find_device
from iotonboard.store.revocations import revocation_of, stored_foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.enrolment.adoption_sources import Sources
    from iotonboard.pki.adopted_certificate import AdoptedCertificate
    from iotonboard.state.state import State

_REVOKE_THERE = "revoke the one that is not in use with the program that issued it, then name its index or CRL again"


@dataclass(frozen=True, slots=True)
class Revoked:
    """When and why a certificate was revoked."""

    date: datetime
    reason: RevocationReason

    @property
    def is_hold(self) -> bool:
        """Say whether it may end."""
        return self.reason is RevocationReason.CERTIFICATE_HOLD


@dataclass(frozen=True, slots=True)
class One:
    """A certificate of a device. ``is_new``: this state does not have it yet; ``revoked`` as the sources say."""

    certificate: AdoptedCertificate
    serial: SerialNumber
    revoked: Revoked | None
    is_new: bool

    def status(self, now: datetime) -> str:
        """One of ``valid``, ``on-hold``, ``revoked`` and ``expired``."""
        if self.revoked is not None and not self.revoked.is_hold:
            return "revoked"
        if self.certificate.not_after < now:
            return "expired"
        return "valid" if self.revoked is None else "on-hold"


@dataclass(frozen=True, slots=True)
class Adopted:
    """A device, with its certificates in the order in which they began; ``is_new``: this state has no such device."""

    device_id: DeviceId
    certificates: tuple[One, ...]
    is_new: bool

    def status(self, now: datetime) -> str:
        """That of the certificate that counts most: valid, then on hold, then that of the newest."""
        found = [one.status(now) for one in self.certificates]
        return next((one for one in ("valid", "on-hold") if one in found), found[-1])


@dataclass(frozen=True, slots=True)
class Nameless:
    """A revocation whose certificate is not among the files, or can be no device's; ``holder``: whose it was, if known.

    ``is_recorded``: this state has the certificate. ``issuers``: rows of the CAs that may have issued it; none: all.
    """

    serial: SerialNumber
    revoked: Revoked
    holder: str
    issuers: tuple[int, ...] = ()
    is_recorded: bool = False


@dataclass(frozen=True, slots=True)
class Adoption:
    """Everything that is to be recorded, and in ``problems`` what forbids it. The rest is to be told.

    ``servers``: names of certificates that let no client in. ``left_out``: how many are of no use: CAs, and expired
    ones that this program cannot keep. ``weak``: valid ones that OpenSSL 3 refuses for their digest.
    """

    devices: tuple[Adopted, ...]
    nameless: tuple[Nameless, ...]
    problems: tuple[str, ...]
    servers: tuple[str, ...]
    left_out: int
    weak: int


class _Plan:
    """What is put together while the sources are gone through once."""

    def __init__(self, state: State, sources: Sources, now: datetime) -> None:
        self.state, self.sources, self.now = state, sources, now
        self.problems = list(sources.problems)
        self.revoked = dict(self._revocations())
        self.of_name: dict[str, list[One]] = defaultdict(list)
        self.nameless: list[Nameless] = []
        self.servers: list[str] = []
        self.left_out = self.weak = 0
        self.seen: dict[int, str] = {}
        self.strangers: set[int] = set()
        self.known = foreign_reasons(state)

    def _revocations(self) -> Iterator[tuple[int, Revoked]]:
        """By serial; where two sources differ, the stronger reason counts, and of one reason the earlier date."""
        found: dict[int, Revoked] = {}
        rows = (row for row in self.sources.index if row.revoked_at is not None)
        given = [(row.serial, row.revoked_at, row.reason) for row in rows if row.revoked_at is not None]
        given += [entry for one in self.sources.lists for entry in entries_of_any_writer(one.der)]
        for serial, date, reason in given:
            before = found.get(serial)
            if before is None or reason.replaces(before.reason) or (before.reason is reason and date < before.date):
                found[serial] = Revoked(date, reason)
        return iter(found.items())

    def take(self, certificate: AdoptedCertificate, where: str) -> None:
        """Sort one certificate in."""
        serial, told = certificate.serial, f"{where!r} ({certificate.name!r}, serial {certificate.serial:X})"
        revoked = self.revoked.get(serial)
        is_ended = certificate.not_after < self.now or (revoked is not None and not revoked.is_hold)
        if certificate.issuer is None:
            if certificate.is_ca:  # what stands above this one
                self.left_out += 1
            else:
                self.strangers.add(serial)
                self.problems.append(f"{told} was not signed by this CA")
            return
        if serial in self.seen:
            self.problems.append(f"{told} has the serial number of {self.seen[serial]}, which is another certificate")
            return
        self.seen[serial] = told
        if not certificate.is_of_client and not certificate.is_ca:
            self.servers.append(certificate.name)
        problem = certificate.problem or _problem_of(certificate.name)
        if certificate.is_ca or not certificate.is_of_client:
            self._without_device(certificate)
        elif problem and not is_ended:
            self.problems.append(f"{told} is valid, and cannot be kept: {problem}")
        elif problem:
            self._without_device(certificate)
        else:
            self._of_device(certificate, revoked, told, is_ended=is_ended)

    def _of_device(
        self, certificate: AdoptedCertificate, revoked: Revoked | None, told: str, *, is_ended: bool
    ) -> None:
        number = SerialNumber(certificate.serial)
        known = certificate_der(self.state.store, number)
        if known is not None and known != certificate.der:
            self.problems.append(f"{told} has the serial number of another certificate of this state")
            return
        if known is not None:
            revoked = self._as_here(number, revoked)
        self.weak += certificate.has_old_digest and not is_ended
        self.of_name[certificate.name.lower()].append(One(certificate, number, revoked, known is None))

    def _as_here(self, serial: SerialNumber, revoked: Revoked | None) -> Revoked | None:
        """The revocation of a certificate that is here already: a hold is not begun again, it may have ended here."""
        here = revocation_of(self.state.store, serial)
        if revoked is not None and not revoked.is_hold and revoked.reason.replaces(here.reason if here else None):
            return revoked
        return Revoked(here.revocation_date, here.reason) if here else None

    def _without_device(self, certificate: AdoptedCertificate) -> None:
        """Keep the revocation of a certificate that is no device's."""
        self.left_out += certificate.is_ca or certificate.is_of_client
        if revoked := self.revoked.get(certificate.serial):
            self._keep(certificate.serial, revoked, "", (certificate.issuer or 0,))

    def check_index(self) -> None:
        """Hold the index against the certificates that were found."""
        lines, found = dict[int, int](), self.seen.keys() | self.strangers
        for row in self.sources.index:
            if lines.setdefault(row.serial, row.line) != row.line:
                self.problems.append(
                    f"lines {lines[row.serial]} and {row.line} of the index have one serial number, {row.serial:X}"
                )
            elif row.serial not in found and row.status == "V" and row.not_after >= self.now:
                self.problems.append(
                    f"line {row.line} of the index: the certificate of {row.name!r}, serial {row.serial:X}, is in none"
                    " of the files, and is valid"
                )

    def keep_nameless(self) -> None:
        """Keep every revocation whose certificate is not there."""
        names = {row.serial: _name_in(row.name) for row in self.sources.index}
        issuers = tuple(dict.fromkeys(one.issuer for one in self.sources.lists))
        for serial, revoked in self.revoked.items():
            if serial not in self.seen:
                self._keep(serial, revoked, names.get(serial, ""), issuers)

    def _keep(self, number: int, revoked: Revoked, holder: str, issuers: tuple[int, ...]) -> None:
        """Keep a revocation that this state does not have yet, or has for a weaker reason."""
        try:
            serial = SerialNumber(number)
        except PolicyError:  # no certificate that a broker takes can have it
            return
        store = self.state.store
        if has_certificate(store, serial):
            recorded = revocation_of(store, serial)
            if revoked.reason.replaces(recorded.reason if recorded else None):
                _, holder = certificate_by_serial(store, serial)
                self.nameless.append(Nameless(serial, revoked, holder, is_recorded=True))
        elif revoked.reason.replaces(self.known.get(serial.octets)):
            self.nameless.append(Nameless(serial, revoked, holder, issuers))

    def devices(self) -> Iterator[Adopted]:
        """Each device, unless something stands against it."""
        for _, ones in sorted(self.of_name.items()):
            ordered = sorted(ones, key=lambda one: (one.certificate.not_before, one.certificate.serial))
            device_id = DeviceId.adopted(next(filter(self._is_live, ordered), ordered[-1]).certificate.name)
            own = tuple(self._spelled(device_id, ordered))
            found = find_device(self.state.store, device_id)
            is_taken = found is not None and (found.is_retired or found.device_id != device_id)
            if found and is_taken and any(one.is_new and self._is_live(one) for one in own):
                what = "was retired here" if found.is_retired else f"is here already as {str(found.device_id)!r}"
                self.problems.append(f"{str(device_id)!r} {what}")
            elif found is None or found.device_id == device_id:
                self._check_valid(device_id, own, is_known=found is not None)
                yield Adopted(device_id, own, found is None)
            else:  # ended, under a name that is spelled otherwise here
                for one in own:
                    self._without_device(one.certificate)

    def _is_live(self, one: One) -> bool:
        return one.status(self.now) in ("valid", "on-hold")

    def _spelled(self, device_id: DeviceId, ones: Sequence[One]) -> Iterator[One]:
        """The certificates of a name as it is spelled; of others that differ by their case, revocations are kept."""
        for one in ones:
            name = one.certificate.name
            if name == device_id:
                yield one
            elif self._is_live(one):
                self.problems.append(f"{str(device_id)!r} and {name!r} differ by their case alone")
            elif one.is_new:
                self._without_device(one.certificate)

    def _check_valid(self, device_id: DeviceId, ordered: Sequence[One], *, is_known: bool) -> None:
        """Refuse a second valid certificate: nobody could say which one is in use."""
        valid = {int(one.serial): one.certificate.not_before for one in ordered if one.status(self.now) == "valid"}
        serials = {int(one.serial) for one in ordered}
        for one in device_record(self.state.store, device_id).certificates if is_known and valid else ():
            if one.revocation is None and one.validity.not_after >= self.now and one.serial not in serials:
                valid[int(one.serial)] = one.validity.not_before
        if len(valid) > 1:
            listed = ", ".join(f"{serial:X} of {begin:%Y-%m-%d}" for serial, begin in valid.items())
            self.problems.append(f"{str(device_id)!r} has {len(valid)} valid certificates ({listed}): {_REVOKE_THERE}")


def plan_adoption(state: State, sources: Sources, now: datetime) -> Adoption:
    """Say what is to be recorded of these sources, and what stands against it. Changes nothing."""
    plan = _Plan(state, sources, now)
    for certificate, where in sources.certificates:
        plan.take(certificate, where)
    plan.check_index()
    plan.keep_nameless()
    devices = tuple(plan.devices())
    return Adoption(
        devices,
        tuple(plan.nameless),
        tuple(plan.problems),
        tuple(plan.servers),
        plan.left_out,
        plan.weak,
    )


def foreign_reasons(state: State) -> dict[bytes, RevocationReason]:
    """Why the certificates are revoked that this state has no row of, by their serials as the database has them."""
    found: dict[bytes, RevocationReason] = {}
    for _, serial, entry in stored_foreign(state.store):
        if isinstance(serial, bytes) and isinstance(entry, bytes):
            with contextlib.suppress(PolicyError, IndexError, ValueError):  # a damaged row, which is mended elsewhere
                found[serial] = serial_and_reason(entry)[1]
    return found


def is_revoked_anew(state: State, one: One) -> bool:
    """Say whether the sources revoke a certificate for a reason that this state does not have yet."""
    known = revocation_of(state.store, one.serial)
    return one.revoked is not None and one.revoked.reason.replaces(known.reason if known else None)


def _problem_of(name: str) -> str:
    try:
        DeviceId.adopted(name)
    except PolicyError as error:
        return error.message
    return ""


def _name_in(subject: str) -> str:
    """The commonName in a subject as an index has it, ``/O=Works/CN=pump-1``; empty where that is not plain."""
    names = [part[3:] for part in subject.split("/") if part.startswith("CN=")]
    return names[0] if len(names) == 1 and not _problem_of(names[0]) else ""


def counts(adoption: Adoption, now: datetime) -> Mapping[str, int]:
    """How many devices are valid, on hold, revoked and expired."""
    found = dict.fromkeys(("valid", "on-hold", "revoked", "expired"), 0)
    for device in adoption.devices:
        found[device.status(now)] += 1
    return found


def changed(state: State, devices: Iterable[Adopted]) -> list[Adopted]:
    """The devices of which anything is new."""
    return [one for one in devices if any(each.is_new or is_revoked_anew(state, each) for each in one.certificates)]
