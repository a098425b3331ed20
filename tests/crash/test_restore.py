"""A restore touches nothing outside of its own folder until that is asked for by name, and is no dead end."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from iotonboard.ca.backup_archive import open_archive
from iotonboard.ca.backup_manifest import Manifest
from iotonboard.ca.backup_writer import write_archive
from iotonboard.ca.passphrase import parse_passphrase_file

from support.clock import fake_time
from support.faults import KILLED, die_at
from support.program import PROJECT, State, run_cli, snapshot

VECTORS = PROJECT / "tests" / "vectors"


def serials_on(crl: Path) -> set[str]:
    text = subprocess.run(["openssl", "crl", "-in", crl, "-noout", "-text"], capture_output=True, text=True, check=True)
    return {line.split(":")[1].strip() for line in text.stdout.splitlines() if "Serial Number:" in line}


@pytest.fixture
def live(state: State, tmp_path: Path) -> tuple[State, Path, Path]:
    """A state that publishes elsewhere, a backup of it, and two revocations since; state, backup and that folder."""
    place = tmp_path / "live"
    place.mkdir()
    (place / "m.acl").write_text("user admin\ntopic read #\n")
    state.run("config", "set", "broker_crl_file", place / "crl.pem")
    state.run("config", "set", "broker_acl_file", place / "m.acl")
    state.register("a", "b")
    state.run("gen-crl")
    state.run("backup", tmp_path / "b.zip")
    state.run("revoke", "a", "--reason", "keyCompromise")
    state.run("revoke", "b")
    return state, tmp_path / "b.zip", place


def restore(state: State, backup: Path, *options: str | Path, name: str = "restored", **others: object) -> State:
    other = State(backup.parent / name, state.passphrase_file)
    run_cli("restore", backup, *(options or ("--no-crl",)), state=other, **others)  # type: ignore[arg-type]
    return other


def told(state: State, backup: Path, *options: str | Path, name: str = "told") -> dict[str, dict[str, str]]:
    other = State(backup.parent / name, state.passphrase_file)
    answer = run_cli("restore", backup, *options, "--json", state=other).json
    return {one["setting"]: one for one in answer["held_back"]}


def test_a_drill_leaves_the_live_broker_and_the_live_state_alone(live: tuple[State, Path, Path]) -> None:
    state, backup, place = live
    before = snapshot(place)
    drill = restore(state, backup)
    drill.register("c")
    drill.run("gen-crl")
    assert snapshot(place) == before
    assert {path.name for path in (drill.certs, drill.acl)} <= set(os.listdir(drill.path))
    assert "user admin" in drill.acl.read_text()
    state.register("d")
    state.run("revoke", "d")
    assert len(serials_on(place / "crl.pem")) == 3


def test_nor_does_it_follow_the_environment_of_the_live_state(live: tuple[State, Path, Path]) -> None:
    state, backup, place = live
    before = snapshot(backup.parent)
    variables = {
        "CA_ROOT_PATH": str(place),
        "BROKER_ACL_FILE": str(place / "m.acl"),
        "IOTONBOARD_BROKER_CRL_FILE": str(place / "crl.pem"),
        "DATABASE_URL": f"sqlite:///{place}/d.db",
        "IOTONBOARD_BROKER_RELOAD": "command:true",
    }
    other = State(backup.parent / "restored", state.passphrase_file)
    result = run_cli("restore", backup, "--no-crl", state=other, env=variables)
    for name in variables:
        assert f"{name} was not followed" in result.stderr
    shutil.rmtree(other.path)
    assert snapshot(backup.parent) == before


def test_what_reaches_out_is_told_with_what_to_type(live: tuple[State, Path, Path]) -> None:
    state, backup, place = live
    found = told(state, backup, "--crl", place / "crl.pem")
    assert set(found) == {"broker_crl_file", "broker_acl_file"}
    words = found["broker_crl_file"]["hint"].split("iotonboard ")[1].split()
    other = State(backup.parent / "told", state.passphrase_file)
    other.run(*words)
    assert other.json("gen-crl")["path"] == str(place / "crl.pem")
    assert len(serials_on(place / "crl.pem")) == 2


@pytest.mark.parametrize("crl", ["of the broker", "an old one", "none", "with text around it"])
def test_in_place_forgets_nothing_that_is_published_there(live: tuple[State, Path, Path], crl: str) -> None:
    """And leaves the operator's own rules where they are."""
    state, backup, place = live
    (backup.parent / "old.pem").write_bytes((state.path / "generations").rglob("*.pem").__next__().read_bytes())
    mailed = backup.parent / "mailed.txt"
    mailed.write_bytes(b"The newest list:\r\n" + (place / "crl.pem").read_bytes().replace(b"\n", b" \r\n") + b"bye\n")
    words = {
        "of the broker": ("--crl", place / "crl.pem"),
        "an old one": ("--crl", backup.parent / "old.pem"),
        "with text around it": ("--crl", mailed),
    }
    restore(state, backup, *words.get(crl, ("--no-crl",)), "--in-place").run("audit", "verify")
    assert len(serials_on(place / "crl.pem")) == 2
    acl = (place / "m.acl").read_text()
    assert acl.startswith("user admin\ntopic read #\n")
    assert "user a" not in acl.splitlines()


