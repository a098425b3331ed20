"""``revoke`` at an office."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.office_session import open_office
from iotonboard.cli.targets import exit_code_with, names_of
from iotonboard.errors import UnpublishedError
from iotonboard.model import Refused, RevocationReason, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.cli.session import Session
    from iotonboard.errors import Unpublished
    from iotonboard.model import Target
    from iotonboard.office.revocations import Ordered


def revoke_at_office(
    session: Session,
    targets: list[Target | Refused],
    certificates: Sequence[str],
    reason: RevocationReason,
    station: str,
    *,
    strict: bool,
    yes: bool,
) -> int:
    """Order revocations, and tell what stands.

    Raises:
        UnpublishedError: a station has not done its part yet, which is so at first.
    """
    from iotonboard.commands import office_revoke as command

    if len(targets) + len(certificates) > 1 and (names := names_of(targets) or "certificates"):
        session.confirm(f"Revoke {names}?", yes=yes)
    with open_office(session, is_urgent=True) as office:
        targets += command.targets_in(certificates)
        results, unpublished = command.revoke(office, targets, reason, station=station, strict=strict)
    refused = [one for one in results if isinstance(one, Refused)]
    for one in results:
        if isinstance(one, Refused):
            output.write_error(one.message, one.error.hint)
        else:
            _print(session, one, unpublished)
    if refused and len(results) > 1:
        session.message(f"{len(refused)} of {len(results)} were refused")
    if unpublished:
        where = "sync-acl, and pack" if any(one.what == "acl" for one in unpublished) else "pack"
        session.message(f"next: iotonboard {where} --out FILE for every broker, which denies them then")
        raise UnpublishedError(unpublished, finish=command.FINISH)
    return reduce(exit_code_with, refused, 0)


def _print(session: Session, one: Ordered, unpublished: Sequence[Unpublished]) -> None:
    values = {
        "station": one.station,
        "device_id": one.device_id,
        "serials": [serial.hex for serial in one.serials],
        "reason": one.reason.value,
        "revocation_date": rfc3339(one.time) if one.time else None,
        "crl_number": None,
        "status": "ordered" if one.is_open else "expired" if one.is_ended else "revoked",
    }
    what = f"{output.counted(len(one.serials), 'certificate')} denied and ordered to be revoked"
    if not one.serials:
        what = "nothing to revoke: its certificates have expired" if one.is_ended else "was revoked already"
        what = "was ordered already" if one.is_open else what
    place = "not yet on the station's CRL" if one.is_open else "nothing is left to do"
    waiting = unpublished if one.is_open else ()
    session.result(values, f"{one.station}\t{one.device_id}\t{what}\t{place}", unpublished=waiting)
