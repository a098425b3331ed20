"""The verb ``apply``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli.session import Session, clock, verb
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.apply import Result

app = typer.Typer()


@verb(
    app,
    "apply",
    example="iotonboard apply plant4.iotpkg --ca ca.crt --dest /etc/mosquitto/iotonboard --reload systemd:mosquitto",
)
def apply(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A package that 'pack' made.")],
    ca: Annotated[str, typer.Option("--ca", metavar="FILE", help="The CA that must have signed it.")],
    dest: Annotated[str, typer.Option("--dest", metavar="DIR", help="Folder whose files the broker reads.")],
    reload: Annotated[
        str, typer.Option("--reload", metavar="HOW", help="pid:FILE, systemd:UNIT or command:WORDS.")
    ] = "",
    broker: Annotated[
        Literal["mosquitto-2.0", "mosquitto-2.1"], typer.Option("--broker", help="Which broker reads the files.")
    ] = "mosquitto-2.0",
    user: Annotated[
        str | None,
        typer.Option("--user", help="Whom the broker runs as. [default: mosquitto, where there is such a user]"),
    ] = None,
    timeout_s: Annotated[
        int, typer.Option("--timeout", min=1, max=3600, metavar="SECONDS", help="How long to wait for the broker.")
    ] = 60,
    keep: Annotated[int, typer.Option("--keep", min=1, max=1000, help="How many generations stay.")] = 5,
    accept_older: Annotated[
        bool, typer.Option("--accept-older", help="Take an older package: what was revoked since is let in again.")
    ] = False,
    replace_rules: Annotated[
        bool, typer.Option("--replace-rules", help="Drop rules that were written into the ACL here.")
    ] = False,
) -> int | None:
    """Put a package in place on a broker's machine. Needs no state and no key.

    Signature and every file are checked first: what is refused (exit 6) touches nothing. Of each list and of the ACL
    the newer one stays; a package that would lose a revocation is refused (exit 4). With --reload the broker must read
    both files and live, or the files of before come back (exit 8).
    """
    from iotonboard.broker.reload import parse_method
    from iotonboard.commands.apply import Request
    from iotonboard.commands.apply import apply as run
    from iotonboard.permissions import has_user

    if user is None:
        user = "mosquitto" if has_user("mosquitto") else ""
    request = Request(
        file,
        ca,
        dest,
        version="2.1" if broker == "mosquitto-2.1" else "2.0",
        user=user,
        method=parse_method(reload) if reload else None,
        timeout_s=timeout_s,
        keep=keep,
        accept_older=accept_older,
        replace_rules=replace_rules,
    )
    _tell(session, run(request, clock()), dest)
    return None


def _tell(session: Session, result: Result, dest: str) -> None:
    manifest = result.package.manifest
    values = {
        "counter": manifest.counter,
        "created": rfc3339(manifest.created),
        "expires": rfc3339(manifest.expires),
        "crl_number": manifest.crl_number,
        "path": dest,
        "changed": result.changed,
        "previous": result.previous,
        "reloaded": result.reloaded,
        "ca_changed": result.ca_changed,
        "warnings": [one.message for one in result.warnings],
        "older": list(result.older),
        "kept": list(result.kept),
        "dropped": list(result.dropped),
    }
    what = "applied" if result.changed else "was in place already"
    session.result(values, f"{dest}\tpackage {manifest.counter}\tCRL {manifest.crl_number}\t{what}")
    for warning in result.warnings:
        session.message(f"warning: {warning.message}")
    for what, told in (("not taken", result.older), ("stays here", result.kept), ("dropped here", result.dropped)):
        for one in told:
            session.message(f"warning: {what}: {one}")
    if result.ca_changed:
        session.message(
            "the CA file changed: where devices of a new CA are refused after the reload, restart the broker"
        )
    session.message(result.reloaded or "next: reload the broker (kill -HUP, or systemctl reload mosquitto)")
