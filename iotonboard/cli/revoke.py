"""The verb ``revoke``."""

from __future__ import annotations

import os
from functools import reduce
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import refuse_at_office, refuse_at_station
from iotonboard.cli.options import (
    BatchOption,
    IdColumnOption,
    OptionalDevicesArgument,
    ReasonOption,
    ReloadOption,
    StationOption,
    YesOption,
)
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import (
    DAMAGED_INDEX,
    HOW_TO_RELOAD,
    STAYS_CONNECTED,
    carry_next,
    check_list,
    exit_code_with,
    named_targets,
    names_of,
)
from iotonboard.errors import BusyError, IotOnboardError, UnpublishedError, UsageError
from iotonboard.model import Refused, RevocationReason, Target, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iotonboard.errors import Unpublished
    from iotonboard.model import SerialNumber
    from iotonboard.state.revocations import Revoked, WhoseIs
    from iotonboard.state.state import State

app = typer.Typer()


@verb(app, "revoke", example="iotonboard revoke press-17 --reason keyCompromise --passphrase-file ca.pass")
def revoke(
    session: Session,
    ids: OptionalDevicesArgument = None,
    reason: ReasonOption = RevocationReason.UNSPECIFIED,
    serials: Annotated[list[str] | None, typer.Option("--serial", metavar="HEX", help="One certificate only.")] = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    certificates: Annotated[
        list[str] | None, typer.Option("--cert", metavar="FILE", help="A certificate file, known here or not.")
    ] = None,
    defer: Annotated[
        bool, typer.Option("--defer", help="Record now, publish with the next gen-crl; needs no key.")
    ] = False,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="A --serial of this CA that the database forgot, after a restore, too.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Revoke nothing when one target is unknown.")] = False,
    reload: ReloadOption = False,
    yes: YesOption = False,
    station: StationOption = "",
) -> int | None:
    """Revoke devices: recorded, on the CRL and out of the ACL in one step.

    The record comes first, and stays. What of the rest cannot be done now, for want of the key or of a disk, is named
    (exit 8, whatever else was refused), and the next command that can does it. A target that is refused stops no other.
    An office denies devices at once, and orders their stations to revoke them: it needs no passphrase for that.
    """
    check_list(session, batch, id_column)
    _check_usage(names_any=bool(ids or serials or certificates or batch is not None), defer=defer, reload=reload)
    _check_serials(ids or [], serials or [], unknown=unknown and batch is None)
    targets = list(_targets(session, ids or [], serials or [], batch, id_column))
    if is_office(session.root):
        from iotonboard.cli.office_revoke import revoke_at_office

        refuse_at_office(defer=defer, unknown=unknown, reload=reload)
        return revoke_at_office(session, targets, certificates or (), reason, station, strict=strict, yes=yes)
    refuse_at_station(station=station)
    heads: dict[str, str] = {}
    with session.open_all(is_urgent=True) as cas:
        state = cas.around
        if certificates:
            from iotonboard.commands.revoke_cert import find_in_added

            targets += find_in_added(cas, certificates)
        if len(targets) > 1 and (names := names_of(targets)):
            why = "" if reason is RevocationReason.UNSPECIFIED else f", for {reason.value}"
            session.confirm(f"Revoke {names}{why}?", yes=yes)
        whose_is = _proof(state, batch, is_said=unknown)
        if defer:
            from iotonboard.commands.revoke_defer import revoke_deferred

            results, unpublished, heads = revoke_deferred(cas, targets, reason, strict=strict, whose_is=whose_is)
        else:
            from iotonboard.commands.revoke import revoke as revoke_now

            reloader = session.reloader(state, wanted=reload)
            results, unpublished = revoke_now(
                cas, targets, reason, session.unlocker, strict=strict, whose_is=whose_is, reload=reloader
            )
    exit_code = _print_all(session, results, unpublished, heads)
    is_any = any(not isinstance(one, Refused) for one in results)
    if not targets:
        session.message("the list names no device: nothing was revoked")
    if unpublished:
        raise UnpublishedError(unpublished, reload=reload)
    if is_any:
        cas_meant = dict.fromkeys(one.ca for one in results if not isinstance(one, Refused))
        for name in cas_meant:
            _tell_next(session, cas.state(name) if name else state, heads.get(name, ""), is_reloaded=reload)
    return exit_code


