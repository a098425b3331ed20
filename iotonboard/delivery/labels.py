"""Labels to stick on devices: QR code, id and short fingerprint, laid out on sheets.

The sheet is laid out once, in millimetres from its top left corner; three small renderers turn the same drawing into
SVG, PNG or PDF. QR codes come from segno, PDF from fpdf2, PNG from Pillow: the extra ``labels``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import segno
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from iotonboard.model import DeviceId, SerialNumber

    # Rows of modules of a QR code, dark or not.
    Code = Sequence[Sequence[int]]

SHORT_FINGERPRINT = 16  # hexadecimal digits, 64 bits: enough to tell devices apart, short enough to compare by eye
PNG_DOTS_PER_MM = 12  # about 300 dpi
_QUIET_MODULES = 4  # ISO/IEC 18004 6.3.8: four modules of nothing around the code
_FINEST_MODULE = 4 / PNG_DOTS_PER_MM  # millimetres: a third, which telephones and scanners read from paper
_NARROWEST = 30  # millimetres: codes that stand closer confuse readers that see several at once
_POINT_MM = 0.3528
_TEXT_SIZES = (2.6, 2.3, 2.0, 1.8)  # millimetres; the largest that fits is taken
_CHARACTER, _LINE = 0.6, 1.3  # width of a character and height of a line, in sizes of the text
_OVERLAP = 0.03  # millimetres by which rows of a code overlap: else what draws them leaves light lines between them
_PADDING = 1  # millimetres that stay free on the right


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


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text whose baseline begins at (x, y); as wide as a font of fixed width makes it, or narrower."""

    x: float
    y: float
    size: float
    text: str

    @property
    def width(self) -> float:
        """How wide it may become."""
        return len(self.text) * self.size * _CHARACTER


@dataclass(frozen=True, slots=True)
class Drawing:
    """What one label shows: a code, of modules of a width, and lines of text of one size beside it."""

    modules: Code
    module: float
    size: float
    lines: tuple[str, ...]

    @property
    def side(self) -> float:
        """Width of the code with its quiet zone."""
        return self.module * (len(self.modules) + 2 * _QUIET_MODULES)


def lay_out(labels: Sequence[Label], sheet: Sheet) -> Iterator[list[Box | Text]]:
    """Place labels row by row; yields the drawing of each page.

    Raises:
        UsageError: a label does not fit, as its code would be too fine to be read, or its text too wide or too high.
    """
    drawings = [_drawing(label, _codes(label), sheet) for label in labels]
    per_page = sheet.columns * sheet.rows
    for first in range(0, len(labels), per_page):
        page: list[Box | Text] = []
        for position, drawing in enumerate(drawings[first : first + per_page]):
            if drawing is None:
                raise _not_fitting(labels, labels[first + position], sheet)
            row, column = divmod(position, sheet.columns)
            x = sheet.margin_x + column * (sheet.label_width + sheet.gap)
            y = sheet.margin_y + row * (sheet.label_height + sheet.gap)
            page += _draw(drawing, x, y)
        yield page


def _codes(label: Label) -> list[Code]:
    """The code that bears most dirt, and one of fewer modules for small labels."""
    return [segno.make(label.payload, error=level, micro=False).matrix for level in "ml"]


def _drawing(label: Label, codes: Iterable[Code], sheet: Sheet) -> Drawing | None:
    return next(filter(None, (_with_code(label, code, sheet) for code in codes)), None)


def _with_code(label: Label, modules: Code, sheet: Sheet) -> Drawing | None:
    """The code as high as the label or half as wide, or as large as it has to be; text in what is left.

    Modules are whole dots wide, so that all of them are the same.
    """
    across = len(modules) + 2 * _QUIET_MODULES
    dots = int(min(sheet.label_height, sheet.label_width / 2) / across * PNG_DOTS_PER_MM)
    module = max(dots / PNG_DOTS_PER_MM, _FINEST_MODULE)
    side = module * across
    if side > sheet.label_height or sheet.label_width < _NARROWEST:
        return None
    for size in _TEXT_SIZES:
        characters = int((sheet.label_width - side - _PADDING) / (size * _CHARACTER))
        if characters < 1:
            continue
        lines = (*_wrapped(label.device_id, characters), *_fingerprint_lines(label, characters))
        if len(lines) * size * _LINE <= sheet.label_height:
            return Drawing(modules, module, size, lines)
    return None


