"""Which devices and stations of an office a word names."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.errors import NotFoundError, PolicyError, did_you_mean, quoted
from iotonboard.model import SerialNumber
from iotonboard.office.told_rows import folded
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.given import certificates_in
from iotonboard.store.registry.fleet import devices_called, devices_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.office.decisions import TrustedStation
    from iotonboard.office.office import Office
    from iotonboard.store.registry.fleet import FleetDevice
    from iotonboard.store.registry.registry import Registry

_MAX_FILE = 1 << 20
_DIGITS = re.compile(r"[0-9a-f]{1,64}")
_SERIAL_DIGITS, _FINGERPRINT_DIGITS = 40, 64
_UNKNOWN = "'iotonboard list' shows all devices; 'iotonboard station list' says how old what is known is"


def station_named(office: Office, name: str) -> TrustedStation:
    """The trusted station of a name.

    Raises:
        NotFoundError: there is none.
    """
    if (found := office.decisions.station_called(name)) is not None:
        return found
    names = [one.name for one in office.decisions.stations.values() if not one.is_removed]
    hint = did_you_mean(name, names, "'iotonboard station list' shows all stations")
    raise NotFoundError(f"there is no station {quoted(name)}", hint=hint)


def devices_meant(
    registry: Registry, words: Sequence[str], certificates: Sequence[str] = (), *, station: str = ""
) -> Iterator[FleetDevice]:
    """The devices that words name, by id, or by serial or SHA-256 fingerprint of a certificate, and those in files.

    One id may be there at more stations than one. With ``station`` only those of that one are taken.

    Raises:
        NotFoundError: there is none of that name.
        PolicyError: a file holds no certificate of a device.
    """
    for word in words:
        yield from _at(station, word, _named(registry, word))
    for path in certificates:
        for serial in serials_in(path):
            yield from _at(station, serial.hex, devices_with(registry, "serial", serial.octets))


def serials_in(path: str) -> list[SerialNumber]:
    """The serials of the certificates in a file; those of CAs beside them are passed over.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it holds no certificate of a device.
    """
    facts = [certificate_facts(der) for der in certificates_in(read_file(path, limit=_MAX_FILE))]
    serials = [one.serial for one in facts if not one.is_ca]
    if not serials:
        raise PolicyError(f"{path!r} holds no certificate of a device", hint="give the device's device.crt")
    return serials


def _at(station: str, word: str, found: list[FleetDevice]) -> list[FleetDevice]:
    there = [one for one in found if station in ("", one.station)]
    if found and not there:
        where = ", ".join(dict.fromkeys(repr(one.station) for one in found))
        raise NotFoundError(f"there is no device {quoted(word)} at the station {station!r}", hint=f"it is at {where}")
    if not there:
        raise NotFoundError(f"no station told of a device {quoted(word)}", hint=_UNKNOWN)
    return there


def _named(registry: Registry, word: str) -> list[FleetDevice]:
    called = devices_called(registry, folded(word))
    if exact := [one for one in called if one.device_id == word]:
        return exact
    digits = re.sub(r"[:\s]", "", word.rpartition("=")[2]).lower()
    if not called and _DIGITS.fullmatch(digits):
        if len(digits) == _FINGERPRINT_DIGITS:
            return devices_with(registry, "fingerprint", bytes.fromhex(digits))
        if len(digits) <= _SERIAL_DIGITS:
            with contextlib.suppress(PolicyError):  # digits that are no serial
                return devices_with(registry, "serial", SerialNumber.from_hex(digits).octets)
    if called:
        raise NotFoundError(f"there is no device {quoted(word)}", hint=f"did you mean {called[0].device_id!r}?")
    return []
