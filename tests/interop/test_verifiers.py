"""Other people's verifiers accept what the program makes, for every key type, and reject what it revoked."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.client import open_bundle
from support.program import State, make_state, run_cli
from support.tools import need, run_linter, run_tool

KEY_TYPES = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")
# Every device key type under the default CA; under the other CAs the default and the CA's own.
PAIRS = [("ec-p256", KEY_TYPES), *((ca, tuple(dict.fromkeys(("ec-p256", ca)))) for ca in KEY_TYPES[1:])]

REVOKED_EXIT_OPENSSL = 2


@dataclass(frozen=True)
class Pki:
    """A CA with two devices of each key type: ``good-*`` and the revoked ``bad-*``."""

    state: State
    registered: dict[str, dict[str, Any]]
    device_key_types: tuple[str, ...]

    def cert(self, device_id: str) -> Path:
        return self.state.device(device_id) / "device.crt"

    def good(self) -> list[Path]:
        return [self.cert(f"good-{key_type}") for key_type in self.device_key_types]

    def bad(self) -> list[Path]:
        return [self.cert(f"bad-{key_type}") for key_type in self.device_key_types]


@pytest.fixture(scope="module", params=PAIRS, ids=[ca for ca, _ in PAIRS])
def pki(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pki:
    ca_key_type, device_key_types = request.param
    state = make_state(tmp_path_factory.mktemp(ca_key_type), "--key-type", ca_key_type)
    registered = {}
    for key_type in device_key_types:
        for found in state.register(f"good-{key_type}", f"bad-{key_type}", "--key-type", key_type):
            registered[found["device_id"]] = found
    state.run("revoke", *(f"bad-{key_type}" for key_type in device_key_types), "--reason", "keyCompromise")
    return Pki(state, registered, device_key_types)


def test_openssl_accepts_the_good_and_rejects_the_revoked(pki: Pki) -> None:
    verify = ("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-crl_check")
    trust = ("-CAfile", pki.state.ca_cert, "-CRLfile", pki.state.crl)
    for cert in pki.good():
        assert run_tool(*verify, *trust, cert).stdout.strip() == f"{cert}: OK"
    for cert in pki.bad():
        result = run_tool(*verify, *trust, cert, expect=REVOKED_EXIT_OPENSSL)
        assert "certificate revoked" in result.stdout + result.stderr


def test_openssl_accepts_the_broker_as_a_server_and_no_device(pki: Pki) -> None:
    if not (pki.state.certs / "brokers" / "broker.example").exists():
        pki.state.run("broker", "issue", "broker.example", "192.0.2.7", "--plain-key")
    broker = pki.state.certs / "brokers" / "broker.example" / "broker.crt"
    trust = ("-x509_strict", "-crl_check", "-CAfile", pki.state.ca_cert, "-CRLfile", pki.state.crl)
    as_server = ("openssl", "verify", *trust, "-purpose", "sslserver")
    for identity in (("-verify_hostname", "broker.example"), ("-verify_ip", "192.0.2.7")):
        run_tool(*as_server, *identity, broker)
    run_tool(*as_server, "-verify_hostname", "other.example", broker, expect=2)
    run_tool("openssl", "verify", *trust, "-purpose", "sslclient", broker, expect=2)
    for device in pki.good():
        run_tool(*as_server, device, expect=2)


def test_gnutls_accepts_the_good_and_rejects_the_revoked(pki: Pki) -> None:
    verify = ("certtool", "--verify", "--verify-purpose", "1.3.6.1.5.5.7.3.2")
    trust = ("--load-ca-certificate", pki.state.ca_cert, "--load-crl", pki.state.crl)
    for cert in pki.good():
        result = run_tool(*verify, *trust, "--infile", cert)
        assert "The certificate is trusted" in result.stdout
    for cert in pki.bad():
        result = run_tool(*verify, *trust, "--infile", cert, expect=1)
        assert "revoked" in result.stdout + result.stderr


def test_pkilint_finds_nothing(pki: Pki) -> None:
    assert run_linter("lint_pkix_cert", pki.state.ca_cert) == []
    assert run_linter("lint_crl", "-t", "CRL", "-p", "PKIX", pki.state.crl) == []
    for cert in pki.good():
        assert run_linter("lint_pkix_cert", cert) == []
        assert run_linter("lint_pkix_signer_signee_cert_chain", pki.state.ca_cert, cert) == []


def test_openssl_opens_the_ca_key_with_the_passphrase(pki: Pki) -> None:
    key = pki.state.certs / "ca.key"
    opened = run_tool("openssl", "pkey", "-in", key, "-passin", f"file:{pki.state.passphrase_file}", "-pubout")
    certified = run_tool("openssl", "x509", "-in", pki.state.ca_cert, "-noout", "-pubkey")
    assert opened.stdout == certified.stdout
    run_tool("openssl", "pkey", "-in", key, "-passin", "pass:wrong", "-noout", expect=1)
    assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_the_bundle_holds_what_its_manifest_says(pki: Pki, tmp_path: Path) -> None:
    for device_id, registered in pki.registered.items():
        if device_id.startswith("bad"):
            continue
        files = open_bundle(Path(registered["bundle"]), registered["bundle_password"])
        assert {"device.key", "device.crt", "ca.crt", "manifest.json"} <= set(files)
        assert files["device.crt"] == pki.cert(device_id).read_bytes()
        assert files["ca.crt"] == pki.state.ca_cert.read_bytes()
        manifest = json.loads(files["manifest.json"])
        text = files["manifest.json"].decode()
        for name, content in files.items():
            if name != "manifest.json":
                assert hashlib.sha256(content).hexdigest() in text, f"{name} is not in {text}"
        assert manifest["device_id"] == device_id
        assert manifest["serial"] == registered["serial"]
        assert manifest["fingerprint"] == registered["fingerprint"]
        assert registered["bundle_password"] not in text

        key = tmp_path / f"{device_id}.key"
        key.write_bytes(files["device.key"])
        public = run_tool("openssl", "pkey", "-in", key, "-passin", f"pass:{registered['bundle_password']}", "-pubout")
        certified = run_tool("openssl", "x509", "-in", pki.cert(device_id), "-noout", "-pubkey")
        assert public.stdout == certified.stdout


def test_the_published_key_is_encrypted_and_is_the_devices(state: State) -> None:
    (registered,) = state.register("press-1")
    key = state.device("press-1") / "device.key"
    assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert key.stat().st_mode & 0o777 == 0o600
    password = f"pass:{registered['bundle_password']}"
    opened = run_tool("openssl", "pkey", "-in", key, "-passin", password, "-pubout")
    certified = run_tool("openssl", "x509", "-in", state.device("press-1") / "device.crt", "-noout", "-pubkey")
    assert opened.stdout == certified.stdout


@pytest.mark.parametrize("unpacker", ["7zz", "bsdtar"])
def test_unpackers_open_the_bundle_with_its_password_only(state: State, tmp_path: Path, unpacker: str) -> None:
    need(unpacker)
    (registered,) = state.register("press-1")
    bundle, password = Path(registered["bundle"]), registered["bundle_password"]
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        folder.mkdir()
    if unpacker == "7zz":
        run_tool("7zz", "x", f"-p{password}", f"-o{good}", bundle)
        refused = run_tool("7zz", "x", "-y", "-pwrong", f"-o{bad}", bundle, expect=None)
    else:
        run_tool("bsdtar", "-xf", bundle, "--passphrase", password, "-C", good)
        refused = run_tool("bsdtar", "-xf", bundle, "--passphrase", "wrong", "-C", bad, expect=None)
    assert refused.returncode != 0
    expected = open_bundle(bundle, password)
    assert {path.name: path.read_bytes() for path in good.iterdir()} == expected
    for path in bad.iterdir():
        assert path.read_bytes() != expected[path.name]


def test_every_entry_of_a_bundle_is_aes_256(state: State) -> None:
    (registered,) = state.register("press-1")
    listing = run_tool("7zz", "l", "-slt", registered["bundle"]).stdout
    entries = listing.partition("----------")[2]
    assert entries.count("Path = ") == len(open_bundle(Path(registered["bundle"]), registered["bundle_password"]))
    assert entries.count("Encrypted = +") == entries.count("Path = ")
    assert entries.count("AES-256") == entries.count("Path = ")


def test_a_human_passphrase_opens_the_ca_key_too(tmp_path: Path) -> None:
    """The slow way, with a passphrase that a person chose; blanks inside count, the line's end does not."""
    passphrase = "correct horse battery staple ü"
    env = {"IOTONBOARD_PASSPHRASE": passphrase}
    run_cli("init-ca", state=tmp_path / "state", env=env)
    key = tmp_path / "state" / "certs" / "ca.key"
    run_tool("openssl", "pkey", "-in", key, "-passin", f"pass:{passphrase}", "-noout")
    run_tool("openssl", "pkey", "-in", key, "-passin", f"pass:{passphrase[:-1]}", "-noout", expect=1)
    run_cli("register", "press-1", state=tmp_path / "state", env=env)


