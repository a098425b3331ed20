"""``station trust``: believe the journals of a station from now on, whose CA a person compared.

1. Read the CA's certificate, and hold its fingerprint against what was said, or have it confirmed.
2. In one transaction: record the decision with the certificate, note the station, and seal the trail.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import key_of
from iotonboard.broker.certificate_file import read_anchors
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import DeviceId
from iotonboard.office import decisions
from iotonboard.office.judging import standing
from iotonboard.office.office import refuse_untrusted
from iotonboard.office.told_rows import folded
from iotonboard.pki.foreign_ca import read_foreign_ca
from iotonboard.store.registry.stations import add_station, next_station

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.office.decisions import Decisions
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office
    from iotonboard.pki.foreign_ca import ForeignCa

_SHOWN = "'iotonboard station list' shows them"


@dataclass(frozen=True, slots=True)
class Result:
    """The station. ``is_new``: it was not trusted before."""

    name: str
    ca: ForeignCa
    is_new: bool


def trust_station(
    office: Office,
    name: str,
    path: str,
    unlock: Callable[[], OfficeKey],
    *,
    fingerprint: str | None,
    confirm: Callable[[str, str], None],
) -> Result:
    """Trust a station. ``confirm`` is called with the CA's name and fingerprint where no ``fingerprint`` is given.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it holds no CA, the fingerprint is another one, or no station can be called so.
        ConflictError: another station is called so or has that CA.
        StateError: the office's trail is not believed.
        BusyError: another machine holds the registry, or the disk refuses.
    """
    check_name(name)
    refuse_untrusted(office)
    ca = _chosen(read_anchors(path), fingerprint)
    if _is_trusted(office.decisions, name, ca):
        return Result(name, ca, is_new=False)
    if fingerprint is None:
        confirm(ca.short_name, ca.fingerprint)
    key = unlock()
    with office.transaction() as now:
        refuse_untrusted(office)
        is_new = not _is_trusted(office.decisions, name, ca)
        if is_new:
            number = next_station(office.registry)
            certificate = base64.b64encode(ca.der).decode("ascii")
            office.decide(now, decisions.TRUST, subject=name, station=number, certificate=certificate)
            add_station(office.registry, number, name, ca.der, now)
            office.seal(key)
    office.remember()
    return Result(name, ca, is_new)


def check_name(name: str) -> None:
    """Take what can be a file's name everywhere.

    Raises:
        PolicyError: it cannot.
    """
    try:
        DeviceId(name)
    except PolicyError as error:
        raise PolicyError(
            f"no station can be called {name[:80]!r}",
            hint="use 1 to 64 letters, digits, dots, dashes and underscores; start with a letter or digit",
        ) from error


def _chosen(anchors: list[bytes], fingerprint: str | None) -> ForeignCa:
    """The CA that is meant: with that fingerprint, or of those that are above no other of the file the newest."""
    cas = [read_foreign_ca(der) for der in anchors]
    if fingerprint is not None:
        digits = fingerprint.replace(":", "").replace(" ", "").lower()
        found = [ca for ca in cas if ca.fingerprint == digits]
        if not found:
            shown = ", ".join(ca.fingerprint for ca in cas)
            raise PolicyError(
                f"the fingerprint is another one: {shown}", hint="compare once more with what the station says"
            )
        if any(found[0].issued(other) for other in cas):
            raise PolicyError(
                f"that is {found[0].short_name!r}, a CA above the station's own",
                hint="compare the station's own: it signs the journals",
            )
        return found[0]
    lowest = [ca for ca in cas if not any(ca.issued(other) for other in cas)]
    return max(lowest or cas, key=lambda ca: ca.not_before)


def _is_trusted(found: Decisions, name: str, ca: ForeignCa) -> bool:
    """Say whether the station is trusted already.

    Raises:
        ConflictError: another one is called so, or has this CA.
    """
    for one in standing(found):
        has_ca, is_called_so = key_of(ca.der) in map(key_of, (one.certificate, *one.cas)), one.name == name
        if has_ca and is_called_so:
            return True
        if has_ca:
            raise ConflictError(f"this CA is the station {one.name!r}'s", hint=_SHOWN)
        if folded(one.name) == folded(name):
            raise ConflictError(
                f"the station {one.name!r} has another CA",
                hint="choose another name; one whose CA was replaced brings the new one with its journal",
            )
    return False
