"""The verb ``sync-acl``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli.options import HereOption, ReloadOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from iotonboard.commands.sync_acl import Result

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
    """Bring the ACL's managed region to what the database says. Everything outside of it stays."""
    from iotonboard.commands.sync_acl import sync_acl as sync

    if check and reload:
        raise UsageError("--check writes nothing to reload", hint="leave one of the two out")
    if here and (check or out is not None):
        raise UsageError("--here is about the configured file", hint="leave --check and --out out")
    changed = False
    with session.open_state() as state:
        reloader = session.reloader(state, wanted=reload)
        for result in sync(state, style=style, out=out, check=check, here=here, reload=reloader):
            _print(session, result, check=check)
            changed = result.changed
    if changed and not check and not reload:
        session.message("next: reload the broker (kill -HUP, or systemctl reload mosquitto)")
    return 9 if check and changed else None


def _print(session: Session, result: Result, *, check: bool) -> None:
    values = {
        "path": result.path,
        "style": result.style,
        "devices": result.devices,
        "revoked": result.revoked,
        "changed": result.changed,
        "warning": result.warning,
    }
    what = ("differs" if check else "written") if result.changed else "is current"
    session.result(values, f"{result.path}\t{what}\t{result.devices} devices\t{result.revoked} denied")
    if result.warning:
        session.message(f"warning: {result.warning}; 'iotonboard config set acl.style pattern' has no such cost")
