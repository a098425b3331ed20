"""The verbs ``ca token`` and ``ca recovery``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.options import WeakOption
from iotonboard.cli.passphrases import find_pins
from iotonboard.cli.session import Session, verb
from iotonboard.cli.token_options import PrintRecoveryOption, RecoveryFileOption, RecoveryKeyFileOption, RecoveryWays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.commands.ca_token import InToken


def add_to(app: typer.Typer) -> None:
    """Make them verbs of ``ca``."""
    verb(app, "token", example="iotonboard ca token --json")(token)
    verb(app, "recovery", example="iotonboard ca recovery --generate-recovery-file /media/safe/recovery.pass")(recovery)


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
    """Set the recovery passphrase: it opens the bundles when the CA's key is lost, and lets 'ca replace --lost' work.

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
