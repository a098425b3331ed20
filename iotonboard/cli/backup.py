"""The verb ``backup``."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.passphrases import backup_secret
from iotonboard.cli.session import Session, verb

app = typer.Typer()


@verb(app, "backup", example="iotonboard backup /media/usb/plant4-2030-01-31.zip --passphrase-file ca.pass")
def backup(
    session: Session, file: Annotated[str, typer.Argument(metavar="FILE", help="The backup; must not exist yet.")]
) -> int | None:
    """Write one consistent, encrypted file with the whole state, while other commands go on.

    It is sealed as a whole, and counts once it was read back from its disk. Devices' folders are written again from it.
    """
    from iotonboard.commands.backup import back_up

    with session.open_all() as cas:
        made = back_up(cas, file, lambda: backup_secret(session, cas.around), noise=os.urandom(16))
    values = {
        "path": made.path,
        "sha256": made.sha256,
        "devices": made.contents.devices,
        "crl_number": made.contents.crl_number,
        "audit_seq": made.contents.audit_seq,
        "audit_head": made.contents.audit_head,
        "left_out": list(made.left_out),
        "holds_ca_key": made.holds_ca_key,
    }
    devices = output.counted(made.contents.devices, "device")
    holds = f"{devices}\tCRL {made.contents.crl_number}\thead {made.contents.audit_head}"
    session.result(values, f"{made.path}\t{holds}\tSHA-256 {made.sha256}")
    for reason in made.left_out:
        session.message(f"warning: not in the backup: {reason}")
    if made.holds_ca_key:
        session.message("keep it apart from the passphrase; with both, anybody is this CA")
    else:
        session.message(
            "the CA key is not in it: it lies in a token, which opens this backup with its PIN, as does the recovery"
            " passphrase"
        )
    session.message(f"next: where it will lie, iotonboard restore {shlex.quote(os.path.basename(made.path))} --check")
    return None
