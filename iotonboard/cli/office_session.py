"""What the verbs of an office share: the office that is opened, and the passphrase of its key."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.person import answer_exactly, is_at_a_terminal
from iotonboard.cli.session import clock
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.cli.session import Session
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office

_WIDTH = 72


@contextlib.contextmanager
def open_office(session: Session, *, is_urgent: bool = False) -> Iterator[Office]:
    """Open the office for the time of the command; that its trail is not believed is told.

    ``is_urgent``: also past files of its folder that are gone or cannot be read.

    Raises:
        StateError: there is none, or its registry is another one.
        PolicyError: this is the state of a station or a root.
        UsageError: a CA is named with ``--ca``.
    """
    from iotonboard.office import office as offices

    if session.added_ca:
        raise UsageError("an office has no CAs of its own", hint="leave --ca out, or name a station's state")
    session.work_as_owner()
    offices.refuse_elsewhere(session.root, session.command)
    place = session.root, session.environment, session.caller, clock
    with offices.open_office(*place, is_urgent=is_urgent) as office:
        if office.problem is not None:
            session.message(f"warning: {office.problem.message}; only revocations are taken ({office.problem.hint})")
        yield office


def confirm_fingerprint(session: Session, what: str, question: str, fingerprint: str) -> None:
    """Have a person compare a fingerprint with what is said elsewhere; a script names it.

    Raises:
        UsageError: nobody sits at a terminal, or the answer is another one.
    """
    import textwrap

    if session.json or not is_at_a_terminal():
        raise UsageError(
            f"nobody compared {what}",
            hint="compare the fingerprint with what is said there, and name it: --fingerprint HEX; --yes where that was"
            " done",
        )
    output.write_message(f"iotonboard: {what}, SHA-256:")
    for line in textwrap.wrap(" ".join(fingerprint[begin : begin + 8] for begin in range(0, 64, 8)), _WIDTH):
        output.write_message(f"iotonboard: {line}")
    answer_exactly(f"{question} Type its last eight digits:", fingerprint[-8:])


def unlocker(session: Session, office: Office) -> Callable[[], OfficeKey]:
    """What a command opens the office's key with, once its input was checked; who is asked is asked once."""
    from iotonboard.office.key import is_encrypted, open_key

    def unlock() -> OfficeKey:
        secret = session.read_passphrase("Office passphrase") if is_encrypted(office.certs) else None
        return open_key(office.certs, secret)

    return functools.cache(unlock)


def refuse_at_office(**options: object) -> None:
    """Refuse options that make no sense at an office, by their names.

    Raises:
        UsageError: one was given.
    """
    if given := next((name for name, value in options.items() if value), ""):
        raise UsageError(
            f"--{given.replace('_', '-')} is for a station's state, not for an office", hint="leave it out"
        )


def refuse_at_station(*, station: str) -> None:
    """Refuse the name of a station where there is no office.

    Raises:
        UsageError: one was given.
    """
    if station:
        raise UsageError("--station is for an office, and this is none", hint="name the office's folder with --state")
