"""Nothing in a plant's daily mess stops a revocation: each place of publication is broken in turn."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from support.program import State, run_cli

NAME = "press-1"


@pytest.fixture(scope="module")
def plant(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Devices, a broker, a delivery, and CRL and ACL on shares of their own. Read only: copy it."""
    state = pristine.copy_to(tmp_path_factory.mktemp("plant"))
    state.register(NAME, "press-2", "carried")
    state.run("broker", "issue", "broker.test")
    state.run("deliver", "carried")
    return state


@pytest.fixture
def state(plant: State, tmp_path: Path) -> State:
    state = plant.copy_to(tmp_path)
    for kind in ("crl", "acl", "broker ca"):
        (tmp_path / kind).mkdir()
    shutil.copy(state.crl, tmp_path / "crl" / "crl.pem")
    shutil.copy(state.acl, tmp_path / "acl" / "acl")
    state.run("config", "set", "broker_crl_file", tmp_path / "crl" / "crl.pem")
    state.run("config", "set", "broker_acl_file", tmp_path / "acl" / "acl")
    state.run("config", "set", "broker_ca_file", STEPS["broker ca"](state))
    state.run("gen-crl")
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:  # all files are to be written
        due = "SELECT id FROM certificate WHERE id NOT IN (SELECT certificate FROM delivery)"
        database.execute(f"INSERT OR IGNORE INTO pending (certificate) {due}")
        database.execute("UPDATE meta SET value = '' WHERE key = 'ca_published'")
        database.execute("UPDATE place SET last = 1 WHERE kind = 'broker-ca'")
        database.execute("UPDATE delivery SET written_at = NULL")
    return state


# What each step writes; JSON calls it so, too, but for the CA file in its two places.
STEPS: dict[str, Callable[[State], Path]] = {
    "crl": lambda state: state.path.parent / "crl" / "crl.pem",
    "ca": lambda state: state.ca_cert,
    "broker ca": lambda state: state.path.parent / "broker ca" / "ca.crt",
    "acl": lambda state: state.path.parent / "acl" / "acl",
    "device files": lambda state: state.device("press-2") / "device.crt",
    "broker files": lambda state: state.certs / "brokers" / "broker.test" / "broker.crt",
    "generation": lambda state: state.path / "generations" / "00000003" / "crl.pem",
    "deliveries": lambda state: next((state.path / "outbox").iterdir()) / "creds.zip",
}


def a_folder(path: Path) -> None:
    """Where a file belongs."""
    if path.exists():
        path.unlink()
    path.mkdir(parents=True)


