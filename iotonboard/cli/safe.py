"""Verbs that keep the state safe: ``backup`` and ``restore``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from iotonboard.cli.session import Session, clock, verb
from iotonboard.errors import UsageError

app = typer.Typer()


@verb(app, "backup", example="iotonboard backup /media/usb/plant4-2030-01-31.zip --passphrase-file ca.pass")
def backup(
    session: Session, file: Annotated[str, typer.Argument(metavar="FILE", help="The backup; must not exist yet.")]
) -> int | None:
    """Write one consistent, encrypted file with database, CA key, settings and ACL, while other commands go on."""
    from iotonboard.commands.backup import back_up

    with session.open_state() as state:
        passphrase = session.read_passphrase("CA passphrase")
        opened = session.unlock(state, passphrase)
        made = back_up(state, opened, passphrase, file, noise=os.urandom(16))
    values = {
        "path": made.path,
        "sha256": made.sha256,
        "devices": made.devices,
        "crl_number": made.crl_number,
        "audit_seq": made.audit_seq,
    }
    session.result(values, f"{made.path}\t{made.devices} devices\tCRL {made.crl_number}\tSHA-256 {made.sha256}")
    session.message("keep it apart from the passphrase; with both, anybody is this CA")
    return None


@verb(app, "restore", example="iotonboard restore backup.zip --state ./state --crl /media/usb/crl.pem")
def restore(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A backup.")],
    crl: Annotated[
        str | None, typer.Option("--crl", metavar="FILE", help="The newest CRL that any broker has.")
    ] = None,
    no_crl: Annotated[
        bool, typer.Option("--no-crl", help="No newer CRL exists anywhere: jump over all numbers that were used.")
    ] = False,
) -> int | None:
    """Bring a state back into a new folder, and sign a CRL that forgets no revocation."""
    from iotonboard.commands.backup import restore as bring_back

    if (crl is None) == (not no_crl):
        raise UsageError(
            "which CRL do the brokers have?",
            hint="fetch the newest crl.pem from a broker and name it with --crl; --no-crl when there is none",
        )
    passphrase = session.read_passphrase("CA passphrase")
    result = bring_back(file, session.root, session.environment, session.caller, clock, passphrase, crl)
    values = {
        "state": result.state,
        "devices": result.devices,
        "taken_up": result.taken_up,
        "crl_number": result.crl_number,
    }
    text = f"{result.state}\t{result.devices} devices\t{result.taken_up} revocations taken up\tCRL {result.crl_number}"
    session.result(values, text)
    session.message("next: carry the new CRL and ACL to the brokers; 'iotonboard health --repair' writes device files")
    session.message("a device that was registered after the backup: iotonboard revoke --cert device.crt")
    return None
