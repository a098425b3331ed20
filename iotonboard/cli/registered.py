"""What ``register`` prints of each device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.batch import show_card, tell_hand_over
from iotonboard.cli.targets import reload_next
from iotonboard.model import certificate_json

if TYPE_CHECKING:
    from iotonboard.cli.limits import ExportLimits
    from iotonboard.cli.session import Session
    from iotonboard.enrolment.batch import Enrolled
    from iotonboard.enrolment.results import ResultsFile
    from iotonboard.state.state import State

_ENOUGH = 2  # new devices, to know that there are several


class Shower:
    """Shows each answer, tells of credentials in a format what is to be told, and knows what comes next."""

    def __init__(self, session: Session, state: State, format_name: str | None, *, is_json: bool) -> None:
        self._session, self._state, self._is_json = session, state, is_json
        self._limits: ExportLimits | None = None
        self._new: list[Enrolled] = []  # the first two
        if format_name is not None:
            from iotonboard.cli.limits import ExportLimits

            self._limits = ExportLimits(session, format_name)

    def __call__(self, answer: Enrolled) -> None:
        """Show one answer."""
        _show(answer, is_json=self._is_json)
        if answer.outcome != "skipped" and len(self._new) < _ENOUGH:
            self._new.append(answer)
        if answer.exported and self._limits:
            self._limits.note(answer.exported)

    def tell_next(self, kept: ResultsFile | None, *, must_reload: bool) -> None:
        """Say what comes next: for the broker, and for the devices that got a certificate."""
        if must_reload:
            self._session.message(reload_next(self._state))
        if self._new:
            tell_hand_over(self._session, self._new, kept)


def _exported_values(answer: Enrolled) -> dict[str, object]:
    if answer.exported is None:
        return {}
    left_out = list(answer.exported.left_out)
    return {"path": answer.exported.path, **({"left_out": left_out} if left_out else {})}


def _show(answer: Enrolled, *, is_json: bool) -> None:
    if is_json:
        values = {
            "device_id": answer.device_id,
            "status": answer.outcome,
            **certificate_json(answer.serial, answer.validity, answer.fingerprint),
            "bundle": answer.bundle,
            "bundle_password": answer.bundle_password,
            "created": answer.outcome != "skipped",
        }
        output.write_json("register", values | _exported_values(answer))
        return
    if output.is_for_people():
        show_card(answer)
        return
    shown = f"\tpassword {answer.bundle_password}" if answer.bundle_password else ""
    place = "".join(f"\t{path}" for path in (answer.bundle, answer.exported and answer.exported.path) if path)
    output.write_line(f"{answer.device_id}\t{answer.outcome}\tserial {answer.serial.hex}{place}{shown}")
