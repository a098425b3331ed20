"""A new CA beside the old one, and the old one's end; openssl judges what was signed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.ca.ca_key import load_ca_key
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.ca.successor import successor_name
from iotonboard.errors import KeyUnavailableError

from support.client import open_bundle
from support.invariants import check_invariants, read_crls
from support.program import PROGRAM, State, make_state, program_environment
from support.tools import run_tool

OLD, NEW = "IoT Onboarding CA", "IoT Onboarding CA G2"


def issuer(path: Path) -> str:
    """The commonName of a certificate's issuer, as openssl reads it."""
    said = run_tool("openssl", "x509", "-in", path, "-noout", "-issuer", "-nameopt", "multiline").stdout
    return said.split("commonName")[1].split("=")[1].strip()


def certificates(path: Path) -> int:
    return len(x509.load_pem_x509_certificates(path.read_bytes()))


def openssl_accepts(state: State, certificate: Path) -> bool:
    words = ("-CAfile", state.ca_cert, "-CRLfile", state.crl, "-crl_check", certificate)
    return run_tool("openssl", "verify", *words, expect=None).returncode == 0


def numbers(state: State) -> list[int]:
    """CRL numbers, the issuing CA's first."""
    return [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in read_crls(state.crl)]


@pytest.fixture
def changing(state: State) -> State:
    """A state in the middle: two devices of the old CA, one of the new one."""
    state.register("old-1", "old-2")
    state.run("ca", "rollover", "begin")
    state.register("new-1")
    return state


def retirable(state: State) -> None:
    state.run("renew", "--old-ca", "--revoke-old", "now")


# -- the beginning ---------------------------------------------------------------------------------------------------


def test_old_devices_stay_valid_and_new_ones_are_of_the_new_ca(changing: State) -> None:
    for name in ("old-1", "old-2", "new-1"):
        assert openssl_accepts(changing, changing.device(name) / "device.crt"), name
    assert issuer(changing.device("old-1") / "device.crt") == OLD
    assert issuer(changing.device("new-1") / "device.crt") == NEW
    assert certificates(changing.ca_cert) == len(read_crls(changing.crl)) == 2
    for key in ("ca.key", "ca-2.key"):
        assert "ENCRYPTED" in (changing.certs / key).read_text()
        assert (changing.certs / key).stat().st_mode & 0o777 == 0o600
    check_invariants(changing, with_openssl=True)


def test_the_answer_and_its_repetition(state: State) -> None:
    state.register("old-1")
    first = state.json("ca", "rollover", "begin")
    assert (first["status"], first["name"], first["crl_number"]) == ("begun", NEW, 1)
    assert [one["role"] for one in first["cas"]] == ["issuing", "trusted"]
    assert [(one["valid_devices"], one["crl_number"]) for one in first["cas"]] == [(0, 1), (1, 2)]
    before = state.snapshot()
    again = state.json("ca", "rollover", "begin")
    assert again == {**first, "status": "under-way"}
    assert state.json("ca", "rollover", "begin", "--name", NEW) == again
    without = {"IOTONBOARD_PASSPHRASE_FILE": None}
    assert state.json("ca", "rollover", env=without) == again
    shown = state.json("ca", "status", env=without)
    assert [one["role"] for one in shown.pop("tree")] == ["issuing", "trusted"]
    assert shown == {**again, "command": "ca status"}
    assert "under way" in state.run("ca", "rollover", "begin", "--name", "Another CA", expect=4).stderr
    assert state.snapshot() == before
    assert state.run("audit", "verify").exit_code == 0


