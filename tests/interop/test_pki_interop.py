"""Certificates, CRLs, keys and requests against OpenSSL, GnuTLS and pkilint, for every key type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from iotonboard.model import DeviceId, KeyType, RevocationReason, SerialNumber, Validity
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import issue_device, issue_server, make_ca
from iotonboard.pki.crl import sign_crl
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.pki.csr import parse_csr
from iotonboard.pki.issuer import Issuer, load_issuer
from iotonboard.pki.keys import HUMAN_ITERATIONS, RANDOM_ITERATIONS, dump_key, encrypt_key, load_key, spki_der
from iotonboard.pki.pem import pem_encode
from iotonboard.pki.profiles import DeviceProfile, ServerProfile

from support.pki import CA_SERIAL, SERIAL, UUID, key, signer
from support.tools import run_linter, run_tool

# Its check is that of a URL; a URN has no authority, and RFC 5280 4.2.1.6 asks for one only where it is present.
PKILINT_ALLOWED = {'pkix.invalid_uri_syntax Invalid URI syntax: "urn:uuid:' + UUID.lower() + '"'}
# certtool takes the time from the clock alone, so everything here is made around the present.
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
VALIDITY = Validity(NOW, NOW + timedelta(days=30))


@cache
def issuer(key_type: KeyType) -> Issuer:
    subject = Subject("Interop Root", "Example Works", "Factory 7", "DE")
    return load_issuer(make_ca(CaProfile(subject), signer(key_type), CA_SERIAL, VALIDITY), signer(key_type))


def device(key_type: KeyType, device_id: str, *extra: tuple[str, str]) -> bytes:
    public_key = key(key_type, "device").public_key()
    return issue_device(issuer(key_type), public_key, DeviceId(device_id), SERIAL, VALIDITY, DeviceProfile(extra))


def server(key_type: KeyType, *names: str) -> bytes:
    public_key = key(key_type, "server").public_key()
    return issue_server(issuer(key_type), public_key, names, SerialNumber(SERIAL + 1), VALIDITY, ServerProfile())


def write_all(folder: Path, key_type: KeyType) -> dict[str, Path]:
    """Everything that one CA publishes: two devices, a server, a full and an empty CRL."""
    revoked = encode_entry(SERIAL, NOW, RevocationReason.KEY_COMPROMISE)
    other = encode_entry(SerialNumber(4711), NOW, RevocationReason.UNSPECIFIED)
    times = {"this_update": NOW, "next_update": NOW + timedelta(days=30)}
    blocks = {
        "ca": ("CERTIFICATE", issuer(key_type).certificate_der),
        "device": ("CERTIFICATE", device(key_type, "sensor-1", ("organization", "Example Works"))),
        "uuid": ("CERTIFICATE", device(key_type, UUID)),
        "server": ("CERTIFICATE", server(key_type, "broker.example", "10.0.0.1", "2001:db8::1")),
        "empty": ("X509 CRL", sign_crl(issuer(key_type), number=1, entries=[], **times).der),
        "full": ("X509 CRL", sign_crl(issuer(key_type), number=2, entries=[revoked, other], **times).der),
    }
    for name, (label, octets) in blocks.items():
        (folder / f"{name}.pem").write_bytes(pem_encode(label, octets))
    return {name: folder / f"{name}.pem" for name in blocks}


def pkilint(program: str, *arguments: str | Path) -> None:
    """Run one of pkilint's programs; anything from a notice up is a finding."""
    assert [finding for finding in run_linter(program, *arguments) if finding not in PKILINT_ALLOWED] == []


@pytest.mark.parametrize("key_type", KeyType)
def test_openssl_verifies_strictly_with_the_crl(tmp_path: Path, key_type: KeyType) -> None:
    files = write_all(tmp_path, key_type)
    common = ("verify", "-x509_strict", "-check_ss_sig", "-policy_check", "-CAfile", files["ca"], "-crl_check")
    client, full, empty = ("-purpose", "sslclient"), ("-CRLfile", files["full"]), ("-CRLfile", files["empty"])
    for leaf in ("device", "uuid"):
        run_tool("openssl", *common, *client, *empty, files[leaf])
    run_tool("openssl", *common, "-purpose", "sslserver", "-verify_hostname", "broker.example", *empty, files["server"])
    run_tool("openssl", *common, "-purpose", "sslserver", "-verify_ip", "2001:db8::1", *empty, files["server"])
    refused = run_tool("openssl", *common, *client, *full, files["device"], expect=None)
    assert (refused.returncode != 0, "revoked" in refused.stdout + refused.stderr) == (True, True)
    for purpose, leaf in (("sslserver", "device"), ("sslclient", "server")):
        assert run_tool("openssl", *common, "-purpose", purpose, *empty, files[leaf], expect=None).returncode != 0


