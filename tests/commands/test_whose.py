"""Whose certificate is this? Found by serial, fingerprint or file; and proved by the key that a chip reports."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.program import State
from support.tools import need


@pytest.fixture
def certificate(state: State) -> x509.Certificate:
    state.register("press-17", "press-18")
    return x509.load_pem_x509_certificate((state.device("press-17") / "device.crt").read_bytes())


def names_of(certificate: x509.Certificate) -> dict[str, str]:
    serial = f"{certificate.serial_number:040X}"
    fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    return {
        "serial": serial,
        "with colons": ":".join(re.findall("..", serial.lower())),
        "as openssl prints it": f"serial={serial}",
        "fingerprint": fingerprint,
        "fingerprint with colons": ":".join(re.findall("..", fingerprint.upper())),
        "fingerprint of openssl": f"sha256 Fingerprint={fingerprint.upper()}",
    }


def test_a_device_is_found_by_serial_and_fingerprint(state: State, certificate: x509.Certificate) -> None:
    for what, name in names_of(certificate).items():
        assert state.json("show", name)["device_id"] == "press-17", what
        assert [one["device_id"] for one in state.run("list", name, "--json").json_lines] == ["press-17"], what
    assert [one["device_id"] for one in state.run("list", "press-18", "press-17", "--json").json_lines] == [
        "press-18",
        "press-17",
    ]


def test_an_earlier_certificate_names_its_device_too(state: State, certificate: x509.Certificate) -> None:
    state.run("renew", "press-17", "--revoke-old", "now")
    assert state.json("show", names_of(certificate)["serial"])["device_id"] == "press-17"
    assert state.json("show", names_of(certificate)["fingerprint"])["device_id"] == "press-17"


def test_a_device_is_found_from_the_file_in_hand(state: State, certificate: x509.Certificate, tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes((state.device("press-17") / "device.crt").read_bytes() + state.ca_cert.read_bytes())
    der = tmp_path / "device.der"
    der.write_bytes(certificate.public_bytes(Encoding.DER))
    for path in (chain, der):
        assert state.json("show", "--cert", path)["device_id"] == "press-17"
        assert [one["device_id"] for one in state.run("list", "--cert", path, "--json").json_lines] == ["press-17"]


def test_an_id_that_reads_like_a_serial_is_an_id(state: State, certificate: x509.Certificate) -> None:
    name = names_of(certificate)["serial"].lower()
    state.register(name)
    assert state.json("show", name)["device_id"] == name


@pytest.mark.parametrize("verb", ["show", "list"])
def test_what_nobody_has_is_told(state: State, certificate: x509.Certificate, tmp_path: Path, verb: str) -> None:
    for unknown in ("AB" * 20, "ab" * 32, "deadbeef", "12:34:56:78"):
        assert "no device and no certificate" in state.run(verb, unknown, expect=5).stderr
    assert "no device" in state.run(verb, "press-99", expect=5).stderr
    assert "holds no certificate of a device" in state.run(verb, "--cert", state.ca_cert, expect=6).stderr
    assert "no file" in state.run(verb, "--cert", tmp_path / "gone.pem", expect=5).stderr
    state.run("broker", "issue", "broker.local")
    broker = state.path / "certs" / "brokers" / "broker.local" / "broker.crt"
    told = state.run(verb, "--cert", broker, expect=5).stderr
    assert "is the broker's 'broker.local'" in told
    assert "iotonboard broker show broker.local" in told


def test_names_and_filters_exclude_each_other(state: State, certificate: x509.Certificate) -> None:
    assert "no filter" in state.run("list", "press-17", "--status", "active", expect=2).stderr


def test_a_public_key_that_a_chip_reported_proves_it(
    state: State, certificate: x509.Certificate, tmp_path: Path
) -> None:
    key = certificate.public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "key.der").write_bytes(spki)
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    short = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    reported = [tmp_path / "key.pem", tmp_path / "key.der", point.hex(), short.hex(), hashlib.sha256(spki).hexdigest()]
    for one in reported:
        assert state.json("confirm", "press-17", "--public-key", one)["device_id"] == "press-17"
        assert "of that public key" in state.run("confirm", "press-18", "--public-key", one, expect=5).stderr
    rows = [
        row["detail"]
        for row in state.run("audit", "show", "--all", "--json").json_lines
        if "confirmed" in row["detail"]
    ]
    assert [row["proved"] for row in rows] == [True]


def test_openssl_s_digest_of_a_public_key_is_taken(state: State, certificate: x509.Certificate) -> None:
    openssl = need("openssl")
    crt = state.device("press-17") / "device.crt"
    script = f"{openssl} x509 -in {crt} -noout -pubkey | {openssl} pkey -pubin -outform DER | {openssl} dgst -sha256"
    printed = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert state.json("confirm", "press-17", "--public-key", printed.strip())["device_id"] == "press-17"


@pytest.mark.parametrize(
    ("content", "exit_code"), [(b"", 6), (b"no key", 6), (b"-----BEGIN PUBLIC KEY-----\n", 6), (b"\x30\x00", 6)]
)
def test_what_is_no_public_key_proves_nothing(
    state: State, certificate: x509.Certificate, tmp_path: Path, content: bytes, exit_code: int
) -> None:
    (tmp_path / "key").write_bytes(content)
    assert "hint" in state.run("confirm", "press-17", "--public-key", tmp_path / "key", expect=exit_code).stderr
    assert "no point" in state.run("confirm", "press-17", "--public-key", "04" + "ff" * 64, expect=6).stderr
    assert "one device" in state.run("confirm", "press-17", "press-18", "--public-key", "aa" * 32, expect=2).stderr
