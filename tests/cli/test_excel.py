"""CSV as Excel takes it with a double click, read back as Excel reads it."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from pathlib import Path

import pytest

from support.program import PROGRAM, State, program_environment


def as_excel_reads(state: State, *words: str) -> list[list[str]]:
    """The cells of what is printed: a formula that is nothing but a text is that text."""
    done = subprocess.run([*PROGRAM, *words], env=program_environment(state=state), capture_output=True, check=False)
    return as_excel_opens(done.stdout)


def as_excel_opens(octets: bytes) -> list[list[str]]:
    assert octets.startswith(b"\xef\xbb\xbf")
    assert octets.count(b"\n") == octets.count(b"\r\n") > 0
    rows = list(csv.reader(io.StringIO(octets[3:].decode("utf-8"), newline=""), delimiter=";"))
    for cell in (cell for row in rows for cell in row):
        assert not re.match(r"[0-9+@-]", cell)  # a number, a date or a formula
        assert not cell.startswith("=") or re.fullmatch(r'="[^"]*"', cell)
    return [[re.sub(r'^="(.*)"$', r"\1", cell) for cell in row] for row in rows]


def test_ids_serials_and_times_stay_texts(state: State) -> None:
    state.run(
        "register", "0012", "1E5", "press-1", "--set", "place=Süd; 2", "--set", "sum==1+1", "--validity-days", "5"
    )
    columns, *rows = as_excel_reads(state, "list", "--csv", "--excel")
    assert columns[:3] == ["device_id", "status", "not_after"]
    assert [row[0] for row in rows] == ["0012", "1E5", "press-1"]
    assert "place=Süd; 2" in rows[0][4]
    assert as_excel_reads(state, "list", "--excel") == [columns, *rows]
    due = as_excel_reads(state, "expiring", "--excel")
    serials = {one["certificates"][0]["serial"] for one in map(state.json, ["show"] * 2, ["0012", "1E5"])}
    assert serials <= {row[3] for row in due}
    assert as_excel_reads(state, "audit", "show", "--all", "--excel")[1][0] == "1"


@pytest.mark.parametrize("words", ["list", "expiring", "audit show"])
def test_it_excludes_json(state: State, words: str) -> None:
    assert "--excel and --json exclude each other" in state.run(*words.split(), "--excel", "--json", expect=2).stderr


def test_results_and_passwords_are_read_by_excel_and_by_the_program_again(state: State, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("0012\n1-2\n=bad\npress-1\n")
    results, passwords = tmp_path / "r.csv", tmp_path / "p.csv"
    words = ("--batch", tmp_path / "list.txt", "--results", results, "--passwords", passwords)
    state.run("register", *words, "--excel", expect=6)
    columns, *rows = as_excel_opens(results.read_bytes())
    assert columns[:3] == ["line", "device_id", "serial"]
    assert [row[1:2] + row[5:6] for row in rows] == [
        ["0012", "created"], ["1-2", "created"], ["'=bad", "failed"], ["press-1", "created"],
    ]  # fmt: skip
    assert [row[0] for row in as_excel_opens(passwords.read_bytes())] == ["device_id", "0012", "1-2", "press-1"]
    before = sorted(results.read_bytes().splitlines()), passwords.read_bytes()
    for more in ("--excel",), ():  # a file that is there keeps its form
        state.run("register", *words, "--if-exists", "skip", *more, expect=6)
        assert (sorted(results.read_bytes().splitlines()), passwords.read_bytes()) == before
    state.run("confirm", "--batch", results, expect=6)
    assert {one["status"] for one in map(state.json, ["show"] * 3, ["0012", "1-2", "press-1"])} == {"active"}
    assert state.run("revoke", "--batch", results, expect=6).stdout.count("revoked") == 3
    state.run("renew", "--batch", results, "--results", tmp_path / "again.csv", "--excel", expect=6)
    assert as_excel_opens((tmp_path / "again.csv").read_bytes())[0] == columns


@pytest.mark.parametrize("words", ["register x", "renew x", "register x --results r.jsonl"])
def test_it_goes_with_a_csv_that_is_written(state: State, words: str) -> None:
    assert "--excel is for" in state.run(*words.split(), "--excel", expect=2).stderr
