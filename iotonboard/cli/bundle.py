"""The verb ``bundle``: ``password`` and ``open``."""

from __future__ import annotations

import os
import sys
from functools import partial
from itertools import chain
from typing import Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.options import BatchOption, ForceOption, IdColumnOption, OptionalDeviceArgument
from iotonboard.cli.person import ask_secret
from iotonboard.cli.process import keep_secrets
from iotonboard.cli.session import Session, group, verb
from iotonboard.cli.targets import Told, either, named_targets
from iotonboard.disk.reading import read_file
from iotonboard.errors import KeyUnavailableError

app = group("bundle", "Open bundles, and show their passwords.", example="iotonboard bundle password press-17")
_MAX_PASSWORD = 1 << 10


@verb(app, "password", example="iotonboard bundle password press-17 --passphrase-file ca.pass")
def password(
    session: Session,
    device_id: OptionalDeviceArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
) -> int | None:
    """Show the password of a device's bundle again, or those of a list; each leaves an audit row."""
    from iotonboard.commands.bundle_password import show_password
    from iotonboard.enrolment.each_device import for_each

    either(device_id, batch, "bundle password press-17")
    targets, told = named_targets(session, device_id and [device_id], batch, id_column), Told(session)
    with session.open_all() as cas:
        runs = (
            (run, partial(show_password, state, unlock=session.unlocker(state))) for state, run in cas.runs(targets)
        )
        for shown in told.done(chain.from_iterable(for_each(run, act) for run, act in runs)):
            values = {"device_id": shown.device_id, "serial": shown.serial.hex, "bundle_password": shown.password}
            session.result(values, shown.password if batch is None else f"{shown.device_id}\t{shown.password}")
    return told.end()


@verb(
    app,
    "open",
    example="iotonboard bundle open creds.zip --out ./press-17 --password-file press-17.pass",
    needs_state=False,
)
def open_bundle(
    session: Session,
    bundle: Annotated[str, typer.Argument(metavar="FILE", help="The creds.zip.")],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="A folder that is not there yet, or is empty.")],
    password_file: Annotated[
        str | None,
        typer.Option("--password-file", metavar="FILE", help="File whose first line is the password; '-': stdin."),
    ] = None,
    force: ForceOption = False,
) -> int | None:
    """Decrypt a bundle, check it against its manifest and extract it; works without a state."""
    from iotonboard.commands.bundle_open import extract_bundle

    opened = extract_bundle(bundle, out, partial(_bundle_password, session, password_file), force=force)
    values = {
        "device_id": opened.device_id,
        "path": out,
        "fingerprint": opened.fingerprint,
        "files": list(opened.files),
    }
    if output.is_for_people() and not session.json:
        facts = (("folder", out), ("files", " ".join(opened.files)), ("fingerprint", opened.fingerprint))
        output.write_card(str(opened.device_id or "a bundle"), facts)
    else:
        session.result(values, f"{opened.device_id}\t{out}\t{' '.join(opened.files)}")
    if "device.key" in opened.files:
        session.message("the key in there is not encrypted: delete it when the device has it")
    return None


def _bundle_password(session: Session, password_file: str | None) -> str:
    keep_secrets()
    if password_file == "-":
        octets = sys.stdin.buffer.readline(_MAX_PASSWORD)
    elif password_file is not None:
        octets = read_file(password_file, limit=_MAX_PASSWORD).partition(b"\n")[0]
    elif "IOTONBOARD_BUNDLE_PASSWORD" in session.environment:
        octets = os.fsencode(session.environment["IOTONBOARD_BUNDLE_PASSWORD"])
    elif sys.stdin.isatty():
        octets = ask_secret("Password of the bundle", what="password").encode()
    else:
        raise KeyUnavailableError(
            "the bundle's password is needed and nobody is there to type it",
            hint="name its file with --password-file, or set IOTONBOARD_BUNDLE_PASSWORD",
        )
    return octets.rstrip(b"\r\n").decode("utf-8", "replace")
