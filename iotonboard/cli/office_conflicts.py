"""How an id that lives at two stations is told, with what both say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iotonboard.store.registry.conflicts import Conflict, LivingDevice

_MOST = 5  # conflicts that are told at length


def conflict_values(conflict: Conflict, names: Mapping[int, str]) -> dict[str, object]:
    """A conflict as it appears in JSON; ``names``: what stations are called."""
    return {
        "device_id": conflict.devices[0].device_id,
        "devices": [
            {
                "station": names.get(one.station, ""),
                "device_id": one.device_id,
                "name": one.name,
                "created_at": rfc3339(one.created_at),
                "certificates": [
                    {
                        "serial": SerialNumber.from_octets(each.serial).hex,
                        "created_at": rfc3339(each.created_at),
                        "not_before": rfc3339(each.not_before),
                        "not_after": rfc3339(each.not_after),
                    }
                    for each in one.certificates
                ],
            }
            for one in conflict.devices
        ],
    }


def conflict_lines(conflicts: Sequence[Conflict], names: Mapping[int, str]) -> Iterator[str]:
    """What people read of conflicts, and what to do."""
    for conflict in conflicts[:_MOST]:
        where = " and ".join(repr(names.get(one.station, "")) for one in conflict.devices)
        yield f"warning: {conflict.devices[0].device_id!r} lives at {where}: no broker can tell the two apart"
        yield from (f"  {_history(one, names)}" for one in conflict.devices)
    if (left := len(conflicts) - _MOST) > 0:
        yield f"warning: {left} more ids live at two stations; --json names all"
    if conflicts:
        yield "the name is denied until it is revoked or retired at one of them, whose journal says so"


def _history(device: LivingDevice, names: Mapping[int, str]) -> str:
    newest = device.certificates[-1]
    serial = SerialNumber.from_octets(newest.serial).hex
    called = f" ({device.name})" if device.name else ""
    return (
        f"{names.get(device.station, '')}: {device.device_id}{called} since {rfc3339(device.created_at)}, newest"
        f" certificate {serial} of {rfc3339(newest.created_at)}, until {rfc3339(newest.not_after)}"
    )
