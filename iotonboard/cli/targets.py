"""The devices that a verb is called for: ids on the command line, or a list with ``--batch``."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from iotonboard.errors import BusyError, NotFoundError, PolicyError, UsageError
from iotonboard.model import Refused, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from iotonboard.cli.session import Session
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State

_HEXADECIMAL = re.compile(r"[0-9A-Fa-f:]{8,}")
AnswerT = TypeVar("AnswerT")

_NAMED = 5  # devices, in a question
DAMAGED_INDEX = "warning: an index of the database is damaged; type: iotonboard health --repair"
CARRY = "next: copy CRL and ACL to the broker if it runs elsewhere, then reload it"
_OR = ", or say --reload with such a command"
HOW_TO_RELOAD = " (kill -HUP, or systemctl reload mosquitto)"
STAYS_CONNECTED = (
    "a device that is connected stays connected until its connection ends, and the ACL mutes it; a new connection is"
    " refused. A restart of the broker ends all connections"
)


def named_targets(
    session: Session,
    ids: Sequence[str] | None,
    batch: str | None,
    id_column: str = "",
    *,
    needs_end: bool = False,
    refuse_failed: bool = False,
) -> Iterator[Target | Refused]:
    """The devices that were named, then those of the list, whose first line is read at once.

    ``needs_end``: a list that may be cut off is told as a refusal. ``refuse_failed``: of a row that says ``failed``.

    Raises:
        UsageError: stdin would be both list and passphrase, or a column is named without a list.
        NotFoundError: the list cannot be opened.
        PolicyError: its first line cannot be used.
    """
    check_list(session, batch, id_column)
    listed: Iterable[Target | Refused] = ()
    if batch is not None:
        from iotonboard.enrolment.device_list import read_targets

        listed = read_targets(
            batch,
            sys.stdin.buffer,
            id_column,
            needs_end=needs_end,
            refuse_failed=refuse_failed,
            tell=session.message,
        )
    return chain(map(Target, ids or ()), listed)


def meant_ids(cas: Opened, words: Sequence[str] | None, certificates: Sequence[str] | None) -> list[str]:
    """The ids of devices named by id, serial or fingerprint, and of those whose certificates are in files.

    Raises:
        NotFoundError: a file is not there, or this state does not know a certificate in it.
        PolicyError: a file holds no certificate of a device.
    """
    if not certificates and not any(_HEXADECIMAL.fullmatch(word.rpartition("=")[2]) for word in words or ()):
        return list(words or ())  # the usual call, which needs none of what reads certificates
    from iotonboard.enrolment.holders import device_meant, devices_in

    named = [_first_of(cas, partial(device_meant, word=word)) for word in words or ()]
    found = (one for path in certificates or () for one in _first_of(cas, partial(devices_in, path=path)))
    return list(dict.fromkeys((*named, *found)))


def _first_of(cas: Opened, look: Callable[[State], AnswerT]) -> AnswerT:
    """What the state knows, else an added CA's; what the state says of it, where none does."""
    try:
        return look(cas.around)
    except NotFoundError:
        for state in map(cas.state, cas.names):
            with contextlib.suppress(NotFoundError):
                return look(state)
        raise


def reload_next(state: State) -> str:
    """What a broker on this machine needs, in the way that was set; nobody there may have an added CA."""
    if state.main:
        return _carry_lists(state)
    return f"next: reload the broker{f'{reload_with(state)}{_OR}' if reload_with(state) else HOW_TO_RELOAD}"


def carry_next(state: State, how: str = "") -> str:
    """What a broker needs, wherever it is; ``how`` to reload one for which no way was set."""
    if state.main:
        return _carry_lists(state)
    return f"{CARRY}{f'{reload_with(state)}{_OR}' if reload_with(state) else how}"


def reload_with(state: State) -> str:
    """What reloads a broker in the way that was set, behind the words that ask for it; empty where none was."""
    return ": iotonboard sync-acl --reload" if state.config["broker.reload"] else ""


def _carry_lists(state: State) -> str:
    """What comes behind a new list of an added CA."""
    return f"next: copy {state.paths.crl} to those who connect to these devices, and to no broker"


