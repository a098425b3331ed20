"""What ``register`` prints of each device."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.batch import show_card
from iotonboard.model import certificate_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.cli.session import Session
    from iotonboard.enrolment.batch import Enrolled


def shower(session: Session, format_name: str | None, *, is_json: bool) -> Callable[[Enrolled], None]:
    """What shows each answer, and tells of its credentials in a format what is to be told."""
    if format_name is None:
        return partial(_show, is_json=is_json)
    from iotonboard.cli.limits import ExportLimits

    limits = ExportLimits(session, format_name)

    def show(answer: Enrolled) -> None:
        _show(answer, is_json=is_json)
        if answer.exported:
            limits.note(answer.exported)

    return show


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
