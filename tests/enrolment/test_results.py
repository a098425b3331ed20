"""What a batch leaves for the line: results that other verbs read, and a manifest that openssl verifies alone."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from iotonboard.delivery.formats.table import FORMATS
from iotonboard.enrolment.results import ResultsFile
from iotonboard.errors import BusyError

from support.program import State, make_state
from support.tools import need


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def openssl_verifies(state: State, manifest: Path, tmp_path: Path, *, is_ed25519: bool) -> bool:
    """The commands of the guide (formats)."""
    public = tmp_path / "ca.pub"
    words = [need("openssl"), "x509", "-in", state.ca_cert, "-noout", "-pubkey", "-out", public]
    subprocess.run(words, check=True, capture_output=True)
    signature = f"{manifest}.sig"
    if is_ed25519:
        words = [
            "openssl",
            "pkeyutl",
            "-verify",
            "-rawin",
            "-pubin",
            "-inkey",
            public,
            "-sigfile",
            signature,
            "-in",
            manifest,
        ]
    else:
        words = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", signature, manifest]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_batch_leaves_results_below_the_state(state: State) -> None:
    text = "device_id,line\npress-1,A\nbad id,A\npress-2,A\n"
    done = state.run("register", "--batch", "-", input=text, expect=6)
    (path,) = (state.path / "results").glob("*.csv")
    assert str(path) in done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    rows = rows_of(path)
    assert [(row["line"], row["device_id"], row["status"]) for row in rows] == [
        ("2", "press-1", "created"),
        ("3", "bad id", "failed"),
        ("4", "press-2", "created"),
    ]
    assert rows[0]["serial"] == state.json("show", "press-1")["serial"]
    assert "not a device id" in rows[1]["error"]
    assert rows[0]["bundle"].endswith("press-1/creds.zip")


def test_results_are_what_confirm_and_revoke_take(state: State, tmp_path: Path) -> None:
    results = tmp_path / "night.jsonl"
    state.run("register", "a", "b", "--results", results)
    assert [json.loads(line)["device_id"] for line in results.read_text().splitlines()] == ["a", "b"]
    state.run("confirm", "--batch", results)
    state.run("revoke", "--batch", results)
    assert state.json("show", "a")["status"] == "revoked"
    assert state.json("gen-crl")["revoked"] == 2


def test_existing_results_are_refused_before_anything_is_done(state: State, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("mine")
    before = state.snapshot()
    state.run("register", "a", "--results", tmp_path / "r.csv", expect=4)
    assert state.snapshot() == before
    assert (tmp_path / "r.csv").read_text() == "mine"


def test_results_that_cannot_be_written_are_refused_before_anything_is_done(state: State, tmp_path: Path) -> None:
    before = state.snapshot()
    said = state.run("register", "a", "--results", tmp_path / "no" / "r.csv", expect=8)
    assert "no such folder" in said.stderr
    assert state.snapshot() == before
    (tmp_path / "r.csv").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda path, _: path != str(tmp_path / "r.csv"))
        with pytest.raises(BusyError, match="Permission denied"):
            ResultsFile(str(tmp_path / "r.csv"))


def test_a_single_device_leaves_no_results_unasked(state: State) -> None:
    state.register("a")
    assert not (state.path / "results").exists()


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-2048", "ed25519"])
def test_the_manifest_is_verified_by_openssl_alone(tmp_path: Path, key_type: str) -> None:
    state = make_state(tmp_path, "--key-type", key_type)
    state.run("register", "a", "b", "--no-bundle", "--results", tmp_path / "r.csv")
    manifest = tmp_path / "r.csv.manifest"
    lines = manifest.read_text().splitlines()
    assert lines[0] == "iotonboard manifest v1"
    shown = state.json("show", "b")
    assert lines[2].split("\t")[:3] == ["b", shown["serial"], shown["certificates"][0]["fingerprint"]]
    assert openssl_verifies(state, manifest, tmp_path, is_ed25519=key_type == "ed25519")
    manifest.write_text(manifest.read_text().replace("b\t", "c\t"))
    assert not openssl_verifies(state, manifest, tmp_path, is_ed25519=key_type == "ed25519")


def test_a_format_is_written_as_each_device_is_registered(state: State, tmp_path: Path) -> None:
    out = tmp_path / "credentials"
    words = ["register", "a", "b", "--format", "pem-chain", "--out", out, "--json"]
    answers = state.run(*words).json_lines
    assert [Path(answer["path"]).name for answer in answers] == ["a.pem", "b.pem"]
    for answer in answers:
        path = Path(answer["path"])
        assert path.stat().st_mode & 0o777 == 0o600
        text = subprocess.run(
            [need("openssl"), "x509", "-noout", "-serial", "-in", path], capture_output=True, text=True, check=True
        )
        assert answer["serial"] in text.stdout
    exported = [row for row in state.run("audit", "show", "--all", "--json").json_lines if row["detail"].get("format")]
    assert [row["subject"] for row in exported] == ["a", "b"]


def test_a_format_needs_a_place_and_must_exist(state: State, tmp_path: Path) -> None:
    before = state.snapshot()
    state.run("register", "a", "--format", "p12", expect=2)
    state.run("register", "a", "--format", "nonsense", "--out", tmp_path / "x", expect=2)
    assert state.snapshot() == before
    assert not (tmp_path / "x").exists()


def test_results_go_to_a_name_without_a_folder(state: State, tmp_path: Path) -> None:
    state.run("register", "a", "--results", "r.csv", cwd=tmp_path)
    assert (tmp_path / "r.csv.manifest.sig").exists()


RERUN = ("register", "--batch", "-", "--if-exists", "skip")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_rerun_completes_what_a_killed_call_left(state: State, tmp_path: Path, ending: str) -> None:
    """A call that is killed has recorded devices that it did not answer: the last ones, and half a line of one."""
    table = "device_id\na\nb\nc\nbad id\n"
    results, passwords, out = tmp_path / f"r.{ending}", tmp_path / "p.csv", tmp_path / "out"
    words = (*RERUN, "--results", results, "--passwords", passwords, "--format", "pem-chain", "--out", out)
    state.run(*words, input=table, expect=6)
    whole = {path: path.read_text() for path in (results, passwords, Path(f"{results}.manifest"))}
    for path, text in whole.items():
        lines = text.splitlines(keepends=True)
        is_b = re.compile(r'^b[,\t]|,b,|"b"')
        at = next(number for number, line in enumerate(lines) if is_b.search(line))
        path.write_text("".join(lines[:at]) + lines[at][:9])
    Path(f"{results}.manifest.sig").unlink()
    (out / "c.pem").unlink()
    state.run(*words, input=table.replace("bad id", "d"))
    for path in (results, passwords):
        text = path.read_text()
        for name in "abcd":
            serial = state.json("show", name)["serial"]
            assert text.count(serial) == 1, path
    assert "bad id" not in results.read_text()
    for name in "abc":
        password = state.json("bundle", "password", name)["bundle_password"]
        assert password in whole[passwords]
        assert password in passwords.read_text()
    assert sorted(path.name for path in out.iterdir()) == ["a.pem", "b.pem", "c.pem", "d.pem"]
    manifest = Path(f"{results}.manifest")
    assert len(manifest.read_text().splitlines()) == 5
    assert openssl_verifies(state, manifest, tmp_path, is_ed25519=False)
    state.run(*words, input=table.replace("bad id", "d"))
    assert all(results.read_text().count(f'"{name}"' if ending == "jsonl" else f",{name},") == 1 for name in "abcd")


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if not form.single_file])
def test_a_rerun_completes_a_folder_that_was_half_written(state: State, tmp_path: Path, name: str) -> None:
    """Files that a killed call did not come to write, or of which it wrote the beginning; nobody else's is touched."""
    out = tmp_path / "out"
    words = (*RERUN, "--format", name, "--out", out)
    state.run(*words, input="a\nb\nc\n")
    whole = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    modes = {path: path.stat().st_mode for path in whole}
    first, *_, last = sorted(path for path in whole if out / "a" in path.parents)
    first.unlink()
    last.write_bytes(whole[last][:20])
    shutil.rmtree(out / "b")
    foreign, missing, *_ = sorted(path for path in whole if out / "c" in path.parents)
    foreign.write_bytes(b"somebody else's")
    missing.unlink()
    state.run(*words, input="a\nb\nc\n")
    assert foreign.read_bytes() == b"somebody else's"
    assert not missing.exists()
    del whole[foreign], whole[missing]
    assert {path: path.read_bytes() for path in whole} == whole
    assert {path: path.stat().st_mode for path in whole} == {path: modes[path] for path in whole}
    before = len(state.run("audit", "show", "--all", "--json").json_lines)
    state.run(*words, input="a\nb\nc\n")
    assert len(state.run("audit", "show", "--all", "--json").json_lines) == before, "nothing was written"


