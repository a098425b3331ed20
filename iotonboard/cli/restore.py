"""The verb ``restore``."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import refuse_office
from iotonboard.cli.new_secrets import FirstSecret
from iotonboard.cli.options import GenerateKeyOption
from iotonboard.cli.passphrases import find_pins, read_recovery
from iotonboard.cli.session import Session, clock, verb
from iotonboard.cli.token_options import GenerateOption, KeyOption, RecoveryFileOption, parse_key
from iotonboard.errors import UnpublishedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.denied_elsewhere import Elsewhere
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.commands.restore import Lost, Request, Result
    from iotonboard.commands.restore_check import Checked
    from iotonboard.commands.restore_crl import Result as InPlace
    from iotonboard.state.held_settings import Held

_NEW_CA_DAYS = 3650
_SHOWN = 20  # devices that a line names

app = typer.Typer()


@verb(app, "restore", example="iotonboard restore backup.zip --state ./state --crl /media/usb/crl.pem")
def restore(
    session: Session,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A backup; without one the state in place goes on.")
    ] = None,
    crl: Annotated[
        str | None, typer.Option("--crl", metavar="FILE", help="The newest CRL that any broker has.")
    ] = None,
    no_crl: Annotated[
        bool, typer.Option("--no-crl", help="No newer CRL exists anywhere: jump over all numbers that were used.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only try the backup, file by file: nothing is written or signed.")
    ] = False,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Publish where the backup's settings say, for whom they say, if it is there."),
    ] = False,
    take: Annotated[
        list[str] | None,
        typer.Option(
            "--take", metavar="SETTING", help="Take over one setting that reaches out, such as broker.reload."
        ),
    ] = None,
    plain_keys: Annotated[
        bool, typer.Option("--plain-keys", help="Bring back keys that are not encrypted, of CA and brokers.")
    ] = False,
    accept_clock: Annotated[
        bool, typer.Option("--accept-clock", help="The clock of this machine is right, however old the backup is.")
    ] = False,
    key: KeyOption = None,
    recovery_passphrase_file: RecoveryFileOption = None,
    generate: GenerateOption = False,
    generate_key_file: GenerateKeyOption = None,
    format: Annotated[  # noqa: A002 - as 'pack' calls it
        int, typer.Option("--format", min=1, max=2, help="1: a backup of earlier versions, which is not sealed.")
    ] = 2,
) -> int | None:
    """Bring a state back into a new folder, and sign a CRL that forgets no revocation.

    Nothing outside of that folder is touched: what of the settings reaches out of it is told, and taken over when it is
    asked for by name.

    With --recovery-passphrase-file the token that held the CA's key is gone too: a new CA takes its place at once, as
    'ca recover' says, with a key in another token (--key) or in a file.

    Without a backup: go on with the state in place where an older copy of it was at work. What the CRL revokes is taken
    up, and from then on this copy is the one that counts.
    """
    refuse_office(session.root, session.command)
    from iotonboard.commands.restore import Request

    if check and (crl is not None or no_crl or in_place or take):
        raise UsageError("--check only tries the backup", hint="leave out the other options")
    if not check and (crl is None) == (not no_crl):
        raise UsageError(
            "which CRL do the brokers have?",
            hint="fetch the newest crl.pem from a broker and name it with --crl; --no-crl when there is none",
        )
    token = parse_key(key, None, generate=generate)
    is_lost = recovery_passphrase_file is not None
    if not is_lost and (generate or generate_key_file):
        raise UsageError(
            "a new key is for a CA whose token is lost",
            hint="name the file of its passphrase: --recovery-passphrase-file",
        )
    if file is not None and session.added_ca:
        raise UsageError("a backup brings all CAs of a state back", hint="leave --ca out")
    if file is None:
        if key or is_lost or check or in_place or take or plain_keys or accept_clock or format == 1:
            raise UsageError("which backup?", hint="name its file; without one, only --crl or --no-crl goes with it")
        return _go_on(session, crl)
    request = Request(file, crl, in_place, tuple(take or ()), format == 2, plain_keys, accept_clock, token)
    if is_lost:
        if check or format == 1:
            raise UsageError("the recovery passphrase tries no backup", hint="leave --check and --format out")
        return _restore_lost(session, request, recovery_passphrase_file, generate_key_file, generate=generate)
    if format == 1:
        session.message("warning: format 1 cannot show whether a file of it was left out, or exchanged with another")
    return _check(session, request) if check else _restore(session, request, _asker(session, request))


def _go_on(session: Session, crl: str | None) -> int | None:
    from iotonboard.commands.restore_crl import restore_crl

    with session.open_state() as state:
        result = restore_crl(state, crl, session.unlocker(state))
    session.result(_values(result), _line(result), unpublished=result.unpublished)
    _tell_elsewhere(session, result.elsewhere)
    _tell_strangers(session, result.strangers)
    if result.unpublished:
        raise UnpublishedError(result.unpublished)
    if result.of_root:
        session.message("next: carry the new list to every station: iotonboard ca install FILE")
    else:
        session.message(
            "next: carry the new CRL and ACL to the brokers; 'iotonboard health --repair' writes device files"
        )
    return None


def _values(result: Result | InPlace) -> dict[str, object]:
    return {
        "state": result.state,
        "devices": result.devices,
        "taken_up": result.taken_up,
        "crl_number": result.crl_number,
        "held": list(result.elsewhere.held),
        "missing_there": list(result.elsewhere.missing),
        "topics_missing_there": list(result.elsewhere.topics),
        "lists_passed_over": list(result.strangers),
    }


def _line(result: Result | InPlace) -> str:
    devices, taken_up = output.counted(result.devices, "device"), output.counted(result.taken_up, "revocation")
    return f"{result.state}\t{devices}\t{taken_up} taken up\tCRL {result.crl_number}"


def _tell_elsewhere(session: Session, elsewhere: Elsewhere) -> None:
    """Say whom the other copy's ACL shuts out, which that of this copy takes the place of now."""
    if elsewhere.held:
        session.message(
            f"warning: on hold now: {_names(elsewhere.held)}: the other copy's ACL shuts out what no list revokes; type"
            " 'iotonboard revoke ID' for good, or 'iotonboard release ID'"
        )
    if elsewhere.missing:
        session.message(
            f"warning: the other copy's ACL lacks {_names(elsewhere.missing)}, which are let in again: it never knew"
            " them, or shut them out last; then type 'iotonboard revoke ID'"
        )
    if elsewhere.topics:
        session.message(
            f"warning: the other copy's ACL lacks topics of {_names(elsewhere.topics)}, which have them again: compare"
            " 'iotonboard topics list ID'"
        )
    if error := elsewhere.unread:
        session.message(f"warning: whom the other copy's ACL shuts out cannot be told: {error.message}")