def confirm_next(device_id: str | None, batch: str | None = None) -> str:
    """What comes behind a hand-over: to one device, or to those of a list."""
    listed = "--batch FILE with the fingerprints" if batch is None or batch == "-" else f"--batch {shlex.quote(batch)}"
    who = f"{shlex.quote(device_id)} --fingerprint HEX" if device_id else listed
    return f"next: iotonboard confirm {who}, once {'the device reports' if device_id else 'devices report'} it"


def names_of(targets: Iterable[Target | Refused]) -> str:
    """What to call devices in a question; empty for none."""
    return name_some([one.device_id or one.serial for one in targets if isinstance(one, Target)])


def name_some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are; empty for none."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more


def refuse_placeholder(word: str, names: Sequence[str] | None, stands_for: str) -> None:
    """Refuse a name that was copied from a hint, where it stands for the real one.

    Raises:
        UsageError: it is among the names.
    """
    if word in (names or ()):
        raise UsageError(f"{word!r} stands for a name", hint=f"type {stands_for}, in its place")


def distinct(targets: Iterable[Target | Refused]) -> list[Target | Refused]:
    """The targets without the repetitions of a device, and all that were refused."""
    return list({one.device_id if isinstance(one, Target) else one: one for one in targets}.values())


def check_list(session: Session, batch: str | None, id_column: str) -> None:
    """Refuse options of a list that cannot be.

    Raises:
        UsageError: stdin would be both list and passphrase, or a column is named without a list.
    """
    if batch == "-" and session.passphrase_file == "-":
        raise UsageError("stdin cannot be both passphrase and list", hint="put the passphrase into a file")
    if id_column and batch is None:
        raise UsageError("--id-column goes with a list", hint="name the list with --batch")


def either(ids: Sequence[str] | str | None, batch: str | None, example: str) -> None:
    """Refuse a call that names no device, or names some and a list.

    Raises:
        UsageError: it does.
    """
    if bool(ids) == (batch is not None):
        raise UsageError("name devices, or a list with --batch", hint=f"for example: iotonboard {example}")


def exit_code_with(exit_code: int, refused: Refused, *, is_stream: bool = False) -> int:
    """The exit code of a call that had ``exit_code`` so far, with one more device that was refused.

    Whatever refuses a row of a list, the list has a row that was passed over, which is 6. What the disk refused, or
    another command's lock, comes before everything. Devices on the command line, and those of a stream, whose lines are
    calls of their own, keep the code of the first error.
    """
    own = refused.error.exit_code
    if BusyError.exit_code in (exit_code, own):
        return BusyError.exit_code
    return exit_code or (PolicyError.exit_code if refused.line and not is_stream else own)


class Told:
    """Tells which devices were refused, counts them, and hands the others on."""

    def __init__(self, session: Session, *, in_json: bool = True) -> None:
        """``in_json``: among results that are JSON a refusal has an object of its own."""
        self._session = session
        self._in_json = in_json and session.json
        self._refused = 0
        self._done = 0
        self.exit_code = 0

    def done(self, answers: Iterable[AnswerT | Refused]) -> Iterator[AnswerT]:
        """The answers of devices that were not refused; of the others, why is told."""
        for one in answers:
            if isinstance(one, Refused):
                self.refuse(one)
            else:
                self._done += 1
                yield one

    def refuse(self, *refused: Refused) -> None:
        """Tell why devices were refused."""
        for one in refused:
            self._refused += 1
            self.exit_code = exit_code_with(self.exit_code, one)
            self._session.refusal(one, is_json=self._in_json)

    def end(self) -> int:
        """Tell how many devices were passed over, and return the exit code."""
        self.count(self._done)
        if not self._refused + self._done:
            self._session.message("the list is empty")
        return self.exit_code

    def count(self, done: int) -> None:
        """Tell how many devices were passed over beside those that were ``done``."""
        if self._refused and self._refused + done > 1:
            self._session.message(f"{self._refused} of {self._refused + done} were passed over")
