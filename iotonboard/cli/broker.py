"""The verb ``broker``: ``issue``, ``list``, ``show`` and ``revoke``."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.limits import tell_32_bits, tell_browsers
from iotonboard.cli.options import ReasonOption, ReloadOption, ValidityOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.cli.targets import refuse_placeholder
from iotonboard.cli.values import certificate_status, certificate_values
from iotonboard.errors import UnpublishedError, UsageError
from iotonboard.model import KeyType, RevocationReason, certificate_json, rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.broker_issue import Result
    from iotonboard.commands.broker_show import Broker
    from iotonboard.state.state import State

app = group("broker", "Certificates and settings of brokers.", example="iotonboard broker issue broker.plant4.local")
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="The broker, by the first of its names.")]


@verb(
    app,
    "issue",
    example="iotonboard broker issue broker.plant4.local 10.0.4.2 --for /etc/mosquitto/iotonboard",
)
def issue(
    session: Session,
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HOST...]", help="Host names and IP addresses; of a known broker the first will do."),
    ] = None,
    for_dir: Annotated[
        str,
        typer.Option(
            "--for", metavar="DIR", help="Make a whole folder for a broker on this machine, and publish there."
        ),
    ] = "",
    seen_as: Annotated[
        str, typer.Option("--as", metavar="PATH", help="That folder's path in the broker's container.")
    ] = "",
    user: Annotated[str, typer.Option("--user", help="Whom that broker runs as. [default: mosquitto]")] = "",
    csr: Annotated[
        str | None, typer.Option("--csr", metavar="FILE", help="Certify the key of this request ('apply --prepare').")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port in mosquitto.conf. [default: 8883]")
    ] = None,
    key_type: Annotated[
        KeyType | None, typer.Option("--key-type", help="Key type. [default: as before, RSA for an RSA CA, key_type]")
    ] = None,
    validity_days: ValidityOption = None,
    plain_key: Annotated[
        bool | None,
        typer.Option(
            "--plain-key/--no-plain-key", help="Also write broker-plain.key, for a broker that starts unattended."
        ),
    ] = None,
) -> int | None:
    """Issue a server certificate and write a mosquitto.conf that enforces mTLS, CRL and ACL.

    With --for everything that the broker needs lies in one folder, where CRL, ACL and CA file are published from then
    on. Issuing again keeps names, port and key type, and makes a new key.
    """
    from iotonboard.commands.broker_issue import issue_broker
    from iotonboard.enrolment.broker_plan import Request

    if not hosts and csr is None:
        raise UsageError("no host is named", hint="for example: iotonboard broker issue broker.plant4.local")
    refuse_placeholder("HOST", hosts, "the broker's name, such as broker.plant4.local")
    if csr is not None and (for_dir or key_type or plain_key):
        raise UsageError("--csr certifies a key of another machine", hint="leave --for, --key-type and --plain-key out")
    if user and not for_dir and csr is not None:
        raise UsageError("--user goes with a folder", hint="name it with --for")
    request = Request(
        hosts or (), port, validity_days, key_type, plain_key, _read_csr(csr) if csr else None, for_dir, user, seen_as
    )
    with session.open_state() as state:
        result = issue_broker(state, request, session.unlocker(state))
    _print_issued(session, result)
    if result.plan.spki_der is None:
        _tell_start(session, state, result)
    return None


def _read_csr(path: str) -> bytes:
    from iotonboard.enrolment.csr_files import read_csr

    return read_csr(path, sys.stdin.buffer)


def _print_issued(session: Session, result: Result) -> None:
    setup = result.plan.setup
    values = {
        "host": setup.host,
        "names": list(result.plan.names),
        **certificate_json(result.serial, result.validity, result.fingerprint),
        "ca_fingerprint": result.issuer,
        "key_type": result.plan.key_type.value,
        "port": setup.port,
        "folder": setup.folder or None,
        "config": result.config.path,
        "changes": list(result.plan.changes),
        "settings": list(result.settings),
        "key_password": result.key_password,
    }
    session.result(values, f"{setup.host}\tserial {result.serial.hex}\t{result.config.path}")
    for change in result.plan.changes:
        session.message(change)
    if result.settings:
        session.message(f"set, so that what is published reaches that folder: {', '.join(result.settings)}")
    tell_browsers(session, result.validity)
    tell_32_bits(session, "the broker's certificate", result.validity.not_after)
    if not result.config.is_current:
        session.message(f"{result.config.path!r} was there already, is not as it would be written, and stays as it is")
    if result.plan.spki_der is not None:
        session.message("next: iotonboard pack --out FILE, which takes the certificate to the broker's machine")


def _tell_start(session: Session, state: State, result: Result) -> None:
    """Say how the broker starts with its files, and how it will be reloaded."""
    setup, conf = result.plan.setup, result.config
    if not (setup.folder or setup.has_plain_key):
        session.message(f"broker.key is encrypted; its password: {result.key_password} (or use --plain-key)")
    if not setup.folder and hasattr(os, "geteuid") and os.geteuid() == 0:
        session.message(
            f"next: iotonboard broker issue {setup.host} --for /etc/mosquitto/iotonboard, for a broker on this machine:"
            " started by root it becomes another user, who cannot read this folder"
        )
        return
    session.message(f"next: {conf.start}")
    if not (state.config["broker.reload"] or "broker.reload" in result.settings):
        way = f"pid:{conf.pid_path}" if conf.pid_path else "systemd:mosquitto (or pid:FILE, or command:...)"
        session.message(
            f"then: iotonboard config set broker.reload {shlex.quote(way) if conf.pid_path else way}, so that --reload"
            " makes the running broker read what is published"
        )


@verb(app, "list", example="iotonboard broker list")
def list_all(session: Session) -> int | None:
    """List the brokers that have a certificate."""
    from iotonboard.commands.broker_show import list_brokers

    with session.open_state() as state:
        brokers = list_brokers(state)
    if session.json:
        for broker in brokers:
            output.write_json("broker list", _values(broker))
        return None
    rows = [
        (
            broker.setup.host,
            certificate_status(broker.certificates[0], broker.now),
            rfc3339(broker.certificates[0].validity.not_after),
            str(broker.setup.port),
            ", ".join(broker.names),
        )
        for broker in brokers
    ]
    output.write_table(
        ["HOST", "STATUS", "NOT AFTER", "PORT", "NAMES"], rows, empty="no brokers: iotonboard broker issue HOST"
    )
    return None


@verb(app, "show", example="iotonboard broker show broker.plant4.local --json")
def show(session: Session, host: HostArgument) -> int | None:
    """Show a broker: its names, port and folder, and all of its certificates."""
    from iotonboard.commands.broker_show import show_broker

    with session.open_state() as state:
        broker = show_broker(state, host)
    values = _values(broker)
    certificates = [certificate_values(one, broker.now) for one in broker.certificates]
    if session.json:
        output.write_json("broker show", values | {"certificates": certificates})
        return None
    for key in ("host", "status", "port", "folder", "key"):
        output.write_line(f"{key}\t{values[key] or ''}".rstrip())
    for name in broker.names:
        output.write_line(f"name\t{name}")
    for one in broker.certificates:
        status, until = certificate_status(one, broker.now), rfc3339(one.validity.not_after)
        output.write_line(f"certificate\t{one.serial.hex}\t{status}\tuntil {until}")
    return None


def _values(broker: Broker) -> dict[str, object]:
    newest = broker.certificates[0]
    return {
        "host": broker.setup.host,
        "names": list(broker.names),
        "status": certificate_status(newest, broker.now),
        "serial": newest.serial.hex,
        "not_after": rfc3339(newest.validity.not_after),
        "port": broker.setup.port,
        "folder": broker.setup.folder or None,
        "key": "here" if newest.has_key else "elsewhere",
    }


@verb(app, "revoke", example="iotonboard broker revoke broker.plant4.local --reason keyCompromise")
def revoke(
    session: Session,
    host: HostArgument,
    reason: ReasonOption = RevocationReason.UNSPECIFIED,
    reload: ReloadOption = False,
) -> int | None:
    """Revoke the certificates of a broker: on the CRL, for devices that check it. 'broker issue' makes a new one."""
    from iotonboard.commands.broker_revoke import revoke_broker

    with session.open_state(is_urgent=True) as state:
        unlock, reloader = session.unlocker(state), session.reloader(state, wanted=reload)
        revoked, unpublished = revoke_broker(state, host, reason, unlock, reload=reloader)
    values = {
        "host": revoked.device_id,
        "serials": [serial.hex for serial in revoked.serials],
        "reason": revoked.reason.value,
        "revocation_date": rfc3339(revoked.revocation_date) if revoked.revocation_date else None,
        "crl_number": revoked.crl_number,
    }
    what = (
        f"{output.counted(len(revoked.serials), 'certificate')} revoked" if revoked.serials else "was revoked already"
    )
    if revoked.revocation_date is None:
        what = "nothing to revoke: its certificates have expired"
    place = f"CRL {revoked.crl_number}" if revoked.crl_number else "no new CRL"
    session.result(values, f"{revoked.device_id}\t{what}\t{place}", unpublished=unpublished)
    if unpublished:
        raise UnpublishedError(unpublished, reload=reload)
    session.message(f"next: iotonboard broker issue {revoked.device_id}, for a new key and certificate")
    return None
