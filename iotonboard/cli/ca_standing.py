"""How the CAs of a state stand, as ``ca status``, ``ca rollover`` and ``ca replace`` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.rollover_status import Standing
    from iotonboard.cli.session import Session
    from iotonboard.commands.ca_replace import Result as Replacement
    from iotonboard.commands.ca_status import Result as CaStatus


def _replaced_values(result: Replacement | CaStatus) -> dict[str, object]:
    """What is said of CAs whose keys were stolen, where there are any."""
    if not result.replaced:
        return {}
    return {
        "replaced": [
            {
                "name": one.name,
                "ca_fingerprint": one.fingerprint,
                "replaced_at": rfc3339(one.replaced_at),
                "last_crl_number": one.last_crl_number,
                "until": rfc3339(one.until),
                "path": one.folder,
            }
            for one in result.replaced
        ],
        "waiting_devices": result.waiting_devices,
        "waiting_brokers": list(result.waiting_brokers),
    }


def print_standing(
    session: Session, status: str, cas: Sequence[Standing], stolen: Replacement | CaStatus | None = None
) -> None:
    """Print each CA, the one that issues first, and what is known of those whose keys were ``stolen``."""
    issuing = cas[0]
    values = {
        "status": status,
        "name": issuing.name,
        "ca_fingerprint": issuing.fingerprint,
        "not_after": rfc3339(issuing.not_after),
        "crl_number": issuing.crl_number,
        "cas": [_values(one) for one in cas],
        **(_replaced_values(stolen) if stolen else {}),
    }
    if session.json:
        output.write_json(session.command, values)
        return
    if output.is_for_people():
        output.write_line("no rollover is under way" if status == "none" else status)
        columns = ("ROLE", "NAME", "NOT AFTER", "CRL", "DEVICES", "BROKERS")
        output.write_table(columns, map(_row, cas), empty="no CA")
    else:
        output.write_line(status)
        for role, name, not_after, crl, devices, brokers in map(_row, cas):
            output.write_line(
                f"{role}\t{name}\tvalid until {not_after}\tCRL {crl}\t{devices} devices\t{brokers} brokers"
            )
    if stolen and stolen.replaced:
        brokers = ", ".join(stolen.waiting_brokers) or "none"
        output.write_line(f"replaced\t{stolen.waiting_devices} devices wait\tbrokers that wait: {brokers}")


def _row(one: Standing) -> tuple[str, ...]:
    numbers = map(str, (one.crl_number, one.valid_devices, len(one.brokers)))
    return (one.role, one.name, rfc3339(one.not_after), *numbers)


def _values(one: Standing) -> dict[str, object]:
    return {
        "name": one.name,
        "ca_fingerprint": one.fingerprint,
        "role": one.role,
        "not_after": rfc3339(one.not_after),
        "crl_number": one.crl_number,
        "valid_devices": one.valid_devices,
        "brokers": list(one.brokers),
    }
