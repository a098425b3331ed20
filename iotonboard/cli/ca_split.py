"""The verb ``ca split``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.passphrases import read_recovery
from iotonboard.cli.session import Session, verb
from iotonboard.cli.token_options import RecoveryFileOption
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from iotonboard.ca.passphrase import Passphrase


def add_to(app: typer.Typer) -> None:
    """Make it a verb of ``ca``."""
    example = "iotonboard ca split --shares 5 --threshold 3 --out shares --passphrase-file ca.pass"
    verb(app, "split", example=example)(split)


def split(
    session: Session,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the shares; made where it is missing.")],
    shares: Annotated[int, typer.Option("--shares", min=2, help="How many people get one.")] = 5,
    threshold: Annotated[int, typer.Option("--threshold", min=2, help="How many of them open the CA.")] = 3,
    recovery_passphrase_file: RecoveryFileOption = None,
) -> int | None:
    """Write the CA's passphrase as shares for several people: a few of them together open it, fewer know nothing.

    With --recovery-passphrase-file the shares are of the recovery passphrase, for 'ca recover'.
    Each share is a sheet of words, for a stick and an envelope. As many as are needed open every verb: --share-file.
    """
    try:
        from iotonboard.commands import ca_split as command
    except ImportError:
        raise UsageError(
            "shares need PyCryptodome, which is not installed", hint="type: pip install 'iotonboard[split]'"
        ) from None

    with session.open_state() as state:

        def passphrase() -> Passphrase:
            state.store.check_writable()
            return session.ask_passphrase()

        recovery = None
        if recovery_passphrase_file is not None:
            asked = partial(read_recovery, session, recovery_passphrase_file)
            recovery = command.Recovery(asked, session.unlocker(state))
        result = command.split(state, shares, threshold, out, passphrase, recovery)
    values = {
        "shares": result.shares,
        "threshold": result.threshold,
        "set": result.made_of,
        "paths": list(result.paths),
    }
    session.result(values, "\n".join(result.paths))
    session.message(f"any {threshold} of the {shares} shares of set {result.made_of} open the CA")
    session.message("next: give each person one, on a stick or printed, and erase this folder")
    if recovery is not None:
        session.message("'iotonboard ca recovery-passphrase' makes these shares useless, and a stolen one too")
        return None
    session.message("try them: iotonboard gen-crl --share-file FILE, once for each that is needed")
    session.message("'iotonboard ca passwd' makes these shares useless, and a stolen one too")
    return None
