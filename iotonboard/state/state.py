"""One open state directory: who may change what is in it.

The database is the truth. A command that writes records its change in one ``State.transaction()`` and publishes in
another (``state/publication.py``), both under SQLite's write lock. Publishing is made from committed rows only, so
whatever a crash left undone is done by the next command.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError, PolicyError, StateError
from iotonboard.model import to_epoch, whole_seconds
from iotonboard.state import config
from iotonboard.state.clock import DISPUTED, SETTLED, read_clock
from iotonboard.state.layout import resolve_paths
from iotonboard.state.recorded_settings import load_settings, note_used, settings_of
from iotonboard.state.sealing import begin_seals, note_event, seal_rows
from iotonboard.state.whereabouts import find_database, open_database
from iotonboard.store import audit, damage
from iotonboard.store.certificates import has_issued
from iotonboard.store.issuers import has_wrong_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from iotonboard.model import Caller
    from iotonboard.state.clock import ClockReading
    from iotonboard.state.layout import Paths
    from iotonboard.state.recorded_settings import Holds
    from iotonboard.store.store import Store
    from iotonboard.store.succession import Verifies


# What a row that cannot be makes of any code that trusts it.
_DEFECTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_REPAIR = "'iotonboard health --deep' names what is damaged; restore it from the latest backup"


@dataclass(frozen=True, slots=True)
class State:
    """An open state directory. ``clock`` answers aware UTC times in whole seconds.

    ``begun``: what the clock said when the open transaction began, which is what holds until its end. ``sealed``: how
    many changes there had been when the CA signed the trail in it. ``main``: the state that this one is within, as that
    of a CA that was added to it; no broker reads anything of it, and it has no ACL.
    """

    paths: Paths
    config: config.Config
    store: Store
    caller: Caller
    clock: Callable[[], datetime]
    begun: list[ClockReading] = field(default_factory=list)
    sealed: list[int] = field(default_factory=list)
    main: State | None = None

    @contextlib.contextmanager
    def transaction(self, *, signing: bool = False) -> Iterator[datetime]:
        """Hold the write lock around one change; yields the time of the event.

        ``signing`` commands are stopped by a disputed clock; others go on, and do not make it the measure. Those that
        revoke are among the others: their lists continue the last ones (``ca/crl.py``).

        Raises:
            PolicyError: the clock went back past the allowed skew, or far ahead.
            BusyError: the lock was not to be had in time.
        """
        with self.store.transaction():
            clock, before = self.read_clock(), audit.head(self.store)
            if clock.dispute and signing:
                raise clock.dispute
            self.begun.append(clock)
            try:
                begin_seals(self, clock.now)
                yield clock.now
                if self.sealed == [self.store.changes]:  # the CA signed the trail, with the time, as it is now
                    return
                if audit.head(self.store) not in (before, audit.newest_signed(self.store)):
                    note_event(self)
                seal_rows(self, clock.now)
            finally:
                self.begun.clear()
                self.sealed.clear()

    @contextlib.contextmanager
    def noting(self, *, durable: bool = True) -> Iterator[None]:
        """Hold the write lock around what no disputed clock stops, such as files and the notes of them.

        With ``durable`` false a power cut may undo it; see ``Store.transaction``.

        Raises:
            BusyError: the lock was not to be had in time.
        """
        with self.store.transaction(durable=durable):
            yield
            seal_rows(self, self.trusted_time())

    def read_clock(self) -> ClockReading:
        """Ask the clock once, and hold what it says against the last recorded event; in a transaction, at its begin."""
        if self.begun:
            return self.begun[0]
        last = self.store.moment("last_event") or audit.newest_time(self.store)
        return read_clock(whole_seconds(self.clock()), last, self.config)

    def trusted_time(self) -> datetime:
        """The clock's time, or that of the last event where the clock is disputed: by it nothing has expired."""
        return self.read_clock().trusted

    def note_dispute(self) -> ClockReading:
        """Ask the clock, and note since when it is disputed, or has been right again.

        Where the database takes no note, the next command does it.
        """
        clock = self.read_clock()
        if bool(clock.dispute) != bool(self.store.meta(DISPUTED)):
            with contextlib.suppress(IotOnboardError), self.store.without_waiting(), self.store.transaction():
                self.store.set_meta(DISPUTED, int(bool(clock.dispute)))
                if not clock.dispute:
                    self.store.set_meta(SETTLED, to_epoch(clock.now))
        return clock

    def record(
        self, now: datetime, subject: str, *, serial: str = "", detail: Mapping[str, object] | None = None
    ) -> None:
        """Append a row to the audit trail, inside the caller's transaction."""
        note_used(self, now)
        audit.append(self.store, self.caller, now, subject=subject, serial=serial, detail=detail)


