"""The verb ``machine``: ``trust``, ``list`` and ``remove``, at a head office."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.office_session import confirm_fingerprint, open_office, unlocker
from iotonboard.cli.options import YesOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.model import rfc3339

app = group("machine", "Machines that work on a head office's registry.", example="iotonboard machine trust hall2")
MachineArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the machine is called.")]


@verb(app, "trust", example="iotonboard machine trust hall2 --fingerprint 5e1f...")
def trust(
    session: Session,
    name: MachineArgument,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="HEX", help="SHA-256 of its certificate, as it says it.")
    ] = None,
) -> int | None:
    """Let another machine sign for the office, at the first one. Its fingerprint is compared; a script names it."""
    from iotonboard.commands.machine import trust_machine

    ask = partial(confirm_fingerprint, session, f"the machine {name!r}", "Does that machine say the same?")
    with open_office(session) as office:
        is_new = trust_machine(office, name, unlocker(session, office), fingerprint=fingerprint, confirm=ask)
    status = "trusted" if is_new else "unchanged"
    session.result({"machine": name, "status": status}, f"{name}\t{status}")
    return None


@verb(app, "list", example="iotonboard machine list")
def list_all(session: Session) -> int | None:
    """List the machines of the office; one that waits was trusted by nobody yet."""
    from iotonboard.commands.machine import list_machines

    with open_office(session) as office:
        found = list_machines(office)
    if session.json:
        for one in found:
            values = {
                "machine": one.name,
                "status": one.status,
                "fingerprint": one.fingerprint,
                "added_at": rfc3339(one.added_at),
                "this": one.is_this,
            }
            output.write_json(session.command, values)
        return None
    rows = [
        (one.name, f"{one.status}, this one" if one.is_this else one.status, rfc3339(one.added_at), one.fingerprint)
        for one in found
    ]
    output.write_table(("machine", "status", "since", "fingerprint"), rows, empty="none")
    return None


@verb(app, "remove", example="iotonboard machine remove hall2 --yes")
def remove(session: Session, name: MachineArgument, yes: YesOption = False) -> int | None:
    """Let a machine count no more: nothing that it signs from now on is believed at the office."""
    from iotonboard.commands.machine import remove_machine

    with open_office(session) as office:
        session.confirm(f"Remove the machine {name!r}? It signs nothing for the office any more.", yes=yes)
        remove_machine(office, name)
    session.result({"machine": name, "status": "removed"}, f"{name}\tremoved")
    session.message("next: iotonboard order write --out DIR, and iotonboard pack: stations and brokers learn it so")
    return None
