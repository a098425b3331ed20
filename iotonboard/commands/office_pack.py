"""``pack`` at an office: ACL, CRL and CA file of all stations in one file that the office signed, for any broker.

1. Look at the place, then open the office's key.
2. In one transaction: count the package, and seal that.
3. Derive what the journals tell, render the files, and publish them, so that here and there the same is in force.
4. Sign the package, and write it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.broker.package import ACL, CA, CRL, OFFICE_FORMAT, Manifest, describe, render_package
from iotonboard.disk.beforehand import refuse_unwritable
from iotonboard.disk.files import PUBLIC, refuse_existing, replacing
from iotonboard.errors import IotOnboardError, PolicyError, Unpublished
from iotonboard.model import to_epoch
from iotonboard.office import decisions
from iotonboard.office.giving import office_key, open_given
from iotonboard.office.office import refuse_untrusted
from iotonboard.office.publishing import publish

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.errors import StateError
    from iotonboard.office.giving import Given
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office

DEFAULT_VALID_DAYS = 30
_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Result:
    """The new package; ``size`` in octets. ``unpublished`` is what could not be published here, or is not in it."""

    path: str
    manifest: Manifest
    size: int
    unpublished: tuple[Unpublished, ...]
    problems: tuple[tuple[str, IotOnboardError], ...]
    conflicts: tuple[str, ...]
    unread: StateError | None


def pack(
    office: Office, unlock: Callable[[], OfficeKey], out: str, *, valid_days: int | None = None, force: bool = False
) -> Result:
    """Write the files of all stations as one package. An ACL that cannot be rendered is left out of it, and told.

    Raises:
        ConflictError: ``out`` exists.
        StateError: the trail is not believed, or of a trusted station nothing can be verified any more.
        PolicyError: no station is trusted, or nothing of one was taken.
        KeyUnavailableError: the office's key does not open.
        BusyError: the disk or the registry refuses.
    """
    refuse_unwritable(out)
    if not force:
        refuse_existing(out)
    refuse_untrusted(office)
    key = unlock()
    counter = _count(office, key)
    with open_given(office, lambda: key) as given:
        unpublished = publish(office, given)
        files, left_out = _files(office, given)
        manifest = _manifest(office, given, files, counter, valid_days)
        chain = dict.fromkeys((*key.chain, *office.chain))
        with replacing(out, PUBLIC) as file:
            file.writelines(render_package(manifest, files, [key.signer], chain))
            size = file.tell()
        conflicts = sorted({row.device_id for rows in given.denied.conflicts.values() for row in rows})
        unpublished = [*left_out, *(one for one in unpublished if one.what != "acl" or not left_out)]
        unread = next(iter(given.unread.values()), None)
        return Result(out, manifest, size, tuple(unpublished), tuple(given.problems), tuple(conflicts), unread)


def _count(office: Office, key: OfficeKey) -> int:
    """The next counter: of time, so that it rises past what a registry from a backup has forgotten too."""
    with office.transaction() as now:
        refuse_untrusted(office)
        counter = max(office.decisions.counter + 1, to_epoch(now))
        office.decide(now, decisions.PACKED, subject="package", counter=counter)
        office.seal(key)
    office.remember()
    return counter


def _files(office: Office, given: Given) -> tuple[dict[str, bytes], list[Unpublished]]:
    files = {CRL: given.crl_pem(), CA: given.ca_pem()}
    if not (files[CRL] and files[CA]):
        raise PolicyError(
            "no station has told of a CA and its list yet: there is nothing to pack",
            hint="iotonboard station take FILE",
        )
    path = office.place("broker_acl_file")
    try:
        files[ACL] = b"".join(given.render_acl(given.acl(), path))
    except IotOnboardError as error:
        return files, [Unpublished("acl", path, error)]
    return files, []


def _manifest(office: Office, given: Given, files: dict[str, bytes], counter: int, valid_days: int | None) -> Manifest:
    numbers = [one.number for _, one in given.lists]
    expires = min(given.now + timedelta(days=valid_days or DEFAULT_VALID_DAYS), _end(given))
    made = Manifest(counter, given.now, given.now - _SKEW, expires, max(numbers, default=0), describe(files))
    return replace(made, format=OFFICE_FORMAT, key=office_key(office), **given.words())


def _end(given: Given) -> datetime:
    """When the last station has no current list left: one that was not visited ends nobody else's."""
    return max(one.next_update for _, one in given.lists)
