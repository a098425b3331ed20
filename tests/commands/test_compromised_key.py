"""A key whose certificate was revoked as keyCompromise is never certified again, on whatever way it comes back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.client import open_bundle
from support.program import State


def write_csr(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "anything")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    path.write_bytes(request.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def csr(tmp_path: Path) -> Path:
    (tmp_path / "requests").mkdir()
    return write_csr(tmp_path / "requests" / "press-3.csr", ec.generate_private_key(ec.SECP256R1()))


def certificates(state: State, device_id: str) -> list[dict[str, object]]:
    return state.json("show", device_id)["certificates"]


WAYS_BACK = [
    ("register", "press-1", "--if-exists", "reissue", "--csr", "FILE"),
    ("register", "press-2", "--csr", "FILE"),
    ("register", "--csr-dir", "FOLDER"),
]


@pytest.mark.parametrize("words", WAYS_BACK, ids=" ".join)
def test_a_compromised_key_of_a_device_stays_out(state: State, csr: Path, words: tuple[str, ...]) -> None:
    state.run("register", "press-1", "--csr", csr)
    state.run("revoke", "press-1", "--reason", "keyCompromise")
    before = certificates(state, "press-1")
    words = tuple({"FILE": str(csr), "FOLDER": str(csr.parent)}.get(word, word) for word in words)
    assert "keyCompromise" in state.run(*words, expect=6).stderr
    assert certificates(state, "press-1") == before
    state.run("show", "press-2", expect=5)
    state.run("show", "press-3", expect=5)


FORGETTING = {
    "reason": "UPDATE revocation SET reason = 'superseded'",
    "hold": "UPDATE revocation SET reason = 'certificateHold'",
    "revocation": "DELETE FROM revocation",
    "certificate": "DELETE FROM pending; DELETE FROM revocation; DELETE FROM certificate",
    "key": "UPDATE certificate SET spki_sha256 = zeroblob(32)",
    "device": "UPDATE device SET device_id = 'other'",
}


@pytest.mark.parametrize("name", FORGETTING)
def test_a_compromised_key_stays_out_whatever_its_row_says(state: State, csr: Path, name: str) -> None:
    state.run("register", "press-1", "--csr", csr)
    state.run("revoke", "press-1", "--reason", "keyCompromise")
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.executescript(FORGETTING[name])
    for words in (("press-2",), ("press-1", "--if-exists", "reissue")):
        state.run("register", *words, "--csr", csr, expect={3, 4, 6})


def test_the_same_key_is_certified_again_for_its_device_after_any_other_reason(state: State, csr: Path) -> None:
    state.run("register", "press-1", "--csr", csr)
    state.run("revoke", "press-1", "--reason", "cessationOfOperation")
    state.run("register", "press-1", "--if-exists", "reissue", "--csr", csr)
    assert "press-1" in state.run("register", "press-2", "--csr", csr, expect=6).stderr


def test_a_compromised_key_that_the_workstation_made_stays_out(state: State, tmp_path: Path) -> None:
    (made,) = state.register("press-1")
    pem = open_bundle(Path(made["bundle"]), made["bundle_password"])["device.key"]
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    state.run("revoke", "press-1", "--reason", "keyCompromise")
    csr = write_csr(tmp_path / "csr", key)
    state.run("register", "press-2", "--csr", csr, expect=6)
    state.run("register", "press-1", "--if-exists", "reissue")  # a new key is welcome
    assert "keyCompromise" in state.run("renew", "press-1", "--csr", csr, expect=6).stderr


def test_a_compromised_key_is_not_kept_by_a_renewal(state: State) -> None:
    """Two certificates of one key live through the overlap; one of them is reported."""
    (old,) = state.register("press-1")
    state.run("renew", "press-1", "--same-key")
    state.run("revoke", "--serial", old["serial"], "--reason", "keyCompromise")
    assert "keyCompromise" in state.run("renew", "press-1", "--same-key", expect=6).stderr
    state.run("renew", "press-1")


@pytest.mark.parametrize("end", [("revoke", "--reason", "superseded"), ("revoke",), ("retire",)], ids=" ".join)
def test_a_key_that_leaks_after_its_certificate_was_revoked_is_marked(
    state: State, csr: Path, end: tuple[str, ...]
) -> None:
    state.run("register", "press-1", "--csr", csr)
    state.run(*end, "press-1")
    before = state.json("revoke", "press-1")
    answer = state.json("revoke", "press-1", "--reason", "keyCompromise")
    assert len(answer["serials"]) == 1
    assert answer["reason"] == "keyCompromise"
    assert answer["revocation_date"] == before["revocation_date"]  # from then on it was worth nothing
    (entry,) = x509.load_pem_x509_crl(state.crl.read_bytes())
    assert [extension.value.reason for extension in entry.extensions] == [x509.ReasonFlags.key_compromise]
    assert "keyCompromise" in state.run("register", "press-2", "--csr", csr, expect=6).stderr
    state.run("health", "--deep")


def test_a_compromise_is_never_taken_back(state: State) -> None:
    state.register("press-1")
    first = state.json("revoke", "press-1", "--reason", "keyCompromise")
    for reason in ("keyCompromise", "superseded", "certificateHold", "unspecified"):
        for target in (("press-1",), ("--serial", first["serials"][0])):
            again = state.json("revoke", *target, "--reason", reason)
            assert again["serials"] == []
            assert again["reason"] == "keyCompromise"
            assert again["revocation_date"] == first["revocation_date"]
