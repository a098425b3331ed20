"""The verb ``broker``: ``issue``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli.options import ValidityOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.model import certificate_json

app = group("broker", "Certificates and settings of brokers.", example="iotonboard broker issue broker.plant4.local")


@verb(
    app,
    "issue",
    example="iotonboard broker issue broker.plant4.local 10.0.4.2 --passphrase-file ca.pass",
)
def issue(
    session: Session,
    hosts: Annotated[list[str], typer.Argument(metavar="HOST...", help="Host names and IP addresses of the broker.")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port in mosquitto.conf.")] = 8883,
    validity_days: ValidityOption = None,
    plain_key: Annotated[
        bool,
        typer.Option("--plain-key", help="Also write broker-plain.key, for a broker that starts unattended."),
    ] = False,
) -> int | None:
    """Issue a server certificate and write a mosquitto.conf that enforces mTLS, CRL and ACL."""
    from iotonboard.commands.broker_issue import issue_broker

    with session.open_state() as state:
        unlock = session.unlocker(state)
        result = issue_broker(state, hosts, unlock, port=port, validity_days=validity_days, plain_key=plain_key)
    values = {
        "host": result.host,
        **certificate_json(result.serial, result.validity, result.fingerprint),
        "ca_fingerprint": result.issuer,
        "config": result.config,
        "key_password": result.key_password,
    }
    session.result(values, f"{result.host}\tserial {result.serial.hex}\t{result.config}")
    if not result.config_written:
        session.message(f"{result.config!r} was there already and stays as it is")
    if not plain_key:
        session.message(f"broker.key is encrypted; its password: {result.key_password} (or use --plain-key)")
    session.message(f"next: mosquitto -c {result.config}")
    return None