def x509_text(path: Path) -> str:
    return run_tool("openssl", "x509", "-in", path, "-noout", "-text").stdout


def test_the_certificates_say_what_was_promised(pki: Pki) -> None:
    """The profile in openssl's words: what is there, and that nothing else is."""
    ca = x509_text(pki.state.ca_cert)
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0" in ca
    assert "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n" in ca
    assert ca.count("X509v3 Subject Key Identifier") == 1
    for cert in pki.good():
        text = x509_text(cert)
        assert f"Subject: CN = {cert.parent.name}\n" in text
        assert "X509v3 Basic Constraints: critical\n                CA:FALSE\n" in text
        assert "X509v3 Key Usage: critical\n                Digital Signature\n" in text
        assert "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n" in text
        extensions = [line.strip() for line in text.splitlines() if "X509v3 " in line]
        assert len(extensions) == len({*extensions}) == 6, extensions  # the heading and five of them
        assert "Subject Alternative Name" not in text


def test_a_uuid_becomes_a_subject_alternative_name(state: State) -> None:
    (made,) = state.run("register", "--uuid", "--json").json_lines
    (given,) = state.register("5bd9a3a4-21cd-4c8e-8f32-0b90d0fbb3a1")
    for one in (made, given):
        cert = state.device(one["device_id"]) / "device.crt"
        assert f"URI:urn:uuid:{one['device_id']}" in x509_text(cert)


