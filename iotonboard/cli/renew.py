"""The verb ``renew``."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.answers import passwords_file, stop_signal, worker_starter
from iotonboard.cli.options import BatchOption, OptionalDevicesArgument, ValidityOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import InterruptedBatchError, IotOnboardError, UsageError
from iotonboard.model import KeyType, certificate_json, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.commands.renew import Options, Renewed, Request
    from iotonboard.state.state import State

app = typer.Typer()
_MAX_CSR = 1 << 16


@verb(app, "renew", example="iotonboard renew --expiring-within 30 --passwords renewed.csv --passphrase-file ca.pass")
def renew(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    expiring_within: Annotated[
        int | None,
        typer.Option(
            "--expiring-within",
            min=0,
            max=36500,
            metavar="DAYS",
            help="Only devices that expire within DAYS, or did so as many days ago.",
        ),
    ] = None,
    old_ca: Annotated[
        bool, typer.Option("--old-ca", help="All devices without a certificate of the CA that issues now.")
    ] = False,
    rekey: Annotated[
        bool, typer.Option("--rekey", help="Make a new key here, also when the device made its own.")
    ] = False,
    same_key: Annotated[bool, typer.Option("--same-key", help="Certify the old key again.")] = False,
    csr: Annotated[str | None, typer.Option("--csr", metavar="FILE", help="Certify the key of this request.")] = None,
    revoke_old: Annotated[
        Literal["now", "after-overlap", "never"],
        typer.Option("--revoke-old", help="When the old certificate is revoked."),
    ] = "after-overlap",
    key_type: Annotated[
        KeyType | None, typer.Option("--key-type", help="Type of a new key; default: as before.")
    ] = None,
    validity_days: ValidityOption = None,
    no_bundle: Annotated[bool, typer.Option("--no-bundle", help="Make no creds.zip.")] = False,
    passwords: Annotated[
        str | None,
        typer.Option("--passwords", metavar="FILE", help="Append bundle passwords to this CSV (0600)."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first device that is refused.")] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes; default: all cores.")] = None,
) -> int | None:
    """Give devices a new certificate. The old one stays valid for an overlap, then is revoked as superseded.

    A key that was made here is replaced by a new one; a key that the device made is certified again.
    """
    from iotonboard.cli.progress import watched
    from iotonboard.commands import renew as command
    from iotonboard.enrolment.device_list import count_rows

    if not ids and batch is None and expiring_within is None and not old_ca:
        raise UsageError("nothing to renew", hint="name devices, --batch, --expiring-within or --old-ca")
    if sum((bool(ids), batch is not None, old_ca)) > 1 or sum((rekey, same_key, csr is not None)) > 1:
        raise UsageError("these options exclude each other", hint="ids, --batch, --old-ca; --rekey, --same-key, --csr")
    if key_type is not None and (same_key or csr is not None):
        raise UsageError("--key-type is for a key that is made here", hint="leave it out, or use --rekey")
    _check_usage(session, ids or [], batch, csr)
    with session.open_state() as state, passwords_file(passwords) as keep_password, stop_signal() as stopped:
        before = None if expiring_within is None else state.clock() + timedelta(days=expiring_within)
        options = command.Options(
            key="new" if rekey else "same" if same_key else "auto",
            key_type=key_type,
            revoke_old=revoke_old,
            expiring_before=before,
            validity_days=validity_days,
            with_bundle=not no_bundle,
            strict=strict,
        )
        requests = _behind(state) if old_ca else _requests(state, ids or [], batch, csr, options)
        authority = session.unlock(state)
        exit_code, counts = 0, {"renewed": 0, "skipped": 0, "failed": 0}
        workers = worker_starter(jobs)
        with closing(
            command.renew(state, authority, requests, options, stopped=stopped, start_workers=workers)
        ) as answers:
            for answer in watched(session, answers, count_rows(batch) if batch else len(ids or ()) or None):
                exit_code = exit_code or (answer.error.exit_code if answer.error else 0)
                counts[answer.outcome] += 1
                if keep_password and answer.bundle_password:
                    keep_password(answer)
                _print_renewed(session, answer, None if keep_password else answer.bundle_password)
        _print_counts(session, counts)
        if counts["renewed"] and revoke_old == "now":
            session.message("next: copy CRL and ACL to the broker if it runs elsewhere, then reload it")
        if stopped():
            raise InterruptedBatchError(
                "stopped; everything answered so far is done",
                hint="'--expiring-within DAYS' and '--old-ca' leave out what was renewed already",
            )
    return exit_code


def _check_usage(session: Session, ids: Sequence[str], batch: str | None, csr: str | None) -> None:
    if csr and len(ids) != 1:
        raise UsageError("--csr goes with one device", hint="name that device")
    if session.passphrase_file == "-" and "-" in (batch, csr):
        raise UsageError("stdin cannot be both passphrase and list", hint="put the passphrase into a file")
    if len({text.lower() for text in ids}) != len(ids):
        raise UsageError("an id is named twice", hint="name every device once")


def _requests(
    state: State, ids: Sequence[str], batch: str | None, csr: str | None, options: Options
) -> Iterator[Request]:
    """The devices that were named, or all that expire soon."""
    from iotonboard.commands.renew import Request
    from iotonboard.store.listing import DeviceFilter, find_devices

    if csr is not None:
        from iotonboard.pki.csr import parse_csr
        from iotonboard.reading import read_file

        content = sys.stdin.buffer.read(_MAX_CSR) if csr == "-" else read_file(csr, limit=_MAX_CSR)
        return iter((Request(ids[0], 0, parse_csr(content)),))
    if batch is not None:
        return _listed(batch)
    if ids:
        return (Request(text) for text in ids)
    now = state.clock()
    since = None if options.expiring_before is None else now - (options.expiring_before - now)
    chosen = DeviceFilter(expiring_before=options.expiring_before, expired_since=since)
    return (Request(device.device_id) for device in find_devices(state.store, chosen, now))


def _behind(state: State) -> Iterator[Request]:
    """The devices that hang on an old CA alone; a list, so that a renewal does not change it underneath."""
    from iotonboard.commands.renew import Request
    from iotonboard.store.issuers import devices_behind

    return iter([Request(device_id) for device_id in devices_behind(state.store, state.clock())])


def _listed(batch: str) -> Iterator[Request]:
    from iotonboard.commands.renew import Request
    from iotonboard.enrolment.device_list import all_of, read_targets

    for target in all_of(read_targets(batch, sys.stdin.buffer), batch):
        yield Request(target.device_id, target.line)


def _print_renewed(session: Session, answer: Renewed, password: str | None) -> None:
    if answer.error is not None:
        _print_refused(session, answer, answer.error)
        return
    values = {
        "device_id": answer.device_id,
        "status": answer.outcome,
        **certificate_json(answer.serial, answer.validity, answer.fingerprint),
        "bundle": answer.bundle,
        "bundle_password": password,
        "renews": answer.renews.hex if answer.renews else None,
        "revoke_after": rfc3339(answer.revoke_after) if answer.revoke_after else None,
    }
    until = f"\told one until {values['revoke_after']}" if answer.revoke_after else ""
    shown = f"\tpassword {password}" if password else ""
    place = f"\t{answer.bundle}" if answer.bundle else ""
    session.result(values, f"{answer.device_id}\t{answer.outcome}\tserial {values['serial']}{until}{place}{shown}")


def _print_counts(session: Session, counts: dict[str, int]) -> None:
    if sum(counts.values()) != 1:
        said = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number)
        session.message(said or "there is nothing to renew")


def _print_refused(session: Session, answer: Renewed, error: IotOnboardError) -> None:
    if session.json:
        values = {"device_id": answer.device_id, "line": answer.line, "status": "failed"}
        output.write_json("renew", {**values, "error": output.error_values(error)})
    output.write_error(error.message, error.hint)
