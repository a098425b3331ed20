"""The verb ``labels``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_device_id
from iotonboard.cli.options import BatchOption, IdColumnOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, named_targets
from iotonboard.errors import UsageError, quoted

app = typer.Typer()


@verb(app, "labels", example="iotonboard labels press-17 press-18 --out labels.pdf")
def labels(
    session: Session,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Devices.", autocompletion=complete_device_id)
    ] = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="labels.svg, .png or .pdf.")] = "labels.pdf",
    page: Annotated[str, typer.Option("--page", metavar="WxH", help="Size of the page, in millimetres.")] = "210x297",
    columns: Annotated[int, typer.Option("--columns", min=1, max=20, help="Labels side by side.")] = 3,
    rows: Annotated[int, typer.Option("--rows", min=1, max=40, help="Labels one below the other.")] = 8,
    margin: Annotated[float, typer.Option("--margin", min=0, max=50, help="Margin of the page, in millimetres.")] = 6,
    gap: Annotated[float, typer.Option("--gap", min=0, max=50, help="Between labels, in millimetres.")] = 2,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> int | None:
    """Write sheets of labels: QR code with id, serial and fingerprint, and the id to read."""
    try:
        from iotonboard.commands.labels import make_labels
        from iotonboard.delivery.labels import Sheet
    except ImportError as error:
        raise UsageError(
            f"labels need an optional part of this program ({error.name} is missing)",
            hint="pip install 'iotonboard[labels]'",
        ) from None

    if not ids and batch is None:
        raise UsageError("no device is named", hint="name devices or --batch FILE")
    targets = named_targets(session, ids, batch, id_column)
    width, height = _size(page)
    sheet = Sheet(width, height, columns, rows, margin, margin, gap)
    with session.open_all() as cas:
        result = make_labels(cas, targets, sheet, out, force=force)
    told = Told(session, in_json=False)
    values = {"labels": result.labels, "pages": result.pages, "paths": list(result.paths)}
    told.refuse(*result.refused)
    told.count(result.labels)
    session.result(
        values,
        f"{output.counted(result.labels, 'label')}\t{output.counted(result.pages, 'page')}\t{' '.join(result.paths)}",
    )
    if result.labels:
        session.message(f"next: print {' '.join(result.paths)} at its real size, 100 %: no 'fit to page'")
    return told.exit_code


def _size(text: str) -> tuple[float, float]:
    width, _, height = text.lower().partition("x")
    try:
        size = float(width), float(height)
    except ValueError:
        raise UsageError(f"{quoted(text, 40)} is not a page size", hint="write 210x297") from None
    if not all(20 <= length <= 2000 for length in size):
        raise UsageError(f"{quoted(text, 40)} is not a page size", hint="between 20 and 2000 millimetres")
    return size