def is_initialised(paths: Paths) -> bool:
    """Say whether a finished ``init-ca`` made this state."""
    return os.path.exists(paths.database)


@contextlib.contextmanager
def open_state(
    root: str,
    environment: Mapping[str, str],
    caller: Caller,
    clock: Callable[[], datetime],
    *,
    holds: Holds | None = None,
    verifies: Verifies | None = None,
    past: Collection[str] = (),
) -> Iterator[State]:
    """Open an existing state directory.

    ``holds`` verifies the seal of the settings; a command without it, which may only look, takes them as they are.
    ``verifies`` tells likewise which CAs are this state's.
    What is wrong with the settings stops nothing here: their problems are told by ``State.config``. ``past``: origins
    of settings that may name another database than that of this state (``whereabouts.py``).

    Raises:
        StateError: there is none here, it was never finished, is damaged, or a newer version made it.
    """
    found = find_database(root, load_settings(root, environment), past=past)
    database, settings = found.path, found.settings
    if not os.path.exists(database):
        raise _no_state(root, database, settings)
    store, found = open_database(root, found, timeout_s=settings["busy_timeout_seconds"], now=clock())
    store.verifies = verifies
    try:
        if store.meta("initialised") is None and not has_issued(store):
            raise StateError(
                f"'init-ca' was interrupted in {root!r}",
                hint="run the same 'iotonboard init-ca' again to finish it",
            )
        if has_wrong_numbers(store) and not store.is_read_only:
            with contextlib.suppress(IotOnboardError), store.transaction():
                pass  # which puts them right
        settings = found.with_place(settings_of(store, root, environment, holds))
        state = State(*_with_paths(root, settings), store, caller, clock)
        if store.moved_aside:
            with contextlib.suppress(IotOnboardError), state.transaction() as now:
                names = [os.path.basename(path) for path in store.moved_aside]
                state.record(now, "database", detail={"moved_aside": names})
        yield state
    except _DEFECTS as error:
        if what := damage.damage_of(store, with_indexes=False):  # SQLite holds every row against what it may hold
            raise StateError(f"the database {store.path!r} is damaged: {what}", hint=_REPAIR) from error
        raise
    finally:
        store.close()


def _no_state(root: str, database: str, settings: config.Config) -> StateError | PolicyError:
    """Why there is nothing to open: the environment of another program may point elsewhere."""
    if settings.environment_problems:
        return settings.environment_problems[0]
    if variable := settings.settings["database_url"].variable:
        return StateError(
            f"there is no database {database!r}, which {variable} names",
            hint=f"it may be another program's: unset {variable}; otherwise bring that disk back",
        )
    if settings.file.problems:
        return settings.file.problems[0]
    if settings.settings["database_url"].origin is config.Origin.FILE:
        return StateError(
            f"there is no database {database!r}, which database_url in {config.FILE_NAME} names",
            hint="correct database_url there, or bring that disk back",
        )
    return StateError(
        f"there is no state in {root!r}",
        hint="'iotonboard init-ca' makes one; or name the right folder with --state or IOTONBOARD_STATE",
    )


def _with_paths(root: str, settings: config.Config) -> tuple[Paths, config.Config]:
    """The paths of a state; without the environment, and then without the file, that uses one file for two things."""
    try:
        return resolve_paths(root, settings), settings
    except PolicyError as error:
        if settings.settings != settings.standing:
            return _with_paths(root, config.without_environment(settings, error))
        standing = config.without_file(settings, error)
        return resolve_paths(root, standing), standing
