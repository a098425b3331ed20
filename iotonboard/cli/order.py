"""The verb ``order``: ``trust``, ``take`` and ``list`` at a station; ``sign``, ``withdraw``, ``write`` at an office."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import is_office
from iotonboard.cli.options import ComparedOption, ReloadOption
from iotonboard.cli.person import answer_exactly, is_at_a_terminal
from iotonboard.cli.session import Session, group, verb
from iotonboard.cli.targets import reload_next
from iotonboard.errors import UnpublishedError, UsageError
from iotonboard.model import Refused, rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.order_list import Production, Result, Revocation
    from iotonboard.state.revocations import Revoked

app = group("order", "What a head office orders its stations, and what it says of it.",
            example="iotonboard order take /media/usb")  # fmt: skip
_WIDTH = 72


@verb(app, "trust", example="iotonboard order trust office.crt --fingerprint 5e1f...")
def trust(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The office's certificate: its certs/office.crt.")],
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="HEX", help="SHA-256 of it, as the office says it.")
    ] = None,
    yes: ComparedOption = False,
) -> int | None:
    """At a station: follow the orders of an office from now on. Its fingerprint is compared; a script names it.

    An office can have certificates revoked here, say how ids begin, and, where the setting 'orders' is 'required', how
    many devices may be made.
    """
    from iotonboard.commands.order_trust import trust_office

    with session.open_state() as state:
        result = trust_office(
            state, file, session.unlocker(state), fingerprint=fingerprint, confirm=partial(_confirm, session, yes)
        )
    status = "unchanged" if result.fingerprint == result.before else "trusted"
    values = {"office": result.fingerprint, "status": status, "before": result.before or None}
    session.result(values, f"office {result.fingerprint}\t{status}")
    if result.kept:
        session.message(f"the settings file was written anew; the one that somebody had edited is {result.kept!r}")
    if status == "trusted":
        session.message("next: iotonboard journal --out FILE, for the office; its orders are taken with: order take")
    return None


def _confirm(session: Session, is_compared: bool, name: str, fingerprint: str, before: str) -> None:
    if is_compared:
        return
    if session.json or not is_at_a_terminal():
        raise UsageError(
            f"nothing says whose office {name!r} is",
            hint="compare its fingerprint with what 'iotonboard init-office' said, and name it: --fingerprint HEX;"
            " --yes where that was done",
        )
    if before:
        output.write_message(f"iotonboard: it takes the place of the office {before}")
    output.write_message(f"iotonboard: the office is {name!r}, SHA-256:")
    for line in textwrap.wrap(" ".join(fingerprint[begin : begin + 8] for begin in range(0, 64, 8)), _WIDTH):
        output.write_message(f"iotonboard: {line}")
    answer_exactly("Does the office say the same? Type its last eight digits:", fingerprint[-8:])


@verb(app, "take", example="iotonboard order take /media/usb --passphrase-file ca.pass")
def take(
    session: Session,
    path: Annotated[str, typer.Argument(metavar="FILE|DIR", help="The orders, or a folder in which they lie.")],
    reload: ReloadOption = False,
) -> int | None:
    """At a station: take the newest orders of its office. What it ordered to revoke goes on the next CRL, now.

    The passphrase is needed where something is to be revoked alone. The next journal begins where the office stands.
    """
    from iotonboard.commands.order_take import take_orders

    with session.open_state(is_urgent=True) as state:
        reloader = session.reloader(state, wanted=reload, signs_first=True)
        result = take_orders(state, path, session.unlocker(state), reload=reloader)
        next_step = reload_next(state)
    orders, status = result.orders, "taken" if result.is_new else "unchanged"
    revoked = [one for one in result.revocations if not isinstance(one, Refused)]
    refused = [one for one in result.revocations if isinstance(one, Refused)]
    values = {
        "path": result.path,
        "orders": orders.number,
        "status": status,
        "acknowledged": orders.acknowledged.row,
        "older_copy": result.is_older_copy,
        "prefix": orders.prefix,
        "revocations": [_revoked_values(one) for one in revoked],
        "refused": [output.error_values(one.error) for one in refused],
        "production": len(orders.production),
    }
    new = sum(bool(one.serials) for one in revoked)
    text = f"orders {orders.number}\t{status}\t{output.counted(new, 'certificate')} revoked\t{result.path}"
    session.result(values, text, unpublished=result.unpublished)
    for one in refused:
        output.write_error(one.message, one.error.hint)
    if result.is_older_copy:
        session.message(
            f"warning: the office took row {orders.acknowledged.row} of a trail that is not in this state: it was put"
            " back from an older copy, or a second copy of it is at work; the next journal has everything"
        )
    if result.unpublished:
        raise UnpublishedError(result.unpublished, reload=reload)
    if new and not reload:
        session.message(next_step)
    return refused[0].error.exit_code if refused else None


def _revoked_values(one: Revoked) -> dict[str, object]:
    return {
        "device_id": one.device_id,
        "serials": [serial.hex for serial in one.serials],
        "reason": one.reason.value,
        "crl_number": one.crl_number,
    }


@verb(app, "list", example="iotonboard order list --json")
def list_all(session: Session) -> int | None:
    """Show what was ordered, and how far it is done; at an office for all stations, as far as they told."""
    if is_office(session.root):
        from iotonboard.cli import office_orders

        office_orders.list_all(session)
        return None
    from iotonboard.commands.order_list import list_orders

    with session.open_state() as state:
        result = list_orders(state)
    _print(session, result)
    return None


@verb(app, "sign", example="iotonboard order sign --station line7 --devices 500 --profile mqtt --until 2030-06-30")
def sign(
    session: Session,
    station: Annotated[str, typer.Option("--station", metavar="NAME", help="Which station may make them.")],
    devices: Annotated[int, typer.Option("--devices", metavar="N", min=1, help="How many devices.")],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="Until when, in UTC.")],
    profile: Annotated[str, typer.Option("--profile", metavar="NAME", help="Of which profile; else of any.")] = "",
) -> int | None:
    """At an office: let a station make so many devices, where its setting 'orders' is 'required'."""
    from iotonboard.cli import office_orders

    office_orders.sign(session, station, devices, profile, until)
    return None


@verb(app, "withdraw", example="iotonboard order withdraw 3")
def withdraw(
    session: Session, number: Annotated[int, typer.Argument(metavar="ORDER", min=1, help="Its number.")]
) -> int | None:
    """At an office: end an order for production. It needs no passphrase."""
    from iotonboard.cli import office_orders

    office_orders.withdraw(session, number)
    return None


@verb(app, "write", example="iotonboard order write --out /media/usb")
def write(
    session: Session,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder, such as a stick's.")],
    stations: Annotated[
        list[str] | None, typer.Option("--station", metavar="NAME", help="Only for this station.")
    ] = None,
) -> int | None:
    """At an office: write for each station one signed file with everything that stands; the newest counts there."""
    from iotonboard.cli import office_orders

    office_orders.write(session, out, stations or ())
    return None


def _print(session: Session, result: Result) -> None:
    orders = result.orders
    if session.json:
        values = {
            "office": result.office or None,
            "required": result.is_required,
            "orders": orders.number if orders else None,
            "created": rfc3339(orders.created) if orders else None,
            "acknowledged": orders.acknowledged.row if orders else None,
            "rows_behind": result.behind,
            "prefix": orders.prefix if orders else "",
            "production": [_production_values(one) for one in result.production],
            "revocations": [_revocation_values(one) for one in result.revocations],
        }
        output.write_json(session.command, values)
        return
    rows = [
        (str(one.order.id), "make", f"{one.made} of {one.order.devices}", one.order.profile or "any profile",
         rfc3339(one.order.until), one.status)
        for one in result.production
    ] + [
        (str(one.order.id), "revoke", one.order.device_id, one.order.reason.value, rfc3339(one.order.time), one.status)
        for one in result.revocations
    ]  # fmt: skip
    output.write_table(("order", "what", "devices", "for", "time", "status"), rows, empty=_nothing(result))
    if orders:
        session.message(f"orders {orders.number} of {rfc3339(orders.created)}; the office lacks {result.behind} rows")


def _nothing(result: Result) -> str:
    if not result.office:
        return "no office is trusted here: iotonboard order trust office.crt"
    return "nothing is ordered" if result.orders else "no orders were taken yet: iotonboard order take FILE"


def _production_values(one: Production) -> dict[str, object]:
    order = one.order
    return {
        "order": order.id,
        "devices": order.devices,
        "made": one.made,
        "profile": order.profile,
        "until": rfc3339(order.until),
        "status": one.status,
    }


def _revocation_values(one: Revocation) -> dict[str, object]:
    order = one.order
    return {
        "order": order.id,
        "serial": order.serial.hex,
        "device_id": order.device_id,
        "reason": order.reason.value,
        "ordered_at": rfc3339(order.time),
        "status": one.status,
    }
