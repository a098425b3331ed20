"""The key of a CA was stolen: what one command makes of it; openssl judges what was signed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from support.invariants import check_invariants, read_crls
from support.program import State, make_state
from support.thief import Thief
from support.tools import run_tool

REPLACE = ("ca", "replace", "--compromised")


def folder_of(answer: dict[str, object]) -> Path:
    (replaced,) = answer["replaced"]  # type: ignore[misc]
    return Path(replaced["path"])  # type: ignore[index]


def last_crl(folder: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((folder / "last-crl.pem").read_bytes())


def listed(crl: x509.CertificateRevocationList) -> dict[str, x509.ReasonFlags]:
    return {
        f"{entry.serial_number:040X}": entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        for entry in crl
    }


def serial_of(state: State, name: str) -> str:
    return str(state.json("show", name)["certificates"][0]["serial"])


def make_request(path: Path) -> None:
    key = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=own")
    run_tool("openssl", *key, "-keyout", path.with_suffix(".key"), "-out", path)


@pytest.fixture
def robbed(state: State, tmp_path: Path) -> State:
    """Two devices, one that made its key itself, one that was revoked, one on hold, and a broker."""
    state.register("a", "b", "gone", "held")
    make_request(tmp_path / "own.csr")
    state.run("register", "own", "--csr", str(tmp_path / "own.csr"))
    state.run("broker", "issue", "broker.test")
    state.run("revoke", "gone", "--reason", "privilegeWithdrawn")
    state.run("revoke", "held", "--reason", "certificateHold")
    return state


def test_everything_of_the_old_ca_is_revoked_and_a_new_one_issues(robbed: State) -> None:
    old_ca = robbed.ca_cert.read_bytes()
    serials = {name: serial_of(robbed, name) for name in ("a", "b", "gone", "held", "own")}
    answer = robbed.json(*REPLACE, "--until", "2090-01-31")
    assert (answer["status"], answer["name"], answer["crl_number"]) == ("replaced", "IoT Onboarding CA G2", 1)
    assert (answer["waiting_devices"], answer["waiting_brokers"]) == (3, ["broker.test"])
    folder = folder_of(answer)
    assert (folder / "old-ca.pem").read_bytes() == old_ca
    crl = last_crl(folder)
    assert crl.next_update_utc is not None
    assert crl.next_update_utc.isoformat() == "2090-01-31T00:00:00+00:00"
    reasons = {name: listed(crl)[serial] for name, serial in serials.items()}
    compromised = x509.ReasonFlags.key_compromise
    assert reasons == dict.fromkeys(reasons, compromised) | {"own": x509.ReasonFlags.superseded}
    assert len(crl) == 6  # the broker's too
    assert crl.is_signature_valid(x509.load_pem_x509_certificate(old_ca).public_key())
    assert [len(each) for each in read_crls(robbed.crl)] == [0]
    (trusted,) = x509.load_pem_x509_certificates(robbed.ca_cert.read_bytes())
    assert trusted.fingerprint(SHA256()).hex() == answer["ca_fingerprint"]
    assert not (robbed.certs / "ca.key").exists()
    assert (folder / "devices.csv").read_text().split() == ["device_id", "a", "b", "own"]
    robbed.run("broker", "issue", "broker.test")
    check_invariants(robbed, with_openssl=True)


def test_the_list_is_renewed_and_who_made_its_key_keeps_it(robbed: State) -> None:
    key = x509.load_pem_x509_certificate((robbed.device("own") / "device.crt").read_bytes()).public_key()
    folder = folder_of(robbed.json(*REPLACE))
    assert robbed.run("renew", "gone", expect=4).stderr
    assert robbed.run("renew", "held", expect=4).stderr
    renewed = robbed.run("renew", "--batch", str(folder / "devices.csv"), "--json").json_lines
    assert [one["device_id"] for one in renewed] == ["a", "b", "own"]
    assert x509.load_pem_x509_certificate((robbed.device("own") / "device.crt").read_bytes()).public_key() == key
    for name in ("a", "b", "own"):
        words = ("-CAfile", robbed.ca_cert, "-CRLfile", robbed.crl, "-crl_check", robbed.device(name) / "device.crt")
        run_tool("openssl", "verify", *words)
    status = robbed.json("ca", "status")
    assert (status["waiting_devices"], status["waiting_brokers"]) == (0, ["broker.test"])
    assert "broker.test" in robbed.run("health", "--check", "ca-rollover", expect=9).stdout
    assert "brokers that wait: broker.test\n" in robbed.run("ca", "status").stdout
    robbed.run("broker", "issue", "broker.test")
    assert "brokers that wait: none\n" in robbed.run("ca", "status").stdout
    robbed.run("health", "--check", "ca-rollover")
    assert robbed.run("health", "--deep", expect=(0, 9)).stdout.count("everything is as it was recorded") == 1


def test_register_takes_the_list_too(robbed: State) -> None:
    robbed.run("retire", "own")
    folder = folder_of(robbed.json(*REPLACE))
    words = ("register", "--batch", str(folder / "devices.csv"), "--if-exists", "reissue", "--json")
    assert [one["device_id"] for one in robbed.run(*words).json_lines] == ["a", "b"]
    assert robbed.json("ca", "status")["waiting_devices"] == 0


def test_whoever_is_revoked_afterwards_is_not_enrolled_again(robbed: State) -> None:
    robbed.run(*REPLACE)
    robbed.run("revoke", "a")
    assert robbed.json("ca", "status")["waiting_devices"] == 2
    assert "was revoked" in robbed.run("renew", "a", expect=4).stderr
    assert "given up" in robbed.run("audit", "show", "--subject", "a", "--json").stdout


def test_both_keys_sign_the_new_anchors(robbed: State, tmp_path: Path) -> None:
    folder = folder_of(robbed.json(*REPLACE))
    for name, certificate in (("old", folder / "old-ca.pem"), ("new", robbed.ca_cert)):
        key = tmp_path / f"{name}.pub"
        key.write_text(run_tool("openssl", "x509", "-in", certificate, "-pubkey", "-noout").stdout)
        signature = folder / f"anchors.pem.{name}.sig"
        run_tool("openssl", "dgst", "-sha256", "-verify", key, "-signature", signature, folder / "anchors.pem")
    assert x509.load_pem_x509_certificates((folder / "anchors.pem").read_bytes()) == (
        x509.load_pem_x509_certificates(robbed.ca_cert.read_bytes())
    )


def test_what_a_thief_made_is_listed_and_foreign_certificates_are_refused(robbed: State, tmp_path: Path) -> None:
    thief = Thief(robbed, tmp_path / "thief")
    certificate = thief.certificate("x")
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    other.register("z")
    before = robbed.snapshot()
    foreign = str(other.device("z") / "device.crt")
    assert "another CA" in robbed.run(*REPLACE, "--cert", foreign, expect=6).stderr
    assert robbed.run(*REPLACE, "--cert", str(tmp_path / "none.crt"), expect=5).stderr
    assert robbed.snapshot() == before
    folder = folder_of(robbed.json(*REPLACE, "--cert", str(certificate)))
    serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
    assert f"{serial:040X}" in listed(last_crl(folder))
    assert robbed.run("show", "x", expect=5).stderr  # nobody's device


def test_a_list_of_the_thief_stops_nothing(robbed: State, tmp_path: Path) -> None:
    """Neither where it is published, nor handed over as a broker's: a huge number, and everybody's serials."""
    thief = Thief(robbed, tmp_path / "thief")
    robbed.run(*REPLACE)
    robbed.run("renew", "a")
    wanted = serial_of(robbed, "a")
    forged = thief.crl(number=1 << 61, serials=[int(wanted, 16)])
    robbed.crl.write_bytes(forged + robbed.crl.read_bytes())
    robbed.run("renew", "b")
    answer = robbed.json("gen-crl")
    assert answer["crl_number"] < 10
    assert [len(each) for each in read_crls(robbed.crl)] == [0]
    (tmp_path / "crl.pem").write_bytes(forged)
    assert "proves nothing" in robbed.run("restore", "--crl", str(tmp_path / "crl.pem"), expect=6).stderr
    assert robbed.json("show", "a")["status"] == "active"
    assert [one["revoked"] for one in [robbed.json("gen-crl")]] == [0]


def test_a_list_of_the_thief_that_was_seen_before_is_over(robbed: State, tmp_path: Path) -> None:
    """That is how a theft is noticed: nothing was issued any more, and numbers were near their end."""
    thief = Thief(robbed, tmp_path / "thief")
    robbed.crl.write_bytes(thief.crl(number=1 << 61, serials=[]))
    robbed.run("gen-crl")
    assert "another copy" in robbed.run("register", "new", expect=4).stderr
    assert robbed.json(*REPLACE)["crl_number"] == 1
    robbed.register("new")


def test_what_a_thief_signs_of_the_trail_and_of_serials_is_not_believed(robbed: State, tmp_path: Path) -> None:
    thief = Thief(robbed, tmp_path / "thief")
    robbed.run(*REPLACE)
    robbed.run("renew", "a")
    results = thief.results([serial_of(robbed, "a"), "0A" * 20])
    robbed.run("revoke", "--batch", str(results), "--defer", expect=6)
    assert "0A" * 20 not in robbed.run("audit", "show", "--all", "--json").stdout


def test_repeating_changes_nothing_and_another_theft_is_named(robbed: State) -> None:
    first = robbed.json(*REPLACE)
    before = robbed.snapshot()
    again = robbed.json(*REPLACE)
    assert again == {**first, "status": "was-replaced"}
    old, new = first["replaced"][0]["ca_fingerprint"], first["ca_fingerprint"]
    assert robbed.json(*REPLACE, old)["status"] == "was-replaced"
    assert robbed.snapshot() == before
    assert new[:16] in robbed.run(*REPLACE).stderr
    spelled = ":".join(new[at : at + 2] for at in range(0, 64, 2)).upper()
    second = robbed.json(*REPLACE, spelled)
    assert (second["status"], second["name"], len(second["replaced"])) == ("replaced", "IoT Onboarding CA G3", 2)
    assert second["waiting_devices"] == 3
    assert "everything is as it was" in robbed.run("health", "--deep").stdout


def test_during_a_rollover_one_of_two_can_be_named(robbed: State, tmp_path: Path) -> None:
    began = robbed.json("ca", "rollover", "begin")
    new, old = (one["ca_fingerprint"] for one in began["cas"])
    robbed.run("renew", "a")
    fresh = ("--generate-key-file", str(tmp_path / "fresh.pass"))
    assert "ca passwd" in robbed.run(*REPLACE, new, *fresh, expect=4).stderr
    answer = robbed.json(*REPLACE, old[:16])
    assert [one["ca_fingerprint"] for one in answer["cas"]] == [new]
    assert answer["waiting_devices"] == 2  # 'a' had moved on
    robbed.run("renew", "b")
    other = robbed.json(*REPLACE, new)
    assert len(other["cas"]) == 1
    assert other["waiting_devices"] == 3
    robbed.run("broker", "issue", "broker.test")
    check_invariants(robbed, with_openssl=True)


def test_an_issuing_ca_that_was_stolen_alone_leaves_the_old_one(robbed: State) -> None:
    began = robbed.json("ca", "rollover", "begin")
    new, old = (one["ca_fingerprint"] for one in began["cas"])
    robbed.run("renew", "a")
    answer = robbed.json(*REPLACE, new)
    assert [one["role"] for one in answer["cas"]] == ["issuing", "trusted"]
    assert answer["cas"][1]["ca_fingerprint"] == old
    assert answer["waiting_devices"] == 1
    robbed.register("more")
    robbed.run("broker", "issue", "broker.test")
    check_invariants(robbed, with_openssl=True)


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("ca", "replace"), 2, "rollover begin"),
        ((*REPLACE, "xyz"), 6, "fingerprint"),
        ((*REPLACE, "0123456789"), 5, "ca status"),
        ((*REPLACE, "--until", "2001-01-01"), 2, "is over"),
        ((*REPLACE, "--until", "never"), 6, "1970-01-01"),
        ((*REPLACE, "--validity-days", "3"), 6, "365 days"),
        ((*REPLACE, "--name", "IoT Onboarding CA"), 4, "called"),
    ],
)
def test_what_is_refused_changes_nothing(state: State, words: tuple[str, ...], exit_code: int, said: str) -> None:
    before = state.snapshot()
    assert said in state.run(*words, expect=exit_code).stderr
    assert state.snapshot() == before


def test_a_new_passphrase_opens_the_new_key_alone(robbed: State, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.pass"
    robbed.run(*REPLACE, "--generate-key-file", str(fresh))
    assert robbed.run("gen-crl", expect=7).stderr
    opened = State(robbed.path, fresh)
    opened.run("gen-crl")
    assert "passphrase of the stolen one" not in opened.run(*REPLACE).stderr


def test_what_cannot_be_written_is_told_and_done_later(robbed: State) -> None:
    (robbed.path / "replaced").write_text("in the way")
    told = robbed.run(*REPLACE, expect=8)
    assert "replaced CA" in told.stderr
    (robbed.path / "replaced").unlink()
    robbed.run("gen-crl")
    folder = folder_of(robbed.json("ca", "status"))
    assert (folder / "last-crl.pem").exists()


def test_a_package_says_that_the_old_ca_goes(robbed: State, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    thief = Thief(robbed, tmp_path / "thief")
    old_ca = tmp_path / "old.crt"
    old_ca.write_bytes(robbed.ca_cert.read_bytes())
    pack = robbed.path.parent / "one.iotpkg"
    robbed.run("pack", "--out", str(pack))
    apply: Callable[..., object] = lambda *words, **more: robbed.run(  # noqa: E731
        "apply", str(pack), "--dest", str(dest), "--user", "", *words, env={"IOTONBOARD_STATE": None}, **more
    )
    apply("--ca", str(old_ca))
    (dest / "crl.pem").write_bytes(thief.crl(number=1 << 61, serials=[]))
    robbed.run(*REPLACE)
    robbed.run("pack", "--out", str(pack), "--force")
    apply("--ca", str(old_ca), expect=6)
    apply("--ca", str(robbed.ca_cert))
    assert (dest / "ca.crt").read_bytes() == robbed.ca_cert.read_bytes()
    (own,) = read_crls(dest / "crl.pem")
    assert own.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number < 10


@pytest.mark.parametrize("place", ["replaced", "devices.csv"])
def test_what_follows_from_a_stolen_key_stands_in_no_revocations_way(robbed: State, place: str) -> None:
    folder = folder_of(robbed.json(*REPLACE))
    robbed.run("renew", "a", "b")
    if place == "replaced":
        folder.parent.rename(folder.parent.with_name("kept"))
        folder.parent.write_text("a stray file")
    else:
        (folder / place).unlink()
        (folder / place).mkdir()
    serial = serial_of(robbed, "a")
    with closing(sqlite3.connect(robbed.path / "devices.db")) as database, database:
        database.execute("UPDATE meta SET value = 1 WHERE key = 'replaced_files'")
    done = robbed.run("revoke", "a", "--json", expect=8)
    assert [one["what"] for one in done.json["unpublished"]] == ["replaced CA"]
    assert serial in {f"{entry.serial_number:040X}" for crl in read_crls(robbed.crl) for entry in crl}
    assert "user a\n" not in robbed.acl.read_text()


def test_the_thief_is_real(state: State, tmp_path: Path) -> None:
    """What the other tests rest on: until the key is reported, openssl believes what it signs."""
    certificate = Thief(state, tmp_path / "thief").certificate("x")
    run_tool("openssl", "verify", "-CAfile", state.ca_cert, "-CRLfile", state.crl, "-crl_check", certificate)
    assert isinstance(x509.load_pem_x509_certificate(certificate.read_bytes()).public_key(), ec.EllipticCurvePublicKey)
