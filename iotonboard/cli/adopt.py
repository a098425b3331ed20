"""The verb ``adopt``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import CARRY, name_some, reload_with
from iotonboard.errors import ConflictError, UnpublishedError, UsageError

if TYPE_CHECKING:
    from iotonboard.commands.adopt import Device, Result
    from iotonboard.state.state import State

app = typer.Typer()
_MOST = 100  # conflicts that are told one by one


@verb(app, "adopt", example="iotonboard adopt --index pki/index.txt --crl pki/crl.pem --dry-run")
def adopt(
    session: Session,
    index: Annotated[str, typer.Option("--index", metavar="FILE", help="The index.txt of openssl or easy-rsa.")] = "",
    certs: Annotated[
        list[str] | None,
        typer.Option(
            "--certs",
            metavar="PATH",
            help="Their certificates: a file or a folder; may be repeated.",
        ),
    ] = None,
    crl: Annotated[
        list[str] | None,
        typer.Option("--crl", metavar="FILE", help="The newest CRL of that CA; may be repeated."),
    ] = None,
    acl: Annotated[
        str,
        typer.Option("--acl", metavar="FILE", help="The hand-written ACL: rules of devices become theirs."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> int | None:
    """Take over the devices of a CA that was taken over, or of this one: their certificates go on being valid.

    Valid certificates become devices by their commonName, revoked ones keep date and reason, expired ones are history.
    Whatever stands against one of them is named, and then nothing is recorded.
    """
    from iotonboard.commands import adopt as command

    if not (index or certs or crl):
        raise UsageError("nothing to adopt is named", hint="for example: iotonboard adopt --index pki/index.txt")
    request = command.Request(index, tuple(certs or ()), tuple(crl or ()), acl, dry_run)
    with session.open_state() as state:
        result = command.adopt(state, request, session.unlocker(state))
        _print(session, result, dry_run=dry_run)
    if result.conflicts:
        for conflict in result.conflicts[:_MOST]:
            session.message(f"conflict: {conflict}")
        raise ConflictError(
            f"{len(result.conflicts)} conflict{'s' if result.conflicts[1:] else ''}: nothing was recorded",
            hint="settle each, then run the same command again; --dry-run shows what is left",
        )
    _tell(session, state, result, dry_run=dry_run)
    if result.unpublished:
        raise UnpublishedError(result.unpublished)
    return None


def _print(session: Session, result: Result, *, dry_run: bool) -> None:
    summary = {
        "dry_run": dry_run,
        "devices": len(result.devices),
        **{status.replace("-", "_"): number for status, number in result.counts.items()},
        "certificates": result.certificates,
        "revoked_without_certificate": result.nameless,
        "server_certificates": list(result.servers),
        "left_out": result.left_out,
        "acl_left": list(result.acl_left),
        "conflicts": list(result.conflicts),
        "crl_number": result.crl_number or None,
    }
    if session.json:
        for device in result.devices:
            output.write_json(session.command, _values(device))
        unpublished = {"unpublished": output.unpublished_values(result.unpublished)} if result.unpublished else {}
        output.write_json(session.command, {**summary, **unpublished})
        return
    for device in result.devices:
        if session.verbose:
            topics = f"\t{' '.join(device.topics)}" if device.topics else ""
            output.write_line(f"{device.device_id}\t{device.status}\t{' '.join(device.serials)}{topics}")
    told = ", ".join(f"{number} {status}" for status, number in result.counts.items())
    output.write_line(f"{len(result.devices)} devices ({told}), {result.certificates} certificates")


def _values(device: Device) -> dict[str, object]:
    return {
        "device_id": device.device_id,
        "status": device.status,
        "serials": list(device.serials),
        "topics": list(device.topics),
        "changed": device.is_changed,
    }


def _tell(session: Session, state: State, result: Result, *, dry_run: bool) -> None:
    if result.nameless:
        session.message(f"{result.nameless} revocations are of certificates that are not there: they stay on each list")
    if result.servers:
        session.message(
            f"not devices, for their certificates let no client in: {name_some(result.servers)}; a broker goes on with"
            " its own, 'iotonboard broker issue' makes it a new one"
        )
    if result.left_out:
        session.message(f"{result.left_out} certificates were left out: of CAs, or ended and of no use here")
    if result.weak:
        session.message(
            f"warning: {result.weak} valid certificates are signed with MD5 or SHA-1, which OpenSSL 3 refuses: renew"
        )
    for line in result.acl_left[:_MOST]:
        session.message(f"warning: this rule reaches beyond its device and stays where it is: {line}")
    if dry_run:
        session.message("nothing was recorded")
    elif result.crl_number:
        session.message(f"signed CRL {result.crl_number}")
        session.message(f"{CARRY}{reload_with(state)}")
    else:
        session.message("all of it was here already")
