"""The verb ``ca proof``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.session import Session, verb
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.ca_proof import Result


def add_to(app: typer.Typer) -> None:
    """Make it a verb of ``ca``."""
    verb(app, "proof", example="iotonboard ca proof 9d2c8a41f07b --out proof.pem --passphrase-file ca.pass")(proof)


def proof(
    session: Session,
    code: Annotated[str, typer.Argument(metavar="CODE", help="What the cloud gave for this CA.")],
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where the certificate is written, PEM.")],
    validity_days: Annotated[int, typer.Option("--validity-days", min=1, max=30, help="Life, in days.")] = 3,
) -> int | None:
    """Write the certificate by which AWS or Azure believes that this CA has its key. It is for nothing else.

    Its commonName is the code of the cloud. Its key is made, never written and forgotten, and it has no purpose of TLS.
    """
    from iotonboard.commands.ca_proof import prove

    with session.open_state() as state:
        result = prove(state, code, out, validity_days, session.unlocker(state))
    _tell(session, result)
    return None


def _tell(session: Session, result: Result) -> None:
    made = result.certificate
    values = {
        "path": result.path,
        "code": result.code,
        "serial": made.serial.hex,
        "not_before": rfc3339(made.validity.not_before),
        "not_after": rfc3339(made.validity.not_after),
        "fingerprint": made.fingerprint,
        "ca_fingerprint": result.ca_fingerprint,
        "ca_certificate": result.ca_pem,
    }
    session.result(values, f"{result.path}\t{result.code}\tvalid until {rfc3339(made.validity.not_after)}")
    session.message("next: give it to the cloud with the CA's certificate: iotonboard help profiles")
