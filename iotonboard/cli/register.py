"""The verb ``register``: from options, a CSV or a stream to requests, and from answers to lines."""

from __future__ import annotations

import os
import select
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli.answers import Report, passwords_file, stop_signal
from iotonboard.cli.complete import complete_format
from iotonboard.cli.lists import open_text
from iotonboard.cli.session import Session, verb
from iotonboard.errors import IotOnboardError, NotFoundError, PolicyError, UsageError
from iotonboard.files import read_file
from iotonboard.model import DeviceId, KeyType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.ca.authority import Authority
    from iotonboard.commands.register import Refused, Request
    from iotonboard.enrolment.device_list import Row
    from iotonboard.enrolment.results import ResultsFile
    from iotonboard.state.state import State

app = typer.Typer()
_MAX_CSR = 1 << 16
_IDLE_AFTER_S = 0.25
# So many devices' files may wait to be made durable, all at once: on a stream few, for each line waits for that.
_UNSETTLED_STREAM, _UNSETTLED_BATCH = 64, 8192


@verb(app, "register", example="iotonboard register press-17 --set line=A3 --passphrase-file ca.pass --json")
def register(
    session: Session,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Device ids; none: a UUID is made.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, max=10_000_000, help="Register N devices with UUIDs.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="FILE", help="CSV with one device a line; '-': stdin.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Read ids or JSON from stdin, answer each at once.")] = False,
    csr: Annotated[str | None, typer.Option("--csr", metavar="FILE", help="Certify the key of this request.")] = None,
    csr_dir: Annotated[
        str | None,
        typer.Option("--csr-dir", metavar="DIR", help="Certify each request in a folder; a file's stem is the id."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="A name for people.")] = "",
    attributes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An attribute.")] = None,
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="ACCESS:TOPIC", help="An extra topic, e.g. read:plant/config."),
    ] = None,
    key_type: Annotated[KeyType | None, typer.Option("--key-type", help="Key type of the device.")] = None,
    validity_days: Annotated[
        int | None, typer.Option("--validity-days", min=1, max=36500, help="Life, in days.")
    ] = None,
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
        typer.Option("--format", help="Write credentials in this format too.", autocompletion=complete_format),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Where --format writes; one file or folder a device.")
    ] = None,
    results: Annotated[
        str | None,
        typer.Option("--results", metavar="FILE", help="Results of this call, .csv or .jsonl; a batch has one anyway."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop a batch at the first bad row.")] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes; default: all cores.")] = None,
) -> int | None:
    """Register devices: each gets a key, a certificate and a password-protected bundle.

    A batch goes on past bad rows and can be run again with --if-exists skip: it then makes exactly what is missing.
    """
    from iotonboard.commands import register as command
    from iotonboard.enrolment.batch import GROUP
    from iotonboard.enrolment.device_list import Row, check_value, parse_attribute

    if sum((bool(ids), count is not None, batch is not None, stream, csr_dir is not None)) > 1:
        raise UsageError("ids, --count, --batch, --stream and --csr-dir exclude each other", hint="choose one of them")
    if csr and (count or batch or stream or csr_dir or len(ids or ()) > 1):
        raise UsageError("--csr goes with one device", hint="a CSV has a column 'csr' for many")
    if session.passphrase_file == "-" and (stream or batch == "-"):
        raise UsageError("stdin cannot be both passphrase and list", hint="put the passphrase into a file")
    common = Row(
        line=0,
        device_id=None,
        name=check_value("name", name),
        attributes=tuple(parse_attribute(text) for text in attributes or ()),
        csr=csr or "",
        key_type=key_type,
        validity_days=validity_days,
        topics=tuple(topics or ()),
    )
    options = command.Options(
        if_exists=if_exists,
        with_bundle=not no_bundle,
        strict=strict,
        group=1 if stream else GROUP,
        is_list=batch is not None,
        unsettled=_UNSETTLED_STREAM if stream else _UNSETTLED_BATCH,
    )
    with session.open_state() as state, passwords_file(passwords) as keep_password, stop_signal() as stopped:
        authority = session.unlock(state)
        _say_where_keys_belong(
            session, state.config["key_origin"], csr=bool(csr or csr_dir), is_list=bool(batch or stream)
        )
        state.publish(acl=False)
        if stream:
            requests = _stream_requests(state, common, stopped)
        elif batch is not None:
            requests = _csv_requests(batch, common)
        elif csr_dir is not None:
            requests = _folder_requests(csr_dir, common)
        else:
            requests = _id_requests(ids or [], count, common)
        report = Report(
            session,
            is_json=session.json or stream,
            is_list=batch is not None or stream or csr_dir is not None,
            jobs=jobs,
            keep_password=keep_password,
            results=None,
            write_format=_format_writer(state, authority, format_name, out),
        )
        is_many = batch is not None or csr_dir is not None or (count or len(ids or ())) > 1
        with _results(state, authority, results, is_many=is_many) as report.results:
            total = 0 if stream or not is_many else _expected(count or len(ids or ()), batch)
            report.run(state, authority, requests, options, stopped, total)
    return report.exit_code


