"""``gen-crl``, ``sync-acl`` and ``pack`` at an office."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from iotonboard.cli import output
from iotonboard.cli.office_session import open_office, unlocker
from iotonboard.errors import UnpublishedError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iotonboard.broker.render import Style
    from iotonboard.cli.session import Session
    from iotonboard.errors import IotOnboardError, StateError, Unpublished

_NEXT = "next: iotonboard pack --out FILE, and at each broker iotonboard apply FILE --ca office.crt"


def gen_crl(session: Session, *, here: bool) -> None:
    """Write the lists of all stations, with CA file and ACL."""
    from iotonboard.commands.office_gen_crl import gen_crl as run

    with open_office(session) as office:
        made = run(office, unlocker(session, office), here=here)
    lists = [
        {
            "station": name,
            "crl_number": one.number,
            "this_update": rfc3339(one.this_update),
            "next_update": rfc3339(one.next_update),
            "revoked": one.revoked,
        }
        for name, one in made.lists
    ]
    values: dict[str, Any] = {
        "crl_number": max((one.number for _, one in made.lists), default=0),
        "this_update": max((str(one["this_update"]) for one in lists), default=""),
        "next_update": min((str(one["next_update"]) for one in lists), default=""),
        "revoked": _revoked(made.lists),
        "path": made.path,
        "lists": lists,
    }
    stations = output.counted(len({one["station"] for one in lists}), "station")
    text = f"{made.path}\t{stations}\t{len(lists)} lists\t{values['revoked']} revoked"
    session.result(values | _problems(made.problems), text, unpublished=made.unpublished)
    _end(session, made.problems, made.unpublished, made.unread)
    session.message(_NEXT)


def _revoked(lists: Iterable[tuple[str, Any]]) -> int:
    """How many certificates are revoked: of each CA the most that one of its lists has."""
    of_cas: dict[tuple[str, int], int] = {}
    for name, one in lists:
        of_cas[name, one.issuer] = max(one.revoked, of_cas.get((name, one.issuer), 0))
    return sum(of_cas.values())


def sync_acl(session: Session, *, style: Style | None, out: str | None, check: bool, here: bool) -> int | None:
    """Bring the ACL to what all stations say."""
    from iotonboard.commands.office_sync_acl import sync_acl as run

    with open_office(session) as office:
        made = run(office, unlocker(session, office), style=style, out=out, check=check, here=here)
    values = {
        "path": made.path,
        "style": made.style,
        "devices": made.devices,
        "revoked": made.revoked,
        "changed": made.changed,
        "warning": made.warning,
        "conflicts": list(made.conflicts),
    }
    is_written = not check and not any(one.what == "acl" for one in made.unpublished)
    what = ("written" if is_written else "differs") if made.changed else "is current"
    text = f"{made.path}\t{what}\t{output.counted(made.devices, 'device')}\t{made.revoked} denied"
    session.result(values | _problems(made.problems), text, unpublished=made.unpublished)
    if made.warning:
        session.message(f"warning: {made.warning}")
    _tell_conflicts(session, made.conflicts)
    _end(session, made.problems, made.unpublished, made.unread)
    if made.changed and not check:
        session.message(_NEXT)
    return 9 if check and made.changed else None


def pack(session: Session, *, out: str, valid_days: int | None, force: bool) -> None:
    """Write a package for brokers, signed by the office."""
    from iotonboard.commands.office_pack import pack as run

    with open_office(session) as office:
        made = run(office, unlocker(session, office), out, valid_days=valid_days, force=force)
    manifest = made.manifest
    values = {
        "path": made.path,
        "format": manifest.format,
        "counter": manifest.counter,
        "created": rfc3339(manifest.created),
        "expires": rfc3339(manifest.expires),
        "crl_number": manifest.crl_number,
        "size": made.size,
        "files": {name: digest for name, _, digest in manifest.files},
        "stations": len(manifest.office.stations) if manifest.office else 0,
        "conflicts": list(made.conflicts),
    }
    text = f"{made.path}\tpackage {manifest.counter}\t{values['stations']} stations\tuntil {rfc3339(manifest.expires)}"
    session.result(values | _problems(made.problems), text, unpublished=made.unpublished)
    _tell_conflicts(session, made.conflicts)
    package = shlex.quote(os.path.basename(out))
    session.message(
        f"next: on each broker's machine, iotonboard apply {package} --ca office.crt --dest DIR --reload HOW"
    )
    _end(session, made.problems, made.unpublished, made.unread)


def _tell_conflicts(session: Session, conflicts: Sequence[str]) -> None:
    for name in conflicts:
        session.message(
            f"warning: {name!r} lives at several stations and is denied: revoke it at all but one of them, and take"
            f" their journals; 'iotonboard show {name}' has both histories"
        )


def _problems(problems: Iterable[tuple[str, IotOnboardError]]) -> dict[str, Any]:
    return {"problems": [{"station": name, "problem": error.message} for name, error in problems]}


def _end(
    session: Session,
    problems: Sequence[tuple[str, IotOnboardError]],
    unpublished: Sequence[Unpublished],
    unread: StateError | None,
) -> None:
    """Tell what keeps something of a station from going out, behind all that went out.

    Raises:
        UnpublishedError: not everything could be written.
        StateError: a journal that was taken could not be verified.
    """
    for _, error in problems:
        session.message(f"warning: {error.message} ({error.hint})")
    if unpublished:
        raise UnpublishedError(unpublished)
    if unread is not None:
        raise unread
