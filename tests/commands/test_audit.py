"""The audit trail: every change is a row, and no row can be changed, moved or cut off unnoticed."""

from __future__ import annotations

import csv
import io
import sqlite3

import pytest

from support.program import State


def edit(state: State, statement: str, *values: object) -> None:
    with sqlite3.connect(state.path / "devices.db") as connection:
        connection.execute(statement, values)
    connection.close()


def test_every_change_is_a_row_with_who_and_what(state: State) -> None:
    (device,) = state.register("press-17")
    state.run("revoke", "press-17", "--reason", "keyCompromise")
    state.run("config", "set", "cert_validity_days", "30")
    rows = state.run("audit", "show", "--all", "--json").json_lines
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["operator"] and row["host"] and row["time"] for row in rows)
    told = {(row["verb"], row["subject"]) for row in rows}
    assert {
        ("init-ca", "ca"),
        ("register", "press-17"),
        ("revoke", "press-17"),
        ("config set", "cert_validity_days"),
    } <= told
    registered = next(row for row in rows if row["verb"] == "register")
    assert registered["serial"] == device["serial"]
    assert registered["detail"]["fingerprint"] == device["fingerprint"]


def test_show_filters(state: State) -> None:
    state.register("a", "b")
    rows = state.run("audit", "show", "--subject", "b", "--json").json_lines
    assert [row["subject"] for row in rows] == ["b"]
    assert state.run("audit", "show", "--command", "register", "--last", "2", "--json").json_lines[0]["subject"] == "b"
    assert state.run("audit", "show", "--until", "2001-01-01", "--json").stdout == ""
    state.run("audit", "show", "--since", "yesterday", expect=2)


def test_csv_cannot_become_a_formula(state: State) -> None:
    state.register("press-17")
    edit(state, "UPDATE audit SET operator = '=cmd()' WHERE seq = 1")
    rows = list(csv.reader(io.StringIO(state.run("audit", "show", "--all", "--csv").stdout)))
    assert rows[1][2] == "'=cmd()"


@pytest.mark.parametrize(
    ("statement", "broken_row"),
    [
        ("UPDATE audit SET detail = '{}' WHERE seq = 3", 3),
        ("UPDATE audit SET time = time + 1 WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq > 2", 3),  # the tail: only the signed head tells
        ("DELETE FROM audit_head", 8),
        ("UPDATE audit_head SET signature = zeroblob(70)", 8),
    ],
)
def test_verify_names_the_first_broken_row(state: State, statement: str, broken_row: int) -> None:
    state.register("a", "b")
    assert state.json("audit", "verify")["broken_row"] is None
    edit(state, statement)
    verdict = state.run("audit", "verify", "--json", expect=9).json
    assert verdict["broken_row"] == broken_row
    assert verdict["problem"]


def test_a_carried_head_finds_a_rewritten_trail(state: State) -> None:
    state.register("a")
    head = state.json("audit", "head")["head"]
    state.run("audit", "verify", "--head", head)
    state.run("audit", "verify", "--head", head.lower().replace("-", ""))
    state.register("b")
    state.run("audit", "verify", "--head", head)
    other = head[:-1] + ("0" if head[-1] != "0" else "1")
    state.run("audit", "verify", "--head", other, expect=9)
    beyond = "99:" + head.partition(":")[2]
    assert "cut off" in state.run("audit", "verify", "--head", beyond, expect=9).stdout
    state.run("audit", "verify", "--head", "3", expect=6)
