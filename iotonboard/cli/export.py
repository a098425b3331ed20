"""The verb ``export``."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.complete import complete_device_id, complete_format
from iotonboard.cli.limits import ExportLimits
from iotonboard.cli.options import BatchOption, ForceOption, IdColumnOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, check_list, confirm_next, named_targets
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from iotonboard.ca.credentials import Exported
    from iotonboard.commands.export import Wanted

app = typer.Typer()
_OTHER_P12 = (
    "for Java, OpenSSL 3 and Windows from 10 (1709) on; macOS, older Android and Windows take the one of --legacy",
    "for macOS, older Android and Windows: 3DES and SHA-1 protect it little, so delete it when it is imported",
)


@verb(app, "export", example="iotonboard export press-17 --format pem --out ./press-17 --passphrase-file ca.pass")
def export(
    session: Session,
    device_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The device.", autocompletion=complete_device_id)
    ] = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="zip, pem, ...; 'zip' is encrypted.", autocompletion=complete_format
        ),
    ] = "zip",
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="PATH", help="File or folder; '-' is stdout; for a list a folder, for a cloud a file."
        ),
    ] = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="p12: with 3DES and SHA-1, for macOS, older Android and Windows.")
    ] = False,
    attributes: Annotated[
        str | None,
        typer.Option("--attributes", metavar="NAMES", help="esp-nvs: only these, with commas; all unless told."),
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="SIZE", help="esp-nvs: the ready partition, such as 0x4000.")
    ] = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="esp-nvs: encrypt the partition; its keys go beside it.")
    ] = False,
    image_keys: Annotated[
        str | None, typer.Option("--image-keys", metavar="FILE", help="esp-nvs: encrypt it with these NVS keys.")
    ] = None,
    force: ForceOption = False,
) -> int | None:
    """Write credentials in a format. Formats other than zip and p12 hold the key in the clear.

    aws-bulk and azure-import hold no keys: one file tells the cloud of all devices that are named.
    """
    from iotonboard.cli.cloud_list import export_for_cloud
    from iotonboard.commands.export import ask_for, default_name
    from iotonboard.delivery.cloud_table import FORMATS
    from iotonboard.delivery.formats.table import find_format

    cloud = FORMATS.get(format_name)
    chosen = None if cloud else find_format(format_name, FORMATS)
    told = {"legacy": legacy, "attributes": attributes, "image": image, "encrypt": encrypt, "image-keys": image_keys}
    wanted = ask_for(format_name, {name: value for name, value in told.items() if value not in (None, False)})
    if (device_id is None) == (batch is None):
        raise UsageError("name one device, or a list with --batch", hint="for example: iotonboard export press-17")
    if cloud is not None:
        return export_for_cloud(session, device_id, batch, id_column, cloud, out, force=force)
    if batch is not None:
        exit_code = _export_list(session, batch, id_column, wanted, out, force=force)
    else:
        check_list(session, batch, id_column)
        path = out or default_name(str(device_id), wanted)
        exit_code = _export_one(session, str(device_id), wanted, path, force=force)
        if path == "-":
            session.message(confirm_next(device_id))
            return exit_code
    if format_name == "p12":
        session.message(_OTHER_P12[legacy])
    if chosen and chosen.plain_key:
        session.message("the key in there is not encrypted: delete it when the device has it")
    if device_id or exit_code in (None, 0):
        session.message(confirm_next(device_id))
    return exit_code


def _export_one(session: Session, device_id: str, wanted: Wanted, path: str, *, force: bool) -> int | None:
    from iotonboard.commands import export as command

    if path == "-":
        _refuse_stdout(session, wanted)
    with session.open_all() as cas:
        state = cas.holder(device_id)
        unlock = session.unlocker(state)
        if path == "-":
            sys.stdout.buffer.write(command.export_stream(state, device_id, wanted, unlock))
            sys.stdout.buffer.flush()
            return None
        one = command.export(state, device_id, wanted, path, unlock, force=force)
        _print(session, one, wanted.format_name)
    ExportLimits(session, wanted.format_name).note(one)
    return None


def _export_list(
    session: Session, batch: str, id_column: str, wanted: Wanted, out: str | None, *, force: bool
) -> int | None:
    from iotonboard.cli.progress import watched
    from iotonboard.commands.export import export_list
    from iotonboard.enrolment.device_list import count_rows

    if out is None or out == "-":
        raise UsageError("a list needs a folder", hint="name it with --out DIR")
    targets, told = named_targets(session, None, batch, id_column), Told(session)
    with session.open_all() as cas:
        done = chain.from_iterable(
            export_list(state, run, wanted, out, session.unlocker(state), force=force)
            for state, run in cas.runs(targets)
        )
        limits = ExportLimits(session, wanted.format_name)
        for one in told.done(watched(session, done, count_rows(batch))):
            _print(session, one, wanted.format_name)
            limits.note(one)
    return told.end()


def _print(session: Session, one: Exported, format_name: str) -> None:
    values = {
        "device_id": one.device_id,
        "format": format_name,
        "path": one.path,
        "bundle_password": one.password,
    }
    shown = f"\tpassword {one.password}" if one.password else ""
    session.result(values, f"{one.device_id}\t{format_name}\t{one.path}{shown}")


def _refuse_stdout(session: Session, wanted: Wanted) -> None:
    from iotonboard.delivery.formats.table import find_format

    chosen, nvs = find_format(wanted.format_name), wanted.options.nvs
    if session.json:
        raise UsageError("--json and --out - would mix on stdout", hint="write to a file")
    if not chosen.single_file:
        raise UsageError("this format is a folder and does not fit stdout", hint="name a folder with --out")
    if (chosen.binary or (nvs and nvs.size)) and sys.stdout.isatty():
        raise UsageError("this format is binary and would garble the terminal", hint="write to a file or a pipe")
