"""What an office gives out at one moment: CRL, CA file and ACL of the fleet, and what a package says of them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.broker.office_part import OfficePart, StationPart
from iotonboard.broker.package import IssuerPart
from iotonboard.broker.region import stream_operator_text
from iotonboard.disk.permissions import check_plain
from iotonboard.disk.reading import holds, read_pieces
from iotonboard.errors import PolicyError
from iotonboard.model import SerialNumber
from iotonboard.office.derived import open_derived
from iotonboard.office.fleet import read_fleet, signed_list
from iotonboard.office.fleet_acl import FleetAcl, read_denied
from iotonboard.office.office import refuse_untrusted
from iotonboard.office.region import changes
from iotonboard.pki import pem
from iotonboard.pki.key_id import key_id
from iotonboard.store.registry import given_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.broker.acl import Version
    from iotonboard.broker.region import Change
    from iotonboard.broker.render import Style
    from iotonboard.errors import IotOnboardError, StateError
    from iotonboard.office.fleet import Fleet, Station
    from iotonboard.office.fleet_acl import Denied
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office
    from iotonboard.store.registry.given_out import List

_EXPLAINED = timedelta(days=2 * 366)  # a broker that nobody visited for longer is told why no serial left its list


@dataclass(frozen=True, slots=True)
class Given:
    """What goes out at ``now``. ``changes``: which changes the region of the ACL was, the one that it is first.

    ``unread``: by a station's name, why its newer journals could not be verified. ``mark`` is another one whenever the
    lists or the CAs can be others. ``problems``: by a station's name, what keeps something of it from going out.
    ``removed_machines``: the keys of the office's own that count no more.
    """

    fleet: Fleet
    denied: Denied
    changes: tuple[Change, ...]
    version: Version
    now: datetime
    unread: Mapping[str, StateError]
    mark: str
    problems: list[tuple[str, IotOnboardError]]
    removed_machines: tuple[str, ...]

    @property
    def lists(self) -> list[tuple[Station, List]]:
        """Every list, with the station that it is of."""
        return [(station, one) for station in self.fleet.stations for one in station.lists]

    def crl_pem(self) -> bytes:
        """The CRL file: each station's lists, then those of the CAs above; one that its CA did not sign is told."""
        ders = []
        for station, one in self.lists:
            try:
                ders.append(signed_list(self.fleet.registry, station, one))
            except PolicyError as error:
                self.problems.append((station.name, error))
        return b"".join(pem.pem_encode("X509 CRL", der) for der in dict.fromkeys((*ders, *self.fleet.root_lists)))

    def ca_pem(self) -> bytes:
        """The CA file."""
        return b"".join(pem.pem_encode("CERTIFICATE", der) for der in self.fleet.cas)

    def acl(self, style: Style | None = None) -> FleetAcl:
        """The region of the ACL; it is rendered around what stands in a file (``render_acl``)."""
        return FleetAcl(self.fleet, self.denied, self.now, style)

    def render_acl(self, acl: FleetAcl, path: str) -> Iterator[bytes]:
        """The ACL at ``path`` as it is to be: what an operator wrote around the region stays as it is.

        Raises:
            PolicyError: lines there would break the broker; or a rule of a station's device would.
            ConflictError: a link, or something that is no file, stands there.
        """
        return acl.render(_operator_text(path), self.changes[0], self.version)

    def acl_is_current(self, acl: FleetAcl, path: str) -> bool:
        """Say whether the file at ``path`` says so already, in this change or an earlier one that gave the same."""
        if not os.path.exists(path):
            return False
        operator = _operator_text(path)
        change = operator.change if operator.change in self.changes else self.changes[0]
        return holds(path, acl.render(operator, change, self.version))

    def issuers(self) -> tuple[IssuerPart, ...]:
        """What a package says of each CA."""
        return tuple(
            self._issuer(station, issuer, chain[0])
            for station in self.fleet.stations
            for issuer, chain in station.chains.items()
        )

    def _issuer(self, station: Station, issuer: int, certificate: bytes) -> IssuerPart:
        number = min((one.number for one in station.lists if one.issuer == issuer), default=0)
        left = given_out.left_serials(self.fleet.registry, station.id, issuer, self.now - _EXPLAINED, self.now)
        reasons = {SerialNumber.from_octets(serial).hex: why for serial, why in left.items()}
        return IssuerPart(sha256(certificate).hexdigest(), number, reasons)

    def words(self) -> dict[str, Any]:
        """What a package says of its ACL, and of how far the office knows its stations."""
        newest = self.changes[0]
        stations = tuple(
            StationPart(one.keys, one.head.until.row, self.denied.by_station[one.id]) for one in self.fleet.stations
        )
        return {
            "issuers": self.issuers(),
            "gone": (*self.fleet.gone, *self.removed_machines),
            "acl_change": newest.number,
            "acl_floor": self.changes[-1].number,
            "acl_before": tuple((one.number, one.row, one.mark) for one in self.changes[1:]),
            "denied": self.denied.names,
            "broker_version": self.version,
            "office": OfficePart(stations, tuple(sorted(self.denied.ordered))),
        }


def _operator_text(path: str) -> Any:
    check_plain(path)
    return stream_operator_text(read_pieces(path) if os.path.exists(path) else ())


@contextlib.contextmanager
def open_given(office: Office, unlock: Callable[[], OfficeKey]) -> Iterator[Given]:
    """Read what goes out now; ``unlock`` is asked only where a journal was taken since.

    Raises:
        StateError: the trail is not believed, or of a trusted station nothing can be verified any more.
        PolicyError: a setting cannot be, or no station is trusted.
        KeyUnavailableError: the office's key does not open.
        BusyError: the disk or the registry refuses.
    """
    refuse_untrusted(office)
    version = version_of(office.settings["broker_version"])
    found = changes(office)
    if not found:
        raise PolicyError("no station is trusted yet: there is nothing to give out", hint="iotonboard station trust")
    with open_derived(office, unlock) as derived:
        now, fleet = office.clock(), read_fleet(derived, office.decisions)
        yield Given(
            fleet,
            read_denied(fleet, office.decisions, now),
            tuple(found),
            version,
            now,
            derived.problems,
            f"{derived.digest} {found[0].mark}",
            list(fleet.problems),
            tuple(sorted(office.decisions.removed_machines)),
        )


def version_of(text: str) -> Version:
    """The release of the broker that a setting names.

    Raises:
        PolicyError: it is none that is known.
    """
    if text in ("2.0", "2.1"):
        return "2.1" if text == "2.1" else "2.0"
    raise PolicyError(f"'broker_version' cannot be {text!r}", hint="it is 2.0 or 2.1")


def office_key(office: Office) -> str:
    """The key by which brokers pin the office (``pki.key_id``): that of its first machine."""
    return key_id(office.chain[-1])
