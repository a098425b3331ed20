"""Whose a certificate is: found by its serial, by its fingerprint, or from the file that somebody holds in hand."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.errors import NotFoundError, PolicyError
from iotonboard.model import SerialNumber
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.given import certificates_in
from iotonboard.store.certificates import certificate_by_serial, has_certificate, serial_of_fingerprint
from iotonboard.store.devices import find_device

if TYPE_CHECKING:
    from iotonboard.state.state import State

_MAX_FILE = 1 << 20
_DIGITS = re.compile(r"[0-9a-f]{1,64}")
_SERIAL_DIGITS, _FINGERPRINT_DIGITS = 40, 64
_UNKNOWN = "'iotonboard list' shows all devices; 'revoke --cert FILE' knows what a restored backup forgot"


def device_meant(state: State, word: str) -> str:
    """The id of the device that a word names: its id, or the serial or SHA-256 fingerprint of a certificate of it.

    Hexadecimal with or without colons, in any case. An id comes before a serial that reads the same. A fingerprint is
    compared with every certificate: that of a million takes some seconds.

    Raises:
        NotFoundError: there is no such device and no such certificate, or a broker has it.
    """
    digits = re.sub(r"[:\s]", "", word.rpartition("=")[2]).lower()
    if find_device(state.store, word) or not _DIGITS.fullmatch(digits):
        return word
    serial = None
    if len(digits) == _FINGERPRINT_DIGITS:
        serial = serial_of_fingerprint(state.store, bytes.fromhex(digits))
    elif len(digits) <= _SERIAL_DIGITS:
        with contextlib.suppress(PolicyError):  # digits that are no serial
            serial = SerialNumber.from_hex(digits)
    if serial is None or not has_certificate(state.store, serial):
        raise NotFoundError(f"there is no device and no certificate {word!r}", hint=_UNKNOWN)
    return _holder(state, serial)


def devices_in(state: State, path: str) -> list[str]:
    """The ids of the devices that certificates in a file belong to; certificates of CAs beside them are passed over.

    Raises:
        NotFoundError: there is no such file, this state does not know a certificate in it, or it is a broker's.
        PolicyError: it holds none of a device.
    """
    facts = [certificate_facts(der) for der in certificates_in(read_file(path, limit=_MAX_FILE))]
    serials = [one.serial for one in facts if not one.is_ca]
    if not serials:
        raise PolicyError(f"{path!r} holds no certificate of a device", hint="give the device's device.crt")
    return list(dict.fromkeys(_holder(state, serial) for serial in serials))


def _holder(state: State, serial: SerialNumber) -> str:
    if not has_certificate(state.store, serial):
        raise NotFoundError(f"this state does not know certificate {serial.hex}", hint=_UNKNOWN)
    _, name = certificate_by_serial(state.store, serial)
    if find_device(state.store, name) is None:
        raise NotFoundError(f"certificate {serial.hex} is the broker's {name!r}", hint=f"iotonboard broker show {name}")
    return name