def test_name_type_and_life_follow_the_old_ca_or_the_options(tmp_path: Path) -> None:
    state = make_state(tmp_path, "--common-name", "Plant", "--organization", "ACME", "--key-type", "ec-p384")
    state.run("ca", "rollover", "begin")
    text = run_tool("openssl", "x509", "-in", state.ca_cert, "-noout", "-text").stdout
    assert "O = ACME, CN = Plant G2" in text
    assert "secp384r1" in text
    state.run("ca", "rollover", "--retire")
    answer = state.json(
        "ca", "rollover", "begin", "--name", "Plant of 2036", "--key-type", "ed25519", "--validity-days", "1000"
    )
    assert answer["name"] == "Plant of 2036"
    assert "ED25519" in run_tool("openssl", "x509", "-in", state.ca_cert, "-noout", "-text").stdout
    state.run("ca", "rollover", "--retire")
    assert state.json("ca", "rollover", "begin")["name"] == "Plant of 2036 G2"


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("begin", "--name", OLD), 4, "called"),
        (("begin", "--name", OLD.upper()), 4, "called"),
        (("begin", "--name", ""), 6, "common_name"),
        (("begin", "--name", "x" * 65), 6, "common_name"),
        (("begin", "--validity-days", "10"), 6, "365 days"),
        (("--retire",), 4, "one CA"),
        (("begin", "--retire"), 2, "exclude"),
        (("--retire", "--name", "x"), 2, "for a new CA"),
        (("--name", "x"), 2, "for a new CA"),
        (("begin", "--key-type", "rsa-512"), 2, "rsa-512"),
    ],
)
def test_what_is_refused_changes_nothing(state: State, words: tuple[str, ...], exit_code: int, said: str) -> None:
    before = state.snapshot()
    result = state.run("ca", "rollover", *words, expect=exit_code)
    assert said in result.stderr
    assert "hint:" in result.stderr
    assert state.snapshot() == before


def test_a_long_name_makes_room_for_the_generation_and_no_letter_is_cut_in_two() -> None:
    assert successor_name("a" * 64, {"a" * 61 + " g2"}) == "a" * 61 + " G3"
    assert successor_name("a" + "\u00fc" * 31, set()) == "a" + "\u00fc" * 30 + " G2"
    assert successor_name("Plant G9", set()) == "Plant G2"


def test_a_retired_name_is_never_given_again(state: State) -> None:
    state.run("ca", "rollover", "begin")
    state.run("ca", "rollover", "--retire")
    assert "called" in state.run("ca", "rollover", "begin", "--name", OLD, expect=4).stderr
    assert state.json("ca", "rollover", "begin")["name"] == "IoT Onboarding CA G3"