def test_a_rerun_shows_no_password_of_what_is_no_more(state: State, tmp_path: Path) -> None:
    state.register("a", "b")
    state.run("revoke", "a")
    state.run("purge", "b")
    state.run(*RERUN, "--passwords", tmp_path / "p.csv", input="a\nb\nc\n")
    assert [row["device_id"] for row in rows_of(tmp_path / "p.csv")] == ["c"]


def test_refusals_of_a_rerun_take_nothing_out_of_the_results(state: State, tmp_path: Path) -> None:
    words = ("register", "--batch", "-", "--results", tmp_path / "r.csv")
    state.run(*words, input="a\nb\n")
    before = (tmp_path / "r.csv").read_text()
    state.run(*words, input="a\nb\n", expect=6)
    assert (tmp_path / "r.csv").read_text() == before


def test_results_of_the_program_prove_nothing(state: State, tmp_path: Path) -> None:
    def proved() -> list[bool]:
        rows = state.run("audit", "show", "--all", "--json").json_lines
        return [row["detail"]["proved"] for row in rows if "proved" in row["detail"]]

    (made,) = state.run("register", "a", "--results", tmp_path / "r.csv", "--json").json_lines
    (tmp_path / "printed.jsonl").write_text(json.dumps(made) + "\n")
    state.run("confirm", "--batch", tmp_path / "r.csv")
    state.run("confirm", "--batch", tmp_path / "printed.jsonl")
    assert proved() == [False]
    state.run("confirm", "--batch", "-", input=f"device_id,fingerprint\na,{made['fingerprint']}\n")
    state.run("confirm", "a", "--fingerprint", made["fingerprint"])
    assert proved() == [False, True], "a proof that comes later counts, once"
