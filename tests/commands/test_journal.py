"""What a station tells its office: everything public that happened, in one file that its CA signed."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from support.journals import Journal, read_journal
from support.program import State, make_state
from support.stations import make_works


def write(state: State, out: Path, *options: str, **more: Any) -> dict[str, Any]:
    return state.json("journal", "--out", out, *options, **more)


def read(state: State, path: Path | str) -> Journal:
    return read_journal(Path(path), state.ca_cert)


def test_a_full_journal_tells_everything_that_is_public(state: State, tmp_path: Path) -> None:
    state.register("press-17", "--set", "hall=2")
    state.run("topics", "add", "press-17", "read:plant/hall 2")
    state.register("press-18")
    state.run("broker", "issue", "mq.local", "--plain-key")
    state.run("revoke", "press-18")
    made = write(state, tmp_path / "full.journal")
    journal = read(state, made["path"])
    assert journal.head.is_full
    assert (made["since"], made["until"]) == (0, journal.head.until.row)
    assert state.json("audit", "head")["hash"] == journal.head.until.hash.hex()
    assert len(journal.trail) == journal.head.until.row
    assert [row["device_id"] for row in journal.rows("device")] == ["press-17", "press-18"]
    assert journal.rows("device")[0]["attributes"] == '{"hall": "2"}'
    assert [row["topic"] for row in journal.rows("topic")] == ["plant/hall 2"]
    assert {row["host"] for row in journal.rows("certificate")} == {None, "mq.local"}
    assert [row["reason"] for row in journal.rows("revocation")] == ["unspecified"]
    newest = journal.rows("crl")[-1]
    assert newest["revoked"] == 1
    assert b64encode(newest["der"])[:60] in state.crl.read_bytes().replace(b"\n", b"")
    assert journal.head.acl == {"style": "per-device", "topics": ["readwrite:devices/{device_id}/#"]}
    assert state.run("health", "--deep").exit_code == 0
    assert "whole" in state.run("audit", "verify").stdout


def test_an_increment_tells_what_changed_behind_a_row_and_what_is_gone(state: State, tmp_path: Path) -> None:
    state.register("press-17", "press-18")
    state.run("topics", "add", "press-17", "read:plant/all")
    first = write(state, tmp_path)
    assert Path(first["path"]).name == f"{first['key']}-{first['until']}.journal"
    state.run("topics", "remove", "press-17", "read:plant/all")
    state.register("press-19")
    second = write(state, tmp_path, "--since", str(first["until"]))
    journal = read(state, second["path"])
    assert journal.head.since.row == first["until"]
    assert journal.head.since.hash == read(state, first["path"]).head.until.hash
    assert [row["device_id"] for row in journal.rows("device")] == ["press-19"]
    assert [gone[1:] for gone in journal.gone("topic")] == [("read", "plant/all")]
    assert len(journal.rows("certificate")) == 1
    assert len(journal.trail) == second["until"] - first["until"]
    assert second["size"] < first["size"]


def test_of_lists_only_those_that_were_signed_last_travel(state: State, tmp_path: Path) -> None:
    """Each earlier one is as large, and there is one for each revocation."""
    state.register("press-17")
    since = write(state, tmp_path)["until"]
    for _ in range(3):
        state.run("gen-crl", "--calendar", "2", "--every", "7")
    for options in (("--since", str(since)), ("--full",)):
        journal = read(state, write(state, tmp_path, *options)["path"])
        assert [row["number"] for row in journal.rows("crl")] == [6, 7]


def test_nothing_secret_stands_in_a_journal(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    (created,) = state.register("press-17")
    state.run("broker", "issue", "mq.local")
    state.run("renew", "press-17")
    journal = read(state, write(state, tmp_path / "full.journal")["path"])
    told = b"\n".join(journal.parts.values()) + (tmp_path / "full.journal").read_bytes()
    with sqlite3.connect(state.path / "devices.db") as database:
        vault = database.execute("SELECT value FROM meta WHERE key = 'vault'").fetchone()[0]
        keys = database.execute("SELECT key_der, salt FROM certificate").fetchall()
    secret = [vault, *(one for row in keys for one in row if one)]
    secret += [path.read_bytes() for path in state.path.rglob("*") if path.suffix in {".zip", ".key", ".pass"}]
    secret += [created["bundle_password"].encode(), state.passphrase_file.read_bytes().strip()]
    assert len(secret) > 10
    for one in secret:
        # Base64 of any piece that is long enough has two thirds of it at one of three offsets.
        for piece in (one[place : place + 24] for place in range(0, max(len(one) - 24, 1), 12)):
            assert piece not in told
            assert piece.hex().encode() not in told.lower()
            assert not any(b64encode(piece[skip:])[:12] in told for skip in range(3))


def test_a_journal_is_written_only_of_a_trail_that_is_whole(state: State, tmp_path: Path) -> None:
    state.register("press-17")
    with sqlite3.connect(state.path / "devices.db") as database:
        database.execute("UPDATE audit SET operator = 'nobody' WHERE seq = 4")
    refused = state.run("journal", "--out", tmp_path / "a.journal", expect=3)
    assert "row 4 of the trail" in refused.stderr
    assert not list(tmp_path.glob("*.journal"))
    assert write(state, tmp_path / "a.journal", "--since", "4")["since"] == 4


def test_what_somebody_else_wrote_into_the_database_is_not_told(state: State, tmp_path: Path) -> None:
    """Neither what was changed, nor that something is gone."""
    state.register("press-17", "press-18", "press-19")
    state.run("topics", "add", "press-17", "read:plant/all")
    first = write(state, tmp_path / "first.journal")
    state.run("topics", "add", "press-18", "read:plant/all")
    state.run("revoke", "press-19")
    since = str(first["until"])
    assert (first["left_out"], write(state, tmp_path / "b.journal", "--since", since)["left_out"]) == ({}, {})
    with sqlite3.connect(state.path / "devices.db") as database:
        database.execute("UPDATE topic SET topic = 'plant/secret' WHERE device = 2")
        database.execute("UPDATE device SET device_id = 'press-99' WHERE device_id = 'press-17'")
        database.execute("DELETE FROM revocation")
        database.execute("INSERT INTO topic VALUES (1, 'write', 'plant/planted')")
    later = state.run("journal", "--out", tmp_path / "c.journal", "--since", since, "--json")
    # The topic of before is gone, and the one in its place is none that the trail knows.
    assert later.json["left_out"] == {"topic": 1, "revocation": 1}
    assert "not as the audit trail says" in later.stderr
    journal = read(state, tmp_path / "c.journal")
    assert (journal.rows("topic"), journal.rows("revocation")) == ([], [])
    assert (journal.gone("topic"), journal.gone("revocation")) == ([], [])
    full = write(state, tmp_path / "d.journal", "--full")
    assert full["left_out"] == {"device": 1, "topic": 3, "revocation": 1}
    told = read(state, tmp_path / "d.journal")
    assert [row["device_id"] for row in told.rows("device")] == ["press-18", "press-19"]
    assert [row["topic"] for row in told.rows("topic")] == ["plant/all"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--since", "999"), 5, "no row 999"),
        (("--since", "3", "--full"), 2, "exclude each other"),
        (("--since", "-1"), 2, "-1"),
        (("--since", "9223372036854775808"), 5, "no row"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    state: State, tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    assert said in state.run("journal", "--out", tmp_path / "a.journal", *options, expect=code).stderr
    assert not list(tmp_path.glob("*.journal"))


def test_a_file_is_not_written_over_unasked(state: State, tmp_path: Path) -> None:
    out = tmp_path / "a.journal"
    out.write_text("mine")
    before = state.json("audit", "head")["seq"]
    state.run("journal", "--out", out, expect=4)
    assert out.read_text() == "mine"
    assert state.json("audit", "head")["seq"] == before
    assert write(state, out, "--force")["size"] == out.stat().st_size
    link, pipe = tmp_path / "link", tmp_path / "nowhere" / "a.journal"
    link.symlink_to(tmp_path / "else")
    state.run("journal", "--out", link, expect=4)
    state.run("journal", "--out", pipe, expect=8)
    assert state.json("audit", "head")["seq"] == read(state, out).head.until.row


def test_a_root_has_no_journal(tmp_path: Path) -> None:
    works = make_works(tmp_path)
    assert "this is a root" in works.root.run("journal", "--out", tmp_path / "a.journal", expect=6).stderr