def _wrapped(text: str, characters: int) -> list[str]:
    return [text[start : start + characters] for start in range(0, len(text), characters)]


def _fingerprint_lines(label: Label, characters: int) -> list[str]:
    short = label.fingerprint[:SHORT_FINGERPRINT]
    whole = "SHA256 " + short
    return [whole] if len(whole) <= characters else [*_wrapped("SHA256", characters), *_wrapped(short, characters)]


def _not_fitting(labels: Sequence[Label], label: Label, sheet: Sheet) -> UsageError:
    """Say which label does not fit, and how many of all of them fit on such a page."""
    size = f"{max(sheet.label_width, 0):.1f} x {max(sheet.label_height, 0):.1f} mm"
    fitting = _most_that_fit(labels, sheet)
    if fitting is None:
        hint = "a larger --page, or smaller --margin and --gap"
    else:
        hint = f"'--columns {fitting.columns} --rows {fitting.rows}' fits"
        hint += f": labels of {fitting.label_width:.1f} x {fitting.label_height:.1f} mm"
    return UsageError(f"the label of {str(label.device_id)!r} does not fit into {size}", hint=hint)


def _most_that_fit(labels: Sequence[Label], sheet: Sheet) -> Sheet | None:
    """The sheet of that page with at most as many columns and rows that holds most labels, each of them."""
    codes = [(label, _codes(label)) for label in {len(label.payload): label for label in labels}.values()]
    grids = ((columns, rows) for columns in range(1, sheet.columns + 1) for rows in range(1, sheet.rows + 1))
    for columns, rows in sorted(grids, key=lambda grid: (grid[0] * grid[1], grid[0]), reverse=True):
        smaller = replace(sheet, columns=columns, rows=rows)
        if all(_drawing(label, of_label, smaller) for label, of_label in codes):
            return smaller
    return None


def _draw(drawing: Drawing, x: float, y: float) -> Iterator[Box | Text]:
    """One label: the code on the left, its text on the right."""
    module = drawing.module
    x, y = (round(each * PNG_DOTS_PER_MM) / PNG_DOTS_PER_MM for each in (x, y))
    start = _QUIET_MODULES * module
    for row, modules in enumerate(drawing.modules):
        run = 0
        for column, dark in enumerate([*modules, 0]):
            if dark:
                run += 1
            elif run:
                yield Box(x + start + (column - run) * module, y + start + row * module, run * module, module)
                run = 0
    height = drawing.size * _LINE
    top = y + max((drawing.side - len(drawing.lines) * height) / 2, 0) + drawing.size
    for number, line in enumerate(drawing.lines):
        yield Text(x + drawing.side, top + number * height, drawing.size, line)


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
            height = item.height + _OVERLAP
            parts.append(f'<path d="M{item.x:.4f} {item.y:.4f}h{item.width:.4f}v{height:.4f}h-{item.width:.4f}z"/>')
        else:
            parts.append(
                f'<text x="{item.x:.2f}" y="{item.y:.2f}" font-family="monospace" font-size="{item.size}" '
                f'textLength="{item.width:.2f}" lengthAdjust="spacingAndGlyphs">'
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
            if (length := font.getlength(item.text)) > item.width * scale:  # a font whose characters differ in width
                font = ImageFont.load_default(size=item.size * scale * item.width * scale / length)
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
                document.rect(item.x, item.y, item.width, item.height + _OVERLAP, style="F")
            else:
                document.set_font("courier", size=item.size / _POINT_MM)
                document.text(item.x, item.y, item.text)
    return bytes(document.output())
