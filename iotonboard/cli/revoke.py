"""The verb ``revoke``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.options import BatchOption, OptionalDevicesArgument, ReloadOption
from iotonboard.cli.reloading import reload_now
from iotonboard.cli.session import Session, verb
from iotonboard.errors import IotOnboardError, UsageError
from iotonboard.model import RevocationReason, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.ca.authority import Authority
    from iotonboard.commands.revoke import Revoked, Target
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

app = typer.Typer()

WHAT_THE_BROKER_NEEDS = (
    "next: copy CRL and ACL to the broker if it runs elsewhere, then reload it (kill -HUP, or systemctl reload"
    " mosquitto). A connected device stays connected: after the reload the ACL mutes it, a new connection is refused"
)


@verb(app, "revoke", example="iotonboard revoke press-17 --reason keyCompromise --passphrase-file ca.pass")
def revoke(
    session: Session,
    ids: OptionalDevicesArgument = None,
    reason: Annotated[
        RevocationReason, typer.Option("--reason", help="Why (RFC 5280).")
    ] = RevocationReason.UNSPECIFIED,
    serials: Annotated[list[str] | None, typer.Option("--serial", metavar="HEX", help="One certificate only.")] = None,
    batch: BatchOption = None,
    certificates: Annotated[
        list[str] | None, typer.Option("--cert", metavar="FILE", help="A certificate file, known here or not.")
    ] = None,
    defer: Annotated[
        bool, typer.Option("--defer", help="Record now, publish with the next gen-crl; needs no key.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Revoke nothing when one target is unknown.")] = False,
    reload: ReloadOption = False,
) -> int | None:
    """Revoke devices: recorded, on the CRL and out of the ACL in one step."""
    from iotonboard.commands import revoke as command
    from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
    from iotonboard.store.issuers import crl_number

    names_any = bool(ids or serials or certificates)
    _check_usage(session, names_any=names_any, batch=batch, defer=defer, reload=reload)
    if serials and len(ids or ()) > 1:
        raise UsageError(
            "--serial goes with one device at most", hint="revoke the other devices with a call of their own"
        )
    targets = list(_targets(ids or [], serials or [], batch))
    with session.open_state() as state:
        authority = None if defer else session.unlock(state)
        if certificates:
            targets += _adopted(state, certificates)
        answers = command.revoke(state, targets, reason, strict=strict)
        done = [answer for answer in answers if answer.error is None]
        rows, refused = _signed(state, authority) if done and authority else ([], None)
        unpublished = [] if rows else publish(state, *EVERYTHING)
        for answer in done:
            _print(session, answer, crl_number(state.store, rows, answer.serials) if rows else None)
        if refused is not None:
            session.message("the revocation is recorded, and the ACL says so; no CRL was signed:")
            raise refused
        refuse_unpublished(unpublished)
        if reload and done and not defer:
            reload_now(session, state)
    exit_code = _print_errors(answers)
    if not answers:
        session.message("the list names no device: nothing was revoked")
    if done and not (reload and rows):
        session.message(WHAT_THE_BROKER_NEEDS if rows else "next: iotonboard gen-crl, to put it on the CRL")
    return exit_code


def _check_usage(session: Session, *, names_any: bool, batch: str | None, defer: bool, reload: bool) -> None:
    if not names_any and batch is None:
        raise UsageError("nothing to revoke", hint="name devices, --serial, --cert or --batch")
    if batch == "-" and session.passphrase_file == "-":
        raise UsageError("stdin cannot be both passphrase and list", hint="put the passphrase into a file")
    if defer and reload:
        raise UsageError("--defer publishes nothing to reload", hint="leave one of the two out")


def _targets(ids: list[str], serials: list[str], batch: str | None) -> Iterator[Target]:
    from iotonboard.commands.revoke import Target

    for text in serials:
        yield Target(ids[0] if len(ids) == 1 else "", text)
    if not serials:
        yield from (Target(text) for text in ids)
    if batch is not None:
        from iotonboard.enrolment.device_list import all_of, read_targets

        for row in all_of(read_targets(batch, sys.stdin.buffer), batch):
            yield Target(row.device_id, row.serial, row.line)


def _adopted(state: State, paths: list[str]) -> list[Target]:
    """Targets for certificate files; one that a restored backup forgot is taken into the database first."""
    from iotonboard.commands.adopt import adopt
    from iotonboard.commands.revoke import Target
    from iotonboard.reading import read_file

    return [Target(serial=adopt(state, read_file(path, limit=1 << 20)).hex) for path in paths]


def _signed(state: State, authority: Authority) -> tuple[list[CrlRow], IotOnboardError | None]:
    """A new CRL, or why there is none: the ACL takes access away all the same."""
    from iotonboard.commands.gen_crl import gen_crl

    try:
        return gen_crl(state, authority), None
    except IotOnboardError as error:
        return [], error


def _print_errors(answers: list[Revoked]) -> int:
    """Print what was refused; the exit code of the first."""
    refused = [(answer.line, answer.error) for answer in answers if answer.error is not None]
    for line, error in refused:
        output.write_error((f"line {line}: " if line else "") + error.message, error.hint)
    return refused[0][1].exit_code if refused else 0


def _print(session: Session, answer: Revoked, number: int | None) -> None:
    values = {
        "device_id": answer.device_id,
        "serials": [serial.hex for serial in answer.serials],
        "reason": answer.reason.value if answer.reason else None,
        "revocation_date": rfc3339(answer.revocation_date) if answer.revocation_date else None,
        "crl_number": number,
    }
    what = f"{len(answer.serials)} certificate(s) revoked" if answer.serials else "was revoked already"
    if answer.revocation_date is None:
        what = "nothing to revoke: its certificates have expired ('--serial HEX --reason keyCompromise' bars a key)"
    session.result(values, f"{answer.device_id}\t{what}\t{f'CRL {number}' if number else 'not yet on the CRL'}")
