"""The verb ``register``: from options, a CSV or a stream to requests, and from answers to lines."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.batch import answering, name_call, refuse_stopped, results_file, tell, worker_starter
from iotonboard.cli.complete import complete_format
from iotonboard.cli.options import (
    BatchOption,
    ExcelFilesOption,
    IdColumnOption,
    ProfileOption,
    ReachOption,
    ReloadOption,
    ValidityOption,
)
from iotonboard.cli.registered import Shower
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import check_list, refuse_placeholder
from iotonboard.errors import UsageError
from iotonboard.ids import parse_id
from iotonboard.model import KeyType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from iotonboard.cli.batch import Told
    from iotonboard.enrolment.answer_files import Export
    from iotonboard.enrolment.csr_files import CsrFolder
    from iotonboard.enrolment.request import Request
    from iotonboard.enrolment.results import ResultsFile
    from iotonboard.model import Refused
    from iotonboard.state.state import State

app = typer.Typer()
_NAMES_SHOWN = 8


@verb(app, "register", example="iotonboard register press-17 --set line=A3 --passphrase-file ca.pass --json")
def register(
    session: Session,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Device ids.")] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, max=10_000_000, help="Register N devices with UUIDs.")
    ] = None,
    uuid: Annotated[
        bool, typer.Option("--uuid", help="Make a UUID: one device, or for each row or line without an id.")
    ] = False,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    stream: Annotated[bool, typer.Option("--stream", help="Read ids or JSON from stdin, answer each at once.")] = False,
    csr: Annotated[str | None, typer.Option("--csr", metavar="FILE", help="Certify the key of this request.")] = None,
    csr_dir: Annotated[
        str | None,
        typer.Option(
            "--csr-dir", metavar="DIR", help="Certify each request in a folder: ID.csr, .req, .p10, .pem, .der."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="A name for people.")] = "",
    attributes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An attribute.")] = None,
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="ACCESS:TOPIC", help="An extra topic, e.g. read:plant/config."),
    ] = None,
    key_type: Annotated[KeyType | None, typer.Option("--key-type", help="Key type of the device.")] = None,
    validity_days: ValidityOption = None,
    profile: ProfileOption = "",
    if_exists: Annotated[
        Literal["fail", "skip", "reissue"],
        typer.Option("--if-exists", help="What to do with a device that is there."),
    ] = "fail",
    no_bundle: Annotated[bool, typer.Option("--no-bundle", help="Make no creds.zip.")] = False,
    passwords: Annotated[
        str | None,
        typer.Option("--passwords", metavar="FILE", help="Append bundle passwords to this CSV (0600)."),
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="Write credentials in this format too.", autocompletion=complete_format
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Where --format writes; one file or folder a device.")
    ] = None,
    results: Annotated[
        str | None,
        typer.Option("--results", metavar="FILE", help="Results of this call, .csv or .jsonl; a batch has one anyway."),
    ] = None,
    excel: ExcelFilesOption = False,
    yes: ReachOption = False,
    own_rules: Annotated[
        bool,
        typer.Option("--own-rules", help="An id may stand as a user in the ACL, and gets what is written there."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop a batch at the first bad row.")] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes; default: all cores.")] = None,
    reload: ReloadOption = False,
) -> int | None:
    """Register devices: each gets a key, a certificate and a password-protected bundle.

    A batch goes on past bad rows and can be run again with --if-exists skip: it then makes exactly what is missing. One
    that was killed goes on when the same command is given again.
    """
    from iotonboard.commands import register as command
    from iotonboard.enrolment.answer_files import Keeping

    _check_ways(ids, count, batch, csr_dir, csr=csr, stream=stream, uuid=uuid)
    check_list(session, "-" if stream else batch, id_column)
    common = _request(name, attributes or [], topics or [], key_type, validity_days, profile)
    named, is_json = count or max(len(ids or ()), 1), session.json or stream
    is_list = bool(batch is not None or stream or csr_dir)
    is_many = named > 1 or (is_list and not stream)
    options = command.Options(
        if_exists=if_exists,
        with_bundle=not no_bundle,
        strict=strict,
        is_list=batch is not None,
        is_stream=stream,
        reach=yes,
        own_rules=own_rules,
        tell_unpublished=output.write_unpublished,
        call=_name_call(if_exists, [batch, csr_dir, csr], ids, [passwords, results, out], stream, count, uuid, common),
        ends_stopped=count is not None,
    )
    answered = answering(session, passwords, is_json=is_json, for_excel=excel)
    with session.open_all() as cas, answered as (password_file, stopped):
        state = cas.around
        _say_where_keys_belong(session, state, csr=bool(csr or csr_dir), is_list=bool(batch or stream))
        source = _Source(batch, csr, csr_dir, _lines_of_stdin(stopped) if stream else None, id_column, not uuid)
        kept = results_file(state, "register", results, is_many=is_many, for_excel=excel, passwords=passwords)
        reloader, before = session.reloader(state, wanted=reload, signs_first=True), command.in_force(state)
        answers = command.register(
            cas,
            _requests(session, ids, named, source, common),
            replace(options, reload=reloader),
            Keeping(kept, password_file, _export(format_name, out)),
            session.unlocker,
            stopped=stopped,
            start_workers=worker_starter(session, jobs),
            tell=session.message,
        )
        total = 1 if stream else _count_rows(batch) if batch else None if csr_dir else named
        show = Shower(session, state, format_name, is_json=is_json)
        told = tell(session, answers, show, is_json=is_json and is_list, total=total, is_stream=stream)
        _tell_summary(session, told, kept, is_many=told.devices > 1 or is_list)
        show.tell_next(kept, must_reload=command.reload_broker(state, before, reloader))
        refuse_stopped(stopped, hint=_how_to_go_on(if_exists, count and told.missing_of(count)))
    return told.exit_code


def _tell_summary(session: Session, told: Told, kept: ResultsFile | None, *, is_many: bool) -> None:
    if is_many:
        session.message((told.summary or "the list is empty") + (f"; results in {kept.path}" if kept else ""))


def _check_ways(
    ids: list[str] | None,
    count: int | None,
    batch: str | None,
    csr_dir: str | None,
    *,
    csr: str | None,
    stream: bool,
    uuid: bool,
) -> None:
    """A device without an id is made only where that is asked for."""
    ways = (bool(ids), count is not None, batch is not None, stream, csr_dir is not None)
    if sum(ways) > 1:
        raise UsageError("ids, --count, --batch, --stream and --csr-dir exclude each other", hint="choose one of them")
    if csr and (count or batch or stream or csr_dir or len(ids or ()) > 1):
        raise UsageError("--csr goes with one device", hint="a CSV has a column 'csr' for many")
    if uuid and (ids or csr_dir is not None):
        raise UsageError("--uuid is for devices without an id", hint="leave it out")
    refuse_placeholder("ID", ids, "a device's own, such as press-17")
    if not any(ways) and not uuid:
        raise UsageError("no device is named", hint="name it, or let an id be made: iotonboard register --uuid")


# -- requests -------------------------------------------------------------------------------------------------------


def _name_call(
    if_exists: str,
    sources: list[str | None],
    ids: Sequence[str] | None,
    files: list[str | None],
    stream: bool,
    *words: object,
) -> str:
    """The name of a call that is known again; empty for a stream, and for one device of which nothing is kept.

    Devices that nobody named are known again only by the files that take the answers.
    """
    is_named = any(sources) or len(ids or ()) > 1
    if stream or not (is_named or any(files)):
        return ""
    return name_call(sources if is_named else files, ids, if_exists == "reissue", *words)


def _request(
    name: str,
    attributes: list[str],
    topics: list[str],
    key_type: KeyType | None,
    validity_days: int | None,
    profile: str,
) -> Request:
    """What the options say of every device."""
    from iotonboard.enrolment.request import Request, check_value, parse_attribute

    return Request(
        name=check_value("name", name),
        attributes=tuple(parse_attribute(text) for text in attributes),
        topics=tuple(topics),
        key_type=key_type,
        validity_days=validity_days,
        profile=profile,
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """Where devices are read from, if they are not named on the command line."""

    batch: str | None
    csr: str | None
    csr_dir: str | None
    lines: Iterator[bytes | None] | None
    id_column: str
    needs_id: bool


def _requests(
    session: Session, ids: list[str] | None, count: int, source: _Source, common: Request
) -> Iterator[Request | Refused | None]:
    """The devices that were named, in the one way that was chosen."""
    if source.batch is not None or source.lines is not None:
        from iotonboard.enrolment import device_list
    if source.csr or source.csr_dir is not None:
        from iotonboard.enrolment import csr_files
    if source.csr:
        common = replace(common, csr=csr_files.read_csr(source.csr, sys.stdin.buffer))
    if source.lines is not None:
        listed = device_list.read_stream(source.lines, source.id_column, needs_id=source.needs_id)
        return _with_defaults(listed, common)
    if source.batch is not None:
        rows = device_list.read_devices(
            source.batch, sys.stdin.buffer, source.id_column, needs_id=source.needs_id, tell=session.message
        )
        return _with_defaults(rows, common)
    if source.csr_dir is not None:
        return _with_defaults(csr_files.read_csr_folder(_look_into(session, source.csr_dir)), common)
    if not ids:
        return (common for _ in range(count))
    parsed = [parse_id(text) for text in ids]
    if len({text.lower() for text in parsed}) != len(parsed):
        raise UsageError("an id is named twice", hint="name every device once; case makes no difference")
    return (replace(common, device_id=device_id) for device_id in parsed)


def _look_into(session: Session, path: str) -> CsrFolder:
    """The folder that was named; what is no request there is told."""
    from iotonboard.enrolment.csr_files import look_into

    folder = look_into(path)
    if folder.passed_over:
        shown = ", ".join(map(repr, folder.passed_over[:_NAMES_SHOWN]))
        more = f" and {len(folder.passed_over) - _NAMES_SHOWN} more" if folder.passed_over[_NAMES_SHOWN:] else ""
        session.message(f"not requests by their names, and passed over in {path!r}: {shown}{more}")
    return folder


def _with_defaults(rows: Iterable[Request | Refused | None], common: Request) -> Iterator[Request | Refused | None]:
    from iotonboard.enrolment.request import Request, with_defaults

    return (with_defaults(row, common) if isinstance(row, Request) else row for row in rows)


def _lines_of_stdin(stopped: Callable[[], bool]) -> Iterator[bytes | None]:
    from iotonboard.cli.stream import lines_of_stdin

    return lines_of_stdin(stopped)


def _count_rows(batch: str) -> int | None:
    from iotonboard.enrolment.device_list import count_rows

    return count_rows(batch)


def _say_where_keys_belong(session: Session, state: State, *, csr: bool, is_list: bool) -> None:
    """Say once per call that keys are not made where the operator wants them."""
    key_origin = state.config["key_origin"]
    if key_origin == "device" and not csr and not is_list:
        session.message("key_origin is 'device', and this key is made on the workstation: use --csr or --csr-dir")
    elif key_origin == "device" and is_list:
        session.message("key_origin is 'device': a row without 'csr' gets a key that is made on the workstation")
    elif key_origin == "workstation" and csr:
        session.message("key_origin is 'workstation', and this key was made on the device")


def _how_to_go_on(if_exists: str, missing: int | None) -> str:
    """What to type after an interruption; ``missing`` of ``--count`` devices were not made."""
    if missing is None and if_exists == "reissue":
        return "run the same command again: it leaves out what was reissued already"
    if missing is None:
        return "run it again with --if-exists skip to go on"
    return f"{missing} are missing: run it again with --count {missing}" if missing else "none is missing"


# -- what is kept and told ------------------------------------------------------------------------------------------


def _export(format_name: str | None, out: str | None) -> Export | None:
    """What writes a device's credentials in a format as soon as it is registered."""
    if (format_name is None) != (out is None):
        raise UsageError("--format and --out go together", hint="for example: --format p12 --out ./credentials")
    if format_name is None or out is None:
        return None
    from iotonboard.delivery.formats.table import find_format
    from iotonboard.disk.files import make_private_dir
    from iotonboard.enrolment.answer_files import Export

    find_format(format_name)
    make_private_dir(out)
    return Export(format_name, out)
