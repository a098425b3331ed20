"""The verb ``verify``."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_device_id
from iotonboard.cli.options import BatchOption, IdColumnOption
from iotonboard.cli.session import Session, clock, verb
from iotonboard.cli.targets import Told, named_targets
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.broker.conf_check import ListenerVerdict
    from iotonboard.broker.verdict import Verdict
    from iotonboard.commands.verify import DeviceResult, Request, Result

app = typer.Typer()


@verb(app, "verify", example="iotonboard verify press-17 --topic devices/press-17/state --access write")
def verify(
    session: Session,
    device_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Devices to judge too.", autocompletion=complete_device_id),
    ] = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    cert: Annotated[
        list[str] | None,
        typer.Option("--cert", metavar="FILE", help="Judge the certificates in a file, PEM or DER, too."),
    ] = None,
    topic: Annotated[str, typer.Option("--topic", help="A topic to try; {device_id} stands for the device.")] = "",
    access: Annotated[Literal["read", "write"], typer.Option("--access", help="What to try on it.")] = "write",
    broker: Annotated[
        Literal["mosquitto-2.0", "mosquitto-2.1"] | None,
        typer.Option("--broker", help="Which broker reads the files, instead of broker.version."),
    ] = None,
    acl: Annotated[
        str | None, typer.Option("--acl", metavar="FILE", help="Another ACL than the published one.")
    ] = None,
    crl: Annotated[str | None, typer.Option("--crl", metavar="FILE", help="Another CRL file.")] = None,
    ca: Annotated[str | None, typer.Option("--ca", metavar="FILE", help="Another CA file.")] = None,
    conf: Annotated[
        str, typer.Option("--conf", metavar="FILE", help="Judge a mosquitto.conf, and the files that it names.")
    ] = "",
    user: Annotated[
        str, typer.Option("--user", help="Whom the broker runs as, instead of broker.user: owners and modes count.")
    ] = "",
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="The moment, as 2030-01-31T12:00:00Z.")] = None,
    cloud: Annotated[
        Literal["aws", "azure"] | None,
        typer.Option("--cloud", help="Name ids and certificates that a cloud refuses, and judge no broker's files."),
    ] = None,
) -> int | None:
    """Say before publishing what a broker will do with ACL, CRL and CA file. Exit 9 when something would fail.

    With --cloud: which ids and certificates AWS IoT or Azure IoT would refuse, of these devices or of all.
    """
    from iotonboard.commands.verify import Request, verify_files, verify_state
    from iotonboard.enrolment.each_device import known_devices

    moment = _moment(at) if at else clock()
    if cloud:
        if topic or broker or acl or crl or ca or conf or user:
            raise UsageError("--cloud judges no broker's files", hint="leave out what is about a broker")
        from iotonboard.cli.verify_cloud import verify_cloud
        from iotonboard.delivery.cloud_table import CLOUDS

        return verify_cloud(session, CLOUDS[cloud], device_ids, batch, id_column, cert or (), moment)
    version: Literal["2.0", "2.1"] = "2.1" if broker == "mosquitto-2.1" else "2.0"
    request = Request(moment, acl or "", crl or "", ca or "", version, topic, access, user, conf=conf)
    is_whole = (acl and crl and ca) or (conf and not session.has_state)
    targets, told = named_targets(session, device_ids, batch, id_column), Told(session, in_json=False)
    if is_whole and not device_ids and batch is None:
        result = verify_files(request, cert or ())
    else:
        with session.open_all() as cas:
            if broker is None:
                request = replace(request, version=cas.around.config["broker.version"])
            parts = [known_devices(state, run) for state, run in cas.runs(targets)]
            named = [name for names, _ in parts for name in names]
            result = verify_state(cas, request, named, cert or ())
        told.refuse(*(one for _, refused in parts for one in refused))
        told.count(len(named))
    _print(session, result, request, moment)
    return 9 if result.fails else told.exit_code


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a time", hint="write it as 2030-01-31T12:00:00Z") from None


def _print_json(result: Result, request: Request, moment: datetime) -> None:
    problems = [
        {
            "path": one.path,
            "code": one.code,
            "status": "warning" if one.warning else "failed",
            "message": one.message,
            "at_start": one.at_start,
            "at_reload": one.at_reload,
        }
        for one in result.problems
    ]
    devices = [
        {
            "device_id": one.device_id,
            "file": one.file or None,
            "at_start": _values(one.at_start),
            "at_reload": _values(one.at_reload),
            "message": _values(one.message) if one.message else None,
            "older": [_values(verdict) for verdict in one.older],
            "note": one.note or None,
        }
        for one in result.devices
    ]
    status = "failed" if result.fails else "ok"
    values = {
        "status": status,
        "broker": f"mosquitto-{request.version}",
        "at": rfc3339(moment),
        "problems": problems,
        "devices": devices,
        "listeners": [asdict(one) for one in result.listeners],
    }
    output.write_json("verify", values)


def _print(session: Session, result: Result, request: Request, moment: datetime) -> None:
    if session.json:
        _print_json(result, request, moment)
        return
    for listener in result.listeners:
        output.write_line("\t".join((f"listener {listener.port} {listener.address}".rstrip(), *_enforced(listener))))
    for problem in result.problems:
        effects = (("at a start", problem.at_start), ("at a reload", problem.at_reload))
        what = "; ".join(f"{when}: {effect}" for when, effect in effects if effect)
        output.write_line(f"{problem.path}\t{problem.code}\t{problem.message}\t{what}")
    for device in result.devices:
        for line in _words(device, request.access) if output.is_for_people() else _fields(device):
            output.write_line(f"{device.device_id}\t{line}")
        for verdict in device.older:
            if verdict.accepted != device.at_start.accepted:
                fate = "accepted" if verdict.accepted else f"{verdict.outcome}: {verdict.reason}"
                session.message(f"with an older certificate, {device.device_id} is {fate}")
        if device.note:
            session.message(f"warning: {device.note}")
    if not result.problems:
        session.message("a broker can read ACL, CRL and CA file, and goes by them")


def _fields(device: DeviceResult) -> Iterator[str]:
    """What becomes of a device, for scripts: event, outcome and reason."""
    for when, verdict in (("start", device.at_start), ("reload", device.at_reload), ("message", device.message)):
        if verdict is not None and (when != "reload" or verdict != device.at_start):
            yield f"{when}\t{verdict.outcome}\t{verdict.reason}"


def _words(device: DeviceResult, access: str) -> Iterator[str]:
    """The same for people."""
    is_one = device.at_reload == device.at_start
    for verdict, when in ((device.at_start, "starts"), (device.at_reload, "reloads")):
        reason = verdict.reason.removeprefix("accepted ")
        if is_one and when == "starts":
            yield f"{verdict.outcome}\t{reason}"
        elif not is_one:
            yield f"{verdict.outcome} (when the broker {when})\t{reason}"
    if device.message is not None:
        outcome = {True: f"may {access}", False: f"may not {access}", None: f"may perhaps {access}"}
        yield f"{outcome[device.message.accepted]}\t{device.message.reason}"


def _enforced(listener: ListenerVerdict) -> Iterator[str]:
    is_enforced = (listener.enforces_certificate, listener.enforces_crl, listener.enforces_acl)
    for what, is_so in zip(("certificate", "CRL", "ACL"), is_enforced, strict=True):
        yield f"{what} {'enforced' if is_so else 'NOT enforced'}"


def _values(verdict: Verdict) -> dict[str, object]:
    return {"accepted": verdict.accepted, "cause": verdict.cause.value, "reason": verdict.reason}