@pytest.mark.parametrize("key_type", KeyType)
def test_openssl_reads_the_crl(tmp_path: Path, key_type: KeyType) -> None:
    files = write_all(tmp_path, key_type)
    for name in ("empty", "full"):
        shown = run_tool("openssl", "crl", "-in", files[name], "-CAfile", files["ca"], "-noout", "-text", "-verify")
        assert "verify OK" in shown.stdout + shown.stderr
        assert ("No Revoked Certificates" in shown.stdout) == (name == "empty")
    assert "Key Compromise" in shown.stdout


@pytest.mark.parametrize("key_type", KeyType)
def test_gnutls_verifies_with_the_crl(tmp_path: Path, key_type: KeyType) -> None:
    files = write_all(tmp_path, key_type)
    common = ("--load-ca-certificate", files["ca"])
    for leaf in ("uuid", "server"):
        shown = run_tool("certtool", "--verify", *common, "--load-crl", files["empty"], "--infile", files[leaf])
        assert "Verified" in shown.stdout
    refused = run_tool(
        "certtool", "--verify", *common, "--load-crl", files["full"], "--infile", files["device"], expect=None
    )
    assert "revoked" in refused.stdout
    for name in ("empty", "full"):
        shown = run_tool("certtool", "--verify-crl", *common, "--infile", files[name], expect=None)
        assert "Verified" in shown.stdout, shown.stdout + shown.stderr


@pytest.mark.parametrize("key_type", KeyType)
def test_pkilint_has_nothing_to_say(tmp_path: Path, key_type: KeyType) -> None:
    files = write_all(tmp_path, key_type)
    for name in ("ca", "device", "uuid", "server"):
        pkilint("lint_pkix_cert", files[name])
    for name in ("device", "uuid", "server"):
        pkilint("lint_pkix_signer_signee_cert_chain", files["ca"], files[name])
    for name in ("empty", "full"):
        pkilint("lint_crl", "-t", "CRL", "-p", "PKIX", files[name])


@pytest.mark.parametrize("iterations", [RANDOM_ITERATIONS, HUMAN_ITERATIONS])
@pytest.mark.parametrize("key_type", KeyType)
def test_encrypted_keys_open_elsewhere_with_the_passphrase(tmp_path: Path, key_type: KeyType, iterations: int) -> None:
    private = key(key_type)
    stored = encrypt_key(dump_key(private), b"s3cret", iterations=iterations, salt=b"s" * 16, iv=b"i" * 16)
    path = tmp_path / "key.pem"
    path.write_bytes(pem_encode("ENCRYPTED PRIVATE KEY", stored))
    run_tool(
        "openssl", "pkey", "-in", path, "-passin", "pass:s3cret", "-pubout", "-outform", "DER", "-out", tmp_path / "p"
    )
    assert (tmp_path / "p").read_bytes() == spki_der(private.public_key())
    assert run_tool("openssl", "pkey", "-in", path, "-passin", "pass:x", "-noout", expect=None).returncode != 0
    run_tool("certtool", "--key-info", "--password", "s3cret", "--infile", path)


@pytest.mark.parametrize("cipher", ["-aes-256-cbc", "-aes-128-cbc"])
def test_keys_that_openssl_encrypted_open_here(tmp_path: Path, cipher: str) -> None:
    path = tmp_path / "plain.pem"
    path.write_bytes(pem_encode("PRIVATE KEY", dump_key(key(KeyType.EC_P256))))
    for form in (("pkey",), ("pkcs8", "-topk8", "-v2", cipher[1:], "-scrypt"), ("ec",)):
        encrypt = () if form[0] == "pkcs8" else (cipher,)
        run_tool("openssl", *form, *encrypt, "-in", path, "-passout", "pass:s3cret", "-out", tmp_path / "key")
        assert dump_key(load_key((tmp_path / "key").read_bytes(), b"s3cret")) == dump_key(key(KeyType.EC_P256))


@pytest.mark.parametrize("key_type", KeyType)
def test_requests_from_openssl_are_read(tmp_path: Path, key_type: KeyType) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem_encode("PRIVATE KEY", dump_key(key(key_type))))
    for text in ((), ("-text",)):
        run_tool("openssl", "req", "-new", "-key", path, "-subj", "/CN=x", *text, "-out", tmp_path / "csr")
        csr = parse_csr((tmp_path / "csr").read_bytes())
        assert (csr.key_type, csr.spki_der) == (key_type, spki_der(key(key_type).public_key()))
