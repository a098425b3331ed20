"""The verb ``renew``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.batch import (
    answering,
    name_call,
    refuse_stopped,
    results_file,
    show_card,
    tell,
    tell_hand_over,
    worker_starter,
)
from iotonboard.cli.options import (
    BatchOption,
    ExcelFilesOption,
    IdColumnOption,
    OptionalDevicesArgument,
    ProfileOption,
    ReloadOption,
    ValidityOption,
)
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import carry_next, check_list, named_targets, reload_with
from iotonboard.errors import UsageError
from iotonboard.model import KeyType, certificate_json, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.cli.batch import Told
    from iotonboard.enrolment.batch import Enrolled
    from iotonboard.enrolment.results import ResultsFile
    from iotonboard.state.state import State

app = typer.Typer()
_ENOUGH = 2  # renewed devices, to know that there are several


@verb(app, "renew", example="iotonboard renew --expiring-within 30 --passwords renewed.csv --passphrase-file ca.pass")
def renew(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
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
    profile: ProfileOption = "",
    no_bundle: Annotated[bool, typer.Option("--no-bundle", help="Make no creds.zip.")] = False,
    passwords: Annotated[
        str | None,
        typer.Option("--passwords", metavar="FILE", help="Append bundle passwords to this CSV (0600)."),
    ] = None,
    results: Annotated[
        str | None,
        typer.Option("--results", metavar="FILE", help="Results of this call, .csv or .jsonl; a batch has one anyway."),
    ] = None,
    excel: ExcelFilesOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first device that is refused.")] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes; default: all cores.")] = None,
    reload: ReloadOption = False,
) -> int | None:
    """Give devices a new certificate. The old one stays valid for an overlap, then is revoked as superseded.

    A key that was made here is replaced by a new one; a key that the device made is certified again. A call for many
    that broke off is run again: it goes on, renews nothing twice, and completes passwords and results.
    """
    from iotonboard.commands import renew as command
    from iotonboard.enrolment.answer_files import Keeping
    from iotonboard.enrolment.csr_files import read_csr
    from iotonboard.enrolment.device_list import count_rows
    from iotonboard.pki.csr import parse_csr

    if not ids and batch is None and expiring_within is None and not old_ca:
        raise UsageError("nothing to renew", hint="name devices, --batch, --expiring-within or --old-ca")
    if sum((bool(ids), batch is not None, old_ca)) > 1 or sum((rekey, same_key, csr is not None)) > 1:
        raise UsageError("these options exclude each other", hint="ids, --batch, --old-ca; --rekey, --same-key, --csr")
    _check_usage(session, ids or [], csr, keeps_key=key_type is not None and (same_key or csr is not None))
    check_list(session, batch, id_column)
    targets = named_targets(session, ids, batch, id_column) if ids or batch is not None else None
    options = command.Options(
        key="new" if rekey else "same" if same_key else "auto",
        csr=None if csr is None else parse_csr(read_csr(csr, sys.stdin.buffer)),
        key_type=key_type,
        revoke_old=revoke_old,
        expiring_within=expiring_within,
        old_ca=old_ca,
        validity_days=validity_days,
        profile=profile,
        with_bundle=not no_bundle,
        strict=strict,
        call=_name_call(ids, [batch, csr], passwords or results, id_column, expiring_within, old_ca, rekey, same_key),
    )
    answered = answering(session, passwords, is_json=session.json, for_excel=excel)
    with session.open_all() as cas, answered as (password_file, stopped):
        state = cas.around
        kept = results_file(state, "renew", results, is_many=len(ids or ()) != 1, for_excel=excel, passwords=passwords)
        reloader, before = session.reloader(state, wanted=reload, signs_first=True), command.in_force(state)
        keeping, starter = Keeping(kept, password_file), worker_starter(session, jobs)
        answers = command.renew(
            cas, targets, options, keeping, session.unlocker, stopped=stopped, start_workers=starter
        )
        total, ends = count_rows(batch) if batch else len(ids or ()) or None, _Ends()
        told = tell(session, answers, partial(_show, session, ends), is_json=session.json, total=total)
        _tell_summary(session, told, kept)
        _tell_next(session, state, ends, kept, must_reload=command.reload_broker(state, before, reloader))
        refuse_stopped(stopped, hint="run the same command again: it leaves out what was renewed already")
    return told.exit_code


def _name_call(ids: Sequence[str] | None, sources: list[str | None], file: str | None, *words: object) -> str:
    """The name of a call that is known again; empty for one device of which nothing is kept."""
    return "" if len(ids or ()) == 1 and not file else name_call(sources, ids, *words)


def _tell_summary(session: Session, told: Told, kept: ResultsFile | None) -> None:
    if told.devices != 1:
        where = f"; results in {kept.path}" if kept and told.devices else ""
        session.message((told.summary or "there is nothing to renew") + where)


@dataclass(slots=True)
class _Ends:
    """The old certificates that stay for an overlap: how many, and when the last one ends; the first new ones."""

    count: int = 0
    last: datetime | None = None
    new: list[Enrolled] = field(default_factory=list)

    def note(self, answer: Enrolled) -> None:
        if answer.outcome != "skipped" and len(self.new) < _ENOUGH:
            self.new.append(answer)
        if moment := answer.revoke_after:
            self.count += 1
            self.last = max(moment, self.last or moment)


def _tell_next(session: Session, state: State, ends: _Ends, kept: ResultsFile | None, *, must_reload: bool) -> None:
    if ends.new:
        tell_hand_over(session, ends.new, kept)
    if must_reload:
        session.message(carry_next(state))
    if ends.last is not None:
        what = "1 old certificate ends" if ends.count == 1 else f"{ends.count} old certificates end"
        step = "gen-crl --reload then" if reload_with(state) else "gen-crl then, and reload the broker"
        session.message(f"next: {what} on {ends.last:%Y-%m-%d}: type iotonboard {step}")


def _check_usage(session: Session, ids: Sequence[str], csr: str | None, *, keeps_key: bool) -> None:
    if keeps_key:
        raise UsageError("--key-type is for a key that is made here", hint="leave it out, or use --rekey")
    if csr and len(ids) != 1:
        raise UsageError("--csr goes with one device", hint="name that device")
    if session.passphrase_file == "-" == csr:
        raise UsageError("stdin cannot be both passphrase and request", hint="put the passphrase into a file")
    if len({text.lower() for text in ids}) != len(ids):
        raise UsageError("an id is named twice", hint="name every device once")


def _show(session: Session, ends: _Ends, answer: Enrolled) -> None:
    ends.note(answer)
    values = {
        "device_id": answer.device_id,
        "status": answer.outcome,
        **certificate_json(answer.serial, answer.validity, answer.fingerprint),
        "bundle": answer.bundle,
        "bundle_password": answer.bundle_password,
        "renews": answer.renews.hex if answer.renews else None,
        "revoke_after": rfc3339(answer.revoke_after) if answer.revoke_after else None,
    }
    if output.is_for_people() and not session.json:
        show_card(answer)
        return
    until = f"\told one until {values['revoke_after']}" if answer.revoke_after else ""
    shown = f"\tpassword {answer.bundle_password}" if answer.bundle_password else ""
    place = f"\t{answer.bundle}" if answer.bundle else ""
    session.result(values, f"{answer.device_id}\t{answer.outcome}\tserial {values['serial']}{until}{place}{shown}")
