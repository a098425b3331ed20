"""The verb ``pack``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli.options import ForceOption
from iotonboard.cli.session import Session, verb
from iotonboard.model import rfc3339

app = typer.Typer()


@verb(app, "pack", example="iotonboard pack --out /media/usb/plant4.iotpkg --passphrase-file ca.pass")
def pack(
    session: Session,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The package.")],
    valid_days: Annotated[
        int | None, typer.Option("--valid-days", min=1, max=3650, help="How long it may be applied. [default: 30]")
    ] = None,
    force: ForceOption = False,
) -> int | None:
    """Sign new CRLs and write ACL, CRL and CA file as one signed package for a broker's machine.

    There 'iotonboard apply' checks it and puts it in place; it needs the CA certificate, no key and no state.
    """
    from iotonboard.commands.pack import pack as run

    with session.open_state() as state:
        made = run(state, out, session.unlocker(state), valid_days=valid_days, force=force)
    manifest = made.manifest
    values = {
        "path": made.path,
        "counter": manifest.counter,
        "created": rfc3339(manifest.created),
        "expires": rfc3339(manifest.expires),
        "crl_number": manifest.crl_number,
        "size": made.size,
        "files": {name: digest for name, _, digest in manifest.files},
    }
    text = f"{made.path}\tpackage {manifest.counter}\tCRL {manifest.crl_number}\tuntil {rfc3339(manifest.expires)}"
    session.result(values, text)
    session.message("next, on the broker's machine: iotonboard apply FILE --ca ca.crt --dest DIR --reload HOW")
    return None