def _tell_strangers(session: Session, names: tuple[str, ...]) -> None:
    if names:
        session.message(
            f"warning: passed over the lists of {', '.join(map(repr, names))}, not known here: other stations? If one"
            " is a later CA of this state, this copy lacks it: use a backup that was made since"
        )


def _names(devices: tuple[str, ...]) -> str:
    more = f" and {len(devices) - _SHOWN} more (--json names all)" if len(devices) > _SHOWN else ""
    return ", ".join(devices[:_SHOWN]) + more


def _asker(session: Session, request: Request) -> Callable[[], Passphrase]:
    if request.token is None:
        return session.ask_passphrase
    return partial(find_pins, session, [f"PIN of the token {request.token.where!r}"])


def _restore_lost(
    session: Session, request: Request, recovery_file: str | None, key_file: str | None, *, generate: bool
) -> int | None:
    from iotonboard.commands.restore import Lost, New

    secret = FirstSecret(replace(session, share_file=None), key_file, is_none=False, weak=False, token=request.token)
    secret.check()
    is_resumed = key_file is not None and os.path.exists(key_file)
    new = New(None, None, _NEW_CA_DAYS, request.token, generate)
    lost = Lost(new, partial(secret.find, " for the new CA", is_resumed=is_resumed))
    code = _restore(session, request, partial(read_recovery, session, recovery_file), lost)
    session.tell_key_file(key_file)
    session.message("the CA is a new one: 'iotonboard ca status' shows who waits for a certificate; see 'help tokens'")
    return code


