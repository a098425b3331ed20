"""Hand edits that give access or un-revoke: nothing is signed on them, and no revocation waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.in_process import call
from support.program import State
from support.tampering import EDITS, denied, edit, found, listed, permitted, rules, serials_of, serials_on_list

OVERLAPS = ("overlap added", "overlap without an end", "overlap longer", "overlap deleted")
# What would un-revoke, or keep a certificate valid: no list is signed on it.
UNREVOKING = (
    "revocation deleted", "revocation deleted before it was signed", "revocation moved",
    "revocation on another CA's list", "revocation that waits dated later", "hold deleted", "release appended",
    "revoked certificate expired", "entry of a list", "foreign revocation deleted", "foreign revocation changed",
    "foreign revocation of another CA", "number of a list", "begin of a list",
    "octets of an earlier list for the last", "octets of the last list gone", "tail cut off", "trail emptied",
    *OVERLAPS,
)  # fmt: skip
TOPICS = ("topic added", "topic changed", "topic with more access", "topic of another device", "topic deleted")
# What would have the ACL deny another name than that of the certificate that was revoked.
NAMES = (
    "revoked device renamed", "revoked device renamed to a letter", "revoked device named in other letters",
    "revoked device's name for a valid one", "revoked device deleted", "revoked certificate deleted",
    "revoked certificate given away", "revoked certificate of a broker", "valid certificate for a revoked device",
    "certificate added to a revoked device", "octets of a revoked certificate swapped",
    "devices of certificates swapped", "octets and devices of certificates swapped",
)  # fmt: skip
# What the certificates themselves tell, so that a repair puts it back.
NAMED_AGAIN = (
    *(name for name in NAMES if "deleted" not in name and "added" not in name), "device renamed",
    "names of devices swapped", "device no longer retired",
)  # fmt: skip
# Of these the rows themselves still deny the right one.
DENIED_ALL_THE_SAME = ("octets of a revoked certificate swapped",)
# What hides a certificate from who revokes its device.
HIDING = (
    "serial", "certificate expires earlier", "device renamed", "certificate deleted", "device deleted",
    "certificate given away", "issuer of a certificate", "octets of a certificate", "certificate of a neighbour",
)  # fmt: skip
# What a device that is registered, or registered again, would get.
REGISTERED = {
    "device no longer retired": "gone",
    "device renamed": "b",
    "device deleted": "b",
    "sealed settings changed": "new",
    "sealed settings deleted": "new",
    "seal of the settings": "new",
    "vault": "new",
}


@pytest.mark.parametrize("command", ["gen-crl", "pack"])
@pytest.mark.parametrize("name", UNREVOKING)
def test_what_would_unrevoke_is_not_signed(plant: State, tmp_path: Path, name: str, command: str) -> None:
    edit(plant, EDITS[name][0])
    before = plant.crl.read_bytes()
    words = ("--out", str(tmp_path / "package")) if command == "pack" else ()
    refused = call(plant, command, *words)
    assert (refused.exit_code, "health --deep" in refused.stderr) == (4, True), refused
    assert plant.crl.read_bytes() == before
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("name", [*UNREVOKING, *TOPICS])
def test_a_revocation_goes_on_and_brings_back_what_was_taken(plant: State, name: str) -> None:
    serials = {serials_of(plant, name)[0] for name in ("c", "a", "own", "held")}
    edit(plant, EDITS[name][0])
    done = call(plant, "revoke", "c")
    assert done.exit_code == (8 if name in {*TOPICS, "tail cut off", "trail emptied"} else 0), done
    assert serials <= listed(plant)


@pytest.mark.parametrize("name", HIDING)
def test_what_was_issued_to_a_device_is_revoked_with_it(plant: State, name: str) -> None:
    (serial,) = serials_of(plant, "b")
    edit(plant, EDITS[name][0])
    done = call(plant, "revoke", "b", "--json")
    assert (done.exit_code, serial in done.json["serials"], serial in listed(plant)) == (0, True, True)


@pytest.mark.parametrize("name", ["device renamed", "certificate given away"])
def test_a_certificate_is_listed_once_whoever_is_revoked_for_it(plant: State, name: str) -> None:
    (serial,) = serials_of(plant, "b")
    edit(plant, EDITS[name][0])
    call(plant, "revoke", "b")
    call(plant, "revoke", "evil" if name == "device renamed" else "c")
    assert [each for each in serials_on_list(plant) if each == serial] == [serial]


@pytest.mark.parametrize("name", TOPICS)
def test_the_acl_has_the_topics_that_were_recorded(plant: State, tmp_path: Path, name: str) -> None:
    before = rules(plant)
    edit(plant, EDITS[name][0])
    package = ("pack", "--out", str(tmp_path / "package"))
    for words in (("sync-acl",), ("register", "new"), package):
        done = call(plant, *words)
        assert (done.exit_code, "somebody changed the topic rules" in done.stderr) == (8, True), done
    assert before <= rules(plant)
    assert not any(rule.endswith(" #") for rule in rules(plant))


@pytest.mark.parametrize("name", NAMES)
def test_who_was_revoked_is_denied_by_the_name_of_the_certificate(plant: State, tmp_path: Path, name: str) -> None:
    plant.run("config", "set", "acl.style", "pattern")
    edit(plant, EDITS[name][0])
    package = ("pack", "--out", str(tmp_path / "package"))
    for words in (("gen-crl",), ("sync-acl",), package):
        done = call(plant, *words)
        assert (done.exit_code, "whose certificates these are" in done.stderr, "'own'" in done.stderr) == (
            8, True, True
        ), done  # fmt: skip
        assert {"own", "held"} <= denied(plant)
    by_rows = {"c"} if "devices of certificates" in name else {"evil", "x", "OWN"}
    assert denied(plant) <= {"own", "held", "a", "gone"} | by_rows


@pytest.mark.parametrize("name", NAMES)
def test_a_revoked_name_gets_no_topics(plant: State, name: str) -> None:
    edit(plant, EDITS[name][0])
    assert call(plant, "sync-acl").exit_code == 8
    for words in (("register", "new"), ("sync-acl",)):
        assert call(plant, *words).exit_code == (0 if words[0] == "register" and name in DENIED_ALL_THE_SAME else 8)
        assert "own" not in permitted(plant)
    assert {"b", "new"} <= permitted(plant)


@pytest.mark.parametrize("name", NAMES)
def test_a_revocation_goes_on_where_names_were_changed(plant: State, name: str) -> None:
    serials = serials_of(plant, "b")
    edit(plant, EDITS[name][0])
    done = call(plant, "revoke", "b")
    assert (done.exit_code, set(serials) <= listed(plant)) == (0 if name in DENIED_ALL_THE_SAME else 8, True), done
    assert not {"own", "b"} & permitted(plant)


def test_a_valid_device_that_was_renamed_is_told(plant: State, tmp_path: Path) -> None:
    edit(plant, "UPDATE device SET device_id = 'evil' WHERE device_id = 'c'")
    for words in (("gen-crl",), ("sync-acl",), ("pack", "--out", str(tmp_path / "package")), ("health",)):
        done = call(plant, *words)
        assert (done.exit_code, "'c', 'evil'" in done.stderr + done.stdout) == (9 if words == ("health",) else 8, True)
    assert call(plant, "revoke", "c").exit_code == 0


def test_topic_rules_do_not_go_to_another_device(plant: State) -> None:
    edit(plant, EDITS["names of devices swapped"][0])
    done = call(plant, "sync-acl")
    assert (done.exit_code, "whose certificates these are: 'c'" in done.stderr) == (8, True), done
    assert not any("line/1" in rule for rule in rules(plant))


_TRAIL_ROW = (
    "INSERT INTO audit VALUES ((SELECT max(seq) + 1 FROM audit), 1, 'x', 'x', 'x', 'rows', '', '{}', zeroblob(32))"
)
# Rows that no version writes, beside those that are there.
PLANTED = {
    "digests of no digests": _TRAIL_ROW.format('{"rows":{"setting":{"a":5},"topic":{"1 read x":[]}}}'),
    "digests of no rows": _TRAIL_ROW.format('{"rows":{"topic":{"x":"y"},"overlap":{"x":"y"}}}'),
    "digests of no tables": _TRAIL_ROW.format('{"rows":{"topic":"x","setting":["y"]}}'),
    "revocation of no certificate": """INSERT INTO revocation
        (certificate, issuer, revocation_date, reason, not_after, entry_der)
        VALUES (999, 1, 1, 'superseded', 4000000000, x'3000000000000000')""",
    "database elsewhere": "INSERT INTO setting VALUES ('database_url', '\"sqlite:////no/such/disk.db\"')",
    "setting of no version": "INSERT INTO setting VALUES ('x', '{}')",
    "place elsewhere": "INSERT INTO place VALUES ('crl', '/no/such/disk/crl.pem', 900)",
}


@pytest.mark.parametrize("name", PLANTED)
def test_no_row_that_somebody_adds_stops_a_revocation(plant: State, name: str) -> None:
    serials = serials_of(plant, "c")
    edit(plant, PLANTED[name])
    done = call(plant, "revoke", "c")
    assert (done.exit_code, set(serials) <= listed(plant)) == (0, True), done
    assert "c" not in permitted(plant)
    plant.run("health", "--repair", expect=(0, 9))


@pytest.mark.parametrize("name", REGISTERED)
def test_no_certificate_is_issued_on_an_edited_row(plant: State, name: str) -> None:
    edit(plant, EDITS[name][0])
    assert call(plant, "register", REGISTERED[name], "--if-exists", "reissue").exit_code in {3, 4, 7}


@pytest.mark.parametrize(
    "name", ["signed head deleted", "signed head replaced", "signed head moved", "trail rewritten", "release appended",
             "repair appended"]
)  # fmt: skip
def test_the_next_seal_covers_up_nothing(plant: State, name: str) -> None:
    edit(plant, EDITS[name][0])
    plant.run("config", "set", "cert_validity_days", "400")
    assert any("the seal before it was broken" in one for one in found(plant)), found(plant)
    if name == "release appended":
        assert call(plant, "gen-crl").exit_code == 4


@pytest.mark.parametrize("name", [*TOPICS, *OVERLAPS, *NAMED_AGAIN])
def test_a_repair_puts_back_what_the_trail_tells(plant: State, name: str) -> None:
    edit(plant, EDITS[name][0])
    plant.run("health", "--repair")
    assert found(plant) == []
    plant.run("gen-crl")
    plant.run("sync-acl")


def test_a_repair_settles_what_broke_a_seal(plant: State) -> None:
    edit(plant, EDITS["signed head deleted"][0])
    plant.run("health", "--repair")
    assert found(plant) == []


def test_a_device_may_be_called_as_a_broker_or_a_ca(plant: State) -> None:
    plant.register("ca", "broker.test")
