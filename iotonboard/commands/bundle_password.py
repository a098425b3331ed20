"""``bundle password``: show a bundle's password again, to whoever holds the passphrase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit
from iotonboard.ca.credentials import check_certificate, current_certificate, open_secret, refuse_purged
from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from iotonboard.ca.authority import Unlock
    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The bundle's password, and the certificate in it."""

    device_id: str
    serial: SerialNumber
    password: str = field(repr=False)


def show_password(state: State, device_id: str, unlock: Unlock) -> Result:
    """The password of a device's bundle, once the audit row that says so is durable.

    Raises:
        NotFoundError: no such device or valid certificate, or its secrets were purged.
        KeyUnavailableError: the key or certificate in its row is another one's.
        PolicyError: the device made its own key: there is no bundle.
    """
    refuse_purged(state, device_id, current_certificate(state, device_id).serial)  # before a passphrase is asked for
    authority = unlock()
    with state.transaction() as now:
        certificate = current_certificate(state, device_id)
        refuse_purged(state, device_id, certificate.serial)
        check_certificate(state, device_id, certificate)
        password = open_secret(state, authority, certificate.serial)[1]
        if password is None:
            raise PolicyError(
                f"the key of {device_id!r} never left the device: there is no bundle and no password",
                hint="nothing is needed; the certificate is in 'iotonboard export ID --format pem'",
            )
        state.record(now, device_id, serial=certificate.serial.hex, detail={"password": "shown"})
        seal_audit(state, authority)
    return Result(device_id, certificate.serial, password)