def _restore(session: Session, request: Request, ask: Callable[[], Passphrase], lost: Lost | None = None) -> int | None:
    from iotonboard.commands.restore import restore as bring_back

    session.work_as_owner()
    result = bring_back(session.root, session.environment, session.caller, clock, request, ask, lost)
    values = {
        **_values(result),
        **_not_taken(result.held, result.left_out, result.state),
        "ignored_variables": list(result.ignored),
    }
    session.result(values, _line(result), unpublished=result.unpublished)
    _tell_elsewhere(session, result.elsewhere)
    _tell_strangers(session, result.strangers)
    _tell(session, result)
    if result.unpublished:
        raise UnpublishedError(result.unpublished)
    return None


def _not_taken(held: tuple[Held, ...], left_out: tuple[str, ...], root: str) -> dict[str, object]:
    return {
        "held_back": [
            {"setting": one.key, "value": one.value, "reason": one.reason, "hint": one.hint(root)} for one in held
        ],
        "left_out": list(left_out),
    }


def _tell(session: Session, result: Result) -> None:
    for one in result.held:
        session.message(f"not taken over: {one.key} = {one.value!r}: {one.reason}; {one.hint(result.state)}")
    for words in result.left_out:
        session.message(f"not brought back: {words}")
    for name in result.ignored:
        session.message(f"warning: {name} was not followed, and the next command follows it: unset it for this state")
    if result.of_root:
        session.message("next: carry the new list to every station (iotonboard ca install FILE), and make a new backup")
        session.message("a station that was certified after the backup: let it request again, and sign that")
        return
    session.message(f"next: 'iotonboard health --repair --state {result.state}' writes the devices' files")
    if result.held:
        session.message("where this state takes the old one's place: what was not taken over, then 'iotonboard pack'")
    else:
        session.message("then carry the new CRL and ACL to the brokers: iotonboard pack")
    session.message("a device that was registered after the backup: iotonboard revoke --cert device.crt")


def _check(session: Session, request: Request) -> int | None:
    from tempfile import TemporaryDirectory

    from iotonboard.commands.restore_check import check_backup

    with TemporaryDirectory(prefix="iotonboard-check-") as scratch:
        checked = check_backup(
            scratch, request.archive, session.caller, clock, _asker(session, request),
            is_sealed=request.is_sealed, plain_keys=request.plain_keys, token=request.token,
        )  # fmt: skip
    _show(session, request, checked)
    return None


def _show(session: Session, request: Request, checked: Checked) -> None:
    values = {
        "path": request.archive,
        "version": checked.version,
        "devices": checked.contents.devices,
        "crl_number": checked.contents.crl_number,
        "audit_seq": checked.contents.audit_seq,
        "ca_fingerprints": list(checked.contents.cas),
        "files": [{"name": one.name, "size": one.size, "sha256": one.sha256} for one in checked.files],
        **_not_taken(checked.lacking, checked.left_out, session.root),
    }
    lines = [f"{one.name}\tok\t{one.size} bytes" for one in checked.files]
    total = (
        f"{request.archive}\t{output.counted(checked.contents.devices, 'device')}\tCRL {checked.contents.crl_number}"
    )
    session.result(values, "\n".join((*lines, total)))
    for one in checked.lacking:
        session.message(f"this machine lacks: {one.key} = {one.value!r}: {one.reason}")
    for words in checked.left_out:
        session.message(f"would not be brought back: {words}")
