"""``verify --cloud``: what a cloud would refuse, as text and as JSON."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.targets import Told, named_targets
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from iotonboard.cli.session import Session
    from iotonboard.commands.verify_cloud import Judged
    from iotonboard.delivery.cloud_table import Cloud


def verify_cloud(
    session: Session,
    cloud: Cloud,
    device_ids: Sequence[str] | None,
    batch: str | None,
    id_column: str,
    certificates: Sequence[str],
    at: datetime,
) -> int:
    """Print what the cloud would refuse; 9 where it would refuse anything."""
    from iotonboard.commands import verify_cloud as command

    targets, told = named_targets(session, device_ids, batch, id_column), Told(session, in_json=False)
    files = command.judge_files(cloud, certificates, at)
    if certificates and not device_ids and batch is None:
        fails = _print(session, cloud, files, at)
    else:
        with session.open_all() as cas:
            if batch is None and not device_ids:
                judged = command.judge_all(cas, cloud, at)
            else:
                judged, refused = command.judge_named(cas, cloud, targets, at)
                told.refuse(*refused)
                told.count(sum(bool(one.device_id) for one in judged))
            fails = _print(session, cloud, chain(judged, files), at)
    return 9 if fails else told.exit_code


def _print(session: Session, cloud: Cloud, judged: Iterable[Judged], at: datetime) -> bool:
    found = list(judged)
    refused = [one for one in found if not one.is_accepted]
    if session.json:
        problems = [
            {
                "device_id": one.device_id or None,
                "path": one.file or None,
                "code": problem.code,
                "status": "failed",
                "message": problem.message,
            }
            for one in refused
            for problem in one.problems
        ]
        devices = [
            {"device_id": one.device_id, "file": one.file or None, "accepted": one.is_accepted}
            for one in found
            if one.device_id
        ]
        values = {"status": "failed" if refused else "ok", "cloud": cloud.name, "at": rfc3339(at)}
        output.write_json("verify", {**values, "problems": problems, "devices": devices})
        return bool(refused)
    for one in refused:
        for problem in one.problems:
            output.write_line("\t".join((one.device_id or one.file, problem.code, problem.message)))
            if problem.hint:
                session.message(f"hint: {problem.hint}")
    if not refused:
        session.message(f"{cloud.title} takes all of them")
    return bool(refused)
