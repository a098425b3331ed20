"""Handing over and forgetting: deliveries, receipts, purges, passwords and bundles, as a person meets them."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from support.program import State, run_cli


def secrets_of(state: State, device_id: str) -> list[bytes]:
    """The octets that must be gone after a purge: encrypted key, salt, and the bundle's ciphertext."""
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        rows = connection.execute(
            "SELECT key_der, salt FROM certificate c JOIN device d ON d.id = c.device WHERE d.device_id = ?",
            (device_id,),
        ).fetchall()
    found = [octets for row in rows for octets in row]
    for path in state.device(device_id).glob("creds.zip"):
        found.append(path.read_bytes()[60:160])
    return [octets[-40:] for octets in found]


def holders(folder: Path, needle: bytes) -> list[str]:
    """Files below a folder that hold some octets, as they are or as PEM."""
    return [
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()
    ]


# -- deliver -------------------------------------------------------------------------------------------------------


def test_a_delivery_is_a_private_copy_behind_a_link(state: State) -> None:
    state.register("press-1")
    answer = state.json("deliver", "press-1", "--minutes", "5", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    path = Path(answer["path"])
    assert url2pathname(urlparse(answer["link"]).path) == str(path)
    assert len(path.parent.name) == 32
    assert path.parent.parent == state.path / "outbox"
    assert path.read_bytes() == (state.device("press-1") / "creds.zip").read_bytes()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == answer["sha256"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert state.json("deliveries")["status"] == "pending"
    (shown,) = state.json("show", "press-1")["deliveries"]
    assert shown["path"] == str(path)


def test_a_delivery_without_a_bundle_makes_it(state: State) -> None:
    state.register("press-1", env=None)
    os.unlink(state.device("press-1") / "creds.zip")
    state.run("deliver", "press-1", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=7)
    assert Path(state.json("deliver", "press-1")["path"]).exists()


@pytest.mark.parametrize("command", [("list",), ("show", "press-1"), ("register", "press-2"), ("deliveries",)])
def test_every_command_sweeps_what_expired(state: State, command: tuple[str, ...]) -> None:
    state.register("press-1")
    path = Path(state.json("deliver", "press-1")["path"])
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        connection.execute("UPDATE delivery SET expires_at = created_at - 1")
        connection.commit()
    state.run(*command)
    assert not path.exists()
    assert not path.parent.exists()
    assert state.json("deliveries")["status"] == "expired"


def test_a_file_that_left_the_outbox_in_time_was_fetched(state: State) -> None:
    state.register("press-1")
    os.unlink(state.json("deliver", "press-1")["path"])
    state.register("press-2")
    assert state.json("deliveries", "--status", "fetched")["device_id"] == "press-1"


def test_a_copy_is_read_back_and_recorded_and_can_be_repeated(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    (disk := tmp_path / "disk").mkdir()
    first = state.json("deliver", "press-1", "--to", disk)
    assert hashlib.sha256((disk / "press-1.zip").read_bytes()).hexdigest() == first["sha256"]
    assert state.json("deliver", "press-1", "--to", disk)["sha256"] == first["sha256"]
    assert [one["status"] for one in state.run("deliveries", "--json").json_lines] == ["copied"]
    (disk / "press-1.zip").write_bytes(b"other")
    before = state.snapshot()
    state.run("deliver", "press-1", "--to", disk, expect=4)
    assert (disk / "press-1.zip").read_bytes() == b"other"
    assert state.snapshot() == before


def test_a_link_in_the_way_of_a_copy_is_refused(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    (disk := tmp_path / "disk").mkdir()
    (disk / "press-1.zip").symlink_to(tmp_path / "elsewhere")
    state.run("deliver", "press-1", "--to", disk, expect=4)
    assert not (tmp_path / "elsewhere").exists()
    assert state.run("deliveries", "--json").json_lines == []


@pytest.mark.parametrize("words", [(), ("--to", "disk")])
@pytest.mark.parametrize("made", ["at register", "later"])
def test_another_bundle_than_was_made_is_not_delivered(
    state: State, tmp_path: Path, words: tuple[str, ...], made: str
) -> None:
    """Whoever can write in a device's folder has no device take another one's bundle, nor an altered one."""
    state.register("press-1", "press-2")
    bundle, other = (state.device(name) / "creds.zip" for name in ("press-1", "press-2"))
    if made == "later":
        bundle.unlink()
        state.run("deliver", "press-1")
    right, disk = bundle.read_bytes(), tmp_path / "disk"
    disk.mkdir()
    handed = len(state.run("deliveries", "--json").json_lines)
    for wrong in (other.read_bytes(), right[:-1], right + b"x"):
        bundle.write_bytes(wrong)
        said = state.run("deliver", "press-1", *words, cwd=tmp_path, expect=7).stderr
        assert f"'{bundle}' is not the bundle that was made for 'press-1'" in said
        assert list(disk.iterdir()) == []
        assert len(state.run("deliveries", "--json").json_lines) == handed
    assert "not the one that was made" in state.run("health", "--deep", expect=9).stdout
    state.run("health", "--repair")
    state.run("deliver", "press-1", *words, cwd=tmp_path)
    state.run("health", "--deep")


def test_a_bundle_that_nobody_made_is_not_delivered(state: State) -> None:
    state.register("press-1")
    state.run("register", "press-2", "--no-bundle")
    planted = state.device("press-2") / "creds.zip"
    planted.write_bytes((state.device("press-1") / "creds.zip").read_bytes())
    state.run("deliver", "press-2", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=7)
    answer = state.json("deliver", "press-2")
    assert (
        Path(answer["path"]).read_bytes()
        == planted.read_bytes()
        != (state.device("press-1") / "creds.zip").read_bytes()
    )


def test_a_bundle_that_was_exchanged_in_the_outbox_is_told_and_put_back(state: State) -> None:
    state.register("press-1", "press-2")
    path = Path(state.json("deliver", "press-1")["path"])
    right = path.read_bytes()
    path.write_bytes((state.device("press-2") / "creds.zip").read_bytes())
    assert state.json("deliveries")["status"] == "exchanged"
    assert str(path) in state.run("health", "--deep", expect=9).stdout
    state.run("health", "--repair")
    assert path.read_bytes() == right
    assert state.json("deliveries")["status"] == "pending"


def test_folders_that_no_record_explains_are_cleared(state: State) -> None:
    stranger = state.path / "outbox" / ("0" * 32)
    stranger.mkdir(parents=True)
    (stranger / "creds.zip").write_bytes(b"old")
    (state.path / "outbox" / "notes").mkdir()
    state.register("press-1")
    assert not stranger.exists()
    assert (state.path / "outbox" / "notes").exists()


# -- confirm -------------------------------------------------------------------------------------------------------


def test_confirm_takes_the_fingerprint_and_ends_the_delivery(state: State) -> None:
    (made,) = state.register("press-1")
    path = Path(state.json("deliver", "press-1")["path"])
    with_colons = ":".join(made["fingerprint"][at : at + 2].upper() for at in range(0, 64, 2))
    answer = state.json("confirm", "press-1", "--fingerprint", with_colons)
    assert answer["serial"] == made["serial"]
    assert not path.exists()
    assert state.json("deliveries")["status"] == "fetched"
    assert state.json("confirm", "press-1")["confirmed_at"] == answer["confirmed_at"]
    assert state.json("show", "press-1")["certificates"][0]["confirmed_at"] == answer["confirmed_at"]


def test_a_proof_that_comes_later_leaves_the_time_of_the_first_receipt(state: State) -> None:
    (made,) = state.register("press-1")
    state.run("confirm", "press-1")
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("UPDATE receipt SET confirmed_at = confirmed_at - 86400")
    first = state.json("show", "press-1")["certificates"][0]["confirmed_at"]
    result = state.run("confirm", "press-1", "--fingerprint", made["fingerprint"])
    assert result.stdout == f"press-1\twas confirmed before, and is proved now\t{first}\n"
    assert state.run("confirm", "press-1").stdout == f"press-1\twas confirmed before\t{first}\n"


def test_confirm_takes_a_fingerprint_as_it_was_copied(state: State) -> None:
    (made,) = state.register("press-1")
    pairs = [made["fingerprint"][at : at + 2] for at in range(0, 64, 2)]
    for text in ("\u200e" + ":".join(pairs), " ".join(pairs), "\ufeff" + "\xa0".join(pairs) + "\u200b"):
        assert state.json("confirm", "press-1", "--fingerprint", text)["fingerprint"] == made["fingerprint"]


def test_confirm_of_another_devices_fingerprint_changes_nothing(state: State) -> None:
    _, other = state.register("press-1", "press-2")
    before = state.snapshot()
    result = state.run("confirm", "press-1", "--fingerprint", other["fingerprint"], expect=5)
    assert "hint:" in result.stderr
    state.run("confirm", "press-1", "--fingerprint", "12", expect=6)
    state.run("confirm", "press-9", expect=5)
    state.run("confirm", expect=2)
    state.run("confirm", "press-1", "press-2", "--fingerprint", "12", expect=2)
    assert state.snapshot() == before


def test_confirm_reads_a_list_and_one_bad_row_harms_no_other(state: State, tmp_path: Path) -> None:
    one, two, three = state.register("press-1", "press-2", "press-3")
    rows = (
        f"press-1,{one['fingerprint']},",
        f"press-2,{three['fingerprint']},",
        f"press-3,{three['fingerprint']},failed",
    )
    listed = tmp_path / "took.csv"
    listed.write_text("device_id,fingerprint,status\n" + "\n".join(rows) + "\n")
    result = state.run("confirm", "--batch", listed, "--json", expect=6)
    assert [row["device_id"] for row in result.json_lines] == ["press-1"]
    assert "line 3" in result.stderr
    assert two["serial"] not in result.stdout
    listed.write_text(f'{{"device_id": "press-2", "fingerprint": "{two["fingerprint"]}"}}\n')
    assert state.json("confirm", "--batch", listed)["device_id"] == "press-2"


# -- purge ---------------------------------------------------------------------------------------------------------


def test_purge_erases_every_octet_of_the_secrets(state: State, tmp_path: Path) -> None:
    names = [f"press-{number}" for number in range(60)]
    state.register(*names)
    for name in names[:3]:
        state.run("register", name, "--if-exists", "reissue")
    kept = "press-59"
    needles = {name: secrets_of(state, name) for name in names}
    for name in (names[0], names[40]):
        state.run("deliver", name)
    assert all(holders(state.path, needle) for needle in needles[names[0]])
    certificate = (state.device(names[0]) / "device.crt").read_bytes()
    answers = state.run("purge", *names[:-1], "--json").json_lines
    assert len(answers) == 59
    for name in names[:-1]:
        for needle in needles[name]:
            assert holders(state.path, needle) == [], name
        assert sorted(path.name for path in state.device(name).iterdir()) == ["device.crt"]
    assert all(holders(state.path, needle) for needle in needles[kept])
    assert (state.device(names[0]) / "device.crt").read_bytes() == certificate
    assert state.json("bundle", "password", kept)["bundle_password"]
    assert state.json("health")["status"] == "ok"


def test_a_purged_device_says_so_everywhere(state: State) -> None:
    state.register("press-1")
    answer = state.json("purge", "press-1", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    for command in (("bundle", "password"), ("export",), ("export", "--format", "pem"), ("deliver",)):
        result = state.run(*command, "press-1", expect=5)
        assert f"purged on {answer['purged_at']}" in result.stderr
        assert "--if-exists reissue" in result.stderr
    assert state.json("purge", "press-1")["serials"] == []
    assert state.json("show", "press-1")["certificates"][0]["purged_at"] == answer["purged_at"]
    state.run("register", "press-1", "--if-exists", "reissue")
    assert state.json("bundle", "password", "press-1")["bundle_password"]


def test_purge_of_an_unknown_device_erases_nothing(state: State) -> None:
    state.register("press-1")
    before = state.snapshot()
    state.run("purge", "press-1", "press-9", expect=5)
    state.run("purge", expect=2)
    assert state.run("purge", "--older-than", "1", "--json").json_lines == []
    assert state.snapshot() == before


def test_purge_by_age(state: State) -> None:
    state.register("press-1", "press-2")
    answers = state.run("purge", "--older-than", "0", "--json").json_lines
    assert [one["device_id"] for one in answers] == ["press-1", "press-2"]


def test_the_policy_until_confirmed_purges_by_itself(state: State) -> None:
    made = state.register("press-1", "press-2")
    state.run("confirm", "press-1")
    state.run("config", "set", "keep_keys", "until-confirmed")
    state.run("confirm", "press-2", "--fingerprint", made[1]["fingerprint"])
    for name in ("press-1", "press-2"):
        assert state.json("show", name)["certificates"][0]["purged_at"]
        assert not (state.device(name) / "creds.zip").exists()


def test_the_policy_of_days_purges_by_itself(state: State) -> None:
    state.register("press-1", "press-2")
    state.run("config", "set", "keep_keys", "days:30")
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        connection.execute("UPDATE certificate SET created_at = created_at - 31 * 86400 WHERE id = 1")
        connection.commit()
    state.register("press-3")
    assert state.json("show", "press-1")["certificates"][0]["purged_at"]
    assert state.json("show", "press-2")["certificates"][0]["purged_at"] is None
    state.run("config", "set", "keep_keys", "days:0", expect=6)


# -- bundle password and bundle open ---------------------------------------------------------------------------------


def test_password_shows_it_again_and_leaves_a_row(state: State) -> None:
    (made,) = state.register("press-1")
    assert state.json("bundle", "password", "press-1")["bundle_password"] == made["bundle_password"]
    state.run("bundle", "password", "press-1", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=7)
    state.run("bundle", "password", "press-9", expect=5)
    shown = [row for row in state.run("audit", "show", "--all", "--json").json_lines if row.get("subject") == "press-1"]
    assert any("password" in str(row.get("detail")) for row in shown)
    assert made["bundle_password"] not in str(shown)


def test_open_bundle_needs_no_state(state: State, tmp_path: Path) -> None:
    (made,) = state.register("press-1")
    words = ("bundle", "open", made["bundle"], "--out", tmp_path / "out")
    password = {"IOTONBOARD_BUNDLE_PASSWORD": made["bundle_password"]}
    run_cli(*words, env=password)
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == dict.fromkeys(
        ("ca.crt", "device.crt", "device.key", "manifest.json"), 0o600
    )
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    run_cli(*words, env=password, expect=4)
    run_cli(*words, "--force", "--password-file", "-", input=made["bundle_password"] + "\n")
    run_cli("bundle", "open", made["bundle"], "--out", tmp_path / "other", expect=7)
    wrong = {"IOTONBOARD_BUNDLE_PASSWORD": "wrong"}
    run_cli("bundle", "open", made["bundle"], "--out", tmp_path / "other", env=wrong, expect=7)
    run_cli("bundle", "open", state.ca_cert, "--out", tmp_path / "other", env=password, expect=6)
    assert not (tmp_path / "other").exists()


# -- export of a list ------------------------------------------------------------------------------------------------


def test_export_of_a_list_goes_on_past_bad_rows_and_overwrites_nothing(state: State, tmp_path: Path) -> None:
    state.register("press-1", "press-2")
    (listed := tmp_path / "list").write_text("press-1\n../evil\npress-9\npress-2\n")
    words = ("export", "--batch", listed, "--format", "esp-nvs", "--out", tmp_path / "out", "--json")
    result = state.run(*words, expect=6)
    failed = [one["line"] for one in result.json_lines if one.get("status") == "failed"]
    assert failed == [2, 3]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["press-1.csv", "press-2.csv"]
    assert not (tmp_path / "evil").exists()
    state.run(*words, expect=6)
    state.run("export", "--batch", listed, expect=2)
    state.run("export", expect=2)
