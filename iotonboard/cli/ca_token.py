"""The verbs ``ca token``, ``ca recovery-passphrase`` and ``ca recover``: a token, and the day on which it is lost."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.new_secrets import FirstSecret
from iotonboard.cli.options import (
    GenerateKeyOption,
    NewKeyTypeOption,
    NewLifeOption,
    NewNameOption,
    WeakOption,
    YesOption,
)
from iotonboard.cli.passphrases import find_pins, read_recovery
from iotonboard.cli.session import Session, verb
from iotonboard.cli.token_options import (
    GenerateOption,
    KeyOption,
    PrintRecoveryOption,
    RecoveryFileOption,
    RecoveryKeyFileOption,
    RecoveryWays,
    parse_key,
)
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.commands.ca_token import InToken


def add_to(app: typer.Typer) -> None:
    """Make them verbs of ``ca``."""
    verb(app, "token", example="iotonboard ca token --json")(token)
    example = "iotonboard ca recovery-passphrase --generate-recovery-file /media/safe/recovery.pass"
    verb(app, "recovery-passphrase", example=example)(recovery)
    example = "iotonboard ca recover --recovery-passphrase-file recovery.pass --generate-key-file /media/key/new.pass"
    verb(app, "recover", example=example)(recover)


def token(
    session: Session,
    uri: Annotated[str | None, typer.Argument(metavar="[URI]", help="Where the key is from now on.")] = None,
    last_try: Annotated[
        bool, typer.Option("--last-try", help="The PIN is certain: log in although one attempt is left.")
    ] = False,
) -> int | None:
    """Show the tokens that hold CA keys, or say where such a key is now. Showing needs no PIN.

    A key is opened at its new place first, and must be the same.
    """
    from iotonboard.commands import ca_token as command

    place = None
    if uri is not None:
        from iotonboard.ca.token_uri import parse_token_uri

        place = parse_token_uri(uri)
    with session.open_state() as state:

        def pin() -> Passphrase:
            state.store.check_writable()
            return find_pins(session, command.prompts(state, place))

        if place is not None:
            found = [command.move(state, place, pin, last_try=last_try)]
        elif last_try:
            found = [command.try_last(state, pin)]
        else:
            found = command.show(state)
    _print(session, found)
    if place is not None:
        session.message("next: iotonboard backup: earlier ones name the place before")
    return None


def _print(session: Session, found: Sequence[InToken]) -> None:
    if session.json:
        output.write_json(session.command, {"tokens": [_values(one) for one in found]})
        return
    for one in found:
        copied = "can be copied out" if one.facts.is_extractable else "never leaves it"
        if one.facts.was_extractable and not one.facts.is_extractable:
            copied = "could be copied out once"
        output.write_line("\t".join((one.name, one.uri, f"serial {one.facts.serial}", copied, one.problem or "ok")))
    if not found:
        session.message("no key of a CA lies in a token")


def _values(one: InToken) -> dict[str, object]:
    return {
        "name": one.name,
        "ca_fingerprint": one.fingerprint,
        "uri": one.uri,
        "token_serial": one.facts.serial,
        "model": one.facts.model,
        "extractable": one.facts.is_extractable,
        "was_extractable": one.facts.was_extractable,
        "problem": one.problem,
    }


def recovery(
    session: Session,
    recovery_passphrase_file: RecoveryFileOption = None,
    generate_recovery_file: RecoveryKeyFileOption = None,
    print_recovery_passphrase: PrintRecoveryOption = False,
    weak: WeakOption = False,
) -> int | None:
    """Set the recovery passphrase: with it 'ca recover' replaces a CA whose key is lost, and keeps bundles readable.

    It belongs into a safe. The one before opens nothing from then on, but in older backups.
    """
    from iotonboard.commands.ca_recovery import set_recovery_passphrase

    ways = RecoveryWays(session, recovery_passphrase_file, generate_recovery_file, print_recovery_passphrase, weak)
    ways.check(is_wanted=True)
    with session.open_state() as state:
        was_there = set_recovery_passphrase(state, session.unlocker(state), ways.ask())
    status = "replaced" if was_there else "set"
    text = "\t".join((f"recovery passphrase {status}", *ways.made))
    session.result({"status": status, **ways.values()}, text)
    ways.tell()
    session.message("then: iotonboard backup: earlier ones are opened by the recovery passphrase of before")
    return None


def recover(
    session: Session,
    recovery_passphrase_file: RecoveryFileOption = None,
    name: NewNameOption = None,
    key_type: NewKeyTypeOption = None,
    validity_days: NewLifeOption = 3650,
    key: KeyOption = None,
    generate: GenerateOption = False,
    generate_key_file: GenerateKeyOption = None,
    weak: WeakOption = False,
    yes: YesOption = False,
) -> int | None:
    """Replace a CA whose key is lost, with its token: the recovery passphrase keeps bundle passwords readable.

    The lost CA signs no list any more, so every device and broker needs a new certificate, and every device the new CA.
    Not to be taken back. The new key lies in another token (--key), or in a file.
    """
    from iotonboard.commands import ca_recover as command

    token = parse_key(key, key_type, generate=generate)
    secret = FirstSecret(replace(session, share_file=None), generate_key_file, False, weak, token)
    secret.check()
    if recovery_passphrase_file == "-" and session.passphrase_file == "-":
        raise UsageError("stdin cannot be both secrets", hint="put one of them into a file")
    is_resumed = generate_key_file is not None and os.path.exists(generate_key_file)
    new = partial(secret.find, " for the new CA", is_resumed=is_resumed)
    asked = command.Asked(partial(read_recovery, session, recovery_passphrase_file), new)
    request = command.Request(name, key_type, validity_days, token, generate)
    with session.open_state(is_urgent=True) as state:
        result = command.recover(state, request, asked, partial(_confirm_lost, session, yes))
    issuing, old = result.cas[0], result.lost[-1]
    values = {
        "status": "recovered",
        "name": issuing.name,
        "ca_fingerprint": issuing.fingerprint,
        "not_after": rfc3339(issuing.not_after),
        "crl_number": issuing.crl_number,
        "waiting_devices": result.waiting_devices,
        "waiting_brokers": list(result.waiting_brokers),
        "path": old.folder,
    }
    session.result(
        values, f"recovered\t{issuing.name}\tCA {issuing.fingerprint}\tvalid until {rfc3339(issuing.not_after)}"
    )
    session.tell_key_file(generate_key_file)
    if result.waiting_brokers:
        session.message(f"next: iotonboard broker issue, for each of: {', '.join(result.waiting_brokers)}")
    if result.waiting_devices:
        path = os.path.join(old.folder, "devices.csv")
        session.message(f"next: iotonboard renew --batch {path}: {result.waiting_devices} devices need a certificate")
    session.message(f"brokers as they are go on until {rfc3339(old.until)}: the lost CA signs no other list")
    session.message("then: iotonboard pack, backup and ca recovery-passphrase, as the page 'help tokens' says")
    return None


def _confirm_lost(session: Session, yes: bool, name: str) -> None:
    session.confirm(
        f"Is the key of {name!r} lost for good? Every device and broker then needs a new certificate.", yes=yes
    )