def test_the_crl_says_what_was_promised(pki: Pki) -> None:
    text = run_tool("openssl", "crl", "-in", pki.state.crl, "-noout", "-text").stdout
    assert "Version 2 (0x1)" in text
    assert "X509v3 Authority Key Identifier" in text
    assert "X509v3 CRL Number: \n" in text
    assert "Issuing Distribution Point" not in text
    assert text.count("Serial Number:") == len(pki.bad())
    assert text.count("Key Compromise") == len(pki.bad())


def test_an_unspecified_reason_is_left_out(state: State) -> None:
    """RFC 5280 5.3.1: a reason code of unspecified SHOULD be absent."""
    state.register("press-1")
    state.run("revoke", "press-1", "--reason", "unspecified")
    text = run_tool("openssl", "crl", "-in", state.crl, "-noout", "-text").stdout
    assert "Serial Number:" in text
    assert "Reason Code" not in text


def make_request(folder: Path, key_type: str) -> Path:
    """A device's own key and a request that asks for more than it may have."""
    options = {
        "ec-p256": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        "ec-p384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
        "ed25519": ("-newkey", "ed25519"),
    }.get(key_type, ("-newkey", key_type.replace("-", ":")))
    asked = ("-subj", "/O=Somebody else/CN=root", "-addext", "basicConstraints=critical,CA:TRUE")
    request = folder / f"{key_type}.csr"
    run_tool(
        "openssl",
        "req",
        "-new",
        *options,
        "-nodes",
        "-keyout",
        folder / f"{key_type}.key",
        "-out",
        request,
        *asked,
    )
    return request


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_request_gets_a_certificate_for_its_key_and_nothing_else_of_it(
    state: State, tmp_path: Path, key_type: str
) -> None:
    request = make_request(tmp_path, key_type)
    (registered,) = state.register("press-1", "--csr", str(request))
    cert = state.device("press-1") / "device.crt"
    key = run_tool("openssl", "pkey", "-in", tmp_path / f"{key_type}.key", "-pubout").stdout
    assert run_tool("openssl", "x509", "-in", cert, "-noout", "-pubkey").stdout == key
    text = x509_text(cert)
    assert "Subject: CN = press-1\n" in text
    assert "CA:FALSE" in text
    assert not (state.device("press-1") / "device.key").exists()
    der = base64.b64decode("".join(cert.read_text().split("-----")[2].split()))
    assert hashlib.sha256(der).hexdigest() == registered["fingerprint"]
