"""The few settings of an office: shown with where they came from, never with a password, and checked."""

from __future__ import annotations

from pathlib import Path

from support.offices import Office, make_office


def test_settings_are_shown_and_set(office: Office, tmp_path: Path) -> None:
    shown = office.json("config", "show")["settings"]
    assert shown["broker_acl_file"] == {"value": "mosquitto.acl", "source": "default"}
    office.run("config", "set", "broker_acl_file", tmp_path / "mosquitto.acl")
    shown = office.json("config", "show")["settings"]
    assert shown["broker_acl_file"] == {"value": str(tmp_path / "mosquitto.acl"), "source": "file"}
    assert (office.path / "iotonboard.toml").stat().st_mode & 0o777 == 0o600
    assert office.run("audit", "show", "--json").json_lines[-1]["detail"]["setting"] == "broker_acl_file"
    assert "did you mean 'archive'" in office.run("config", "set", "archiv", "x", expect=2).stderr
    assert "it is 2.0 or 2.1" in office.run("config", "set", "broker_version", "1.6", expect=6).stderr
    assert "there is no folder" in office.run("config", "set", "archive", "/nowhere/at/all", expect=6).stderr


def test_no_password_is_shown(tmp_path: Path) -> None:
    office = Office(
        make_office(tmp_path).path, tmp_path / "office.pass", "postgresql://me:secret@host/plant?sslpassword=secret"
    )
    shown = office.run("config", "show")
    assert "postgresql://me@host/plant?sslpassword=...\tDATABASE_URL" in shown.stdout
    assert "secret" not in shown.stdout + shown.stderr


def test_another_offices_registry_is_not_named(office: Office, tmp_path: Path) -> None:
    other = make_office(tmp_path / "other")
    local = Office(office.path, office.passphrase_file)
    url = f"sqlite:///{other.path}/devices.db"
    assert "is another office's registry" in local.run("config", "set", "database_url", url, expect=4).stderr
