"""What verbs have in common that answer for many devices: workers, the stop signal, answers as they come, counts."""

from __future__ import annotations

import os
import shlex
import signal
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.targets import confirm_next, exit_code_with
from iotonboard.errors import InterruptedBatchError, IotOnboardError, UnpublishedError, UsageError
from iotonboard.model import Refused, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from iotonboard.cli.session import Session
    from iotonboard.disk.csv_form import CsvForm
    from iotonboard.enrolment.batch import Enrolled, StartWorkers
    from iotonboard.enrolment.desk import Desk
    from iotonboard.enrolment.password_file import PasswordFile
    from iotonboard.enrolment.results import ResultsFile
    from iotonboard.enrolment.workers import Workers
    from iotonboard.state.state import State

_OUTCOMES = ("created", "reissued", "renewed", "skipped", "failed")  # in the order of a summary


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a batch: how many devices had which outcome, and the exit code of the refusals."""

    counts: dict[str, int]
    exit_code: int

    @property
    def devices(self) -> int:
        """How many were told."""
        return sum(self.counts.values())

    def missing_of(self, count: int) -> int:
        """How many of ``count`` devices are not there."""
        return count - self.devices + self.counts["failed"]

    @property
    def summary(self) -> str:
        """``2 created, 1 failed``; empty when there was nothing to tell."""
        return ", ".join(f"{number} {outcome}" for outcome, number in self.counts.items() if number)


def tell(
    session: Session,
    answers: Generator[Enrolled | Refused],
    show: Callable[[Enrolled], None],
    *,
    is_json: bool,
    total: int | None,
    is_stream: bool = False,
) -> Told:
    """Print each answer as it comes, with progress beside it.

    ``is_json``: a refused device has an object of its own, beside its error on stderr. ``total`` is how many answers
    there will be; ``None`` when nobody knows, 1 for no progress. Where the batch breaks off, what was done is told.
    """
    counts, exit_code = dict.fromkeys(_OUTCOMES, 0), 0
    with closing(answers), _watched(session, answers, total) as shown, _told_before(session, counts):
        for answer in shown:
            if isinstance(answer, Refused):
                counts["failed"] += 1
                exit_code = exit_code_with(exit_code, answer, is_stream=is_stream)
                session.refusal(answer, is_json=is_json)
            else:
                counts[answer.outcome] += 1
                show(answer)
    return Told(counts, exit_code)


@contextmanager
def _told_before(session: Session, counts: dict[str, int]) -> Iterator[None]:
    try:
        yield
    except UnpublishedError:
        raise  # at the end of all of them
    except IotOnboardError:
        if summary := Told(counts, 0).summary:
            session.message(f"{summary} before it broke off")
        raise


def show_card(answer: Enrolled) -> None:
    """Print for a person what a device got, each fact whole on a line of its own."""
    old = rfc3339(answer.revoke_after) if answer.revoke_after else ""
    facts = (("serial", answer.serial.hex), ("fingerprint", answer.fingerprint),
             ("valid until", rfc3339(answer.validity.not_after)), ("old one until", old),
             ("bundle", answer.bundle or ""), ("password", answer.bundle_password or ""),
             ("file", answer.exported.path if answer.exported else ""))  # fmt: skip
    output.write_card(f"{answer.device_id}\t{answer.outcome}", facts)


@contextmanager
def answering(
    session: Session, passwords: str | None, *, is_json: bool, for_excel: bool = False
) -> Iterator[tuple[PasswordFile | None, Callable[[], bool]]]:
    """What a call that answers for devices runs in: the file for ``passwords``, and whether it was asked to stop.

    Behind answers that are JSON, what could not be signed or published is one object more.

    Raises:
        UnpublishedError: as it was raised in the block.
    """
    try:
        with _open_passwords(passwords, for_excel=for_excel) as password_file, _stop_signal() as stopped:
            yield password_file, stopped
    except UnpublishedError as error:
        if is_json:
            output.write_json(session.command, {"unpublished": output.unpublished_values(error.unpublished)})
        raise


def _watched(
    session: Session, answers: Generator[Enrolled | Refused], total: int | None
) -> AbstractContextManager[Iterator[Enrolled | Refused]]:
    """The answers with progress, whose code one device never loads."""
    if total == 1:
        return nullcontext(answers)
    from iotonboard.cli.progress import watched

    return closing(watched(session, answers, total))


def worker_starter(session: Session, jobs: int | None) -> StartWorkers | None:
    """What starts worker processes for a long batch, if more than one is asked for; one device never loads it."""
    if jobs == 1:
        return None

    def start(desk: Desk) -> AbstractContextManager[Workers | None]:
        from iotonboard.enrolment.workers import usable_cores, worker_processes

        return worker_processes(desk, jobs or usable_cores(), session.message)

    return start


def results_file(
    state: State, verb: str, path: str | None, *, is_many: bool, for_excel: bool = False, passwords: str | None = None
) -> ResultsFile | None:
    """The results file: where the operator says, below the state for a batch, none for a single device.

    Raises:
        UsageError: a CSV is asked for, and none is written.
    """
    if for_excel:
        _check_excel(path, passwords, is_many=is_many)
    if path is None and not is_many:
        return None
    from iotonboard.enrolment.results import ResultsFile, default_path

    return ResultsFile(path or default_path(state.paths.root, verb, state.clock()), _form(for_excel=for_excel))


def _check_excel(results: str | None, passwords: str | None, *, is_many: bool) -> None:
    if results is not None and results.endswith(".jsonl") and passwords is None:
        raise UsageError("--excel is for CSV, and these results are JSON lines", hint="name a file that ends in .csv")
    if results is None and passwords is None and not is_many:
        raise UsageError("--excel is for files", hint="name one with --results or --passwords")


def _form(*, for_excel: bool) -> CsvForm:
    from iotonboard.disk.csv_form import EXCEL, PLAIN

    return EXCEL if for_excel else PLAIN


def tell_hand_over(session: Session, new: Sequence[Enrolled], kept: ResultsFile | None) -> None:
    """Say how devices that got a certificate, of which two are enough, come to their credentials."""
    one = new[0] if len(new) == 1 else None
    if one is None and kept is None:  # of a stream, whose devices nobody reads off here
        return
    who = shlex.quote(one.device_id) if one else f"--batch {shlex.quote(kept.path)}" if kept else ""
    if new[0].exported:
        session.message(confirm_next(one.device_id if one else None, kept.path if kept else None))
    elif new[0].bundle:
        session.message(
            f"next: iotonboard deliver {who}, or for its firmware iotonboard export {who} --format FORMAT"
            f"{'' if one else ' --out DIR'}; iotonboard labels {who}"
        )
    else:
        session.message(f"next: iotonboard export {who} --format pem{'' if one else ' --out DIR'}")


def name_call(places: Iterable[str | None], *words: object) -> str:
    """A name for calls that ask for the same: of the same files and folders, with the same words.

    Whatever files take their answers.
    """
    files = [place and (place if place == "-" else os.path.abspath(place)) for place in places]
    return sha256(repr((files, *words)).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _open_passwords(path: str | None, *, for_excel: bool) -> AbstractContextManager[PasswordFile | None]:
    """The file that takes the bundle passwords, if one is asked for."""
    if path is None:
        return nullcontext()
    from iotonboard.enrolment.password_file import PasswordFile

    return PasswordFile(path, _form(for_excel=for_excel))


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
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


def refuse_stopped(stopped: Callable[[], bool], *, hint: str) -> None:
    """End the call with the exit code of an interruption where it was asked to stop.

    Raises:
        InterruptedBatchError: it was; the hint says how to go on.
    """
    if stopped():
        raise InterruptedBatchError("stopped; everything answered so far is done", hint=hint)
