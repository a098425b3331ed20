"""An office's registry from an older copy: named by every command, and nothing goes out of it but revocations."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from iotonboard.store.registry.registry import Registry

from support.offices import Office, make_office, trust
from support.program import PROJECT, State, make_state

BESIDE = ("", "-wal", "-shm")


def put_back(office: Office, tmp_path: Path, state: State) -> None:
    """The registry of before a second station was trusted."""
    for end in BESIDE:
        if (office.path / f"devices.db{end}").exists():
            shutil.copy(office.path / f"devices.db{end}", tmp_path / f"old.db{end}")
    trust(office, state, "line8")
    for end in BESIDE:
        (office.path / f"devices.db{end}").unlink(missing_ok=True)
        if (tmp_path / f"old.db{end}").exists():
            shutil.copy(tmp_path / f"old.db{end}", office.path / f"devices.db{end}")


def one_station(tmp_path: Path) -> tuple[Office, State]:
    """An office that took the journal of a station."""
    office, state = make_office(tmp_path / "hq"), make_state(tmp_path)
    state.register("press-1")
    trust(office, state, "line7")
    state.run("journal", "--out", tmp_path / "one.journal")
    office.run("station", "take", tmp_path / "one.journal")
    return office, state


def other_station(tmp_path: Path) -> State:
    (tmp_path / "line8").mkdir()
    return make_state(tmp_path / "line8")


def test_an_older_registry_is_named_and_gives_nothing_out(tmp_path: Path) -> None:
    office, _ = one_station(tmp_path)
    shutil.copytree(office.path, tmp_path / "copy")
    put_back(office, tmp_path, other_station(tmp_path))
    assert "only revocations are taken" in office.run("list").stderr
    for words in (("sync-acl",), ("pack", "--out", tmp_path / "x.iotpkg"), ("order", "write", "--out", tmp_path)):
        assert "is not the one from before" in office.run(*words, expect=3).stderr
    assert office.run("audit", "verify", "--json", expect=9).json["problem"]
    whole = Office(tmp_path / "copy", office.passphrase_file)  # a copy of the folder is an office by itself
    assert whole.run("pack", "--out", tmp_path / "whole.iotpkg")
    assert whole.json("audit", "verify")["problem"] == ""


def test_a_revocation_is_taken_while_the_trail_is_not_believed(tmp_path: Path) -> None:
    office, _ = one_station(tmp_path)
    put_back(office, tmp_path, other_station(tmp_path))
    said = Office(office.path, Path("/nowhere")).run("revoke", "press-1", "--json", expect=8)
    assert said.json["status"] == "ordered"
    assert office.json("show", "press-1")["status"] == "revoked"
    assert office.run("audit", "verify", "--json", expect=9).json["problem"]  # and nothing covers that up


def test_the_views_have_the_columns_that_the_guide_promises(office: Office, tmp_path: Path) -> None:
    state = make_state(tmp_path)
    state.register("press-1")
    state.run("revoke", "press-1")
    state.run("broker", "issue", "broker.example")
    trust(office, state, "line7")
    state.run("journal", "--out", tmp_path / "one.journal")
    office.run("station", "take", tmp_path / "one.journal")
    guide = (PROJECT / "iotonboard" / "guide" / "office.md").read_text()
    views = re.findall(r"^\| `(v1_\w+)` \| [^|]+ \| `([^`]+)` \|$", guide, re.MULTILINE)
    assert len(views) == 5
    registry = Registry.open(office.url or f"sqlite:///{office.path}/devices.db", timeout_s=5)
    for view, columns in views:
        everything = registry.row(f"SELECT * FROM {view}")  # noqa: S608
        assert registry.row(f"SELECT {columns.replace(' ', ', ')} FROM {view}") == everything  # noqa: S608
    registry.close()