# -- requests -------------------------------------------------------------------------------------------------------


def _id_requests(ids: list[str], count: int | None, common: Row) -> Iterator[Request | Refused]:
    if not ids:
        return (_request(common, None, 0) for _ in range(count or 1))
    parsed = [DeviceId(text) for text in ids]
    if len({text.lower() for text in parsed}) != len(parsed):
        raise UsageError("an id is named twice", hint="name every device once; case makes no difference")
    return (_request(common, device_id, 0) for device_id in parsed)


def _expected(named: int, batch: str | None) -> int | None:
    """How many answers there will be, for the progress; ``None`` when nobody knows."""
    from iotonboard.cli.progress import count_rows

    return named or (count_rows(batch) if batch else None)


def _folder_requests(folder: str, common: Row) -> Iterator[Request | Refused]:
    """One device for each request in a folder, in the order of the names; other files are passed over."""
    from iotonboard.enrolment.device_list import BadRow, parse_fields

    try:
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith((".csr", ".pem", ".der", ".p10")))
    except OSError as error:
        raise NotFoundError(f"cannot read {folder!r}: {error.strerror}", hint="name a folder of requests") from None
    if not names:
        raise NotFoundError(f"there is no request in {folder!r}", hint="name the files ID.csr, ID.pem or ID.der")
    for number, name in enumerate(names, start=1):
        stem = os.path.splitext(name)[0]
        try:
            row: object = parse_fields(number, {"device_id": stem, "csr": name})
        except IotOnboardError as error:
            row = BadRow(number, stem, error)
        yield _listed_request(common, row, folder)


def _say_where_keys_belong(session: Session, key_origin: str, *, csr: bool, is_list: bool) -> None:
    """Say once per call that keys are not made where the operator wants them."""
    if key_origin == "device" and not csr and not is_list:
        session.message("key_origin is 'device', and this key is made on the workstation: use --csr or --csr-dir")
    elif key_origin == "device" and is_list:
        session.message("key_origin is 'device': a row without 'csr' gets a key that is made on the workstation")
    elif key_origin == "workstation" and csr:
        session.message("key_origin is 'workstation', and this key was made on the device")


def _csv_requests(source: str, common: Row) -> Iterator[Request | Refused]:
    from iotonboard.enrolment.device_list import parse_csv

    folder = os.path.dirname(source) or "."  # so that a file '-' is never stdin
    with open_text(source) as lines:
        for row in parse_csv(lines, "stdin" if source == "-" else repr(source)):
            yield _listed_request(common, row, folder)


