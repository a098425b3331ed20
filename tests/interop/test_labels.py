"""Labels are decoded from what was drawn, by somebody else's reader."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.browser import browse
from support.program import State
from support.tools import need, need_module

zxingcpp, Image = need_module("zxingcpp"), need_module("PIL.Image")


def decode(picture: Path) -> list[str]:
    with Image.open(picture) as image:
        return sorted(found.text for found in zxingcpp.read_barcodes(image.convert("L")))


def rasterise(file: Path) -> list[Path]:
    stem = file.with_suffix("")
    subprocess.run([need("pdftoppm"), "-r", "200", "-png", file, stem], check=True, capture_output=True)
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
