"""The verb ``ca add``."""

from __future__ import annotations

import functools
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.limits import tell_32_bits
from iotonboard.cli.session import Session, verb
from iotonboard.model import KeyType, rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.ca_add import Result


def add_to(app: typer.Typer) -> None:
    """Make it a verb of ``ca``."""
    verb(app, "add", example="iotonboard ca add servers --passphrase-file ca.pass")(add)


def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What profiles call it: servers.")],
    common_name: Annotated[
        str | None, typer.Option("--common-name", help="Its name in certificates; default: one that no other CA has.")
    ] = None,
    organization: Annotated[str | None, typer.Option("--organization", help="The CA's organization.")] = None,
    key_type: Annotated[
        KeyType, typer.Option("--key-type", help="Its key type; OPC UA takes RSA alone.")
    ] = KeyType.RSA_3072,
    validity_days: Annotated[
        int, typer.Option("--validity-days", min=1, max=36500, help="Life of the CA, in days.")
    ] = 3650,
    anew: Annotated[
        bool, typer.Option("--anew", help="In the place of one whose database is lost, with every backup.")
    ] = False,
) -> int | None:
    """Put a CA beside the one of brokers, for devices that are servers too: no broker and no MQTT device trusts it.

    Profiles name it in 'ca'; opcua and server want the CA servers. It opens with the passphrase of the state, and has
    its own certificate, CRL and trail, which --ca NAME shows: iotonboard ca status --ca servers.
    """
    from iotonboard.commands.ca_add import Request, add_ca

    request = Request(name, common_name, organization, key_type, validity_days, anew)
    with session.open_state() as state:
        ask = functools.cache(partial(session.passphrase_of, state))
        result = add_ca(state, request, ask, partial(session.unlock, state))
    _tell(session, result)
    return None


def _tell(session: Session, result: Result) -> None:
    values = {
        "ca": result.name,
        "name": result.common_name,
        "ca_fingerprint": result.fingerprint,
        "not_after": rfc3339(result.not_after),
        "crl_number": result.crl_number,
        "ca_certificate": result.certificate,
        "crl": result.crl,
    }
    until = rfc3339(result.not_after)
    session.result(values, f"{result.name}\tCA {result.fingerprint}\tvalid until {until}\t{result.certificate}")
    tell_32_bits(session, "the CA", result.not_after)
    if not result.is_encrypted:
        session.message("warning: the CA key is not encrypted; 'iotonboard ca passwd' gives it a passphrase")
    session.message(f"made the CA {result.common_name!r}, which no broker may trust: give it to those who use servers")
    session.message("next: iotonboard register ID --profile server --set host=NAME; then iotonboard backup")
