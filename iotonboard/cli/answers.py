"""The answers of ``register``: printed, kept in files, and counted for the exit code."""

from __future__ import annotations

import signal
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.session import Session, clock
from iotonboard.errors import InterruptedBatchError, IotOnboardError
from iotonboard.model import certificate_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.ca.authority import Authority
    from iotonboard.commands.register import Options, Registered
    from iotonboard.commands.renew import Renewed
    from iotonboard.enrolment.batch import StartWorkers
    from iotonboard.enrolment.desk import Desk
    from iotonboard.enrolment.request import Request
    from iotonboard.enrolment.results import ResultsFile
    from iotonboard.enrolment.workers import WorkerPool
    from iotonboard.model import Refused
    from iotonboard.state.state import State


class Report:
    """Prints each answer as it comes and remembers what decides the exit code."""

    def __init__(
        self,
        session: Session,
        *,
        is_json: bool,
        is_list: bool,
        jobs: int | None,
        keep_password: Callable[[Registered], None] | None,
        results: ResultsFile | None,
        write_format: Callable[[str], str] | None,
    ) -> None:
        self._session = session
        self._start_workers = worker_starter(jobs)
        self._is_json = is_json
        self._is_list = is_list
        self._keep_password = keep_password
        self.results = results
        self._write_format = write_format
        self._counts = {"created": 0, "reissued": 0, "skipped": 0, "failed": 0}
        self.exit_code = 0

    def run(
        self,
        state: State,
        authority: Authority,
        requests: Iterator[Request | Refused | None],
        options: Options,
        stopped: Callable[[], bool],
        total: int | None,
    ) -> None:
        """Register everything, print every answer. ``total`` is for the progress; 0: none."""
        from iotonboard.commands.register import register as register_all

        workers = self._start_workers
        with closing(
            register_all(state, authority, requests, options, stopped=stopped, start_workers=workers)
        ) as answers:
            for answer in answers if total == 0 else _watched(self._session, answers, total):
                self._print(answer)
        if sum(self._counts.values()) > 1 or self._is_list:
            counts = ", ".join(f"{number} {outcome}" for outcome, number in self._counts.items() if number)
            place = f"; results in {self.results.path}" if self.results else ""
            self._session.message((counts or "the list is empty") + place)
        if stopped():
            raise InterruptedBatchError(
                "stopped; everything answered so far is done",
                hint="run it again with --if-exists skip to go on",
            )

    def _print(self, answer: Registered) -> None:
        self._counts[answer.outcome] += 1
        if self.results:
            self.results.add(_result(answer, sum(self._counts.values())), clock())
        if answer.error is not None:
            self._print_failure(answer, answer.error)
            return
        if self._keep_password and answer.bundle_password:
            self._keep_password(answer)
        password = None if self._keep_password else answer.bundle_password
        exported = self._write_format(answer.device_id) if self._write_format and answer.outcome != "skipped" else None
        if self._is_json:
            output.write_json("register", {**_values(answer, password), **({"path": exported} if exported else {})})
            return
        shown = f"\tpassword {password}" if password else ""
        place = "".join(f"\t{path}" for path in (answer.bundle, exported) if path)
        output.write_line(
            f"{answer.device_id}\t{answer.outcome}\tserial {answer.serial.hex if answer.serial else ''}{place}{shown}"
        )

    def _print_failure(self, answer: Registered, error: IotOnboardError) -> None:
        self.exit_code = self.exit_code or error.exit_code
        if self._is_json and self._is_list:
            values = {"device_id": answer.device_id, "line": answer.line, "status": "failed"}
            output.write_json("register", {**values, "error": output.error_values(error)})
        output.write_error(error.message, error.hint)


def _watched(session: Session, answers: Iterator[Registered], total: int | None) -> Iterator[Registered]:
    """With progress, whose code one device never loads."""
    from iotonboard.cli.progress import watched

    return watched(session, answers, total)


def worker_starter(jobs: int | None) -> StartWorkers | None:
    """Worker processes for a batch; one device never loads what they need."""
    if jobs == 1:
        return None

    def start(desk: Desk) -> WorkerPool:
        from iotonboard.enrolment.workers import WorkerPool, usable_cores

        return WorkerPool(desk, jobs or usable_cores())

    return start


def _values(answer: Registered, password: str | None) -> dict[str, object]:
    return {
        "device_id": answer.device_id,
        "status": answer.outcome,
        **certificate_json(answer.serial, answer.validity, answer.fingerprint),
        "bundle": answer.bundle,
        "bundle_password": password,
        "created": answer.outcome != "skipped",
    }


def _result(answer: Registered, position: int) -> dict[str, str | int]:
    """One row of the results file; without a list, rows count from 1."""
    return {
        "line": answer.line or position,
        "device_id": answer.device_id,
        "serial": answer.serial.hex if answer.serial else "",
        "fingerprint": answer.fingerprint,
        "bundle": answer.bundle or "",
        "status": answer.outcome,
        "error": answer.error.message if answer.error else "",
    }


@contextmanager
def passwords_file(path: str | None) -> Iterator[Callable[[Registered | Renewed], None] | None]:
    """The file that takes the bundle passwords, if one is asked for."""
    if path is None:
        yield None
        return
    from iotonboard.enrolment.password_file import PasswordFile

    with PasswordFile(path) as file:
        yield lambda answer: file.add(
            answer.device_id, answer.serial.hex if answer.serial else "", answer.bundle_password or ""
        )


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question that is asked between groups; a second one ends at once."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
