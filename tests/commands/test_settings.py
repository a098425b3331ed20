"""Settings that matter are sealed: the file is their view, and nobody without the passphrase gives anybody more."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.earlier_versions import make_earlier_state
from support.program import State

KEYLESS: dict[str, str | None] = {"IOTONBOARD_PASSPHRASE_FILE": None}
EVERYTHING = "readwrite:#"


def edit(state: State, *statements: str) -> None:
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        for statement in statements:
            database.execute(statement)


def setting(state: State, key: str, **options: Any) -> tuple[Any, str]:
    one = state.json("config", "show", **options)["settings"][key]
    return one["value"], one["source"]


def check(state: State, name: str = "settings") -> str:
    (found,) = state.run("health", "--check", name, "--json", expect=(0, 9)).json["checks"]
    return str(found["status"])


def trail(state: State) -> list[tuple[str, dict[str, Any]]]:
    rows = state.run("audit", "show", "--all", "--json").json_lines
    return [(row["subject"], row["detail"]) for row in rows]


def test_a_new_state_is_sealed(state: State) -> None:
    assert check(state) == "ok"
    assert ("settings", {"sealed": 1, "values": {}}) in trail(state)


def test_a_setting_that_matters_needs_the_passphrase_and_is_sealed(state: State) -> None:
    before = state.snapshot()
    state.run("config", "set", "acl.topics", "write:up/{device_id}", env=KEYLESS, expect=7)
    assert state.snapshot() == before
    state.run("config", "set", "acl.topics", "write:up/{device_id}")
    assert setting(state, "acl.topics") == (["write:up/{device_id}"], "sealed")
    changed = {"old": ["readwrite:devices/{device_id}/#"], "new": ["write:up/{device_id}"]}
    assert ("acl.topics", changed) in trail(state)
    state.register("press-1")
    assert "up/press-1" in state.acl.read_text()
    assert check(state) == "ok"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cert_validity_days", "30"),
        ("crl_next_update_days", "7"),
        ("crl_calendar_max_days", "30"),
        ("max_clock_jump_days", "100"),
        ("not_before_skew_minutes", "5"),
        ("renewal_overlap_days", "3"),
        ("key_origin", "device"),
        ("acl.topics", ""),
        ("download_expiry_minutes", "500"),  # needs no seal at all
    ],
)
def test_tightening_needs_no_passphrase_and_loosening_does(state: State, key: str, value: str) -> None:
    default, _ = setting(state, key)
    state.run("config", "set", key, value, env=KEYLESS)
    shown, origin = setting(state, key)
    assert shown != default
    assert origin in ("tightened", "file")
    assert check(state) == "ok"
    loose = ",".join(default) if isinstance(default, list) else str(default)
    state.run("config", "set", key, loose, env=KEYLESS, expect=7 if origin == "tightened" else 0)
    state.run("config", "set", key, loose)
    assert setting(state, key)[0] == default
    assert check(state) == "ok"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cert_validity_days", "400"),
        ("keep_keys", "days:1"),  # erases, which nothing takes back
        ("key_type", "ec-p384"),
        ("acl.style", "pattern"),
        ("broker.mode", "0600"),
        ("broker.reload", "command:true"),
        ("broker.reload", "pid:/run/x.pid"),
        ("broker_acl_file", "other.acl"),
        ("broker_crl_file", "other.pem"),
        ("subject.organization", "Plant"),
        ("acl.topics", "readwrite:devices/{device_id}/#,read:plant/#"),
    ],
)
def test_everything_else_needs_it(state: State, key: str, value: str) -> None:
    state.run("config", "set", key, value, env=KEYLESS, expect=7)
    state.run("config", "set", key, value)
    assert check(state) == "ok"


def test_a_file_that_was_edited_is_told_and_not_followed(state: State) -> None:
    path = state.path / "iotonboard.toml"
    path.write_text('# for the dashboard\n[[acl.topics]]\naccess = "readwrite"\ntopic = "#"\n')
    for words in (("list",), ("register", "press-1"), ("sync-acl",)):
        assert "not followed: acl.topics" in state.run(*words).stderr
    assert "readwrite #" not in state.acl.read_text()
    assert check(state) == "failed"
    shown = state.json("config", "show")["settings"]["acl.topics"]
    assert (shown["value"], shown["in_file"]) == (["readwrite:devices/{device_id}/#"], [EVERYTHING])
    assert "--yes" in state.run("config", "accept", expect=6).stderr  # it reaches every device's topics
    state.run("config", "accept", "--yes", env=KEYLESS, expect=7)
    answer = state.json("config", "accept", "--yes")
    assert answer["changed"] == [{"key": "acl.topics", "old": ["readwrite:devices/{device_id}/#"], "new": [EVERYTHING]}]
    assert check(state) == "ok"
    assert "not followed" not in state.run("sync-acl").stderr
    assert "readwrite #" in state.acl.read_text()
    assert state.json("config", "accept", env=KEYLESS)["changed"] == []


def test_the_file_is_written_anew_from_what_is_sealed(state: State) -> None:
    state.run("config", "set", "cert_validity_days", "90")
    path = state.path / "iotonboard.toml"
    written = path.read_text()
    path.write_text("cert_validity_days = 4000 # mine\n")
    answer = state.json("config", "write", env=KEYLESS)
    assert path.read_text() == written
    assert Path(answer["kept"]).read_text() == "cert_validity_days = 4000 # mine\n"
    assert check(state) == "ok"
    assert state.json("config", "write", env=KEYLESS)["kept"] is None  # nothing that somebody wrote


def test_a_file_with_comments_is_left_beside_the_new_one(state: State) -> None:
    path = state.path / "iotonboard.toml"
    path.write_text("# why: see the audit of May\ngenerations_kept = 3\n")
    told = state.run("config", "set", "crl_next_update_days", "60").stderr
    assert f"'{path}.old'" in told
    assert "audit of May" in Path(f"{path}.old").read_text()
    assert "generations_kept = 3" in path.read_text()
    path.write_text('[broker]\nreload = "command:x # y"\n')
    state.run("config", "accept")
    assert "was written anew" not in state.run("config", "set", "crl_next_update_days", "50").stderr


BROKEN: dict[str, Callable[[Path], object]] = {
    "no toml": lambda path: path.write_text("no toml"),
    "an unknown key": lambda path: path.write_text("no_such = 1\n"),
    "a bad value": lambda path: path.write_text("crl_next_update_days = 'often'\n"),
    "octets": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_file_that_cannot_be_read_stops_nothing(state: State, tmp_path: Path, damage: str) -> None:
    """The values used last serve: the CRL goes where it is read, and devices keep their topics."""
    (tmp_path / "share").mkdir()
    state.run("config", "set", "broker_crl_file", str(tmp_path / "share" / "crl.pem"))
    state.run("config", "set", "acl.topics", "write:up/{device_id}")
    state.run("config", "set", "download_expiry_minutes", "7")
    state.register("press-1", "press-2")
    path = state.path / "iotonboard.toml"
    path.unlink()
    BROKEN[damage](path)
    before = (tmp_path / "share" / "crl.pem").read_bytes()
    assert "warning: " in state.run("revoke", "press-1").stderr
    assert (tmp_path / "share" / "crl.pem").read_bytes() != before
    assert "up/press-2" in state.acl.read_text()
    if damage != "a bad value":  # of which the rest can be read
        assert setting(state, "download_expiry_minutes") in ((7, "last used"), (30, "default"))
    assert check(state) == "failed"
    state.run("config", "accept", expect=6)
    for words in (("list",), ("register", "press-3"), ("gen-crl",)):
        assert "warning: " in state.run(*words).stderr
    if damage != "a folder":
        state.run("config", "write", env=KEYLESS)
        assert check(state) == "ok"


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_a_file_with_a_byte_order_mark_is_read(state: State, mark: str) -> None:
    (state.path / "iotonboard.toml").write_bytes("cert_validity_days = 20\r\n".encode(mark))
    state.run("config", "accept")
    assert setting(state, "cert_validity_days") == (20, "sealed")


TAMPERED = [
    """UPDATE setting_seal SET settings = '{"acl.topics":["readwrite:#"],"broker.reload":"command:touch hit"}'""",
    "UPDATE setting_seal SET id = id + 1",
    "UPDATE setting_seal SET signature = zeroblob(70)",
    'INSERT INTO setting_seal SELECT id + 1, \'{"key_type":"ed25519"}\', issuer, signature, 0 FROM setting_seal',
    "DELETE FROM setting_seal",
    "DROP TABLE setting_seal",
    "DROP TABLE setting",
]


@pytest.mark.parametrize("statement", TAMPERED)
def test_edited_rows_are_found_give_nobody_anything_and_stop_no_revocation(state: State, statement: str) -> None:
    state.register("press-1", "press-2")
    edit(state, statement)
    assert check(state) == "failed"
    before = state.snapshot()
    assert "config accept" in state.run("register", "press-3", expect=3).stderr
    assert state.snapshot() == before
    state.run("revoke", "press-1")
    state.run("sync-acl", env=KEYLESS)
    assert "readwrite #" not in state.acl.read_text()
    assert "press-2" in state.acl.read_text()
    assert state.json("verify", "press-1", expect=9)["devices"][0]["at_start"]["cause"] == "revoked"
    state.run("sync-acl", "--reload", expect=8)
    if not statement.startswith("DROP"):
        (state.path / "iotonboard.toml").touch()
        state.run("config", "accept")
        assert check(state) == "ok"
        state.register("press-3")


def test_seals_that_were_taken_away_are_not_made_anew_from_the_file(state: State) -> None:
    (state.path / "iotonboard.toml").write_text('[[acl.topics]]\naccess = "readwrite"\ntopic = "#"\n')
    edit(state, "DELETE FROM setting_seal")
    for words in (("gen-crl",), ("sync-acl",)):
        assert "gone from the database" in state.run(*words).stderr
    assert "readwrite #" not in state.acl.read_text()


def test_a_row_that_is_not_tighter_is_found_and_not_followed(state: State) -> None:
    edit(state, "INSERT INTO setting VALUES ('acl.topics', json_array('readwrite:#'))")
    state.register("press-1")
    assert "readwrite #" not in state.acl.read_text()
    assert check(state) == "failed"


def test_the_environment_overrides_for_one_call_and_the_trail_tells(state: State) -> None:
    for name in ("a", "b"):
        state.register(name, env={"CERT_VALIDITY_DAYS": "700"})
    state.register("c")
    told = [detail for subject, detail in trail(state) if subject == "settings" and "environment" in detail]
    assert told == [{"environment": {"cert_validity_days": 700}}, {"environment": {}}]
    assert check(state) == "ok"


def test_a_command_never_comes_from_the_environment(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    hit = {"IOTONBOARD_BROKER_RELOAD": f"command:touch {tmp_path / 'hit'}"}
    for words in (("sync-acl", "--reload"), ("gen-crl", "--reload"), ("register", "press-2")):
        assert "IOTONBOARD_BROKER_RELOAD" in state.run(*words, env=hit, expect=6).stderr
    state.run("revoke", "press-1", "--reload", env=hit, expect=None)
    assert not (tmp_path / "hit").exists()
    assert state.json("show", "press-1")["status"] == "revoked"


@pytest.mark.parametrize(
    "name", ["CERT_VALIDITY_DAYS", "IOTONBOARD_ACL_TOPICS", "DATABASE_URL", "IOTONBOARD_BROKER_ACL_FILE"]
)
def test_no_variable_stops_a_revocation(state: State, name: str) -> None:
    state.register("press-1")
    given = {name: "devices.db" if name.endswith("FILE") else "postgres://app:s3cret@db/app"}
    state.run("register", "press-2", env=given, expect=6)
    told = state.run("revoke", "press-1", env=given).stderr
    assert "warning: " in told
    assert state.json("show", "press-1")["status"] == "revoked"


def test_the_address_of_another_programs_database_is_not_shown(state: State) -> None:
    for url, code in (("postgres://app:s3cret@db/app", 6), ("mysql:s3cret", 6), ("sqlite:///db.sqlite3", 3)):
        for words in (("list",), ("config", "show")):
            told = state.run(*words, env={"DATABASE_URL": url}, expect=None)
            assert "s3cret" not in told.stdout + told.stderr
            if words == ("list",):
                assert told.exit_code == code
                assert "DATABASE_URL" in told.stderr


def test_a_state_of_an_earlier_version_is_sealed_by_the_first_command_with_a_key(tmp_path: Path) -> None:
    state = make_earlier_state(2, tmp_path)
    path = state.path / "iotonboard.toml"
    path.write_text("cert_validity_days = 77\n")
    assert setting(state, "cert_validity_days") == (77, "file")
    assert check(state) == "warning"
    state.run("list")
    assert "sealed now" in state.run("gen-crl").stderr
    assert "sealed now" not in state.run("gen-crl").stderr
    assert setting(state, "cert_validity_days") == (77, "sealed")
    assert check(state) == "ok"
    path.write_text("cert_validity_days = 7000\n")
    assert "not followed" in state.run("list").stderr


def test_a_new_ca_seals_the_settings_anew(state: State) -> None:
    state.run("config", "set", "cert_validity_days", "90")
    state.run("ca", "rollover", "begin")
    state.run("ca", "rollover", "--retire")
    assert check(state) == "ok"
    assert setting(state, "cert_validity_days") == (90, "sealed")
    state.register("press-1")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("broker_acl_file", "/no/such/folder/mosquitto.acl", 5),
        ("broker_crl_file", "gone/crl.pem", 5),
        ("ca_root_path", "/no/such/folder", 5),
        ("ca_root_path", "", 6),
        ("broker.reload", "pid:~nobody-of-that-name/mosquitto.pid", 6),
        ("subject.organization", "x" * 65, 6),
        ("subject.organizational_unit", "x" * 65, 6),
    ],
)
def test_what_does_not_go_with_this_machine_or_a_certificate_is_refused_when_it_is_set(
    state: State, key: str, value: str, code: int
) -> None:
    before = state.snapshot()
    state.run("config", "set", key, "--", value, expect=code)
    (state.path / "iotonboard.toml").write_text(_toml(key, value))
    state.run("config", "accept", expect=code)
    (state.path / "iotonboard.toml").unlink()
    assert state.snapshot() == before


def _toml(key: str, value: str) -> str:
    table, _, name = key.rpartition(".")
    return (f"[{table}]\n" if table else "") + f"{name} = {json.dumps(value)}\n"


def test_a_style_and_its_topics_are_checked_together(state: State) -> None:
    state.run("config", "set", "acl.topics", "readwrite:plant-{device_id}/x")
    state.run("config", "set", "acl.style", "pattern", expect=6)


def test_settings_that_were_sealed_are_in_a_backup(state: State, tmp_path: Path) -> None:
    state.run("config", "set", "cert_validity_days", "700")
    state.run("backup", tmp_path / "b.zip")
    restored = State(tmp_path / "restored", state.passphrase_file)
    crl = state.path / "certs" / "crl.pem"
    restored.run("restore", tmp_path / "b.zip", "--crl", crl)
    assert setting(restored, "cert_validity_days") == (700, "sealed")
    assert check(restored) == "ok"


def test_a_reload_that_is_not_configured_is_refused_before_anything_is_signed(state: State) -> None:
    before = state.snapshot()
    assert "no way to reload" in state.run("gen-crl", "--reload", expect=2).stderr
    assert state.snapshot() == before


def test_a_file_that_a_killed_command_did_not_write_is_written_by_the_next_one(state: State) -> None:
    state.run("config", "set", "acl.style", "pattern")
    path = state.path / "iotonboard.toml"
    old = path.read_bytes()
    state.run("config", "set", "key_type", "ec-p384")
    path.write_bytes(old)  # as if it had been killed between its COMMIT and its file
    assert "not followed" not in state.run("sync-acl").stderr
    assert "ec-p384" in path.read_text()
    assert check(state) == "ok"
