"""What fails alone behind a record that stays: others go on, and what refused it is told at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from iotonboard.errors import DamageError, InterruptedBatchError, IotOnboardError, StateError, Unpublished, disk_error
from iotonboard.model import Refused
from iotonboard.store import damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from iotonboard.model import Target
    from iotonboard.state.state import State
    from iotonboard.store.store import Store

ResultT = TypeVar("ResultT")


def alone(state: State, what: str, path: str, write: Callable[[], list[Unpublished] | None]) -> list[Unpublished]:
    """Do one step inside the caller's transaction; returns what ``write`` could not do of it, or that it failed.

    Then what it noted is undone. Whatever it raises, a defect too: a revocation behind it is published all the same.

    Raises:
        IotOnboardError: SQLite ended the whole transaction, because its disk is full.
    """
    try:
        with state.store.savepoint():
            return write() or []
    except Exception as error:
        told = as_told(error, path)
        if not state.store.in_transaction:
            raise told from error
        return [Unpublished(what, path, told)]


def past_damage(store: Store, do: Callable[[], ResultT]) -> ResultT:
    """Do something that a revocation waits for; where an index cannot even be read, with indexes that are built anew.

    ``do`` may be called twice, and leaves nothing behind when it raises.
    """
    try:
        return do()
    except DamageError:
        if not damage.rebuild_unreadable(store):
            raise
        return do()


def each_alone(
    state: State, targets: Iterable[Target | Refused], do: Callable[[Target], ResultT], *, strict: bool
) -> list[ResultT | Refused]:
    """Do something for each target inside the caller's transaction; one that is refused harms no other.

    Raises:
        IotOnboardError: with ``strict``, of the first that is refused; or SQLite ended the whole transaction.
        DamageError: an index cannot be read, and the indexes were not built anew yet (``past_damage``).
    """
    return [_one(state, target, do, strict=strict) for target in targets]


def _one(state: State, target: Target | Refused, do: Callable[[Target], ResultT], *, strict: bool) -> ResultT | Refused:
    if isinstance(target, Refused):
        if strict:
            raise type(target.error)(target.message, hint=target.error.hint)
        return target
    try:
        with state.store.savepoint():
            return do(target)
    except Exception as problem:  # a row that nobody can read is no obstacle to the others
        error = as_told(problem, state.paths.database)
        is_hopeful = isinstance(error, DamageError) and not state.store.is_rebuilt
        if strict or is_hopeful or not state.store.in_transaction:  # a full disk ends the transaction
            raise error from problem
        return Refused(target.device_id or target.serial, target.line, error)


def attempt(what: str, path: str, do: Callable[[], object], *, is_unsigned: bool = False) -> list[Unpublished]:
    """Do one thing outside of any transaction; whatever it raises ends it alone, Ctrl-C at a prompt included."""
    try:
        do()
    except KeyboardInterrupt:
        error: IotOnboardError = InterruptedBatchError("interrupted")
    except Exception as problem:  # a defect too: what is recorded is to be published all the same
        error = as_told(problem, path)
    else:
        return []
    return [Unpublished(what, path, error, is_unsigned)]


def as_told(error: Exception, path: str) -> IotOnboardError:
    """What stood in the way at ``path``, as one of the program's own errors."""
    if isinstance(error, IotOnboardError):
        return error
    if isinstance(error, OSError):
        return disk_error(error, path)
    what = f"{type(error).__name__}: {error}"
    return StateError(f"cannot make {path!r} of what the database holds: {what}", hint="type: iotonboard health --deep")
