"""The report as a person sees it: drawn by a real browser, read back from what was drawn."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import secrets
import sqlite3
import subprocess
from pathlib import Path

import pytest

from support.browser import browse, measure
from support.program import State
from support.tools import need

DAY = 86400


def printed_text(tmp_path: Path, page: Path) -> tuple[str, str]:
    """What is on the paper, and the size of the paper."""
    pdf = tmp_path / "report.pdf"
    browse(tmp_path, page, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    text = subprocess.run([need("pdftotext"), "-layout", pdf, "-"], check=True, capture_output=True, text=True).stdout
    info = subprocess.run([need("pdfinfo"), pdf], check=True, capture_output=True, text=True).stdout
    return text, next(line for line in info.splitlines() if line.startswith("Page size"))


def colours(tmp_path: Path, page: Path, scheme: int) -> dict[tuple[int, int, int], int]:
    """How often each colour stands on the screen; scheme 0 is dark, 1 is light."""
    shot, raw = tmp_path / "shot.png", tmp_path / "shot"
    browse(
        tmp_path,
        page,
        f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=1120,900",
        f"--screenshot={shot}",
    )
    picture = f"<html><body style='margin:0'><img src='{shot.as_uri()}'></body></html>"
    (tmp_path / "shot.html").write_text(picture)
    style = "<style>@page{size:1120px 900px;margin:0}</style>"
    (tmp_path / "shot.html").write_text(style + picture)
    pdf = tmp_path / "shot.pdf"
    browse(
        tmp_path,
        tmp_path / "shot.html",
        "--no-pdf-header-footer",
        "--allow-file-access-from-files",
        f"--print-to-pdf={pdf}",
    )
    subprocess.run([need("pdftoppm"), "-r", "96", "-singlefile", pdf, raw], check=True, capture_output=True)
    octets = raw.with_suffix(".ppm").read_bytes()
    match = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", octets)
    assert match
    pixels = octets[match.end() :]
    counts: dict[tuple[int, int, int], int] = {}
    for start in range(0, len(pixels), 3 * 7):
        colour = (pixels[start], pixels[start + 1], pixels[start + 2])
        counts[colour] = counts.get(colour, 0) + 1
    return counts


def near(counts: dict[tuple[int, int, int], int], wanted: tuple[int, int, int]) -> int:
    return sum(n for colour, n in counts.items() if all(abs(a - b) < 12 for a, b in zip(colour, wanted, strict=True)))


def assert_fits(tmp_path: Path, page: Path) -> None:
    """Nothing beside the window or the paper, and no text that is too small."""
    for width, least in ((500, 13), (1100, 13)):
        measured = measure(tmp_path, page, width)
        assert measured["width"] == width
        assert measured["needed"] <= width, measured
        assert measured["wide"] == []
        assert measured["smallest"] >= least
    pdf = tmp_path / "report.pdf"
    browse(tmp_path, page, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    words = subprocess.run([need("pdftotext"), "-bbox", pdf, "-"], check=True, capture_output=True, text=True).stdout
    boxes = [
        tuple(map(float, found)) for found in re.findall(r'xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)"', words)
    ]
    margin, width, height = 14 / 25.4 * 72, 595.3, 841.9
    assert len(boxes) > 50
    assert min(box[0] for box in boxes) >= margin - 1
    assert max(box[2] for box in boxes) <= width - margin + 1
    assert max(box[3] for box in boxes) <= height - margin + 1
    assert min(box[3] - box[1] for box in boxes) > 7.5  # points: nothing was made smaller to fit


def grow(state: State, number: int) -> None:
    """Add devices straight to the database: the report counts rows, whoever wrote them."""
    chance = random.Random(4)  # noqa: S311 - the same fleet every time
    connection = sqlite3.connect(state.path / "devices.db")
    now = connection.execute("SELECT value FROM meta WHERE key = 'last_event'").fetchone()[0]
    der = connection.execute("SELECT der FROM issuer").fetchone()[0]
    with connection:
        for index in range(number):
            made = now - chance.randint(0, 300 * DAY)
            attributes = json.dumps({"line": chance.choice("ABC"), "<b>model</b>": "press & \u001b[31m"})
            row = (f"dev-{index:06}", "", attributes, made)
            device = connection.execute(
                "INSERT INTO device (device_id, name, attributes, created_at) VALUES (?, ?, ?, ?)", row
            ).lastrowid
            values = (b"\x40" + secrets.token_bytes(19), device, made, made + 365 * DAY, der, os.urandom(32), made)
            connection.execute(
                "INSERT INTO certificate (serial, issuer, device, not_before, not_after, der, spki_sha256, created_at)"
                " VALUES (?, 1, ?, ?, ?, ?, ?, ?)",
                values,
            )
    connection.close()


def write_report(state: State, tmp_path: Path) -> Path:
    page = tmp_path / "report.html"
    state.run("report", "--out", page)
    return page


def test_an_empty_fleet_is_drawn(state: State, tmp_path: Path) -> None:
    text, paper = printed_text(tmp_path, write_report(state, tmp_path))
    assert "A4" in paper
    assert "No device has an attribute" in text
    assert text.count("none in these months") == 2
    assert re.search(r"checks are well", text)
    assert "CRL 1" in text


def test_what_is_drawn_is_what_the_state_holds(state: State, tmp_path: Path) -> None:
    state.register(*(f"press-{index}" for index in range(8)), "oven-1", "oven-2", "oven-3")
    state.run("revoke", "oven-1", "oven-2")
    state.run("retire", "oven-3")
    state.run("revoke", "press-7", "--reason", "certificateHold")
    page = write_report(state, tmp_path)
    text, _ = printed_text(tmp_path, page)
    values = state.json("report")
    assert [(count["label"], count["number"]) for count in values["statuses"]] == [
        ("active", 7),
        ("expired", 0),
        ("on-hold", 1),
        ("revoked", 2),
        ("retired", 1),
    ]
    assert re.search(r"active\s+7\b", text)
    assert re.search(r"on-hold\s+1\b", text)
    assert re.search(r"revoked\s+2\b", text)
    assert values["audit_head"] == state.json("audit", "head")["head"]
    assert values["audit_head"] in text
    light, dark = colours(tmp_path, page, 1), colours(tmp_path, page, 0)
    assert near(light, (0x2B, 0x7A, 0x4B)) > 100  # the bar of active devices
    assert near(light, (0xFF, 0xFF, 0xFF)) > near(light, (0x14, 0x17, 0x1B))
    assert near(dark, (0x6C, 0xC4, 0x8F)) > 100
    assert near(dark, (0x14, 0x17, 0x1B)) > near(dark, (0xFF, 0xFF, 0xFF))


def test_renewals_are_neither_registered_nor_revoked_nor_about_to_expire(state: State) -> None:
    state.register("press-1", "press-2", "press-3")
    state.run("renew", "press-1", "--validity-days", "100")
    state.run("renew", "press-2", "--validity-days", "100", "--revoke-old", "now")
    state.run("revoke", "press-3")
    values = state.json("report")
    assert [(month["registered"], month["revoked"]) for month in values["past"]][-1] == (3, 1)
    assert sorted(month["expiring"] for month in values["coming"])[-2:] == [0, 2]
    assert values["ca_name"] == "IoT Onboarding CA"


def test_the_list_in_force_is_told_from_replaced_ones_and_those_to_come(state: State, tmp_path: Path) -> None:
    state.run("gen-crl", "--calendar", "20", "--every", "7")
    text, _ = printed_text(tmp_path, write_report(state, tmp_path))
    values = state.json("report")
    shown = values["crls"]
    assert [one["standing"] for one in shown] == ["replaced", "in force", *["to come"] * 12]
    assert [one["number"] for one in shown] == list(range(1, 15))
    for number, standing in ((1, "replaced"), (2, "in force"), (14, "to come")):
        assert re.search(rf"CRL {number} .*, {standing}$", text, re.MULTILINE), text
    assert values["crls_to_come"] == 7
    assert "7 more to come." in text


@pytest.mark.parametrize("number", [10, 2000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_large_fleet_with_hostile_attributes_is_drawn(state: State, tmp_path: Path, number: int) -> None:
    grow(state, number)
    page = write_report(state, tmp_path)
    html = page.read_text()
    assert "<b>model</b>" not in html
    assert "&lt;b&gt;model&lt;/b&gt;" in html
    assert not re.search(r"""(src|href)=|url\(|<script|https?:""", html)
    assert page.stat().st_mode & 0o777 == 0o600
    text, _ = printed_text(tmp_path, page)
    assert f"{number:,}" in text
    assert "<b>model</b>" in text  # as text, not as markup
    assert_fits(tmp_path, page)


def test_what_is_not_shown_is_told(state: State, tmp_path: Path) -> None:
    """Values with the largest numbers are shown, and of the others how many there are; no value is cut or Python's."""
    long_name = "press hall north on the second floor behind the paint shop (building 7)"
    rows = [
        f"d{index}-{copy},{long_name if not index else f'L{index}'}\n"
        for index in range(12)
        for copy in range(13 - index)
    ]
    state.run(
        "register",
        "--batch",
        "-",
        "--set",
        "a=1",
        "--set",
        "b=1",
        "--set",
        "c=1",
        input="device_id,line\n" + "".join(rows),
    )
    state.run("register", "plain")
    state.run("register", "own", "--set", "zone=7")
    state.run("topics", "add", "plain", "read:up/x", "write:down/{}/y".replace("{}", "plain"))
    state.run("retire", "own")
    page = write_report(state, tmp_path)
    html, values = page.read_text(), state.json("report")
    assert "12 lines, the largest 8 shown, 4 more with 14 devices; 2 devices without" in html
    assert "1 more, which fewer devices have: zone" in html
    assert long_name in html
    assert [(one["name"], one["values"], one["without"]) for one in values["attributes"]][-1] == ("line", 12, 2)
    rows_shown = values["audit_rows"]
    assert f"{rows_shown} rows, the newest 20 shown, {rows_shown - 20} more: iotonboard audit show" in html
    assert "retired: yes" in html
    assert "topics: add read:up/x, write:down/plain/y" in html
    assert not re.search(
        r"[\[\]]|\bTrue\b|\bFalse\b|\bNone\b|…", re.sub("<style>.*?</style>", "", html, flags=re.DOTALL)
    )
    assert_fits(tmp_path, page)


def test_a_value_that_each_device_has_its_own_of_is_counted(state: State, tmp_path: Path) -> None:
    rows = "".join(f"d{index},SN{index}\n" for index in range(9))
    state.run("register", "--batch", "-", input="device_id,serial_no\n" + rows)
    assert "9 values of serial_no, each of one device" in write_report(state, tmp_path).read_text()


def test_what_lies_before_and_behind_the_months_is_counted(state: State) -> None:
    state.register("far", "near")
    state.run("renew", "far", "--validity-days", "1500")
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as connection, connection:
        connection.execute("UPDATE device SET created_at = created_at - 86400 * 800 WHERE device_id = 'near'")
    values = state.json("report")
    assert (values["past"][0]["label"], values["past"][0]["registered"]) == ("earlier", 1)
    assert (values["coming"][-1]["label"], values["coming"][-1]["expiring"]) == ("later", 1)
    assert sum(month["registered"] for month in values["past"]) == 2


def test_an_existing_page_is_not_replaced_unasked(state: State, tmp_path: Path) -> None:
    page = write_report(state, tmp_path)
    state.run("report", "--out", page, expect=4)
    state.run("report", "--out", page, "--force")
    state.run("report", expect=2)
    assert state.run("report", "--out", "-").stdout.startswith("<!doctype html>")
