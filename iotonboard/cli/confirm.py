"""The verb ``confirm``."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import typer

from iotonboard.cli.options import BatchOption, IdColumnOption, OptionalDevicesArgument
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, either, named_targets
from iotonboard.disk.reading import read_file
from iotonboard.errors import UsageError
from iotonboard.model import Target, rfc3339

app = typer.Typer()
_MAX_KEY_FILE = 1 << 16


@verb(app, "confirm", example="iotonboard confirm press-17 --fingerprint 5f1d...")
def confirm(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="HEX", help="SHA-256 that the device reported.")
    ] = None,
    public_key: Annotated[
        str | None,
        typer.Option("--public-key", metavar="FILE|HEX", help="Public key, or its SHA-256, that the device reported."),
    ] = None,
) -> int | None:
    """Record that devices took their credentials; needs no key.

    A fingerprint that a device reported proves it: --fingerprint, or the column 'fingerprint' of a list; of a chip that
    cannot hash its certificate --public-key does. Results of the program itself prove nothing.
    """
    from iotonboard.commands.confirm import confirm as confirm_all

    either(ids, batch, "confirm press-17")
    if (fingerprint or public_key) and len(ids or ()) != 1:
        option = "--fingerprint" if fingerprint else "--public-key"
        raise UsageError(f"{option} goes with one device", hint="a list has a column 'fingerprint'")
    targets = named_targets(session, ids, batch, id_column, refuse_failed=True)
    if ids and (fingerprint or public_key):
        key = _reported(public_key) if public_key else b""
        targets = iter((Target(ids[0], fingerprint=fingerprint or "", is_reported=True, spki_sha256=key),))
    told = Told(session, in_json=False)
    with session.open_all() as cas:
        for one in told.done(chain.from_iterable(confirm_all(state, run) for state, run in cas.runs(targets))):
            values = {
                "device_id": one.device_id,
                "serial": one.certificate.serial.hex,
                "fingerprint": one.certificate.fingerprint,
                "confirmed_at": rfc3339(one.confirmed_at),
            }
            what = "confirmed" if one.is_new else "was confirmed before"
            what += ", and is proved now" if one.is_proved_now else ""
            session.result(values, f"{one.device_id}\t{what}\t{rfc3339(one.confirmed_at)}")
    if ids and not (fingerprint or public_key):
        session.message("your word alone says so; what the device reports proves it: --fingerprint, or --public-key")
    return told.end()


def _reported(public_key: str) -> bytes:
    """SHA-256 of a public key that stands in the option, or in the file that it names."""
    from iotonboard.pki.reported_key import reported_digits, reported_key

    if digest := reported_digits(public_key):
        return digest
    return reported_key(read_file(public_key, limit=_MAX_KEY_FILE))
