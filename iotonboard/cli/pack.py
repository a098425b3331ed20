"""The verb ``pack``."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from iotonboard.cli.left_over import is_office
from iotonboard.cli.options import ForceOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UnpublishedError, UsageError
from iotonboard.model import rfc3339

app = typer.Typer()
NEWEST = 2


@verb(app, "pack", example="iotonboard pack --out /media/usb/plant4.iotpkg --passphrase-file ca.pass")
def pack(
    session: Session,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The package.")],
    valid_days: Annotated[
        int | None, typer.Option("--valid-days", min=1, max=3650, help="How long it may be applied. [default: 30]")
    ] = None,
    form: Annotated[
        int, typer.Option("--format", min=1, max=2, help="Form of the package; 1 for an older 'apply'.")
    ] = NEWEST,
    force: ForceOption = False,
) -> int | None:
    """Sign new CRLs and write ACL, CRL and CA file as one signed package for a broker's machine.

    There 'iotonboard apply' checks it and puts it in place; it needs the CA certificate, no key and no state. That of a
    root has no ACL: it takes the stations that the root revoked out of the broker's files. An office's speaks for all
    of its stations, and brokers pin its office.crt.
    """
    if is_office(session.root):
        from iotonboard.cli.office_give import pack as give

        if form != NEWEST:
            raise UsageError("an office's packages have a form of their own", hint="leave --format out")
        give(session, out=out, valid_days=valid_days, force=force)
        return None
    from iotonboard.commands.pack import Request
    from iotonboard.commands.pack import pack as run

    request = Request(out, valid_days, force, form)
    with session.open_state() as state:
        made = run(state, request, session.unlocker(state))
    manifest = made.manifest
    values = {
        "path": made.path,
        "format": manifest.format,
        "counter": manifest.counter,
        "created": rfc3339(manifest.created),
        "expires": rfc3339(manifest.expires),
        "crl_number": manifest.crl_number,
        "size": made.size,
        "files": {name: digest for name, _, digest in manifest.files},
    }
    text = f"{made.path}\tpackage {manifest.counter}\tCRL {manifest.crl_number}\tuntil {rfc3339(manifest.expires)}"
    session.result(values, text, unpublished=made.unpublished)
    if manifest.format == 1:
        session.message(
            "warning: form 1 does not say why a serial left a list, which CAs go, and which change of the ACL it has:"
            " the broker's machine can tell an older copy of this state by the package's counter only"
        )
    package = shlex.quote(os.path.basename(out))
    session.message(
        f"next: on the broker's machine, iotonboard apply {package} --ca ca.crt --dest DIR --reload systemd:mosquitto"
    )
    if made.unpublished:
        raise UnpublishedError(made.unpublished)
    return None