def test_in_place_without_the_stick_comes_into_the_folder_and_says_so(state: State, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    shutil.copytree(state.certs, stick / "ca")
    state.run("config", "set", "ca_root_path", stick / "ca")
    state.register("a")
    state.run("backup", tmp_path / "b.zip")
    away = stick.rename(tmp_path / "away")
    found = told(state, tmp_path / "b.zip", "--no-crl", "--in-place")
    assert "no folder" in found["ca_root_path"]["reason"]
    assert not stick.exists()
    State(tmp_path / "told", state.passphrase_file).run("revoke", "a")
    away.rename(stick)
    before = snapshot(stick / "ca" / "devices")
    other = restore(state, tmp_path / "b.zip", "--no-crl", "--in-place")
    other.run("register", "c")
    assert (stick / "ca" / "devices" / "c").is_dir()
    assert not other.certs.exists()
    assert before.items() <= snapshot(stick / "ca" / "devices").items()


def test_users_that_the_machine_lacks_are_told_afterwards(tmp_path: Path) -> None:
    """The machine of that backup had a user that this one lacks."""
    key = Path(shutil.copy2(VECTORS / "state-v2" / "key-file", tmp_path / "key-file"))
    key.chmod(0o600)
    backup = Path(shutil.copy2(VECTORS / "backup-v1" / "backup.zip", tmp_path / "b.zip"))
    state = State(tmp_path / "x", key)
    for option in ("--no-crl", "--in-place"):
        found = told(state, backup, "--no-crl", "--format", "1", option, name=option)
        assert "no user 'no-such-user'" in found["broker.user"]["reason"]
        assert "config set broker.user no-such-user" in found["broker.user"]["hint"]
        State(tmp_path / option, key).run("revoke", "press-1")


def test_no_command_comes_out_of_a_backup_unasked(state: State, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    state.run("config", "set", "broker.reload", f"command:touch {mark}")
    state.run("backup", tmp_path / "b.zip")
    for options in (("--no-crl",), ("--no-crl", "--in-place")):
        assert set(told(state, tmp_path / "b.zip", *options, name=options[-1])) == {"broker.reload"}
        State(tmp_path / options[-1], state.passphrase_file).run("gen-crl", "--reload", expect=None)
    assert not mark.exists()
    other = State(tmp_path / "told", state.passphrase_file)
    assert told(state, tmp_path / "b.zip", "--no-crl", "--take", "broker.reload") == {}
    other.run("gen-crl", "--reload", expect=None)
    assert mark.exists()
    run_cli("restore", tmp_path / "b.zip", "--no-crl", "--take", "acl.style", state=other, expect=2)


def test_a_ca_key_in_the_clear_is_taken_by_name_alone(state: State, tmp_path: Path) -> None:
    key = state.certs / "ca.key"
    words = ("openssl", "pkey", "-in", key, "-passin", f"file:{state.passphrase_file}", "-out", tmp_path / "plain")
    subprocess.run(words, check=True)
    key.write_bytes((tmp_path / "plain").read_bytes())
    state.run("backup", tmp_path / "b.zip")
    other = State(tmp_path / "other", state.passphrase_file)
    for words in (("--no-crl",), ("--check",)):
        assert "--plain-keys" in run_cli("restore", tmp_path / "b.zip", *words, state=other, expect=6).stderr
    assert not other.path.exists()
    restore(state, tmp_path / "b.zip", "--no-crl", "--plain-keys").run("gen-crl")


def test_the_files_of_brokers_come_back_or_are_named(state: State, tmp_path: Path) -> None:
    state.run("broker", "issue", "b.local", "--plain-key")
    state.run("broker", "issue", "::1")
    folder = state.certs / "brokers" / "b.local"
    (state.certs / "brokers" / "--1" / "mosquitto.conf").unlink()
    state.run("backup", tmp_path / "b.zip")
    other = State(tmp_path / "other", state.passphrase_file)
    answer = run_cli("restore", tmp_path / "b.zip", "--no-crl", "--json", state=other).json
    assert sorted(words.split(":")[0] for words in answer["left_out"]) == [
        "'brokers/--1/mosquitto.conf'",
        "'brokers/b.local/broker-plain.key'",
    ]
    back = other.certs / "brokers" / "b.local"
    assert {path.name for path in back.iterdir()} == {"broker.crt", "broker.key", "mosquitto.conf"}
    other = restore(state, tmp_path / "b.zip", "--no-crl", "--plain-keys")
    assert snapshot(other.certs / "brokers" / "b.local") == snapshot(folder)
    state.run("broker", "issue", "b.local", "--no-plain-key")  # a new key, beside which the plain one of before stays
    state.run("backup", tmp_path / "later.zip")
    words = ("--no-crl", "--plain-keys")
    said = run_cli("restore", tmp_path / "later.zip", *words, state=State(tmp_path / "3", state.passphrase_file)).stderr
    assert "'brokers/b.local/broker-plain.key': not the key of that broker's certificate" in said


def rewritten(state: State, backup: Path, files: dict[str, bytes], **contents: object) -> Path:
    """The same backup with other files, or saying something else of itself, as only its passphrase can make it."""
    passphrase = parse_passphrase_file(state.passphrase_file.read_bytes())
    with open_archive(str(backup), passphrase) as archive:
        found = {one.name: archive.read(one.name) for one in archive.manifest.files} | files
        said = dataclasses.replace(archive.manifest.contents, **contents)
    path, now = backup.with_suffix(".other.zip"), datetime(2030, 1, 31, tzinfo=UTC)
    write_archive(str(path), found, lambda stored: Manifest("1", said, stored), passphrase, now, salt=bytes(16))
    return path


@pytest.mark.parametrize("text", [b"acl.style = \xff", b"[broker", b'[[acl.topics]]\naccess="read"\ntopic="a b\\n"\n'])
def test_settings_that_cannot_be_read_keep_no_state_away(state: State, tmp_path: Path, text: bytes) -> None:
    state.register("a")
    state.run("backup", tmp_path / "b.zip")
    backup = rewritten(state, tmp_path / "b.zip", {"iotonboard.toml": text})
    other = State(tmp_path / "other", state.passphrase_file)
    assert "cannot be read" in run_cli("restore", backup, "--no-crl", state=other).stderr
    assert (other.path / "iotonboard.toml.from-backup").read_bytes() == text
    other.run("revoke", "a")


LIES: dict[str, object] = {
    "devices": 1, "crl_number": 7, "audit_seq": 2, "audit_head": "3:AA", "cas": ("00" * 32,),
    "keys": ("ca.key", "ca-2.key"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_what_a_backup_says_of_itself_is_held_against_its_database(state: State, tmp_path: Path, name: str) -> None:
    state.run("backup", tmp_path / "b.zip")
    other = State(tmp_path / "other", state.passphrase_file)
    files = {"ca-2.key": (state.certs / "ca.key").read_bytes()} if name == "keys" else {}
    backup = rewritten(state, tmp_path / "b.zip", files, **{name: LIES[name]})
    words = "--no-crl" if name == "devices" else "--check"
    assert f"says {name}" in run_cli("restore", backup, words, state=other, expect=6).stderr
    assert not other.path.exists()


def test_files_of_a_broker_that_nobody_knows_are_refused(state: State, tmp_path: Path) -> None:
    state.run("backup", tmp_path / "b.zip")
    backup = rewritten(state, tmp_path / "b.zip", {"brokers/x/mosquitto.conf": b"plugin /tmp/x.so\n"})
    other = State(tmp_path / "other", state.passphrase_file)
    assert "brokers/x" in run_cli("restore", backup, "--no-crl", state=other, expect=6).stderr
    assert not other.path.exists()


def test_a_backup_is_tried_without_a_trace(live: tuple[State, Path, Path], tmp_path: Path) -> None:
    state, backup, _ = live
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = snapshot(tmp_path)
    place = State(tmp_path / "place", state.passphrase_file)
    variables = {"TMPDIR": str(scratch)}
    answer = run_cli("restore", backup, "--check", "--json", state=place, env=variables, cwd=tmp_path).json
    assert [one["name"] for one in answer["files"]][:2] == ["devices.db", "ca.key"]
    assert answer["devices"] == 2
    assert "devices.db\tok" in run_cli("restore", backup, "--check", state=place, env=variables).stdout
    assert snapshot(tmp_path) == before
    octets = bytearray(backup.read_bytes())
    octets[len(octets) // 2] ^= 1  # the database takes the most room
    backup.write_bytes(octets)
    before = snapshot(tmp_path)
    said = run_cli("restore", backup, "--check", state=place, env=variables, expect=6).stderr
    assert "damaged in it: 'devices.db'\n" in said
    wrong = {"IOTONBOARD_PASSPHRASE_FILE": str(state.acl)}
    run_cli("restore", backup, "--check", state=place, env=variables | wrong, expect=7)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("options", [("--no-crl",), ("--no-crl", "--in-place")], ids=" ".join)
def test_killed_at_every_step_the_same_restore_goes_on(
    live: tuple[State, Path, Path], tmp_path: Path, request: pytest.FixtureRequest, options: tuple[str, ...]
) -> None:
    """Until there is a whole state there is none; from then on the next command finishes what was left."""
    state, backup, place = live
    state.run("broker", "issue", "b.local")
    backup = tmp_path / "broker.zip"
    state.run("backup", backup)
    killed = 0
    kept = snapshot(place)
    stride = 1 if request.config.getoption("--long") else 16 if len(options) == 1 else 31
    for step in range(1, 400, stride):
        other = State(tmp_path / str(step), state.passphrase_file)
        words = ("restore", backup, *options)
        if run_cli(*words, state=other, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        assert "--in-place" in options or snapshot(place) == kept
        assert len(serials_on(place / "crl.pem")) == 2
        if not (other.path / "devices.db").exists():
            other.run("gen-crl", expect=3)
            run_cli(*words, state=other)
        other.run("sync-acl")
        other.run("audit", "verify")
        assert len(serials_on(place / "crl.pem")) == 2
        if "--in-place" not in options:
            assert len(serials_on(other.crl)) == 2
        assert not list(other.path.rglob("*.restoring"))
        shutil.rmtree(other.path)
    assert killed > 2


def test_a_backup_of_an_earlier_version_opens_by_name(tmp_path: Path) -> None:
    """With every check that it allows, and what it cannot show is said."""
    key = Path(shutil.copy2(VECTORS / "state-v2" / "key-file", tmp_path / "key-file"))
    key.chmod(0o600)
    other, backup = State(tmp_path / "x", key), VECTORS / "backup-v1" / "backup.zip"
    assert "--format 1" in run_cli("restore", backup, "--no-crl", state=other, expect=6).stderr
    result = run_cli("restore", backup, "--no-crl", "--format", "1", "--json", state=other)
    assert "cannot show" in result.stderr
    held = {one["setting"] for one in result.json["held_back"]}
    assert held == {"broker_crl_file", "broker.user", "broker.reload"}
    assert other.json("config", "show")
    other.run("health", "--repair")
    other.run("health", "--deep")
    run_cli("restore", backup, "--check", "--format", "1", state=other)
    fresh = tmp_path / "fresh.zip"
    other.run("backup", fresh)
    run_cli("restore", fresh, "--check", "--format", "1", state=other, expect=6)


def test_an_old_backup_is_restored_when_the_clock_is_accepted(state: State, tmp_path: Path) -> None:
    state.register("a")
    state.run("config", "set", "max_clock_jump_days", "1")
    state.run("backup", tmp_path / "b.zip")
    place = State(tmp_path / "place", state.passphrase_file)
    words, later = ("restore", tmp_path / "b.zip", "--no-crl"), fake_time("+3d")
    assert "--accept-clock" in run_cli(*words, state=place, env=later, expect=6).stderr
    assert not place.path.exists()
    run_cli(*words, "--accept-clock", state=place, env=later)
    place.run("register", "b", env=later)
