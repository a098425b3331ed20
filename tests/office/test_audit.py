"""An office's own trail is shown, proved and carried away as a station's is."""

from __future__ import annotations

from pathlib import Path

from iotonboard.store.registry.registry import Registry

from support.offices import Office, trust
from support.program import State, make_state


def edit(office: Office, statement: str) -> None:
    """As who administers the registry's database."""
    registry = Registry.open(office.url or f"sqlite:///{office.path}/devices.db", timeout_s=5)
    registry.execute(statement)
    registry.close()


def test_who_decided_what_is_shown_and_proved(office: Office, tmp_path: Path) -> None:
    head = office.json("audit", "head")
    station: State = make_state(tmp_path)
    trust(office, station, "line7")
    made, trusted = office.run("audit", "show", "--json").json_lines
    assert (made["verb"], trusted["verb"], trusted["subject"]) == ("init-office", "station trust", "line7")
    assert office.run("audit", "show", "--subject", "line7").stdout.count("\n") == 1
    assert office.run("audit", "show", "--unsealed").stdout == ""
    assert office.json("audit", "verify", "--head", head["head"])["added"] == {"station trust": 1}
    assert "is not a head" in office.run("audit", "verify", "--head", "x", expect=6).stderr


def test_a_row_that_somebody_changed_is_named(office: Office, tmp_path: Path) -> None:
    trust(office, make_state(tmp_path), "line7")
    head = office.json("audit", "head")["head"]
    edit(office, "UPDATE trail SET subject = 'line8' WHERE seq = 2")
    found = office.run("audit", "verify", "--json", expect=9).json
    assert (found["broken_row"], found["problem"]) == (2, "row 2 of the office's trail is gone or was changed")
    edit(office, "DELETE FROM trail WHERE seq = 2")
    assert office.run("audit", "verify", "--head", head, "--json", expect=9).json["problem"] != ""
