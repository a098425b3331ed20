"""The verb ``ca trust``: ``add``, ``remove`` and ``list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.options import ReloadOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.cli.targets import reload_next
from iotonboard.errors import UnpublishedError, UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.ca_trust import Result
    from iotonboard.state.state import State
    from iotonboard.state.trust import Trusted

app = group("ca trust", "CAs of others whose devices brokers let in beside ours: an old fleet's.",
            example="iotonboard ca trust add old-ca.crt --crl old-crl.pem")  # fmt: skip


@verb(app, "add", example="iotonboard ca trust add old-ca.crt --crl old-crl.pem --passphrase-file ca.pass")
def add(
    session: Session,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="The CA, with all above it; left out: newer lists of trusted ones.")
    ] = "",
    crl: Annotated[
        list[str] | None, typer.Option("--crl", metavar="FILE", help="Its CRL, or a newer one; may be repeated.")
    ] = None,
    reload: ReloadOption = False,
) -> int | None:
    """Let brokers accept the devices of another CA too, or take its newer list. The ACL stays as it is.

    Whoever has that CA's key can make a certificate of any device's name: take it out as soon as the old fleet is gone.
    """
    from iotonboard.commands.ca_trust import add_trust

    if not file and not crl:
        raise UsageError("no file is named", hint="for example: iotonboard ca trust add old-ca.crt --crl old-crl.pem")
    with session.open_state() as state:
        reloader = session.reloader(state, wanted=reload, signs_first=True)
        result = add_trust(state, file, crl or (), session.unlocker(state), reload=reloader)
    return _end(session, state, result, reload=reload)


@verb(app, "remove", example="iotonboard ca trust remove 1f2e3d4c5b6a7988")
def remove(
    session: Session,
    which: Annotated[
        list[str], typer.Argument(metavar="CA...", help="Beginning of its fingerprint, or its certificate's file.")
    ],
    reload: ReloadOption = False,
) -> int | None:
    """Take a CA of others out again, with its list: its devices are refused from the next reload on."""
    from iotonboard.commands.ca_trust import remove_trust

    with session.open_state(is_urgent=True) as state:
        result = remove_trust(state, which, reload=session.reloader(state, wanted=reload))
    return _end(session, state, result, reload=reload)


@verb(app, "list", example="iotonboard ca trust list --json")
def list_cas(session: Session) -> int | None:
    """Show the CAs of others that are trusted, and until when their lists last."""
    from iotonboard.commands.ca_trust import list_trust

    with session.open_state() as state:
        result = list_trust(state)
    _print(session, result)
    return None


def _end(session: Session, state: State, result: Result, *, reload: bool) -> int | None:
    _print(session, result)
    for warning in result.warnings:
        session.message(f"warning: {warning}")
    if result.unpublished:
        raise UnpublishedError(result.unpublished, reload=reload)
    if result.changed and not reload:
        session.message(f"{reload_next(state)}; packages carry it: iotonboard pack")
    return None


def _print(session: Session, result: Result) -> None:
    values = {
        "changed": list(result.changed),
        "cas": [_values(one) for one in result.trusted],
    }
    if session.json:
        unpublished = output.unpublished_values(result.unpublished)
        output.write_json(session.command, {**values, **({"unpublished": unpublished} if unpublished else {})})
        return
    for one in result.trusted:
        lists = [f"CRL {crl.number or 'without a number'} until {rfc3339(crl.next_update)}" for crl in one.crls]
        note = [] if one.is_sealed else ["not signed by this CA: not published"]
        words = (one.ca.name, f"valid until {rfc3339(one.ca.not_after)}", *lists, *note)
        output.write_line("\t".join((one.ca.fingerprint[:16], *words)))
    if not result.trusted:
        output.write_line("none")


def _values(one: Trusted) -> dict[str, object]:
    return {
        "name": one.ca.name,
        "ca_fingerprint": one.ca.fingerprint,
        "not_after": rfc3339(one.ca.not_after),
        "added_at": rfc3339(one.ca.added_at),
        "published": one.is_sealed,
        "crls": [
            {
                "crl_number": crl.number,
                "this_update": rfc3339(crl.this_update),
                "next_update": rfc3339(crl.next_update),
                "revoked": crl.revoked,
            }
            for crl in one.crls
        ],
    }
