"""Calls that broke off, known again when they are made again: what they did is not done twice.

A call notes with its first certificate where the trail stood, marks its rows there, and forgets the note when it comes
to its end. One that was killed or interrupted, or that could not publish, leaves the note for a week. Notes are not
sealed: what a call did, its marks in the trail say.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.state.state import State
    from iotonboard.store.store import Store

# A call that is made again later is meant anew: a nightly one, or that of the next year.
_GOES_ON_FOR = timedelta(days=7)
_NOTES = "unfinished"  # JSON: name -> number of the newest row of the trail before it, and seconds since 1970
_MARK_DIGITS = 8
_LARGEST = 1 << 53


class Call:
    """A call under a name that is the same for calls that ask for the same; empty: it is not known again.

    ``serials`` is what it did before it broke off: the devices, with the serial of each one's certificate (hex).
    """

    def __init__(self, state: State, name: str) -> None:
        self._state, self._name = state, name
        self.serials: dict[str, str] = {}
        self._unnamed: dict[int, list[str]] = defaultdict(list)
        since = _notes(state.store).get(name) if name else None
        if since:
            not_before = state.clock() - _GOES_ON_FOR
            for device, serial, line in audit.rows_of_call(state.store, self._mark, since[0], not_before):
                self.serials[device] = serial
                if line.isdecimal():
                    self._unnamed[int(line)].append(device)

    @property
    def _mark(self) -> str:
        return self._name[:_MARK_DIGITS]

    def next_unnamed(self, line: int) -> str | None:
        """The device that was made before for a row which names none, by its line; each once, in their order."""
        return self._unnamed[line].pop(0) if self._unnamed.get(line) else None

    def note_begun(self) -> None:
        """Note that this call is under way, before its first row of the trail, inside the caller's transaction."""
        store = self._state.store
        if not self._name or self._name in str(store.meta(_NOTES)):
            return
        now = to_epoch(self._state.clock())
        recent = {name: note for name, note in _notes(store).items() if note[1] > now - _GOES_ON_FOR.total_seconds()}
        store.set_meta(_NOTES, json.dumps({**recent, self._name: [audit.head(store).seq, now]}))

    def mark(self, unnamed_line: int | None = None) -> dict[str, object]:
        """What its rows of the trail say of the call; ``unnamed_line`` of a device that its row did not name.

        No attribute of a device is called so: there is a blank in it.
        """
        if not self._name:
            return {}
        return {audit.OF_CALL: self._mark if unnamed_line is None else f"{self._mark} {unnamed_line}"}

    def note_ended(self) -> None:
        """Forget a call that came to its end."""
        store = self._state.store
        if self._name and self._name in str(store.meta(_NOTES)):
            with self._state.transaction():
                notes = _notes(store)
                notes.pop(self._name, None)
                if notes:
                    store.set_meta(_NOTES, json.dumps(notes))
                else:
                    store.forget_meta(_NOTES)


def _notes(store: Store) -> dict[str, list[int]]:
    """The calls that are under way or broke off; what cannot be one is none."""
    try:
        notes = json.loads(store.meta(_NOTES) or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    found = notes.items() if isinstance(notes, dict) else ()
    return {name: note for name, note in found if _is_note(note)}


def _is_note(note: object) -> bool:
    """Say whether it is a row's number and a time, and not what somebody wrote there."""
    return isinstance(note, list) and len(note) == 2 and all(type(one) is int and 0 <= one <= _LARGEST for one in note)
