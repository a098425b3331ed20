"""The verb ``init-office``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.new_secrets import FirstSecret
from iotonboard.cli.options import WeakOption
from iotonboard.cli.session import Session, clock, verb

if TYPE_CHECKING:
    from iotonboard.ca.passphrase import Passphrase

app = typer.Typer()


@verb(
    app, "init-office", example="iotonboard init-office --state /srv/office --generate-key-file /media/key/office.pass"
)
def init_office(
    session: Session,
    name: Annotated[str, typer.Option("--name", help="What the office is called, in its certificate.")] = "office",
    generate_key_file: Annotated[
        str | None,
        typer.Option("--generate-key-file", metavar="FILE", help="Make a random passphrase file there and use it."),
    ] = None,
    weak: WeakOption = False,
) -> int | None:
    """Make the state of a head office: it joins what stations tell, and has no CA.

    An existing state is never touched. DATABASE_URL names its registry; without one it lies in the folder.
    """
    from iotonboard.commands import init_office as command

    secret = FirstSecret(session, generate_key_file, False, weak, None)
    secret.check()

    def passphrase(is_resumed: bool) -> Passphrase | None:
        return secret.find(f" for the office in {os.path.abspath(session.root)!r}", is_resumed=is_resumed)

    result = command.init_office(session.root, session.environment, session.caller, clock, name, passphrase)
    values = {
        "state": result.state,
        "registry": result.registry,
        "certificate": result.certificate_path,
        "fingerprint": result.fingerprint,
    }
    session.result(values, f"{result.state}\toffice {result.fingerprint}\t{result.registry}")
    session.message(f"made the office {name!r} in {result.state!r}")
    session.tell_key_file(generate_key_file)
    session.message(
        f"next: iotonboard help office; what stations and brokers pin is {shlex.quote(result.certificate_path)}"
    )
    return None