def test_a_key_of_an_interrupted_call_is_used_but_never_guessed_at(state: State, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    left = state.certs / "ca-2.key"
    left.write_bytes((make_state(tmp_path / "other").certs / "ca.key").read_bytes())
    assert "move it away" in state.run("ca", "rollover", "begin", expect=7).stderr
    left.write_bytes((state.certs / "ca.key").read_bytes())
    state.run("ca", "rollover", "begin")
    state.register("new-1")
    assert openssl_accepts(state, state.device("new-1") / "device.crt")


def test_a_ca_without_a_passphrase_stays_one(tmp_path: Path) -> None:
    state = State(tmp_path / "state", tmp_path / "none")
    without = {"IOTONBOARD_PASSPHRASE_FILE": None}
    state.run("init-ca", "--no-passphrase", env=without)
    said = state.run("ca", "rollover", "begin", env=without).stderr
    assert "not encrypted" in said
    state.run("register", "new-1", env=without)


# -- what both CAs do meanwhile --------------------------------------------------------------------------------------


def test_each_revocation_is_on_the_crl_of_its_own_ca(changing: State) -> None:
    old = changing.json("revoke", "old-1", "--reason", "certificateHold")
    new = changing.json("revoke", "new-1")
    assert (old["crl_number"], new["crl_number"]) == (3, 3)
    newest, oldest = read_crls(changing.crl)
    assert [f"{one.serial_number:X}" for one in newest] == [text.lstrip("0") for text in new["serials"]]
    assert [f"{one.serial_number:X}" for one in oldest] == [text.lstrip("0") for text in old["serials"]]
    for name, accepted in (("old-1", False), ("old-2", True), ("new-1", False)):
        assert openssl_accepts(changing, changing.device(name) / "device.crt") is accepted, name
    assert changing.json("release", "old-1")["crl_number"] == 5
    assert openssl_accepts(changing, changing.device("old-1") / "device.crt")
    assert changing.json("retire", "old-2")["crl_number"] == 6
    check_invariants(changing)


def test_numbers_go_on_apart(state: State) -> None:
    state.register("old-1")
    for _ in range(3):
        state.run("gen-crl")
    state.run("ca", "rollover", "begin")
    answer = state.json("gen-crl", "--calendar", "2", "--every", "7")
    assert (answer["crl_number"], answer["old_ca"]) == (
        2,
        [{"crl_number": 6, "revoked": 0}, {"crl_number": 7, "revoked": 0}],
    )
    assert state.json("health")["status"] == "ok"
    state.register("new-1")
    assert openssl_accepts(state, state.device("new-1") / "device.crt")
    assert state.json("revoke", "new-1")["crl_number"] == 4
    assert openssl_accepts(state, state.device("old-1") / "device.crt")
    assert not openssl_accepts(state, state.device("new-1") / "device.crt")
    assert numbers(state) == [4, 5, 8, 9]


def test_every_export_trusts_both(changing: State, tmp_path: Path) -> None:
    (bundle,) = changing.register("new-2")
    files = open_bundle(Path(bundle["bundle"]), bundle["bundle_password"])
    assert files["ca.crt"].count(b"BEGIN CERTIFICATE") == 2
    for name in ("old-1", "new-1"):
        changing.run("export", name, "--format", "pem", "--out", tmp_path / name)
        assert certificates(tmp_path / name / "ca.crt") == 2
        ca = issuer(tmp_path / name / "device.crt")
        manifest = changing.run("export", name, "--format", "json", "--out", "-").stdout
        expected = next(one for one in changing.json("ca", "status")["cas"] if one["name"] == ca)
        assert json.loads(manifest)["ca_fingerprint"] == expected["ca_fingerprint"]
    changing.run("export", "new-1", "--format", "der", "--out", tmp_path / "der")
    subjects = [
        run_tool("openssl", "x509", "-in", tmp_path / "der" / name, "-inform", "DER", "-noout", "-subject").stdout
        for name in ("ca.der", "ca2.der")
    ]
    assert [text.strip().endswith(name) for text, name in zip(subjects, (OLD, NEW), strict=True)] == [True, True]
    changing.run("export", "new-1", "--format", "p12", "--out", tmp_path / "new.p12")
    for format_name, mark in (("c-header", b"iotonboard_ca2_crt_der"), ("esp-secure-cert", b"CA_CERT_TLV,1,")):
        changing.run("export", "new-1", "--format", format_name, "--out", tmp_path / format_name)
        assert mark in (tmp_path / format_name).read_bytes()


def test_a_broker_s_certificate_is_of_the_ca_that_all_devices_know(changing: State) -> None:
    broker = changing.certs / "brokers" / "broker.test" / "broker.crt"
    answer = changing.json("broker", "issue", "broker.test")
    assert issuer(broker) == OLD
    assert answer["ca_fingerprint"] == changing.json("ca", "status")["cas"][1]["ca_fingerprint"]
    retirable(changing)
    changing.run("broker", "issue", "broker.test")
    assert issuer(broker) == NEW


def test_a_broker_s_certificate_ends_with_the_old_ca_at_the_latest(tmp_path: Path) -> None:
    state = make_state(tmp_path, "--validity-days", "400")
    state.register("old-1", "--validity-days", "100")
    state.run("ca", "rollover", "begin")
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        (end,) = database.execute("SELECT not_after FROM issuer WHERE id = 1").fetchone()
    state.run("config", "set", "cert_validity_days", "500")
    answer = state.json("broker", "issue", "broker.test")
    certificate = x509.load_pem_x509_certificate((state.certs / "brokers/broker.test/broker.crt").read_bytes())
    assert certificate.not_valid_after_utc.timestamp() <= end
    assert answer["not_after"].startswith(str(certificate.not_valid_after_utc.year))
    state.run("broker", "issue", "broker.test", "--validity-days", "500", expect=6)


def test_renew_takes_those_of_the_old_ca_only(changing: State) -> None:
    changing.run("revoke", "old-2")
    assert [one["device_id"] for one in changing.run("list", "--old-ca", "--json").json_lines] == ["old-1"]
    changing.run("list", "--old-ca", "--status", "active", expect=2)
    answers = changing.run("renew", "--old-ca", "--json").json_lines
    assert [one["device_id"] for one in answers] == ["old-1"]
    assert answers[0]["revoke_after"] is not None
    assert changing.run("renew", "--old-ca", "--json").stdout == ""
    assert changing.run("list", "--old-ca", "--json").stdout == ""
    cas = [one["ca_fingerprint"] for one in changing.json("ca", "status")["cas"]]
    assert [one["ca_fingerprint"] for one in changing.json("show", "old-1")["certificates"]] == cas
    assert changing.json("ca", "status")["cas"][1]["valid_devices"] == 1
    assert openssl_accepts(changing, changing.device("old-1") / "device.crt")
    for words in (("old-1",), ("--batch", "x.csv")):
        changing.run("renew", "--old-ca", *words, expect=2)


def test_an_old_ca_that_expired_beside_the_new_one_stops_nothing(tmp_path: Path) -> None:
    state = make_state(tmp_path, "--validity-days", "400")
    state.register("old-1")
    state.run("ca", "rollover", "begin")
    state.register("new-1", "--validity-days", "500")
    state.run("gen-crl", "--next-update-days", "450")
    later = (datetime.now(UTC) + timedelta(days=420)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = state.json("verify", "new-1", "--at", later)
    assert [(one["code"], one["status"]) for one in answer["problems"]] == [("ca-not-valid", "warning")]
    assert state.run("verify", "old-1", "--at", later, expect=9).stdout.count("refused") >= 1


def test_every_other_verb_works_with_two_cas(changing: State, tmp_path: Path) -> None:
    changing.run("revoke", "new-1")
    changing.run("deliver", "old-1")
    answer = changing.json("health")
    assert answer["status"] == "ok"
    (check,) = (one for one in answer["checks"] if one["name"] == "ca-rollover")
    assert "2 devices" in check["message"]
    assert changing.json("health", "--deep")["differences"] == []
    due = changing.run("expiring", "--within", "36500", "--json", expect=9).json_lines
    assert len({(one["kind"], one["key"]) for one in due if one["kind"] in ("ca", "crl")}) == 4
    assert changing.run("verify", "old-1", "old-2", "new-1", expect=9).stdout.count("accepted") >= 4
    report = changing.json("report", "--out", tmp_path / "report.html")
    assert report["listed"] == 1
    assert [one["is_old"] for one in report["crls"][:2]] == [True, False]
    assert "old CA 3 " in (tmp_path / "report.html").read_text()
    changing.run("audit", "verify")
    assert changing.json("list", "--status", "revoked")["device_id"] == "new-1"
    results = tmp_path / "results.csv"
    changing.run("register", "--count", "2", "--results", results)
    public = run_tool("openssl", "x509", "-in", changing.ca_cert, "-noout", "-pubkey").stdout
    (tmp_path / "ca.pub").write_text(public)
    manifest = f"{results}.manifest"
    words = ("-verify", tmp_path / "ca.pub", "-signature", f"{manifest}.sig", manifest)
    assert "Verified OK" in run_tool("openssl", "dgst", "-sha256", *words).stdout


def test_one_passphrase_opens_both_after_a_change(changing: State, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    answer = changing.json("ca", "passwd", "--generate-key-file", fresh)
    assert sorted(Path(path).name for path in answer["key_files"]) == ["ca-2.key", "ca.key"]
    changed = State(changing.path, fresh)
    changed.run("revoke", "old-1", "new-1")
    check_invariants(changed, with_openssl=True)
    changing.run("gen-crl", expect=7)


def test_a_backup_brings_both_back(changing: State, tmp_path: Path) -> None:
    changing.run("revoke", "old-1")
    changing.run("backup", tmp_path / "backup.zip")
    changing.run("revoke", "new-1")
    changing.run("gen-crl")
    restored = State(tmp_path / "restored", changing.passphrase_file)
    answer = restored.json("restore", tmp_path / "backup.zip", "--crl", changing.crl)
    assert answer["taken_up"] == 1
    restored.run("health", "--repair")
    assert certificates(restored.ca_cert) == 2
    for name, accepted in (("old-1", False), ("old-2", True), ("new-1", False)):
        assert openssl_accepts(restored, restored.device(name) / "device.crt") is accepted, name
    assert all(after > before for before, after in zip(numbers(changing), numbers(restored), strict=True))


def test_a_ca_that_no_broker_s_crl_tells_of_passes_every_number(changing: State, tmp_path: Path) -> None:
    """The backup still has the old CA; it was retired since, and its last numbers are not known."""
    changing.run("backup", tmp_path / "backup.zip")
    retirable(changing)
    changing.run("ca", "rollover", "--retire")
    restored = State(tmp_path / "restored", changing.passphrase_file)
    restored.run("restore", tmp_path / "backup.zip", "--crl", changing.crl)
    new, old = numbers(restored)
    assert new < 100
    assert old > 1_000_000


def test_a_backup_from_before_is_not_taken_for_a_whole_one(state: State, tmp_path: Path) -> None:
    """It lacks the new CA's key: whoever has devices of the new CA needs a later backup."""
    state.run("backup", tmp_path / "backup.zip")
    state.run("ca", "rollover", "begin")
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.execute("UPDATE meta SET value = value - 7200 WHERE key = 'last_backup'")
        database.commit()
    checks = {one["name"]: one for one in state.json("health")["checks"]}
    assert "new CA" in checks["backup"]["message"]
    restored = State(tmp_path / "restored", state.passphrase_file)
    said = restored.run("restore", tmp_path / "backup.zip", "--crl", state.crl, expect=6).stderr
    assert "made since" in said
    state.run("backup", tmp_path / "later.zip")
    assert {one["name"]: one["status"] for one in state.json("health")["checks"]}["backup"] == "ok"


def test_a_call_that_opened_the_keys_before_is_stopped(state: State) -> None:
    """It would sign the CRL of the old CA alone, and the new one's devices would be refused."""
    stream = subprocess.Popen(
        [*PROGRAM, "register", "--stream"],
        env=program_environment(state=state),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert stream.stdin is not None
    assert stream.stdout is not None
    stream.stdin.write("line-1\n")
    stream.stdin.flush()
    assert json.loads(stream.stdout.readline())["created"] is True
    state.run("ca", "rollover", "begin")
    rest, errors = stream.communicate("line-2\n", timeout=60)
    assert (stream.returncode, rest) == (8, "")
    assert "run the command again" in errors
    assert [one["device_id"] for one in state.run("list", "--json").json_lines] == ["line-1"]
    check_invariants(state)


# -- the end ---------------------------------------------------------------------------------------------------------


def test_the_old_ca_goes_when_nothing_hangs_on_it(changing: State, tmp_path: Path) -> None:
    changing.run("broker", "issue", "broker.test")
    said = changing.run("ca", "rollover", "--retire", expect=4).stderr
    assert "2 devices" in said
    assert "renew --old-ca" in said
    changing.run("revoke", "old-2", "--reason", "certificateHold")
    changing.run("renew", "--old-ca", "--revoke-old", "now", expect=4)  # one is on hold, and may come back
    assert "1 devices" in changing.run("ca", "rollover", "--retire", expect=4).stderr
    changing.run("revoke", "old-2")
    assert "broker issue broker.test" in changing.run("ca", "rollover", "--retire", expect=4).stderr
    assert certificates(changing.ca_cert) == 2
    changing.run("broker", "issue", "broker.test")
    stolen = shutil.copy(changing.certs / "ca.key", tmp_path / "stolen.key")
    answer = changing.json("ca", "rollover", "--retire")
    assert (answer["status"], [one["name"] for one in answer["cas"]]) == ("retired", [NEW])
    assert certificates(changing.ca_cert) == len(read_crls(changing.crl)) == 1
    assert not (changing.certs / "ca.key").exists()
    before = changing.snapshot()
    assert changing.json("ca", "rollover", "--retire") == answer
    assert changing.snapshot() == before
    assert changing.json("health")["status"] == "ok"
    assert changing.json("health", "--deep")["differences"] == []
    changing.run("audit", "verify")
    assert openssl_accepts(changing, changing.device("old-1") / "device.crt")
    shutil.copy(stolen, changing.certs / "ca.key")
    assert [one["kind"] for one in changing.run("health", "--deep", "--json", expect=9).json["differences"]] == [
        "ghost"
    ]


def test_health_says_when_the_old_ca_may_go(changing: State) -> None:
    retirable(changing)
    checks = {one["name"]: one for one in changing.json("health")["checks"]}
    assert checks["ca-rollover"]["status"] == "warning"
    assert "--retire" in checks["ca-rollover"]["hint"]


def test_a_ca_file_that_lost_a_ca_is_noticed_and_mended(changing: State) -> None:
    lines = changing.ca_cert.read_text().split("-----END CERTIFICATE-----\n")
    changing.ca_cert.write_text(lines[0] + "-----END CERTIFICATE-----\n")
    checks = {one["name"]: one for one in changing.run("health", "--json", expect=9).json["checks"]}
    assert checks["ca-certificate"]["status"] == "failed"
    assert [one["kind"] for one in changing.run("health", "--deep", "--json", expect=9).json["differences"]] == ["ca"]
    changing.run("health", "--repair")
    assert certificates(changing.ca_cert) == 2
    assert changing.json("health")["status"] == "ok"


def test_each_ca_has_a_vault_of_its_own(state: State) -> None:
    """The key of the old one, from an old backup, opens what it certified and nothing of the new one."""
    old_key = load_ca_key(
        (state.certs / "ca.key").read_bytes(), parse_passphrase_file(state.passphrase_file.read_bytes())
    )
    first = {one["device_id"]: one for one in state.register("old", "kept")}
    state.run("ca", "rollover", "begin")
    state.register("new")
    state.run("broker", "issue", "broker.test")
    state.run("renew", "kept", "--same-key")
    assert state.json("bundle", "password", "old")["bundle_password"] == first["old"]["bundle_password"]
    state.run("revoke", "old")
    state.run("revoke", "--serial", first["kept"]["serial"], "--reason", "superseded")
    state.run("broker", "issue", "broker.test")
    state.run("ca", "rollover", "--retire")
    state.run("ca", "rollover", "begin")
    for name in ("kept", "new"):
        state.run("export", name, "--format", "pem")
        state.run("renew", name, "--same-key")
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        wrapped = [row[0] for row in database.execute("SELECT wrapped FROM earlier_vault")]
        wrapped += [row[0] for row in database.execute("SELECT value FROM meta WHERE key = 'vault'")]
    assert len(wrapped) == 3
    for one in wrapped:
        with pytest.raises(KeyUnavailableError):
            old_key.unwrap(one)
    state.run("health", "--deep")
