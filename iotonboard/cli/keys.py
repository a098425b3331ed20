"""Verbs about the CA key: ``passwd``."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from iotonboard.ca.passphrase import Passphrase

app = typer.Typer()


@verb(
    app,
    "passwd",
    example="iotonboard passwd --passphrase-file ca.pass --generate-key-file /media/key/new.pass",
)
def passwd(
    session: Session,
    new_passphrase_file: Annotated[
        str | None,
        typer.Option("--new-passphrase-file", metavar="FILE", help="File whose first line is the new passphrase."),
    ] = None,
    generate_key_file: Annotated[
        str | None,
        typer.Option("--generate-key-file", metavar="FILE", help="Make a random passphrase file there and use it."),
    ] = None,
) -> int | None:
    """Change the passphrase of the CA key. Certificates and bundles stay valid.

    Copies of the old key file, in backups for example, still open with the old passphrase.
    """
    from iotonboard.ca.authority import key_is_encrypted
    from iotonboard.ca.key_file import generate_key_file as make_key_file
    from iotonboard.commands.passwd import change_passphrase

    if new_passphrase_file and generate_key_file:
        raise UsageError("more than one way to the new passphrase", hint="choose one of them")
    if new_passphrase_file == "-" and session.passphrase_file == "-":
        raise UsageError("stdin cannot be both passphrases", hint="put one of them into a file")

    made: list[Passphrase] = []

    def new() -> Passphrase:
        if not made and generate_key_file is not None:
            # A change that was interrupted left the file: the same command again finishes it.
            made.append(make_key_file(generate_key_file, os.urandom(32), is_resumed=os.path.exists(generate_key_file)))
        elif not made:
            asked = replace(session, passphrase_file=new_passphrase_file, environment={})
            made.append(asked.read_passphrase("New CA passphrase", repeat=True))
        return made[0]

    with session.open_state() as state:
        old = session.read_passphrase("CA passphrase") if key_is_encrypted(state) else None
        paths = change_passphrase(state, old, new)
    session.result({"key_files": paths}, "\n".join(f"{path}\tnew passphrase" for path in paths))
    session.message("next: keep the new passphrase safe, make a new backup, and destroy the old ones")
    return None
