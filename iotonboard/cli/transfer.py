"""Verbs that carry ACL and CRL to another machine, and show the last ones: ``pack``, ``apply``, ``generations``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, clock, verb
from iotonboard.model import rfc3339

app = typer.Typer()


@verb(app, "pack", example="iotonboard pack --out /media/usb/plant4.iotpkg --passphrase-file ca.pass")
def pack(
    session: Session,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The package.")],
    valid_days: Annotated[
        int | None, typer.Option("--valid-days", min=1, max=3650, help="How long it may be applied. [default: 30]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> int | None:
    """Sign new CRLs and write ACL, CRL and CA file as one signed package for a broker's machine.

    There 'iotonboard apply' checks it and puts it in place; it needs the CA certificate, no key and no state.
    """
    from iotonboard.commands.pack import pack as run

    with session.open_state() as state:
        authority = session.unlock(state)
        state.publish(acl=False)
        made = run(state, authority, out, valid_days=valid_days, force=force)
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

    Signature, validity, counter and every file are checked first: what is refused (exit 6) touches nothing. With
    --reload the broker must read both files and live, or the files of before come back (exit 8).
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
    result = run(request, clock())
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
    }
    what = "applied" if result.changed else "was in place already"
    session.result(values, f"{dest}\tpackage {manifest.counter}\tCRL {manifest.crl_number}\t{what}")
    for warning in result.warnings:
        session.message(f"warning: {warning.message}")
    if result.ca_changed:
        session.message(
            "the CA file changed: where devices of a new CA are refused after the reload, restart the broker"
        )
    session.message(result.reloaded or "next: reload the broker (kill -HUP, or systemctl reload mosquitto)")
    return None


@verb(app, "generations", example="iotonboard generations")
def generations(session: Session) -> int | None:
    """List the last CRLs and ACLs that were published, newest first, and where their copies are.

    They are for inspection ('iotonboard verify --crl FILE --acl FILE --at TIME'). None can be put back in force:
    what is published is always signed anew from the database, with every revocation.
    """
    from iotonboard.state.generations import list_generations

    with session.open_state() as state:
        found = list_generations(state)
    rows = []
    for one in found:
        if session.json:
            values = {
                "generation": one.generation,
                "created": rfc3339(one.created),
                "crl_numbers": list(one.crl_numbers),
                "next_update": rfc3339(one.next_update),
                "revoked": one.revoked,
                "path": one.path,
            }
            output.write_json("generations", values)
            continue
        rows.append(
            [
                str(one.generation),
                rfc3339(one.created),
                _ranges(one.crl_numbers),
                str(one.revoked),
                rfc3339(one.next_update),
                one.path or "-",
            ]
        )
    if not session.json:
        output.write_table(("generation", "created", "CRL", "revoked", "until", "copies"), rows)
    return None


def _ranges(numbers: tuple[int, ...]) -> str:
    """Write a calendar's numbers as one range; during a rollover each CA has its own."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join("-".join(map(str, dict.fromkeys((run[0], run[-1])))) for run in runs)