def _tell_next(session: Session, state: State, head: str, *, is_reloaded: bool) -> None:
    """Say what comes behind revocations; ``head`` is the trail's behind those that are only recorded."""
    if head:
        of_it = f" --ca {os.path.basename(state.paths.root)}" if state.main else ""
        session.message(
            f"write down the head of the trail: {head}; 'iotonboard audit verify{of_it} --head' knows it again"
        )
        session.message("next: iotonboard gen-crl, to put it on the CRL")
    elif state.main:
        session.message(carry_next(state))
    elif is_reloaded:
        session.message(STAYS_CONNECTED)
    else:
        session.message(f"{carry_next(state, HOW_TO_RELOAD)}. Then {STAYS_CONNECTED}")


def _proof(state: State, batch: str | None, *, is_said: bool) -> WhoseIs:
    """Who has the certificate of a serial that the database forgot, as its signed list or else somebody says."""
    proved: list[Mapping[SerialNumber, str]] = []

    def whose_is(serial: SerialNumber) -> str | None:
        from iotonboard.commands.revoke_unknown import proved_holders

        if not proved:
            proved.append({} if batch in (None, "-") else proved_holders(state, str(batch)))
        return proved[0].get(serial, "" if is_said else None)

    return whose_is


def _check_usage(*, names_any: bool, defer: bool, reload: bool) -> None:
    if not names_any:
        raise UsageError("nothing to revoke", hint="name devices, --serial, --cert or --batch")
    if defer and reload:
        raise UsageError("--defer publishes nothing to reload", hint="leave one of the two out")


def _check_serials(ids: list[str], serials: list[str], *, unknown: bool) -> None:
    if unknown and not serials:
        raise UsageError("--unknown goes with --serial or --batch", hint="name the serial of the certificate")
    if serials and len(ids) > 1:
        raise UsageError(
            "--serial goes with one device at most", hint="revoke the other devices with a call of their own"
        )


def _targets(
    session: Session, ids: list[str], serials: list[str], batch: str | None, id_column: str
) -> Iterator[Target | Refused]:
    for text in serials:
        yield Target(ids[0] if len(ids) == 1 else "", serial=text)
    if not serials:
        yield from map(Target, ids)
    if batch is not None:
        yield from _listed(session, batch, id_column)


def _listed(session: Session, batch: str, id_column: str) -> Iterator[Target | Refused]:
    """The rows of a list; what ends it, such as a stick that was pulled out, stops nothing that was named before."""
    try:
        yield from named_targets(session, None, batch, id_column, needs_end=True)
    except IotOnboardError as error:
        yield Refused(batch, 0, error)
    except OSError as error:
        yield Refused(batch, 0, BusyError(f"cannot read {batch!r}: {error.strerror}", hint="read it again"))


def _print_all(
    session: Session,
    results: Sequence[Revoked | Refused],
    unpublished: Sequence[Unpublished],
    heads: Mapping[str, str],
) -> int:
    """Print what became of each target; returns the exit code of those that were refused."""
    refused = [one for one in results if isinstance(one, Refused)]
    for one in results:
        if isinstance(one, Refused):
            output.write_error(one.message, one.error.hint)
        else:
            _print(session, one, unpublished, {"audit_head": heads[one.ca]} if one.ca in heads else {})
    if any(one.is_scanned for one in results if not isinstance(one, Refused)):
        session.message(DAMAGED_INDEX)
    for one in results:
        if not isinstance(one, Refused) and one.is_recalled:
            session.message(
                f"warning: rows of {one.device_id!r} are not as the audit trail says; what that says was issued is"
                " revoked; type: iotonboard health --deep"
            )
    if refused and len(results) > 1:
        session.message(f"{len(refused)} of {len(results)} were refused")
    return reduce(exit_code_with, refused, 0)


def _print(session: Session, one: Revoked, unpublished: Sequence[Unpublished], more: Mapping[str, object]) -> None:
    values = {
        "device_id": one.device_id,
        "serials": [serial.hex for serial in one.serials],
        "reason": one.reason.value,
        "revocation_date": rfc3339(one.revocation_date) if one.revocation_date else None,
        "crl_number": one.crl_number,
        **({"ca": one.ca} if one.ca else {}),
        **more,
    }
    what = f"{output.counted(len(one.serials), 'certificate')} revoked" if one.serials else "was revoked already"
    if one.revocation_date is None:
        what = "nothing to revoke: its certificates have expired ('--serial HEX --reason keyCompromise' bars a key)"
    place = f"CRL {one.crl_number}" if one.crl_number else "not yet on the CRL" if one.serials else "no new CRL"
    session.result(values, f"{one.device_id or 'unknown device'}\t{what}\t{place}", unpublished=unpublished)
