"""What an office gives out: the devices of all stations, as their journals tell it and whatever its registry says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.broker.acl import Acl, parse_acl
from iotonboard.pki.pem import pem_blocks
from iotonboard.store.registry.registry import Registry

from support.faults import KILLED, die_at
from support.offices import Office, journal, make_office, trust
from support.plants import Plant, build
from support.program import State, make_state


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """Three stations, each with two devices; the first has one that is revoked, and one on hold beside."""
    made = {}
    for name in "abc":
        state = make_state(tmp_path_factory.mktemp(name), "--common-name", f"Station {name.upper()}")
        state.register(f"{name}-1", f"{name}-2")
        made[name] = state
    made["a"].register("a-3", "a-4")
    made["a"].run("revoke", "a-3")
    made["a"].run("revoke", "a-4", "--reason", "hold")
    return made


@pytest.fixture
def plant(tmp_path: Path, pristine: dict[str, State]) -> Plant:
    """Two of them at an office whose registry lies in its folder."""
    return build(make_office(tmp_path / "hq"), pristine, tmp_path, "a", "b")


def let_in(acl: Acl, *names: str) -> set[str]:
    return {name for name in names if acl.allows(name, name, "write", f"devices/{name}/x")}


def lists_in(path: Path) -> Iterator[x509.CertificateRevocationList]:
    return (x509.load_der_x509_crl(der) for der in pem_blocks("X509 CRL", path.read_bytes()))


def test_an_offices_files_are_over_all_stations(office: Office, pristine: dict[str, State], tmp_path: Path) -> None:
    """In both engines; and whoever edits rows by hand changes nothing of what goes out."""
    plant = build(office, pristine, tmp_path, "a", "b", "c")
    said = office.json("sync-acl")
    assert (said["devices"], said["revoked"], said["changed"], said["style"]) == (8, 2, True, "per-device")
    assert office.json("sync-acl")["changed"] is False
    assert office.run("sync-acl", "--check", expect=0).stdout.split("\t")[1] == "is current"
    lists = office.json("gen-crl")
    assert [(one["station"], one["revoked"]) for one in lists["lists"]] == [("a", 2), ("b", 0), ("c", 0)]
    acl = parse_acl((office.path / "mosquitto.acl").read_bytes())
    assert let_in(acl, "a-1", "a-2", "a-3", "a-4", "b-1", "c-2") == {"a-1", "a-2", "b-1", "c-2"}
    assert sorted(len(one) for one in lists_in(office.path / "certs/crl.pem")) == [0, 0, 2]
    before = plant.files()
    (office.path / "derived.db").unlink()
    plant.edit(
        "DELETE FROM revocation",
        "UPDATE device SET device_id = 'thief', folded = 'thief' WHERE device_id = 'a-1'",
        "UPDATE crl SET der = NULL",
        "INSERT INTO certificate (station, id, serial, issuer, device, host, not_before, not_after, fingerprint,"
        " profile, created_at) SELECT station, 99, serial, issuer, device, host, not_before, not_after, fingerprint,"
        " profile, created_at FROM certificate WHERE station = 1 AND id = 1",
        "UPDATE station SET until_row = 0",
    )
    assert office.json("sync-acl")["changed"] is False
    made = office.json("pack", "--out", tmp_path / "package")
    assert plant.files() == before
    assert made["files"]["mosquitto.acl"] == sha256(before["mosquitto.acl"]).hexdigest()


def test_what_was_derived_is_made_anew_where_somebody_changed_it(plant: Plant) -> None:
    plant.sync()
    before = plant.files()
    derived = plant.office.path / "derived.db"
    registry = Registry.open(f"sqlite:///{derived}", timeout_s=5)
    registry.execute("DELETE FROM revocation")
    registry.close()
    plant.office.run("sync-acl")
    assert plant.files() == before
    derived.write_bytes(b"nothing of the kind")
    plant.office.run("sync-acl")
    assert plant.files() == before
    shutil.copy(plant.office.path / "devices.db", derived)
    (plant.office.path / "derived.json").unlink()
    plant.office.run("gen-crl")
    assert plant.files() == before


def test_the_key_is_asked_for_only_where_a_journal_was_taken_since(plant: Plant) -> None:
    nobody = {"IOTONBOARD_PASSPHRASE_FILE": None}
    assert "passphrase" in plant.office.run("sync-acl", env=nobody, expect=7).stderr
    plant.sync()
    plant.office.run("sync-acl", env=nobody)
    plant.office.run("gen-crl", env=nobody)
    plant.stations["b"].run("revoke", "b-1")
    plant.take("b")
    plant.office.run("sync-acl", env=nobody, expect=7)
    assert let_in(plant.sync(), "b-1", "b-2") == {"b-2"}


def test_a_journal_that_is_gone_or_changed_is_named_and_a_full_one_mends_it(plant: Plant) -> None:
    plant.sync()
    before = plant.files()
    plant.stations["b"].run("revoke", "b-1")
    plant.take("b")
    plant.edit("UPDATE journal_part SET octets = x'00' WHERE station = 2 AND number = 2 AND name = 'revocation'")
    told = plant.office.run("sync-acl", expect=3).stderr
    assert "journal 2 of 'b' is gone from the registry, or was changed there" in told
    assert plant.files() == before
    (plant.office.path / "derived.db").unlink()
    plant.edit("DELETE FROM journal_part WHERE station = 2", "DELETE FROM journal WHERE station = 2")
    assert "--full" in plant.office.run("pack", "--out", plant.folder / "p", expect=3).stderr
    plant.stations["b"].register("b-3")
    full = plant.folder / "full.journal"
    journal(plant.stations["b"], full)
    plant.office.run("station", "take", full)
    assert let_in(plant.sync(), "a-1", "b-1", "b-2", "b-3") == {"a-1", "b-2", "b-3"}


def test_one_id_at_two_stations_is_denied_until_one_is_revoked(plant: Plant) -> None:
    plant.stations["b"].register("A-1", "A-2")
    plant.take("b")
    said = plant.office.run("sync-acl", "--json")
    assert said.json["conflicts"] == ["A-1", "A-2", "a-1", "a-2"]
    assert "lives at several stations and is denied" in said.stderr
    acl = plant.sync()
    assert let_in(acl, "a-1", "A-1", "a-2", "A-2", "b-1") == {"b-1"}
    assert all(acl.users[name][0].access == "deny" for name in ("a-1", "A-1"))
    plant.stations["b"].run("revoke", "A-1")
    plant.stations["a"].run("revoke", "a-2")
    plant.take()
    assert let_in(plant.sync(), "a-1", "A-1", "a-2", "A-2") == {"a-1", "A-2"}


def test_the_same_id_at_two_stations_follows_the_one_where_it_lives(plant: Plant) -> None:
    plant.stations["b"].register("a-3")  # which is revoked at the other one
    plant.take("b")
    assert let_in(plant.sync(), "a-3") == {"a-3"}
    plant.stations["b"].run("revoke", "a-3")
    plant.take("b")
    assert let_in(plant.sync(), "a-3") == set()


def test_what_the_office_ordered_is_denied_at_once_and_without_a_key(plant: Plant) -> None:
    plant.sync()
    nobody = {"IOTONBOARD_PASSPHRASE_FILE": None}
    told = plant.office.run("revoke", "a-1", "--reason", "keyCompromise", "--json", env=nobody, expect=8)
    assert [one["what"] for one in told.json["unpublished"]] == ["crl"]
    acl = parse_acl((plant.office.path / "mosquitto.acl").read_bytes())
    assert let_in(acl, "a-1", "a-2", "b-1") == {"a-2", "b-1"}
    assert [rule.topic for rule in acl.users["a-1"]] == ["#", "$SYS/#"]
    assert plant.office.json("sync-acl", env=nobody)["changed"] is False
    plant.stations["a"].register("a-9")
    plant.take("a")  # so that the key is needed to make the file anew
    plant.office.run("revoke", "b-1", env=nobody, expect=8)
    acl = parse_acl((plant.office.path / "mosquitto.acl").read_bytes())
    assert let_in(acl, "a-1", "a-2", "a-9", "b-1") == {"a-2"}
    assert let_in(plant.sync(), "a-1", "a-2", "a-9", "b-1") == {"a-2", "a-9"}
    (plant.office.path / "mosquitto.acl").write_text("user broken\ntopic\n")
    told = plant.office.run("revoke", "a-2", "--json", expect=8)
    assert [one["what"] for one in told.json["unpublished"]] == ["crl", "acl"]


def test_an_order_denies_the_name_of_its_certificate_whatever_somebody_calls_it(plant: Plant) -> None:
    serial = plant.stations["b"].json("show", "b-1")["certificates"][0]["serial"]
    plant.edit("UPDATE device SET device_id = 'x-1', folded = 'x-1' WHERE device_id = 'b-1'")
    plant.office.run("revoke", "--serial", serial, expect=8)
    assert let_in(plant.sync(), "b-1", "b-2") == {"b-2"}


def test_a_station_that_was_removed_goes_and_its_package_says_so(plant: Plant) -> None:
    plant.sync()
    plant.office.run("station", "remove", "b", "--yes")
    assert let_in(plant.sync(), "a-1", "b-1", "b-2") == {"a-1"}
    plant.office.run("gen-crl")
    (ca,) = pem_blocks("CERTIFICATE", (plant.office.path / "certs/ca.crt").read_bytes())
    assert x509.load_der_x509_certificate(ca).subject.rfc4514_string() == "CN=Station A"
    assert len(list(lists_in(plant.office.path / "certs/crl.pem"))) == 1


def test_stations_keep_their_topics_and_patterns_are_for_those_that_agree(plant: Plant) -> None:
    for name in "ab":
        plant.stations[name].run("config", "set", "acl.style", "pattern")
    plant.stations["a"].run("topics", "add", "a-2", "read:news/a")
    plant.take()
    said = plant.office.json("sync-acl")
    assert said["style"] == "pattern"
    acl = plant.sync()
    assert let_in(acl, "a-1", "a-3", "a-4", "b-1") == {"a-1", "b-1"}
    assert acl.allows("a-2", "a-2", "read", "news/a")
    assert len(acl.patterns) == 1
    plant.office.run("station", "remove", "b", "--yes")
    assert let_in(plant.sync(), "a-1", "b-1", "b-2") == {"a-1"}
    plant.stations["a"].run("config", "set", "acl.topics", "readwrite:plant/{device_id}/#")
    trust(plant.office, plant.stations["b"], "b")
    plant.take("a")
    full = plant.folder / "full.journal"
    journal(plant.stations["b"], full)
    plant.office.run("station", "take", full)
    acl = plant.sync()
    assert not acl.patterns
    assert acl.allows("a-1", "a-1", "write", "plant/a-1/x")
    assert not acl.allows("a-1", "a-1", "write", "devices/a-1/x")
    assert let_in(acl, "b-1", "b-2") == {"b-1", "b-2"}
    assert "other topics than each other" in plant.office.run("sync-acl", "--style", "pattern", expect=6).stderr


def test_an_operators_own_rules_stay_around_the_region(plant: Plant) -> None:
    plant.sync()
    path = plant.office.path / "mosquitto.acl"
    rules = b"user dashboard\ntopic read #\n\n"
    path.write_bytes(rules + path.read_bytes())
    plant.stations["a"].run("revoke", "a-1")
    plant.take("a")
    acl = plant.sync()
    assert path.read_bytes().startswith(rules)
    assert let_in(acl, "a-1", "a-2") == {"a-2"}
    path.write_bytes(b"user dashboard\ntopic reed #\n" + path.read_bytes())
    plant.stations["a"].run("revoke", "a-2")
    plant.take("a")
    told = plant.office.run("pack", "--out", plant.folder / "p", "--json", expect=8)
    assert [one["what"] for one in told.json["unpublished"]] == ["acl"]
    assert "mosquitto.acl" not in told.json["files"]
    assert max(len(one) for one in lists_in(plant.office.path / "certs/crl.pem")) == 4


def test_files_elsewhere_are_not_written_into_an_empty_mount_point(plant: Plant) -> None:
    disk = plant.folder / "disk"
    disk.mkdir()
    (plant.office.path / "iotonboard.toml").write_text(f'broker_acl_file = "{disk}/mosquitto.acl"\n')
    plant.office.run("sync-acl")
    assert (disk / "mosquitto.acl").exists()
    (disk / "mosquitto.acl").rename(plant.folder / "away")
    told = plant.office.run("sync-acl", "--json", expect=8)
    assert "its disk is away" in told.json["unpublished"][0]["error"]
    assert not (disk / "mosquitto.acl").exists()
    plant.office.run("sync-acl", "--here")
    assert (disk / "mosquitto.acl").exists()


def test_what_makes_no_sense_at_an_office_is_refused(plant: Plant) -> None:
    for words in (
        ("gen-crl", "--calendar", "3"), ("gen-crl", "--next-update-days", "3"), ("gen-crl", "--reload"),
        ("sync-acl", "--reload"), ("pack", "--out", "p", "--format", "1"),
    ):  # fmt: skip
        assert "office" in plant.office.run(*words, expect=2).stderr
    empty = make_office(plant.folder / "empty")
    for words in (("gen-crl",), ("sync-acl",), ("pack", "--out", str(plant.folder / "p"))):
        assert "no station is trusted yet" in empty.run(*words, expect=6).stderr


def test_a_package_that_was_killed_is_made_by_the_next_call(plant: Plant) -> None:
    plant.sync()
    plant.stations["a"].run("revoke", "a-1")
    plant.take("a")
    ready, package = plant.folder / "ready", plant.folder / "package"
    shutil.copytree(plant.office.path, ready)
    for step in range(1, 200, 2):
        if (
            plant.office.run("pack", "--out", package, "--force", before=die_at(step), expect=(0, KILLED)).exit_code
            == 0
        ):
            break
        said = json.loads(plant.office.run("pack", "--out", package, "--force", "--json").stdout)
        assert said["stations"] == 2
        acl = parse_acl((plant.office.path / "mosquitto.acl").read_bytes())
        assert let_in(acl, "a-1", "a-2", "b-1") == {"a-2", "b-1"}
        shutil.rmtree(plant.office.path)
        shutil.copytree(ready, plant.office.path)
    assert step > 15
