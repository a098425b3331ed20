"""The verb ``gen-crl``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import refuse_at_office
from iotonboard.cli.options import HereOption, ReloadOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import reload_next
from iotonboard.errors import IotOnboardError, UnpublishedError, UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iotonboard.commands.gen_crl import Result
    from iotonboard.errors import Unpublished

app = typer.Typer()


@verb(app, "gen-crl", example="iotonboard gen-crl --calendar 8 --every 7 --passphrase-file ca.pass")
def gen_crl(
    session: Session,
    next_update_days: Annotated[
        int | None, typer.Option("--next-update-days", min=1, max=3650, help="Life of the CRL, in days.")
    ] = None,
    calendar: Annotated[
        int | None,
        typer.Option("--calendar", min=0, max=520, metavar="N", help="Sign N lists ahead of time; 0 ends it."),
    ] = None,
    every: Annotated[
        int | None, typer.Option("--every", min=1, max=3650, metavar="DAYS", help="A list of the calendar each N days.")
    ] = None,
    here: HereOption = False,
    reload: ReloadOption = False,
) -> int | None:
    """Sign a new CRL and publish it, with the ACL.

    With --calendar the file holds the lists of the next weeks too, and a broker that nobody visits moves from
    one to the next by itself. It is kept: every later revocation signs all of it anew. Its price is replay:
    whoever puts an old calendar back un-revokes, until it ends, what was revoked since; the ACL's deny remains.
    At an office the file has the lists that its stations signed.
    """
    _refuse_together(next_update_days, calendar, every)
    if is_office(session.root):
        from iotonboard.cli.office_give import gen_crl as give

        refuse_at_office(next_update_days=next_update_days, calendar=calendar is not None, reload=reload)
        give(session, here=here)
        return None
    from iotonboard.commands.gen_crl import CalendarRequest, gen_crl_of_added
    from iotonboard.commands.gen_crl import gen_crl as sign

    request = CalendarRequest(calendar, every) if calendar is not None else None
    with session.open_all(is_urgent=True) as cas:
        state = cas.around
        try:
            result, unpublished = sign(
                state,
                session.unlocker(state),
                next_update_days=next_update_days,
                calendar=request,
                here=here,
                reload=session.reloader(state, wanted=reload, signs_first=True),
            )
        except IotOnboardError:  # of the state's own CA alone
            gen_crl_of_added(cas, session.unlocker, next_update_days=next_update_days)
            raise
        added, refused = gen_crl_of_added(cas, session.unlocker, next_update_days=next_update_days)
    _print(session, result, added, unpublished, refused)
    unpublished += refused
    if unpublished:
        raise UnpublishedError(unpublished, reload=reload)
    if len(result.lists) > 1:
        session.message(
            f"the calendar ends on {rfc3339(result.lists[-1].next_update)}; until then an old copy of it, put back,"
            " un-revokes what was revoked since it was signed: keep it no longer than your visits need"
        )
    if result.is_root:
        name = shlex.quote(os.path.basename(result.path))
        session.message(f"next: carry {result.path!r} to every station, and type there: iotonboard ca install {name}")
    elif not reload:
        session.message(reload_next(state))
    return None


def _refuse_together(next_update_days: int | None, calendar: int | None, every: int | None) -> None:
    if every is not None and calendar is None:
        raise UsageError("--every goes with --calendar", hint="for one list use --next-update-days")
    if next_update_days is not None and calendar:
        raise UsageError(
            "--next-update-days and --calendar exclude each other", hint="a calendar's lists last 2 x --every"
        )


def _print(
    session: Session,
    result: Result,
    added: Mapping[str, Result],
    unpublished: Sequence[Unpublished],
    refused: Sequence[Unpublished],
) -> None:
    values = _values(result)
    if added:
        values["added"] = [{"ca": name, **_values(one)} for name, one in added.items()]
    lines = [_line(result, unpublished), *(f"{name}: {_line(one, refused)}" for name, one in added.items())]
    session.result(values, "\n".join(lines), unpublished=[*unpublished, *refused])


def _values(result: Result) -> dict[str, object]:
    row, last = result.lists[0], result.lists[-1]
    return {
        "crl_number": row.number,
        "this_update": rfc3339(row.this_update),
        "next_update": rfc3339(row.next_update),
        "revoked": row.revoked,
        "path": result.path,
        "calendar": [
            {
                "crl_number": one.number,
                "this_update": rfc3339(one.this_update),
                "next_update": rfc3339(one.next_update),
            }
            for one in result.lists
        ],
        "horizon": rfc3339(last.next_update),
        "old_ca": [{"crl_number": one.number, "revoked": one.revoked} for one in result.old_ca],
    }


def _line(result: Result, unpublished: Sequence[Unpublished]) -> str:
    row, last = result.lists[0], result.lists[-1]
    more = f" to {last.number}" if last is not row else ""
    more += f" (old CA: {result.old_ca[0].number})" if result.old_ca else ""
    place = "not published" if any(one.what == "crl" for one in unpublished) else result.path
    return f"CRL {row.number}{more}\t{row.revoked} revoked\tuntil {rfc3339(last.next_update)}\t{place}"