def _stream_requests(state: State, common: Row, stopped: Callable[[], bool]) -> Iterator[Request | Refused]:
    from iotonboard.commands.register import Refused
    from iotonboard.enrolment.device_list import parse_stream_line

    for number, line in enumerate(_lines_of_stdin(state.publish, stopped), start=1):
        if not line.strip():
            continue
        try:
            row = parse_stream_line(number, line.decode("utf-8"))
        except UnicodeDecodeError:
            shown = line.decode("utf-8", "backslashreplace").strip()[:200]
            yield Refused(shown, number, PolicyError(f"line {number}: not UTF-8 text", hint="send UTF-8"))
        except IotOnboardError as error:
            yield Refused(line.decode("utf-8", "replace").strip()[:200], number, error)
        else:
            yield _listed_request(common, row, ".")


def _listed_request(common: Row, row: object, folder: str) -> Request | Refused:
    from iotonboard.commands.register import Refused
    from iotonboard.enrolment.device_list import BadRow, Row

    if isinstance(row, BadRow):
        return Refused(row.text, row.line, row.error)
    assert isinstance(row, Row)  # noqa: S101 - narrows for the type checker
    merged = Row(
        line=row.line,
        device_id=row.device_id,
        name=row.name or common.name,
        attributes=tuple({**dict(common.attributes), **dict(row.attributes)}.items()),
        csr=os.path.join(folder, row.csr) if row.csr else "",
        key_type=row.key_type or common.key_type,
        validity_days=row.validity_days or common.validity_days,
        topics=(*common.topics, *row.topics),
    )
    try:
        return _request(merged, row.device_id, row.line)
    except IotOnboardError as error:
        return Refused(row.device_id or "", row.line, type(error)(f"line {row.line}: {error.message}", hint=error.hint))


def _request(row: Row, device_id: DeviceId | None, line: int) -> Request:
    from iotonboard.commands.register import Request

    request = None
    if row.csr:
        from iotonboard.pki.csr import parse_csr

        request = parse_csr(sys.stdin.buffer.read(_MAX_CSR) if row.csr == "-" else read_file(row.csr, limit=_MAX_CSR))
    return Request(device_id, row.name, row.attributes, row.topics, request, row.key_type, row.validity_days, line)


def _lines_of_stdin(on_idle: Callable[[], None], stopped: Callable[[], bool]) -> Iterator[bytes]:
    """Lines as they come; ``on_idle`` runs when none came for a moment, so that the ACL never waits for long."""
    buffered = b""
    changed = False
    while True:
        line, newline, rest = buffered.partition(b"\n")
        if newline:
            buffered = rest
            yield line
            changed = True
            continue
        while not _is_readable(sys.stdin.fileno()):
            if stopped():
                return
            if changed:
                on_idle()
                changed = False
        chunk = os.read(sys.stdin.fileno(), 1 << 16)
        if not chunk:
            break
        buffered += chunk
    if buffered:
        yield buffered


def _is_readable(descriptor: int) -> bool:
    try:
        return bool(select.select([descriptor], [], [], _IDLE_AFTER_S)[0])
    except OSError:  # a pipe on Windows cannot be asked; reading it blocks instead
        return True


def _format_writer(
    state: State, authority: Authority, format_name: str | None, out: str | None
) -> Callable[[str], str] | None:
    """What writes a device's credentials in a format as soon as it is registered, and returns where."""
    if (format_name is None) != (out is None):
        raise UsageError("--format and --out go together", hint="for example: --format p12 --out ./credentials")
    if format_name is None or out is None:
        return None
    from iotonboard.ca.credentials import target_path
    from iotonboard.commands.export import export
    from iotonboard.delivery.formats.table import find_format
    from iotonboard.files import make_private_dir

    find_format(format_name)
    make_private_dir(out)

    def write(device_id: str) -> str:
        path = target_path(out, device_id, format_name)
        return export(state, authority, device_id, format_name, path, force=False).path

    return write


@contextmanager
def _results(state: State, authority: Authority, path: str | None, *, is_many: bool) -> Iterator[ResultsFile | None]:
    """The results file: where the operator says, below the state for a batch, none for a single device."""
    if path is None and not is_many:
        yield None
        return
    from iotonboard.enrolment.results import default_path, open_results

    place = path or default_path(state.paths.root, "register", state.clock())
    with open_results(place, authority.active.key) as results:
        yield results
