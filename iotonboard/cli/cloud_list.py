"""``export`` in the format of a cloud: one list of all devices that were named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.cli.session import Session
from iotonboard.cli.targets import Told, distinct, named_targets
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from iotonboard.commands.cloud_list import Listed, Places
    from iotonboard.delivery.cloud_table import Cloud


def export_for_cloud(
    session: Session,
    device_id: str | None,
    batch: str | None,
    id_column: str,
    cloud: Cloud,
    out: str | None,
    *,
    force: bool,
) -> int:
    """Write the list, and tell of each device in it. The exit code is that of a list."""
    from iotonboard.cli.progress import watched
    from iotonboard.commands.cloud_list import list_devices, of_one_ca, places_of
    from iotonboard.ids import folder_name

    if out == "-" or (out is None and batch is not None):
        raise UsageError("the list of a cloud needs a file", hint="name it with --out FILE")
    places = places_of(cloud, out or f"{folder_name(str(device_id))}.jsonl")
    targets, told = named_targets(session, [device_id] if device_id else None, batch, id_column), Told(session)
    once = distinct(targets)  # a cloud refuses a list that names a device twice
    changed = set()
    with session.open_all() as cas:
        state = cas.holder(device_id) if device_id else cas.around
        of_one = once if device_id else of_one_ca(cas, once)
        done = list_devices(state, of_one, cloud, places, session.unlocker(state), force=force)
        for one in told.done(watched(session, done)):
            changed |= {path for path, lines in _status_files(one, places) if lines}
            _print(session, one, cloud, places)
    for path in sorted(changed):
        session.message(f"next: at AWS, update-certificate with each line of {path}")
    return told.end()


def _status_files(one: Listed, places: Places) -> tuple[tuple[str, str], ...]:
    return (places.disable_path, one.disable_lines), (places.enable_path, one.enable_lines)


def _print(session: Session, one: Listed, cloud: Cloud, places: Places) -> None:
    status = "enabled" if one.is_enabled else "disabled"
    values = {
        "device_id": one.device_id,
        "format": cloud.format_name,
        "path": places.path if one.lines else None,
        "status": status,
        "disable_path": places.disable_path if one.disable_lines else None,
        "enable_path": places.enable_path if one.enable_lines else None,
    }
    paths = "\t".join(filter(None, (values["path"], values["disable_path"], values["enable_path"])))
    session.result(values, f"{one.device_id}\t{cloud.format_name}\t{status}\t{paths}")
