"""Issuing on all cores: orders go out, certificates come back in the same order, with a bounded number on the way.

The files of what was recorded are written there too, for new files take the disk's administration a while.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from iotonboard.errors import BusyError, NotPrivateWarning
from iotonboard.state.device_files import write_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from iotonboard.enrolment.desk import Desk, Issued, Order
    from iotonboard.errors import IotOnboardError
    from iotonboard.model import Refused
    from iotonboard.state.layout import Paths
    from iotonboard.store.pending import PendingFiles

_GROUPS_AHEAD = 3
_LEAST, _MOST = 16, 64  # orders for one worker at a time: 5 to 30 ms of work
_RSA_PART = 2  # an RSA key takes 60 ms and more

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_desks: list[Desk] = []  # one in each worker process


@contextmanager
def worker_processes(desk: Desk, jobs: int, tell: Callable[[str], None]) -> Iterator[Workers | None]:
    """Worker processes that hold the CA key in memory for as long as the block runs.

    The desk with the key reaches them through the fork, or pickled through a pipe where processes are not forked;
    never a file. ``None`` where the machine gives none, for a reason that ``tell`` is called with: semaphores need a
    writable /dev/shm, and the number of processes may be limited.
    """
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    try:
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(desk,))
        pool.submit(os.getpid)  # forks all of them
    except (OSError, ImportError, NotImplementedError, RuntimeError) as error:
        for started in multiprocessing.active_children():
            started.terminate()
        tell(f"no worker processes can be started here ({error}): one core does all the work")
        yield None
        return
    try:
        yield Workers(pool, jobs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(desk: Desk) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides when a batch ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore", NotPrivateWarning)  # the parent writes below the same state, and has said so
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _desks.append(desk)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for orders for ever, with the CA key in its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _issue_all(orders: list[Order]) -> list[Issued | Refused]:
    return _desks[0].issue_all(orders)


@dataclass(frozen=True, slots=True)
class Workers:
    """The worker processes of one batch."""

    pool: ProcessPoolExecutor
    jobs: int

    def issue(self, groups: Iterable[list[Order]]) -> Iterator[list[Issued | Refused]]:
        """Issue group after group, each on all cores; at most four groups are on the way.

        Raises:
            BusyError: a worker process was killed.
        """
        on_the_way: deque[list[Future[list[Issued | Refused]]]] = deque()
        for group in groups:
            most = _RSA_PART if any(order.key_type.startswith("rsa") for order in group) else _MOST
            on_the_way.append([_submit(self.pool, _issue_all, part) for part in _parts(group, self.jobs, most)])
            if len(on_the_way) > _GROUPS_AHEAD:
                yield _all_results(on_the_way.popleft())
        while on_the_way:
            yield _all_results(on_the_way.popleft())

    def start_writing(self, paths: Paths, group: list[PendingFiles]) -> Callable[[], dict[int, IotOnboardError]]:
        """Begin what ``write_group`` does, on all cores, and return what waits for its answer.

        That raises BusyError when a worker process was killed.
        """
        parts = [_submit(self.pool, write_group, paths, part) for part in _parts(group, self.jobs, _MOST)]

        def finish() -> dict[int, IotOnboardError]:
            wait(parts)
            return {row: error for part in parts for row, error in _result(part).items()}

        return finish


def _parts(group: list[_Item], jobs: int, most: int) -> Iterator[list[_Item]]:
    """Cut a group so that every core has some of it, none waits long for another, and few are handed over."""
    size = min(max(len(group) // (2 * jobs), _LEAST), most)
    return (group[start : start + size] for start in range(0, len(group), size))


def _submit(pool: ProcessPoolExecutor, function: Callable[..., _Result], *args: object) -> Future[_Result]:
    try:
        return pool.submit(function, *args)
    except BrokenExecutor:
        raise _killed() from None


def _all_results(parts: list[Future[list[Issued | Refused]]]) -> list[Issued | Refused]:
    return [issued for part in parts for issued in _result(part)]


def _result(part: Future[_Result]) -> _Result:
    try:
        return part.result()
    except BrokenExecutor:
        raise _killed() from None


def _killed() -> BusyError:
    return BusyError(
        "the system killed a worker process, perhaps for want of memory",
        hint="run the same command again with --if-exists skip, and with a smaller --jobs",
    )


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
