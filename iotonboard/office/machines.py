"""The machines of an office: how they are named and compared, and how one gets the certificate that it waited for."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import vouched
from iotonboard.errors import PolicyError
from iotonboard.model import DeviceId
from iotonboard.office.key import write_chain
from iotonboard.pki.key_id import key_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.office.decisions import Decisions


def check_machine_name(name: str) -> None:
    """Take what can be a file's name everywhere.

    Raises:
        PolicyError: it cannot.
    """
    try:
        DeviceId(name)
    except PolicyError as error:
        raise PolicyError(
            f"no machine can be called {name[:80]!r}",
            hint="use 1 to 64 letters, digits, dots, dashes and underscores; start with a letter or digit",
        ) from error


def check_fingerprint(certificate: bytes, said: str | None, confirm: Callable[[str], None]) -> None:
    """Hold a certificate (DER) against the SHA-256 that somebody said; without one, have it confirmed.

    Raises:
        PolicyError: it is another one.
    """
    found = sha256(certificate).hexdigest()
    if said is None:
        confirm(found)
    elif said.replace(":", "").replace(" ", "").lower() != found:
        raise PolicyError(f"the fingerprint is another one: {found}", hint="compare once more, from the beginning")


def take_certificate(certs: str, chain: tuple[bytes, ...], found: Decisions) -> tuple[bytes, ...]:
    """The chain of this machine; once the first one trusted it, with the certificate that it got, which is kept.

    Raises:
        BusyError: the disk refuses.
    """
    own = found.machines.get(key_id(chain[0]))
    if own is None or own == chain[0] or own not in vouched(chain[-1:], (own,)):
        return chain
    write_chain(certs, (own, chain[-1]))
    return (own, chain[-1])
