"""The verb ``ca-rollover``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError
from iotonboard.model import KeyType, rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.ca_rollover import Result, Standing

app = typer.Typer()


@verb(app, "ca-rollover", example="iotonboard ca-rollover --passphrase-file ca.pass")
def ca_rollover(
    session: Session,
    name: Annotated[
        str | None, typer.Option("--name", help="The new CA's name; default: the old one's with G2, G3, ...")
    ] = None,
    key_type: Annotated[
        KeyType | None, typer.Option("--key-type", help="The new CA's key type; default: as before.")
    ] = None,
    validity_days: Annotated[
        int, typer.Option("--validity-days", min=1, max=36500, help="Life of the new CA, in days.")
    ] = 3650,
    retire: Annotated[
        bool, typer.Option("--retire", help="End the rollover: take the old CA out and erase its key.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say where it stands; needs no passphrase.")] = False,
) -> int | None:
    """Put a new CA beside the old one. Both are trusted until --retire; new certificates are of the new one.

    The passphrase stays the same. Refused is the retirement of a CA that has valid certificates.
    """
    from iotonboard.ca.authority import key_is_encrypted
    from iotonboard.commands import ca_rollover as command

    if (retire and status) or ((retire or status) and (name or key_type)):
        raise UsageError("these options exclude each other", hint="--retire, --status, or what the new CA shall be")
    passphrase = None
    with session.open_state() as state:
        if status:
            result = command.standing(state)
        else:
            passphrase = session.read_passphrase("CA passphrase") if key_is_encrypted(state) else None
            opened = session.unlock(state, passphrase)
            state.publish(acl=False)
            request = command.Request(name, key_type, validity_days)
            result = command.retire(state, opened) if retire else command.begin(state, opened, request, passphrase)
        path = state.paths.ca_certificate
    _print(session, result)
    if result.status == "begun":
        if passphrase is None:
            session.message("warning: the CA key is not encrypted; 'iotonboard passwd' gives it a passphrase")
        session.message(f"next: copy CRL and {path} to every broker, both, then reload it")
        session.message("then: iotonboard backup, because earlier ones lack the new key; iotonboard renew --old-ca")
    elif result.status == "under-way" and not status:
        session.message("a rollover is under way; nothing was made. 'ca-rollover --retire' ends it")
    elif result.status == "retired":
        session.message(f"next: copy {path} and CRL to every broker and reload it, then make a new backup")
    return None


def _print(session: Session, result: Result) -> None:
    issuing = result.cas[0]
    values = {
        "status": result.status,
        "name": issuing.name,
        "ca_fingerprint": issuing.fingerprint,
        "not_after": rfc3339(issuing.not_after),
        "crl_number": issuing.crl_number,
        "cas": [_values(one) for one in result.cas],
    }
    if session.json:
        output.write_json("ca-rollover", values)
        return
    output.write_line(result.status)
    rows = [
        (one.role, one.name, f"valid until {rfc3339(one.not_after)}", f"CRL {one.crl_number}",
         f"{one.valid_devices} devices", f"{len(one.brokers)} brokers")
        for one in result.cas
    ]  # fmt: skip
    output.write_table([""] * len(rows[0]), rows)


def _values(one: Standing) -> dict[str, object]:
    return {
        "name": one.name,
        "ca_fingerprint": one.fingerprint,
        "role": one.role,
        "not_after": rfc3339(one.not_after),
        "crl_number": one.crl_number,
        "valid_devices": one.valid_devices,
        "brokers": list(one.brokers),
    }
