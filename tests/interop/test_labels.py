"""Labels are decoded from what was drawn, by somebody else's reader."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from iotonboard.errors import UsageError
from iotonboard.model import DeviceId, SerialNumber

from support.browser import browse
from support.program import State
from support.tools import need, need_module

zxingcpp, Image = need_module("zxingcpp"), need_module("PIL.Image")
drawing = need_module("iotonboard.delivery.labels")
Box, Label, Sheet, lay_out, render = drawing.Box, drawing.Label, drawing.Sheet, drawing.lay_out, drawing.render


def decode(picture: Path) -> list[str]:
    with Image.open(picture) as image:
        # Of QR codes alone: printed words look like a bar code now and then, which no scanner of these labels seeks.
        codes = zxingcpp.read_barcodes(image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
        return sorted(found.text for found in codes)


def rasterise(file: Path, dots_per_inch: int = 200) -> list[Path]:
    stem = file.with_suffix("")
    resolution = str(dots_per_inch)
    subprocess.run([need("pdftoppm"), "-r", resolution, "-png", file, stem], check=True, capture_output=True)
    return sorted(file.parent.glob(f"{stem.name}-*.png"))


@pytest.fixture
def fleet(state: State) -> tuple[State, list[str]]:
    ids = ["press-17", "a" * 64, "x.y_z-1", *(f"oven-{number}" for number in range(5))]
    answers = state.register(*ids)
    return state, sorted(f"{one['device_id']} {one['serial']} {one['fingerprint']}" for one in answers)


def test_png(fleet: tuple[State, list[str]], tmp_path: Path) -> None:
    state, payloads = fleet
    ids = [payload.split()[0] for payload in payloads]
    result = state.json("labels", *ids, "--out", tmp_path / "sheet.png")
    assert (result["labels"], result["pages"]) == (8, 1)
    assert decode(tmp_path / "sheet.png") == payloads


def test_pdf_of_several_pages(fleet: tuple[State, list[str]], tmp_path: Path) -> None:
    state, payloads = fleet
    batch = "device_id\n" + "".join(payload.split()[0] + "\n" for payload in payloads)
    result = state.json(
        "labels", "--batch", "-", "--out", tmp_path / "sheet.pdf", "--columns", "2", "--rows", "3", input=batch
    )
    assert result["pages"] == 2
    pages = rasterise(tmp_path / "sheet.pdf")
    assert len(pages) == 2
    assert sorted(text for page in pages for text in decode(page)) == payloads
    text = subprocess.run([need("pdftotext"), tmp_path / "sheet.pdf", "-"], capture_output=True, text=True, check=True)
    assert all(payload.split()[2][:16] in text.stdout for payload in payloads)


def test_svg_in_a_browser(fleet: tuple[State, list[str]], tmp_path: Path) -> None:
    state, payloads = fleet
    ids = [payload.split()[0] for payload in payloads]
    state.run("labels", *ids, "--out", tmp_path / "sheet.svg", "--rows", "4")
    browse(
        tmp_path,
        tmp_path / "sheet.svg",
        "--window-size=1600,2300",
        "--force-device-scale-factor=2",
        f"--screenshot={tmp_path / 'shot.png'}",
    )
    assert decode(tmp_path / "shot.png") == payloads


def made_up(number: int, id_length: int) -> list[Label]:
    """Labels of devices that nobody registered, with ids of wide letters."""
    return [
        Label(
            DeviceId(f"{index:04}".ljust(id_length, "W")),
            SerialNumber((0x40 << 152) + index * 0x10001),
            hashlib.sha256(b"%d" % index).hexdigest(),
        )
        for index in range(number)
    ]


def densest(id_length: int) -> Sheet:
    """What the refusal of far too many labels says would fit."""
    with pytest.raises(UsageError) as refused:
        list(lay_out(made_up(1, id_length), Sheet(columns=20, rows=40)))
    assert "does not fit into" in refused.value.message
    found = re.match(r"'--columns (\d+) --rows (\d+)' fits", refused.value.hint)
    assert found
    return Sheet(columns=int(found[1]), rows=int(found[2]))


@pytest.mark.parametrize("id_length", [8, 64])
def test_every_code_of_the_densest_sheet_is_read_and_no_text_leaves_its_label(tmp_path: Path, id_length: int) -> None:
    sheet = densest(id_length)
    wanted = made_up(sheet.columns * sheet.rows, id_length)
    assert len(wanted) > (24 if id_length == 64 else 60)
    pages = list(lay_out(wanted, sheet))
    assert len(pages) == 1
    for item in pages[0]:
        x = (item.x - sheet.margin_x) % (sheet.label_width + sheet.gap)
        y = (item.y - sheet.margin_y) % (sheet.label_height + sheet.gap)
        assert x + item.width <= sheet.label_width + 0.01
        assert y + (item.height if isinstance(item, Box) else 0.3 * item.size) <= sheet.label_height + 0.01
    for kind in ("png", "pdf") if id_length == 8 else ("png",):
        file = tmp_path / f"sheet.{kind}"
        file.write_bytes(render(pages, sheet, kind, datetime(2030, 1, 1, tzinfo=UTC))[0])
        (picture,) = rasterise(file, 300) if kind == "pdf" else [file]
        assert decode(picture) == sorted(label.payload for label in wanted)


def test_the_text_of_each_drawing_is_as_narrow_as_its_label(tmp_path: Path) -> None:
    """Ids of the widest letters, drawn: what stands right of a code ends before the next label."""
    sheet = densest(64)
    pages = list(lay_out(made_up(sheet.columns, 64), sheet))
    (png,) = render(pages, sheet, "png", datetime(2030, 1, 1, tzinfo=UTC))
    with Image.open(io.BytesIO(png)) as image:
        for column in range(1, sheet.columns):
            right = sheet.margin_x + column * (sheet.label_width + sheet.gap)
            gap = image.crop([round(each * 12) for each in (right - sheet.gap, 0, right, sheet.page_height)])
            assert gap.getextrema() == (255, 255)


def test_labels_that_do_not_fit_say_what_fits(fleet: tuple[State, list[str]], tmp_path: Path) -> None:
    state, _ = fleet
    out = ("--out", tmp_path / "x.png")
    refused = state.run("labels", "press-17", "a" * 64, "--columns", "9", "--rows", "30", *out, expect=2).stderr
    assert "the label of 'press-17' does not fit into 20.2 x 7.6 mm" in refused
    found = re.search(r"hint: '(--columns \d+ --rows \d+)' fits", refused)
    assert found
    assert state.json("labels", "press-17", "a" * 64, *found[1].split(), *out)["labels"] == 2
    hint = state.run("labels", "press-17", "--page", "20x20", *out, "--force", expect=2).stderr
    assert "a larger --page" in hint


def test_bad_input_writes_nothing(fleet: tuple[State, list[str]], tmp_path: Path) -> None:
    state, _ = fleet
    state.run("labels", "press-17", "nobody", "--out", tmp_path / "x.png", expect=5)
    state.run("labels", "press-17", "--out", tmp_path / "x.gif", expect=2)
    state.run("labels", "press-17", "--columns", "12", "--out", tmp_path / "x.png", expect=2)
    state.run("labels", "press-17", "--page", "big", "--out", tmp_path / "x.png", expect=2)
    state.run("labels", "--out", tmp_path / "x.png", expect=2)
    assert list(tmp_path.glob("x.*")) == []
    (tmp_path / "x.png").write_bytes(b"mine")
    state.run("labels", "press-17", "--out", tmp_path / "x.png", expect=4)
    assert (tmp_path / "x.png").read_bytes() == b"mine"
