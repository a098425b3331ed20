"""The verb ``ca``: ``status``, ``rollover`` and ``passwd``."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.options import WeakOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.errors import UsageError
from iotonboard.model import KeyType, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.rollover_status import Standing
    from iotonboard.commands.ca_rollover import Result

app = group("ca", "The certificate authority: where it stands, its successor, its passphrase.",
            example="iotonboard ca status")  # fmt: skip


@verb(app, "status", example="iotonboard ca status --json")
def status(session: Session) -> int | None:
    """Show each CA that is trusted, what still uses it, and where a rollover stands. Needs no passphrase."""
    return _show_standing(session)


def _show_standing(session: Session) -> int | None:
    from iotonboard.commands.ca_status import ca_status

    with session.open_state() as state:
        result = ca_status(state)
    _print(session, result.status, result.cas)
    return None


@verb(app, "rollover", example="iotonboard ca rollover begin --passphrase-file ca.pass")
def rollover(
    session: Session,
    action: Annotated[
        Literal["begin"] | None, typer.Argument(metavar="[begin]", help="Make the new CA; left out: show the standing.")
    ] = None,
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
) -> int | None:
    """Put a new CA beside the old one. Both are trusted until --retire; new certificates are of the new one.

    The passphrase stays the same. Refused is the retirement of a CA that has valid certificates.
    """
    from iotonboard.commands import ca_rollover as command

    if action is not None and retire:
        raise UsageError("'begin' and --retire exclude each other", hint="choose one of them")
    if action is None and (name or key_type):
        raise UsageError("--name and --key-type are for a new CA", hint="type: iotonboard ca rollover begin")
    if action is None and not retire:
        return _show_standing(session)
    with session.open_state() as state:
        if retire:
            result = command.retire(state, session.unlocker(state))
        else:
            result = command.begin(state, command.Request(name, key_type, validity_days), session.ask_passphrase)
        path = state.paths.ca_certificate
    _print(session, result.status, result.cas)
    _tell_next_step(session, result, path)
    return None


def _tell_next_step(session: Session, result: Result, path: str) -> None:
    if result.status == "begun":
        if not result.is_encrypted:
            session.message("warning: the CA key is not encrypted; 'iotonboard ca passwd' gives it a passphrase")
        session.message(f"next: copy CRL and {path} to every broker, both, then reload it")
        session.message("then: iotonboard backup, because earlier ones lack the new key; iotonboard renew --old-ca")
    elif result.status == "under-way":
        session.message("a rollover is under way; nothing was made. 'iotonboard ca rollover --retire' ends it")
    else:
        session.message(f"next: copy {path} and CRL to every broker and reload it, then make a new backup")


def _print(session: Session, status: str, cas: Sequence[Standing]) -> None:
    issuing = cas[0]
    values = {
        "status": status,
        "name": issuing.name,
        "ca_fingerprint": issuing.fingerprint,
        "not_after": rfc3339(issuing.not_after),
        "crl_number": issuing.crl_number,
        "cas": [_values(one) for one in cas],
    }
    if session.json:
        output.write_json(session.command, values)
        return
    output.write_line(status)
    rows = [
        (one.role, one.name, f"valid until {rfc3339(one.not_after)}", f"CRL {one.crl_number}",
         f"{one.valid_devices} devices", f"{len(one.brokers)} brokers")
        for one in cas
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


@verb(
    app,
    "passwd",
    example="iotonboard ca passwd --passphrase-file ca.pass --generate-key-file /media/key/new.pass",
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
    weak: WeakOption = False,
) -> int | None:
    """Change the passphrase of the CA key. Certificates and bundles stay valid.

    Copies of the old key file, in backups for example, still open with the old passphrase.
    """
    from iotonboard.ca.passphrase import generate_key_file as make_key_file
    from iotonboard.commands.ca_passwd import change_passphrase

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
            made.append(asked.new_passphrase(weak=weak))
        return made[0]

    with session.open_state() as state:
        paths = change_passphrase(state, session.ask_passphrase, new)
    session.result({"key_files": paths}, "\n".join(f"{path}\tnew passphrase" for path in paths))
    session.message("next: keep the new passphrase safe, make a new backup, and destroy the old ones")
    return None
