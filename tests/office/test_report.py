"""An office's report is one page over its stations, in the form of a station's own."""

from __future__ import annotations

from pathlib import Path

from support.offices import Office, trust
from support.program import make_state


def test_one_page_over_the_fleet(office: Office, tmp_path: Path) -> None:
    state = make_state(tmp_path)
    state.register("press-1", "press-2", "press-3", "press-4")
    state.run("revoke", "press-2")
    state.run("revoke", "press-3", "--reason", "hold")
    state.run("retire", "press-4", "--yes")
    trust(office, state, "line7")
    state.run("journal", "--out", tmp_path / "one.journal")
    office.run("station", "take", tmp_path / "one.journal")
    office.run("order", "sign", "--station", "line7", "--devices", "9", "--until", "2099-01-01")
    facts = office.json("report", "--out", tmp_path / "report.html")
    listed = [one["status"] for one in office.run("list", "--json").json_lines]
    assert {one["label"]: one["number"] for one in facts["statuses"]} == {
        status: listed.count(status) for status in ("active", "expired", "on-hold", "revoked", "retired")
    }
    (line,) = facts["stations"]
    assert (line["name"], line["devices"], line["active"], line["revoked"]) == ("line7", 3, 1, 1)
    assert sum(month["registered"] for month in facts["past"]) == 4
    assert sum(month["expiring"] for month in facts["coming"]) == 1
    page = (tmp_path / "report.html").read_text()
    assert "0 of 9" in page
    assert "<script" not in page
    assert "exists" in office.run("report", "--out", tmp_path / "report.html", expect=4).stderr
    assert office.run("report", "--out", "-").stdout.startswith("<!doctype html>")
