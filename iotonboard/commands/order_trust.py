"""``order trust``: the office whose orders this station follows from now on, compared by its fingerprint and sealed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import certifies_cas
from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.ca.authority import seal_audit, sealer
from iotonboard.errors import PolicyError
from iotonboard.pki.foreign_ca import read_foreign_ca
from iotonboard.state.office_orders import OFFICE
from iotonboard.state.settings_file import note_file, write_settings_file
from iotonboard.state.settings_seal import seal_settings, standing_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.authority import Unlock
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The office by the SHA-256 of its certificate, in hex, and the one ``before``; ``kept`` as in ``config set``."""

    fingerprint: str
    before: str
    kept: str = ""


def trust_office(
    state: State, path: str, unlock: Unlock, *, fingerprint: str | None, confirm: Callable[[str, str, str], None]
) -> Result:
    """Follow the orders of an office from now on, in place of the one before; again: nothing changes.

    ``path``: its certificate, of which the last one in the file is its first machine's. ``fingerprint``: SHA-256 of
    that, as it was read at the office; without it ``confirm`` is asked, with its name, its fingerprint and the one of
    the office before.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it holds no office's certificate, or one with another fingerprint; or the clock cannot be right.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        BusyError: the state is locked or the disk refuses.
    """
    certificate = read_certificate_file(path)[-1]
    if not certifies_cas(certificate):
        raise PolicyError(f"{path!r} is not the certificate of an office", hint="name its certs/office.crt")
    found, before = sha256(certificate).hexdigest(), str(state.config[OFFICE])
    if fingerprint is not None:
        _check(fingerprint, found)
    if found == before:
        return Result(found, before)
    if state.config.file.problems:
        raise state.config.file.problems[0]
    if fingerprint is None:
        confirm(read_foreign_ca(certificate).name, found, before)
    authority = unlock()
    values = standing_values(state) | {OFFICE: found}
    with state.transaction(signing=True) as now:
        seal_settings(state, values, now, sealer(authority))
        note_file(state)
        seal_audit(state, authority)
    return Result(found, before, write_settings_file(state, values, named=state.config.file.values))


def _check(given: str, found: str) -> None:
    if "".join(given.lower().replace(":", "").split()) != found:
        raise PolicyError(
            f"the office in the file has another fingerprint: {found}",
            hint="compare it with what 'iotonboard init-office' said; whose office it is, nothing else says",
        )
