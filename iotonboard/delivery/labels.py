"""Labels to stick on devices: QR code, id and short fingerprint, laid out on sheets.

The sheet is laid out once, in millimetres from its top left corner; three small renderers turn the same drawing into
SVG, PNG or PDF. QR codes come from segno, PDF from fpdf2, PNG from Pillow: the extra ``labels``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import segno
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

from iotonboard.errors import PolicyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.model import DeviceId, SerialNumber

SHORT_FINGERPRINT = 16  # hexadecimal digits, 64 bits: enough to tell devices apart, short enough to compare by eye
PNG_DOTS_PER_MM = 12  # about 300 dpi
_QUIET_MODULES = 4  # ISO/IEC 18004 6.3.8: four modules of nothing around the code
_POINT_MM = 0.3528
_TEXT_MM = 2.6
_LONGEST_LINE = 22


@dataclass(frozen=True, slots=True)
class Label:
    """What one label says."""

    device_id: DeviceId
    serial: SerialNumber
    fingerprint: str

    @property
    def payload(self) -> str:
        """The text in the QR code: id, serial and SHA-256 fingerprint, separated by blanks."""
        return f"{self.device_id} {self.serial.hex} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of labels; every length in millimetres."""

    page_width: float = 210
    page_height: float = 297
    columns: int = 3
    rows: int = 8
    margin_x: float = 5
    margin_y: float = 8
    gap: float = 2

    @property
    def label_width(self) -> float:
        """Width of one label."""
        return (self.page_width - 2 * self.margin_x - self.gap * (self.columns - 1)) / self.columns

    @property
    def label_height(self) -> float:
        """Height of one label."""
        return (self.page_height - 2 * self.margin_y - self.gap * (self.rows - 1)) / self.rows

    def check(self) -> None:
        """Refuse a sheet on which a label would be too small to be read.

        Raises:
            UsageError: less than 30 x 15 mm is left for a label.
        """
        if self.columns < 1 or self.rows < 1 or self.label_width < 30 or self.label_height < 15:
            raise UsageError("a label would be smaller than 30 x 15 mm", hint="fewer --columns or --rows")


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text whose baseline begins at (x, y)."""

    x: float
    y: float
    size: float
    text: str


def lay_out(labels: Sequence[Label], sheet: Sheet) -> Iterator[list[Box | Text]]:
    """Place labels row by row; yields the drawing of each page.

    Raises:
        UsageError: the labels would be too small.
        PolicyError: a code would be too fine to be read at that size.
    """
    sheet.check()
    per_page = sheet.columns * sheet.rows
    for first in range(0, len(labels), per_page):
        page: list[Box | Text] = []
        for position, label in enumerate(labels[first : first + per_page]):
            row, column = divmod(position, sheet.columns)
            x = sheet.margin_x + column * (sheet.label_width + sheet.gap)
            y = sheet.margin_y + row * (sheet.label_height + sheet.gap)
            page += _draw(label, x, y, sheet)
        yield page


def _draw(label: Label, x: float, y: float, sheet: Sheet) -> Iterator[Box | Text]:
    """One label: the code on the left, its text on the right."""
    matrix = segno.make(label.payload, error="m", micro=False).matrix
    side = min(sheet.label_height, sheet.label_width / 2)
    module = side / (len(matrix) + 2 * _QUIET_MODULES)
    if module < 0.25:
        raise PolicyError("the QR code would be too fine to be read", hint="fewer --columns or --rows")
    start = _QUIET_MODULES * module
    for row, modules in enumerate(matrix):
        run = 0
        for column, dark in enumerate([*modules, 0]):
            if dark:
                run += 1
            elif run:
                yield Box(x + start + (column - run) * module, y + start + row * module, run * module, module)
                run = 0
    lines = [*_wrapped(label.device_id), "SHA256 " + label.fingerprint[:SHORT_FINGERPRINT]]
    top = y + (side - len(lines) * _TEXT_MM * 1.3) / 2 + _TEXT_MM
    for number, line in enumerate(lines):
        yield Text(x + side, top + number * _TEXT_MM * 1.3, _TEXT_MM, line)


def _wrapped(text: str) -> list[str]:
    return [text[start : start + _LONGEST_LINE] for start in range(0, len(text), _LONGEST_LINE)]


def render(pages: Sequence[list[Box | Text]], sheet: Sheet, kind: str, made_at: datetime) -> list[bytes]:
    """Turn drawings into files: one for each page, or a single one for ``pdf``.

    Raises:
        UsageError: ``kind`` is not ``svg``, ``png`` or ``pdf``.
    """
    if kind == "svg":
        return [_svg(page, sheet) for page in pages]
    if kind == "png":
        return [_png(page, sheet) for page in pages]
    if kind == "pdf":
        return [_pdf(pages, sheet, made_at)]
    raise UsageError(f"{kind!r} is not a kind of label sheet", hint="end the name in .svg, .png or .pdf")


def _svg(page: list[Box | Text], sheet: Sheet) -> bytes:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.page_width}mm" height="{sheet.page_height}mm" '
        f'viewBox="0 0 {sheet.page_width} {sheet.page_height}"><rect width="100%" height="100%" fill="#fff"/>'
    )
    parts = [head]
    for item in page:
        if isinstance(item, Box):
            parts.append(
                f'<path d="M{item.x:.4f} {item.y:.4f}h{item.width:.4f}v{item.height:.4f}h-{item.width:.4f}z"/>'
            )
        else:
            parts.append(
                f'<text x="{item.x:.2f}" y="{item.y:.2f}" font-family="monospace" font-size="{item.size}">'
                f"{escape(item.text)}</text>"
            )
    return "".join([*parts, "</svg>\n"]).encode("utf-8")


def _png(page: list[Box | Text], sheet: Sheet) -> bytes:
    scale = PNG_DOTS_PER_MM
    image = Image.new("L", (round(sheet.page_width * scale), round(sheet.page_height * scale)), 255)
    pen = ImageDraw.Draw(image)
    for item in page:
        if isinstance(item, Box):
            corner = (round((item.x + item.width) * scale) - 1, round((item.y + item.height) * scale) - 1)
            pen.rectangle((round(item.x * scale), round(item.y * scale), *corner), fill=0)
        else:
            font: Any = ImageFont.load_default(size=item.size * scale)
            pen.text((item.x * scale, item.y * scale), item.text, fill=0, font=font, anchor="ls")
    content = io.BytesIO()
    image.save(content, "PNG", dpi=(scale * 25.4, scale * 25.4))
    return content.getvalue()


def _pdf(pages: Sequence[list[Box | Text]], sheet: Sheet, made_at: datetime) -> bytes:
    document = FPDF(unit="mm", format=(sheet.page_width, sheet.page_height))
    document.set_auto_page_break(auto=False)
    document.set_creation_date(made_at)
    for page in pages:
        document.add_page()
        for item in page:
            if isinstance(item, Box):
                document.rect(item.x, item.y, item.width, item.height, style="F")
            else:
                document.set_font("courier", size=item.size / _POINT_MM)
                document.text(item.x, item.y, item.text)
    return bytes(document.output())
