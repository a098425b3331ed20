"""The verb ``apply``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli.session import Session, clock, verb
from iotonboard.cli.targets import HOW_TO_RELOAD
from iotonboard.errors import BusyError, UsageError
from iotonboard.model import KeyType, rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.apply import Result

app = typer.Typer()


@verb(
    app,
    "apply",
    example="iotonboard apply plant4.iotpkg --ca ca.crt --dest /etc/mosquitto/iotonboard --reload systemd:mosquitto",
    needs_state=False,
)
def apply(
    session: Session,
    words: Annotated[
        list[str], typer.Argument(metavar="FILE", help="A package that 'pack' made; with --prepare: HOST...")
    ],
    ca: Annotated[str, typer.Option("--ca", metavar="FILE", help="CA that must have signed it, or its root.")] = "",
    dest: Annotated[str, typer.Option("--dest", metavar="DIR", help="Folder whose files the broker reads.")] = "",
    prepare: Annotated[
        str,
        typer.Option("--prepare", metavar="DIR", help="Make a broker's key and a request for its certificate instead."),
    ] = "",
    key_type: Annotated[KeyType | None, typer.Option("--key-type", help="Key type, with --prepare.")] = None,
    reload: Annotated[
        str, typer.Option("--reload", metavar="HOW", help="pid:FILE, systemd:UNIT or command:WORDS.")
    ] = "",
    broker: Annotated[
        Literal["mosquitto-2.0", "mosquitto-2.1"] | None,
        typer.Option("--broker", help="Which broker reads the files; default: what the package says of it."),
    ] = None,
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
    receipt: Annotated[
        str,
        typer.Option(
            "--receipt", metavar="FILE", help="Write what is in place then, for 'receipts' on the workstation."
        ),
    ] = "",
    replace_rules: Annotated[
        bool, typer.Option("--replace-rules", help="Drop rules that were written into the ACL here.")
    ] = False,
) -> int | None:
    """Put a package in place on a broker's machine. Needs no state and no key.

    Signature and every file are checked first: what is refused (exit 6) touches nothing. Of each list and of the ACL
    the newer one stays; a package that would lose a revocation is refused (exit 4). With --reload the broker must read
    both files and live, or the files of before come back (exit 8). A receipt is this machine's word: nobody signs it.

    With --prepare, once: a key that never leaves this machine, and a request for 'broker issue --csr' on the
    workstation. The next package brings the certificate and a mosquitto.conf.
    """
    if prepare:
        _prepare(session, prepare, words, user or "", key_type)
        return None
    if len(words) != 1 or not (ca and dest):
        raise UsageError("name one package, --ca and --dest", hint="iotonboard apply FILE --ca ca.crt --dest DIR")
    (file,) = words
    from iotonboard.broker.reload_method import parse_method
    from iotonboard.commands.apply import Request
    from iotonboard.commands.apply import apply as run
    from iotonboard.disk.permissions import has_user

    if user is None:
        user = "mosquitto" if has_user("mosquitto") else ""
    request = Request(
        file,
        ca,
        dest,
        version=None if broker is None else "2.1" if broker == "mosquitto-2.1" else "2.0",
        user=user,
        method=parse_method(reload) if reload else None,
        timeout_s=timeout_s,
        keep=keep,
        accept_older=accept_older,
        replace_rules=replace_rules,
        receipt=receipt,
        host=session.caller.host,
    )
    result = run(request, clock())
    _tell(session, result, dest)
    if result.unpublished:
        refused = "; ".join(f"{one.what}: {one.error.message}" for one in result.unpublished)
        hint = "what is in place stays; once that is mended, apply the same package again"
        raise BusyError(f"not everything of the package is put in place: {refused}", hint=hint)
    if result.fork is not None:
        raise result.fork
    if result.unwritten is not None:
        error = result.unwritten
        raise type(error)(f"the package is in place, and there is no receipt: {error.message}", hint=error.hint)
    return None


def _prepare(session: Session, folder: str, hosts: list[str], user: str, key_type: KeyType | None) -> None:
    from iotonboard.commands.apply_prepare import prepare

    done = prepare(folder, hosts, user=user, key_type=key_type)
    values = {"path": done.path, "names": list(done.names), "key_created": done.key_created}
    session.result(values, f"{done.path}\t{', '.join(done.names)}\tkey {'made' if done.key_created else 'kept'}")
    session.message(
        "next: carry that request to the workstation: iotonboard broker issue --csr broker.csr, then iotonboard pack"
    )


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
        "older": list(result.merged.older),
        "kept": list(result.merged.kept),
        "dropped": list(result.merged.dropped),
        "forked": list(result.merged.forked),
        "broker_files": list(result.own.written),
    }
    what = "applied in part" if result.unpublished else "applied" if result.changed else "was in place already"
    text = f"{dest}\tpackage {manifest.counter}\tCRL {manifest.crl_number}\t{what}"
    session.result(values, text, unpublished=result.unpublished)
    for warning in result.warnings:
        session.message(f"warning: {warning.message}")
    merged = result.merged
    for what, told in (("not taken", merged.older), ("stays here", merged.kept), ("dropped here", merged.dropped)):
        for one in told:
            session.message(f"warning: {what}: {one}")
    if merged.shuts_out:
        session.message("next: restart the broker: devices of the CA that goes stay connected until then")
    elif result.ca_changed:
        session.message(
            "the CA file changed: where devices of a new CA are refused after the reload, restart the broker"
        )
    if result.own.problem:
        session.message(f"warning: the broker's own certificate was not put in place: {result.own.problem}")
    if result.own.kept:
        session.message(f"warning: {result.own.kept!r} was changed here, and stays as it is")
    for path in result.own.written:
        session.message(f"put in place: {path}")
    if result.own.start:
        session.message(f"next: {result.own.start}")
        return
    session.message(result.reloaded or f"next: reload the broker{HOW_TO_RELOAD}")