def a_file(path: Path) -> None:
    """Where the folder belongs."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.write_text("a stray file")


def a_loop(path: Path) -> None:
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.symlink_to(path.parent.name)


def immutable(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable files, or the user may not make any")


OBSTACLES = (a_folder, a_file, a_loop, immutable)
# The CA's file lies beside its key, and a file system in the place of both is no obstacle to a publication alone.
BROKEN = [
    (step, obstacle)
    for step in STEPS
    for obstacle in OBSTACLES
    if not (step == "ca" and obstacle in (a_file, a_loop))
]  # fmt: skip


# One is a copy of the other.
MADE_OF = ({"generation", "crl"}, {"generation", "acl"})


@pytest.fixture
def mended(tmp_path: Path) -> Iterator[None]:
    yield
    subprocess.run(["chattr", "-R", "-i", tmp_path], capture_output=True, check=False)


def is_listed(state: State, path: Path) -> bool:
    serial = x509.load_pem_x509_certificate((state.device(NAME) / "device.crt").read_bytes()).serial_number
    last = path.read_bytes().split(b"-----BEGIN")[1]
    crl = x509.load_pem_x509_crl(b"-----BEGIN" + last)
    return crl.get_revoked_certificate_by_serial_number(serial) is not None


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize(("step", "obstacle"), BROKEN, ids=lambda one: getattr(one, "__name__", one))
def test_each_step_fails_alone(state: State, step: str, obstacle: Callable[[Path], None]) -> None:
    before = {path: path.stat().st_mtime_ns for name in STEPS if (path := STEPS[name](state)).exists()}
    obstacle(STEPS[step](state))
    done = state.run("revoke", NAME, "--json", expect=8)
    assert len(done.json["serials"]) == 1
    assert done.json["crl_number"] == 3, "signed, whatever cannot be written"
    what = step.removeprefix("broker ") if step == "broker ca" else step
    assert {one["what"] for one in done.json["unpublished"]} == {what}
    assert all(one["error"] and one["hint"] for one in done.json["unpublished"])
    assert f"not done: {what}: " in done.stderr
    assert "type: iotonboard sync-acl" in done.stderr
    assert state.json("show", NAME)["status"] == "revoked"
    for other in STEPS.keys() - {step}:
        path = STEPS[other](state)
        if {other, step} not in MADE_OF:
            assert path.stat().st_mtime_ns != before.get(path), other
    if step != "crl":
        assert is_listed(state, STEPS["crl"](state))
    if step != "acl":
        assert f"user {NAME}\n" not in STEPS["acl"](state).read_text()


def test_what_was_not_published_is_published_by_the_next_command(state: State, tmp_path: Path) -> None:
    (tmp_path / "crl").rename(tmp_path / "away")
    (tmp_path / "acl").rename(tmp_path / "away too")
    away = state.run("revoke", NAME, "--defer", "--json", expect=8).json["unpublished"]
    assert [one["what"] for one in away] == ["acl"]
    assert {one["what"] for one in state.json("gen-crl", expect=8)["unpublished"]} == {"crl", "acl"}
    (tmp_path / "away").rename(tmp_path / "crl")
    (tmp_path / "away too").rename(tmp_path / "acl")
    state.run("sync-acl", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert is_listed(state, STEPS["crl"](state))
    assert state.json("health", "--check", "unpublished")["status"] == "ok"


def test_the_next_command_that_opens_the_key_signs_what_waits(state: State) -> None:
    """Whatever it was called for; unless somebody chose to defer it."""
    state.run("revoke", "press-2", "--defer")
    state.register("press-3")
    assert state.json("health", "--check", "unpublished", expect=9)["status"] == "failed"
    state.run("revoke", NAME, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=8)
    assert not is_listed(state, STEPS["crl"](state))
    state.register("press-4")
    assert is_listed(state, STEPS["crl"](state))
    assert state.json("health", "--check", "unpublished")["status"] == "ok"


def test_a_full_disk_for_the_lists_stops_neither_record_nor_acl(state: State, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    shutil.rmtree(tmp_path / "crl")
    (tmp_path / "crl").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", tmp_path / "crl"], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (tmp_path / "crl" / "crl.pem").write_bytes((state.certs / "crl.pem").read_bytes())
        (tmp_path / "crl" / "filler").write_bytes(bytes(4096))
        done = state.run("revoke", NAME, "--json", expect=8)
        assert [one["what"] for one in done.json["unpublished"]] == ["crl"]
        assert "free some space" in done.stderr
    finally:
        subprocess.run(["umount", tmp_path / "crl"], check=True)
    assert f"user {NAME}\n" not in STEPS["acl"](state).read_text()


def test_nothing_is_looked_at_before_the_record(state: State) -> None:
    """An outbox and results that nobody can clear away are what earlier calls left, and wait."""
    for name in ("outbox", "generations", "results"):
        shutil.rmtree(state.path / name, ignore_errors=True)
        (state.path / name).symlink_to(name)
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("UPDATE delivery SET expires_at = created_at + 1, outcome = 'expired'")
    done = state.run("revoke", NAME, "--json", expect=(0, 8))
    assert len(done.json["serials"]) == 1
    assert is_listed(state, STEPS["crl"](state))


@pytest.mark.parametrize("verb", ["revoke", "retire"])
def test_a_reload_that_is_not_configured_is_told_behind_all_that_is_done(state: State, verb: str) -> None:
    done = state.run(verb, NAME, "--reload", "--json", expect=8)
    assert [one["what"] for one in done.json["unpublished"]] == ["reload"]
    assert "type: iotonboard sync-acl --reload" in done.stderr
    assert is_listed(state, STEPS["crl"](state))


def test_a_release_and_a_list_are_published_past_another_device_s_folder(state: State) -> None:
    state.run("revoke", NAME, "--reason", "certificateHold")
    a_folder(STEPS["device files"](state))
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("INSERT OR IGNORE INTO pending (certificate) SELECT id FROM certificate")
    for words in (("release", NAME), ("gen-crl",), ("sync-acl",)):
        (only,) = state.json(*words, expect=8)["unpublished"]
        assert (only["what"], only["path"]) == ("device files", str(state.device("press-2")))
    assert not is_listed(state, STEPS["crl"](state))
    assert f"user {NAME}\n" in STEPS["acl"](state).read_text()


def test_a_trigger_that_keeps_no_revocation_is_dropped_before_one_is_recorded(state: State) -> None:
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("CREATE TRIGGER keep BEFORE INSERT ON revocation BEGIN SELECT RAISE(IGNORE); END")
    assert "dropped the trigger 'keep'" in state.run("revoke", NAME).stderr
    assert is_listed(state, STEPS["crl"](state))
    assert "'keep'" in state.run("audit", "show", "--subject", "database").stdout


def test_no_refused_row_stops_another(state: State, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("device_id,serial\npress-404,\npress-2,zz\npress-1,\n")
    done = state.run("revoke", "--batch", listed, "--batch", tmp_path / "none.csv", "--json", expect=5)
    assert done.stdout == ""
    done = state.run("revoke", "press-2", "--batch", tmp_path / "none.csv", "--json", expect=5)
    assert done.json["device_id"] == "press-2"
    done = state.run("revoke", "--batch", listed, "--json", expect=6)
    assert done.json["device_id"] == "press-1"
    assert "2 of 3 were refused" in done.stderr


def test_what_is_not_published_outranks_a_refused_row(state: State, tmp_path: Path) -> None:
    a_folder(STEPS["crl"](state))
    state.run("revoke", NAME, "press-404", expect=8)


def test_every_certificate_of_a_file_is_revoked_and_a_strange_one_stops_none(
    state: State, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    run_cli("init-ca", "--no-passphrase", state=other / "state")
    three = tmp_path / "three.pem"
    own = [(state.device(name) / "device.crt").read_bytes() for name in (NAME, "press-2")]
    three.write_bytes(own[0] + (other / "state" / "certs" / "ca.crt").read_bytes() + own[1])
    assert len(state.run("revoke", "--cert", three, "--cert", tmp_path / "none", "--json", expect=5).json_lines) == 2


# -- what the database does not find -----------------------------------------------------------------------------------


def flip(state: State, index: str, key: bytes) -> None:
    """Change one bit of a key in an index; the table keeps it."""
    path = state.path / "devices.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = database.execute("PRAGMA page_size").fetchone()[0]
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (index,)).fetchone()
    octets = bytearray(path.read_bytes())
    start = (root - 1) * size
    octets[start + bytes(octets[start : start + size]).index(key) + len(key) - 1] ^= 2
    path.write_bytes(octets)


@pytest.mark.parametrize("index", ["device", "certificate"])
@pytest.mark.parametrize("how", ["id", "serial"])
def test_a_damaged_index_hides_no_device(state: State, index: str, how: str) -> None:
    serial = state.json("show", NAME)["certificates"][0]["serial"]
    key = NAME.encode() if index == "device" else bytes.fromhex(serial)
    flip(state, f"sqlite_autoindex_{index}_1", key)
    words = (NAME,) if how == "id" else ("--serial", serial)
    done = state.run("revoke", *words, "--json", expect=None)
    assert done.json["serials"] == [serial]
    assert is_listed(state, STEPS["crl"](state))
    if {index, how} in ({"device", "id"}, {"certificate", "serial"}):
        assert "index of the database is damaged" in done.stderr


def test_a_damaged_index_lists_no_certificate_twice(state: State) -> None:
    (serial,) = state.json("revoke", NAME)["serials"]
    flip(state, "sqlite_autoindex_certificate_1", bytes.fromhex(serial))
    assert state.json("revoke", NAME, "--reason", "keyCompromise")["serials"] == [serial]
    assert state.json("gen-crl")["revoked"] == 1


@pytest.fixture
def forgotten(plant: State, tmp_path: Path) -> tuple[State, Path, str]:
    """A state that came back from a backup, and the results file of a device that was registered after that."""
    state = plant.copy_to(tmp_path)
    shutil.copy(state.path / "devices.db", tmp_path / "older.db")
    (tmp_path / "list.csv").write_text("device_id\nlost-1\n")
    results = tmp_path / "results.csv"
    state.run("register", "--batch", tmp_path / "list.csv", "--results", results)
    serial = state.json("show", "lost-1")["certificates"][0]["serial"]
    for suffix in ("-wal", "-shm"):
        (state.path / f"devices.db{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "older.db", state.path / "devices.db")
    return state, results, serial


def test_a_serial_that_the_database_forgot_is_revoked_when_told_so(forgotten: tuple[State, Path, str]) -> None:
    state, _, serial = forgotten
    assert "--unknown" in state.run("revoke", "--serial", serial, expect=5).stderr
    state.run("revoke", "--serial", serial, "--unknown", "--reason", "certificateHold", expect=6)
    done = state.json("revoke", "--serial", serial, "--unknown", "--reason", "superseded")
    assert (done["serials"], done["device_id"]) == ([serial], "")
    assert b"\n        Serial" not in state.crl.read_bytes()
    crl = x509.load_pem_x509_crl(state.crl.read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(int(serial, 16)) is not None
    again = state.json("revoke", "--serial", serial)
    assert (again["serials"], again["reason"], again["revocation_date"]) == ([], "superseded", done["revocation_date"])
    assert state.json("gen-crl")["revoked"] == 1
    assert state.json("revoke", "--serial", serial, "--reason", "keyCompromise")["serials"] == [serial]
    state.run("revoke", NAME, "--unknown", expect=2)


def test_a_signed_results_file_revokes_what_the_database_forgot(forgotten: tuple[State, Path, str]) -> None:
    state, results, serial = forgotten
    assert state.json("revoke", "--batch", results)["serials"] == [serial]
    assert state.json("gen-crl")["revoked"] == 1


@pytest.mark.parametrize("style", ["per-device", "pattern"])
@pytest.mark.parametrize("words", [(), ("--defer",)])
def test_the_device_that_a_signed_results_file_names_is_denied_in_the_acl(
    forgotten: tuple[State, Path, str], style: str, words: tuple[str, ...]
) -> None:
    """A session that is connected goes on until the ACL mutes it, and a pattern lets in whoever has a name."""
    state, results, _ = forgotten
    state.run("restore", "--crl", state.crl)
    state.run("config", "set", "acl.style", style)
    state.acl.write_text("pattern read own/%u\n" + state.acl.read_text())
    assert state.json("revoke", "--batch", results, *words)["device_id"] == "lost-1"
    assert "user lost-1\ntopic deny #\n" in state.acl.read_text()
    shutil.rmtree(state.device("lost-1"))
    state.run("health", "--deep", expect=(0, 9) if words else 0)
    state.register("lost-1")
    assert "topic deny #" not in state.acl.read_text()
    state.run("revoke", "lost-1")
    assert "user lost-1\ntopic deny #\n" in state.acl.read_text()


def test_a_results_file_that_nobody_signed_proves_nothing(forgotten: tuple[State, Path, str]) -> None:
    state, results, _ = forgotten
    signature = Path(f"{results}.manifest.sig")
    octets = signature.read_bytes()
    signature.write_bytes(octets[:-1] + bytes([octets[-1] ^ 1]))
    state.run("revoke", "--batch", results, expect=6)
    signature.write_bytes(octets)
    manifest = Path(f"{results}.manifest")
    manifest.write_bytes(manifest.read_bytes()[:-1])
    state.run("revoke", "--batch", results, expect=6)


def test_a_list_is_retired_and_released_row_by_row(state: State, tmp_path: Path) -> None:
    """Where ids are named on the command line, it is all of them or none."""
    listed = tmp_path / "list"
    listed.write_text("press-404\npress-1\npress-1\npress-2\n")
    state.run("revoke", NAME, "--reason", "certificateHold")
    state.run("release", NAME, "press-404", expect=5)
    done = state.run("release", "--batch", listed, "--json", expect=6)
    assert [one["device_id"] for one in done.json_lines] == [NAME]
    assert "line 4: device 'press-2' is not on hold" in done.stderr
    assert "next: " in done.stderr
    for words in (("release",), ("topics", "remove", "read:plant/x"), ("topics", "add", "write:plant/#/x")):
        assert "next: " not in state.run(*words, "--batch", listed, expect=6).stderr, "nothing was done"
    state.run("retire", NAME, "press-404", expect=5)
    done = state.run("retire", "--batch", listed, "--json", expect=6)
    assert [(one["device_id"], one["changed"]) for one in done.json_lines] == [(NAME, True), ("press-2", True)]
    assert "1 of 3 were passed over" in done.stderr
