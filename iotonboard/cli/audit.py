"""The verb ``audit``: ``show``, ``verify`` and ``head``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from iotonboard.cli import output
from iotonboard.cli.help_command import meant
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import open_office
from iotonboard.cli.options import CsvOption, ExcelOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.cli.settings_problems import in_words
from iotonboard.cli.spreadsheet import check_form, write_csv
from iotonboard.cli.trail_words import trail_table
from iotonboard.errors import UsageError, quoted
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.health.trail_check import Verdict
    from iotonboard.store.trail_rows import AuditRow

app = group("audit", "Read, verify and carry the audit trail.", example="iotonboard audit verify")
_COLUMNS = ("seq", "time", "operator", "host", "command", "subject", "serial", "detail")
_SHOWN = 20  # rows, unless more are asked for


def complete_verb(incomplete: str) -> list[str]:
    """Verbs."""
    from iotonboard.cli.app import VERBS

    return [name for name in VERBS if name.startswith(incomplete)]


@verb(app, "show", example="iotonboard audit show --subject press-17 --json")
def show(
    session: Session,
    subject: Annotated[str, typer.Option("--subject", help="Only rows about this device, broker or setting.")] = "",
    command: Annotated[
        str, typer.Option("--command", metavar="VERB", help="Only rows of this verb.", autocompletion=complete_verb)
    ] = "",
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this time on, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to this time, UTC.")] = None,
    last: Annotated[int | None, typer.Option("--last", min=1, help="Look at the newest N rows only.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All rows; else the newest 20, or what a filter finds.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="On a terminal too, whole serials and hashes, and who.")] = False,
    words: Annotated[
        bool, typer.Option("--words", help="Off a terminal too, words instead of JSON: for a report.")
    ] = False,
    unsealed: Annotated[
        bool, typer.Option("--unsealed", help="Only rows added without the passphrase since the CA signed the trail.")
    ] = False,
    as_csv: CsvOption = False,
    excel: ExcelOption = False,
) -> int | None:
    """Show who changed what, oldest first: the newest 20 rows, or all that a filter finds."""
    in_csv = check_form(in_json=session.json, as_csv=as_csv, for_excel=excel)
    _refuse_no_verb(command)
    wanted = subject, command, _parse_time(since), _parse_time(until), unsealed
    is_short = not everything and last is None and not any(wanted)
    newest = _SHOWN if is_short else last
    form = _Form(is_short, full, words, in_csv, excel)
    if is_office(session.root):
        from iotonboard.commands import office_audit

        with open_office(session) as office:
            rows = office_audit.select_rows(office, office_audit.Filter(*wanted), last=newest)
            _print(session, rows, office_audit.newest(office).seq, form)
        return None
    from iotonboard.commands.audit_show import Filter, last_row, select_rows

    with session.open_state() as state:
        _print(session, select_rows(state, Filter(*wanted), last=newest), last_row(state), form)
    return None


class _Form(NamedTuple):
    """How rows are shown."""

    is_short: bool
    full: bool
    in_words: bool
    in_csv: bool
    for_excel: bool


def _print(session: Session, rows: Iterator[AuditRow], count: int, form: _Form) -> None:
    if session.json:
        for row in rows:
            output.write_json("audit show", _values(row))
    elif form.in_csv:
        write_csv(_COLUMNS, map(_texts, rows), for_excel=form.for_excel)
    elif output.is_for_people() or form.in_words:
        columns, texts = trail_table(rows, full=form.full)
        output.write_table(columns, texts, empty="no such rows", is_long=not form.is_short)
    else:
        output.write_table(_COLUMNS, map(_texts, rows), empty="")
    if form.is_short and count > _SHOWN:
        session.message(f"the newest {_SHOWN} of {count} rows; --all shows all of them")


def _refuse_no_verb(name: str) -> None:
    """Refuse a name that no verb has, and no verb below one."""
    from iotonboard.cli.app import VERBS, app
    from iotonboard.cli.help_command import verbs_below

    names: Sequence[str] = VERBS
    words = name.split()
    for number, word in enumerate(words):
        if word not in names:
            raise UsageError(f"there is no verb {name!r}", hint=meant(word, names))
        names = verbs_below(app, words[: number + 1])


def _texts(row: AuditRow) -> tuple[str, ...]:
    return (str(row.seq), rfc3339(row.time), row.operator, row.host, row.command, row.subject, row.serial, row.detail)


def _values(row: AuditRow) -> dict[str, object]:
    return {
        **dict(zip(_COLUMNS, _texts(row), strict=True)),
        "command": "audit show",
        "verb": row.command,
        "seq": row.seq,
        "detail": row.said if row.said or row.detail == "{}" else row.detail,
    }


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{quoted(text)} is not a time", hint="write 2030-01-31 or 2030-01-31T12:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


@verb(app, "verify", example="iotonboard audit verify --head 12:AB12-CD34-EF56-0789-1122")
def verify(
    session: Session,
    head: Annotated[str, typer.Option("--head", help="A head that was written down earlier.")] = "",
) -> int | None:
    """Check the chain, the head that the CA signed, and one that was carried away. Exit 9 when one is broken."""
    others: dict[str, Verdict] = {}
    if is_office(session.root):
        from iotonboard.commands import office_audit

        with open_office(session) as office:
            verdict = office_audit.verify(office, head)
    else:
        from iotonboard.commands.audit_verify import verify as check

        with session.open_all() as cas:
            verdict = check(cas.around, head)
            others = {name: check(cas.state(name)) for name in cas.names}
    values: dict[str, object] = {"rows": verdict.rows, "broken_row": verdict.broken_row or None}
    values |= {"problem": verdict.problem, "lost": verdict.lost, "added": verdict.added, "unsealed": verdict.unsealed}
    if others:
        values["added_cas"] = [{"ca": name, "rows": one.rows, "problem": one.problem} for name, one in others.items()]
    broken = {name: one for name, one in others.items() if one.problem}
    added = f"\t{in_words(verdict.added)} since that head" if head and verdict.added else ""
    lines = [f"CA {name}: {one.rows} rows\t{one.problem or 'whole'}" for name, one in others.items()]
    if not verdict.problem and not broken:
        session.result(values, "\n".join((f"{verdict.rows} rows\twhole{added}", *lines)))
        if verdict.unsealed:
            session.message(f"added without the passphrase since the CA signed the trail: {in_words(verdict.unsealed)}")
        return None
    problem = f"broken at row {verdict.broken_row}\t{verdict.problem}" if verdict.problem else "whole"
    session.result(values, "\n".join((f"{verdict.rows} rows\t{problem}", *lines)))
    session.message("somebody changed the database; compare it with a backup ('iotonboard health --deep' names more)")
    return 9


@verb(app, "head", example="iotonboard audit head")
def head_of_trail(session: Session) -> int | None:
    """Print the head of the trail, to be written down: 'audit verify --head' finds what was changed since."""
    if is_office(session.root):
        from iotonboard.commands import office_audit

        with open_office(session) as office:
            newest = office_audit.newest(office)
            text = office_audit.printable(newest)
        session.result({"head": text, "seq": newest.seq, "hash": newest.hash.hex()}, text)
        return None
    from iotonboard.commands.audit_head import audit_head

    with session.open_state() as state:
        head = audit_head(state)
    session.result({"head": head.text, "seq": head.seq, "hash": head.hash.hex()}, head.text)
    return None
