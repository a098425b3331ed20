"""The verb ``init-ca``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.limits import tell_32_bits
from iotonboard.cli.options import WeakOption
from iotonboard.cli.session import Session, clock, verb
from iotonboard.errors import UsageError
from iotonboard.model import KeyType, parse_moment, rfc3339

if TYPE_CHECKING:
    from iotonboard.ca.passphrase import Passphrase

app = typer.Typer()


@verb(
    app,
    "init-ca",
    example="iotonboard init-ca --common-name 'Plant 4 CA' --generate-key-file /media/key/ca.pass",
)
def init_ca(
    session: Session,
    common_name: Annotated[str, typer.Option("--common-name", help="The CA's name.")] = "IoT Onboarding CA",
    organization: Annotated[str | None, typer.Option("--organization", help="The CA's organization.")] = None,
    key_type: Annotated[KeyType, typer.Option("--key-type", help="The CA's key type.")] = KeyType.EC_P256,
    validity_days: Annotated[
        int, typer.Option("--validity-days", min=1, max=36500, help="Life of the CA, in days.")
    ] = 3650,
    generate_key_file: Annotated[
        str | None,
        typer.Option("--generate-key-file", metavar="FILE", help="Make a random passphrase file there and use it."),
    ] = None,
    no_passphrase: Annotated[
        bool,
        typer.Option("--no-passphrase", help="Leave the CA key unencrypted. Whoever copies it owns every device."),
    ] = False,
    weak: WeakOption = False,
    not_before: Annotated[
        str | None, typer.Option("--not-before", metavar="DAY", help="When the CA begins, such as 1970-01-01.")
    ] = None,
) -> int | None:
    """Make a state directory: CA key and certificate, database, empty CRL and empty ACL.

    An existing state is never touched. An interrupted call is finished by running it again.
    """
    from iotonboard.commands import init_ca as command

    if sum((no_passphrase, generate_key_file is not None, session.passphrase_file is not None)) > 1:
        raise UsageError(
            "more than one way to the passphrase",
            hint="choose one of them; IOTONBOARD_PASSPHRASE_FILE counts too: 'unset IOTONBOARD_PASSPHRASE_FILE'",
        )

    def passphrase(is_resumed: bool) -> Passphrase | None:
        if no_passphrase:
            return None
        if generate_key_file is not None:
            from iotonboard.ca.passphrase import generate_key_file as make_key_file

            return make_key_file(generate_key_file, os.urandom(32), is_resumed=is_resumed)
        return session.new_passphrase(weak=weak, whose=f" for {common_name!r} in {os.path.abspath(session.root)!r}")

    begin = parse_moment(not_before) if not_before is not None else None
    request = command.Request(common_name, organization, key_type, validity_days, begin, passphrase)
    session.work_as_owner()
    result = command.init_ca(session.root, session.environment, session.caller, clock, request)
    values = {
        "state": result.state,
        "ca_fingerprint": result.ca_fingerprint,
        "not_after": rfc3339(result.not_after),
        "crl_number": result.crl_number,
    }
    session.result(values, f"{result.state}\tCA {result.ca_fingerprint}\tvalid until {rfc3339(result.not_after)}")
    tell_32_bits(session, "the CA", result.not_after)
    if no_passphrase:
        session.message("warning: the CA key is not encrypted; 'iotonboard ca passwd' gives it a passphrase")
    if not_before is not None:
        session.message(
            f"next: iotonboard config set not_before {not_before}, for brokers and devices that begin there"
        )
    session.message(f"made the CA {common_name!r} in {result.state!r}")
    session.tell_key_file(generate_key_file)
    session.message("next: iotonboard broker issue HOST, then iotonboard register ID")
    return None
