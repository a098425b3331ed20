"""The verb ``sync-acl``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import refuse_at_office
from iotonboard.cli.options import HereOption, ReloadOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import reload_next
from iotonboard.errors import UnpublishedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.commands.sync_acl import Result
    from iotonboard.errors import Unpublished

app = typer.Typer()


@verb(app, "sync-acl", example="iotonboard sync-acl --check")
def sync_acl(
    session: Session,
    style: Annotated[
        Literal["per-device", "pattern"] | None,
        typer.Option("--style", help="Another style than the configured one."),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="PATH", help="Another file than the configured one.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 9 when the file differs.")] = False,
    here: HereOption = False,
    reload: ReloadOption = False,
) -> int | None:
    """Bring the ACL's managed region to what the database says. Everything outside of it stays.

    At an office it is over the devices of all stations, as their journals tell.
    """
    if check and reload:
        raise UsageError("--check writes nothing to reload", hint="leave one of the two out")
    if here and (check or out is not None):
        raise UsageError("--here is about the configured file", hint="leave --check and --out out")
    if is_office(session.root):
        from iotonboard.cli.office_give import sync_acl as give

        refuse_at_office(reload=reload)
        return give(session, style=style, out=out, check=check, here=here)
    from iotonboard.commands.sync_acl import sync_acl as sync

    with session.open_all(is_urgent=True) as cas:
        state = cas.around
        reloader = session.reloader(state, wanted=reload)
        result, unpublished = sync(cas, style=style, out=out, check=check, here=here, reload=reloader)
    _print(session, result, unpublished, check=check)
    if unpublished:
        raise UnpublishedError(unpublished, reload=reload)
    if result.changed and not check and not reload:
        session.message(reload_next(state))
    return 9 if check and result.changed else None


def _print(session: Session, result: Result, unpublished: Sequence[Unpublished], *, check: bool) -> None:
    values = {
        "path": result.path,
        "style": result.style,
        "devices": result.devices,
        "revoked": result.revoked,
        "changed": result.changed,
        "warning": result.warning,
    }
    is_written = not check and not any(one.what == "acl" for one in unpublished)
    what = ("written" if is_written else "differs") if result.changed else "is current"
    text = f"{result.path}\t{what}\t{output.counted(result.devices, 'device')}\t{result.revoked} denied"
    session.result(values, text, unpublished=unpublished)
    if result.warning:
        session.message(f"warning: {result.warning}; 'iotonboard config set acl.style pattern' has no such cost")
