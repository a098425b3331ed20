"""The verb ``init-office``."""

from __future__ import annotations

import os
import shlex
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.new_secrets import FirstSecret
from iotonboard.cli.options import WeakOption
from iotonboard.cli.session import Session, clock, verb
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

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
    join: Annotated[
        bool, typer.Option("--join", help="Work on the registry of another machine, with a key of one's own.")
    ] = False,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="HEX", help="With --join: SHA-256 of the first machine's office.crt."),
    ] = None,
) -> int | None:
    """Make the state of a head office: it joins what stations tell, and has no CA.

    An existing state is never touched. DATABASE_URL names its registry; without one it lies in the folder.
    """
    from iotonboard.commands import init_office as command

    secret = FirstSecret(session, generate_key_file, False, weak, None)
    secret.check()

    def passphrase(is_resumed: bool) -> Passphrase | None:
        return secret.find(f" for the office in {os.path.abspath(session.root)!r}", is_resumed=is_resumed)

    if join:
        _join(session, name, passphrase, fingerprint, generate_key_file)
        return None
    if fingerprint is not None:
        raise UsageError("--fingerprint goes with --join", hint="leave it out where an office is made")
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


def _join(
    session: Session,
    name: str,
    passphrase: Callable[[bool], Passphrase | None],
    fingerprint: str | None,
    key_file: str | None,
) -> None:
    from iotonboard.cli.office_session import confirm_fingerprint
    from iotonboard.commands.join_office import join_office

    question = "Does the first machine's office.crt say the same?"
    ask = partial(confirm_fingerprint, session, "the office's first machine", question)
    place, certificate = join_office(
        session.root, session.environment, clock(), name, passphrase, fingerprint=fingerprint, confirm=ask
    )
    own = sha256(certificate).hexdigest()
    values = {"state": os.path.abspath(session.root), "registry": place, "fingerprint": own, "status": "waiting"}
    session.result(values, f"{os.path.abspath(session.root)}\twaiting {own}\t{place}")
    session.tell_key_file(key_file)
    session.message(f"next: at the office's first machine: iotonboard machine trust {shlex.quote(name)}")
