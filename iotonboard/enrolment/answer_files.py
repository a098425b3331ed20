"""What keeps the answers of a batch beside what is told: results, passwords, and credentials in a format."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.ca import credentials
from iotonboard.ca.authority import seal_audit
from iotonboard.errors import ConflictError, NotFoundError, PolicyError
from iotonboard.model import Refused

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.enrolment.batch import Enrolled
    from iotonboard.enrolment.password_file import PasswordFile
    from iotonboard.enrolment.results import ResultsFile
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Export:
    """A format in which each device's credentials are written, and the folder that takes them."""

    format_name: str
    folder: str


@dataclass(frozen=True, slots=True)
class Keeping:
    """Files that were opened for this call; ``None`` for those that nobody asked for."""

    results: ResultsFile | None = None
    passwords: PasswordFile | None = None
    export: Export | None = None


def keep_all(
    state: State, unlock: Unlock, answers: Generator[Enrolled | Refused], keeping: Keeping
) -> Generator[Enrolled | Refused]:
    """Keep each answer before it is handed on to be told, and sign the results at the end, however it comes.

    ``unlock``, which asks once, is called for none but a device that was not refused.

    Raises:
        ConflictError: something stands where the credentials go.
        PolicyError: the format cannot hold a device's credentials.
        BusyError: the disk refuses, or the state is locked.
    """
    with ended(unlock, keeping):
        yield from keep_each(state, unlock, answers, keeping)


@contextmanager
def ended(unlock: Unlock, keeping: Keeping) -> Iterator[None]:
    """A block at whose end, however it comes, the results are signed."""
    try:
        yield
    finally:
        if keeping.results:
            keeping.results.end(lambda: unlock().active.key.signer)


def keep_each(
    state: State, unlock: Unlock, answers: Generator[Enrolled | Refused], keeping: Keeping
) -> Generator[Enrolled | Refused]:
    """Keep each answer before it is handed on, as ``keep_all``; more may follow."""
    with closing(answers):
        for answer in answers:
            yield _keep(state, unlock, answer, keeping)


def _keep(state: State, unlock: Unlock, answer: Enrolled | Refused, keeping: Keeping) -> Enrolled | Refused:
    """Keep one answer, and return what is told: a password that lies in a file is not."""
    if keeping.results:
        keeping.results.add(answer, state.clock())
    if isinstance(answer, Refused):
        return answer
    authority = unlock()
    if answer.outcome == "skipped":
        _complete(state, authority, answer, keeping)
        return answer
    if keeping.passwords and answer.bundle_password:
        keeping.passwords.add(answer.device_id, answer.serial.hex, answer.bundle_password)
        answer = replace(answer, bundle_password=None)
    if keeping.export:
        place = keeping.export.format_name, keeping.export.folder
        answer = replace(
            answer, exported=credentials.write_below(state, authority, answer.device_id, *place, force=False)
        )
    return answer


def _complete(state: State, authority: Authority, answer: Enrolled, keeping: Keeping) -> None:
    """Write what an earlier call did not come to write of a device that is there: its password, its credentials.

    A device that has no valid certificate, or whose secrets were purged, has neither.
    """
    try:
        if keeping.passwords and not keeping.passwords.holds(answer.serial.hex):
            certificate = credentials.current_certificate(state, answer.device_id)
            credentials.refuse_purged(state, answer.device_id, certificate.serial)
            password = credentials.open_secret(state, authority, certificate.serial)[1]
            if password and certificate.serial == answer.serial:
                with state.transaction() as now:
                    detail = {"password": "shown"}
                    state.record(now, answer.device_id, serial=certificate.serial.hex, detail=detail)
                    seal_audit(state, authority)
                keeping.passwords.add(answer.device_id, certificate.serial.hex, password)
        if keeping.export:
            place = keeping.export.format_name, keeping.export.folder
            credentials.complete_below(state, authority, answer.device_id, *place)
    except (ConflictError, NotFoundError, PolicyError):
        return  # something else is there, or there is nothing to write
