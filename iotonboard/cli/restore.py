"""The verb ``restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.session import Session, clock, verb
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from iotonboard.commands.restore import Result
    from iotonboard.commands.restore_crl import Result as InPlace

app = typer.Typer()


@verb(app, "restore", example="iotonboard restore backup.zip --state ./state --crl /media/usb/crl.pem")
def restore(
    session: Session,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A backup; without one the state in place goes on.")
    ] = None,
    crl: Annotated[
        str | None, typer.Option("--crl", metavar="FILE", help="The newest CRL that any broker has.")
    ] = None,
    no_crl: Annotated[
        bool, typer.Option("--no-crl", help="No newer CRL exists anywhere: jump over all numbers that were used.")
    ] = False,
) -> int | None:
    """Bring a state back into a new folder, and sign a CRL that forgets no revocation.

    Without a backup: go on with the state in place where an older copy of it was at work. What the CRL revokes is taken
    up, and from then on this copy is the one that counts.
    """
    from iotonboard.commands.restore import Request
    from iotonboard.commands.restore import restore as bring_back
    from iotonboard.commands.restore_crl import restore_crl

    if (crl is None) == (not no_crl):
        raise UsageError(
            "which CRL do the brokers have?",
            hint="fetch the newest crl.pem from a broker and name it with --crl; --no-crl when there is none",
        )
    if file is None:
        with session.open_state() as state:
            _tell(session, restore_crl(state, crl, session.unlocker(state)))
        return None
    request = Request(file, crl)
    session.work_as_owner()
    _tell(
        session, bring_back(session.root, session.environment, session.caller, clock, request, session.ask_passphrase)
    )
    session.message("a device that was registered after the backup: iotonboard revoke --cert device.crt")
    return None


def _tell(session: Session, result: Result | InPlace) -> None:
    values = {
        "state": result.state,
        "devices": result.devices,
        "taken_up": result.taken_up,
        "crl_number": result.crl_number,
    }
    text = f"{result.state}\t{result.devices} devices\t{result.taken_up} revocations taken up\tCRL {result.crl_number}"
    session.result(values, text)
    session.message("next: carry the new CRL and ACL to the brokers; 'iotonboard health --repair' writes device files")
