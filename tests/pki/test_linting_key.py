"""The CA's key signs certificates that passed the lint, CRLs that did, statements with a label, and nothing else."""

from __future__ import annotations

import ast
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from iotonboard.errors import KeyUnavailableError, LintError, PolicyError
from iotonboard.model import DeviceId, KeyType
from iotonboard.pki import signatures
from iotonboard.pki.certificates import issue_device
from iotonboard.pki.crl import check_crl, sign_crl
from iotonboard.pki.issuer import Issuer, load_issuer
from iotonboard.pki.keys import PublicKey, key_identifier
from iotonboard.pki.linting_key import LintingKey
from iotonboard.pki.profiles import DeviceProfile
from iotonboard.pki.signatures import sign_statement
from iotonboard.pki.verifying import statement_holds

from support.pki import NOW, SERIAL, UUID, VALIDITY, device, issuer, key, signer

EC = KeyType.EC_P256
TYPES = (KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048, KeyType.ED25519)
LIBRARY_TYPES = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)


@dataclass
class Watched:
    """A signer that remembers what it signed, and may be broken."""

    key_type: KeyType
    signed: list[bytes] = field(default_factory=list)
    is_broken: bool = False

    def public_key(self) -> PublicKey:
        return signer(self.key_type).public_key()

    def sign(self, octets: bytes, digest: hashes.HashAlgorithm) -> bytes:
        self.signed.append(octets)
        signature = signer(self.key_type).sign(octets, digest)
        return signature[:-1] + bytes((signature[-1] ^ 1,)) if self.is_broken else signature


def watched_issuer(key_type: KeyType) -> tuple[Issuer, Watched]:
    watched = Watched(key_type)
    return load_issuer(issuer(key_type).certificate_der, watched), watched


def begun(ca: Issuer) -> x509.CertificateBuilder:
    """A certificate without extensions."""
    return x509.CertificateBuilder(
        ca.name,
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor-1")]),
        key(EC, "device").public_key(),
        SERIAL,
        VALIDITY.not_before,
        VALIDITY.not_after,
    )


def as_device(ca: Issuer, *, is_ca: bool = False) -> x509.CertificateBuilder:
    """What a device gets, or the same with CA:TRUE and the key usage of a CA."""
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    usage |= {"digital_signature": not is_ca, "key_cert_sign": is_ca, "crl_sign": is_ca}
    return (
        begun(ca)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier(key_identifier(key(EC, "device").public_key())), critical=False)
        .add_extension(ca.authority_key_id, critical=False)
    )


@pytest.mark.parametrize("key_type", TYPES)
def test_a_certificate_is_signed_once_and_as_it_was_linted(key_type: KeyType) -> None:
    ca, watched = watched_issuer(key_type)
    der = issue_device(ca, key(EC, "device").public_key(), DeviceId(UUID), SERIAL, VALIDITY, DeviceProfile())
    assert watched.signed == [x509.load_der_x509_certificate(der).tbs_certificate_bytes]


@pytest.mark.parametrize("key_type", TYPES)
def test_a_device_is_judged_as_a_device_whatever_its_certificate_says(key_type: KeyType) -> None:
    ca, watched = watched_issuer(key_type)
    digest = ca.device_key.builder_digest
    as_device(ca).sign(ca.device_key, digest)
    assert len(watched.signed) == 1
    with pytest.raises(LintError, match="basic_constraints_fit"):
        as_device(ca, is_ca=True).sign(ca.device_key, digest)
    with pytest.raises(LintError, match="cannot be read"):
        begun(ca).sign(ca.device_key, digest)
    with pytest.raises(LintError, match="extended_key_usage_fits"):
        as_device(ca).sign(ca.server_key, digest)
    assert len(watched.signed) == 1


def test_another_digest_than_the_key_s_own_is_refused() -> None:
    ca, watched = watched_issuer(KeyType.EC_P384)
    with pytest.raises(LintError, match="algorithm_fits_issuer"):
        as_device(ca).sign(ca.device_key, hashes.SHA256())
    assert not watched.signed


@pytest.mark.parametrize("key_type", TYPES)
def test_the_private_half_is_out_of_reach(key_type: KeyType) -> None:
    linting: LintingKey = issuer(key_type).device_key
    assert isinstance(linting, LIBRARY_TYPES)
    assert linting.public_key() == key(key_type).public_key()
    assert key_type is KeyType.ED25519 or linting.key_size == key(key_type).key_size  # type: ignore[union-attr]
    for name in ("exchange", "decrypt", "private_numbers", "private_bytes", "private_bytes_raw", "__copy__"):
        with pytest.raises(TypeError):
            getattr(linting, name)()
    assert "PrivateKey" not in repr(issuer(key_type)) + repr(signer(key_type))


def test_a_crl_is_linted_before_and_verified_after() -> None:
    ca, watched = watched_issuer(EC)
    times = {"this_update": NOW, "next_update": VALIDITY.not_after}
    made = sign_crl(ca, number=3, entries=[], **times)
    assert check_crl(made.der, ca.certificate_der) == made.facts
    assert len(watched.signed) == 1
    with pytest.raises(LintError):
        sign_crl(ca, number=3, entries=[b"garbage"], **times)
    assert len(watched.signed) == 1
    watched.is_broken = True
    with pytest.raises(KeyUnavailableError, match="wrong signature"):
        sign_crl(ca, number=3, entries=[], **times)


@pytest.mark.parametrize("key_type", TYPES)
def test_a_statement_has_a_label(key_type: KeyType) -> None:
    watched = Watched(key_type)
    for octets in (b"", b"iotonboard", b"other", device()):
        with pytest.raises(PolicyError, match="without a label"):
            sign_statement(watched, octets)
    assert not watched.signed
    statement = b"iotonboard test 1\nsomething"
    signature = sign_statement(watched, memoryview(statement))
    certificate_der = issuer(key_type).certificate_der
    assert statement_holds(certificate_der, statement, signature)
    assert not statement_holds(certificate_der, statement + b"x", signature)
    assert not statement_holds(certificate_der, statement, signature[:-1])
    other = issuer(KeyType.RSA_2048 if key_type is KeyType.ED25519 else KeyType.ED25519)
    assert not statement_holds(other.certificate_der, statement, signature)


@pytest.mark.parametrize("key_type", TYPES)
def test_a_signature_is_over_these_octets_with_the_key_s_own_algorithm(key_type: KeyType) -> None:
    public_key, octets = signer(key_type).public_key(), b"octets"
    signature = signer(key_type).sign(octets, signatures.tbs_digest(public_key))
    algorithm = signatures.signature_algorithm(public_key)
    assert signatures.verify_tbs(public_key, algorithm, signature, octets)
    assert not signatures.verify_tbs(public_key, algorithm, signature, octets + b"x")
    assert not signatures.verify_tbs(public_key, b"", signature, octets)


@pytest.mark.parametrize("key_type", TYPES)
def test_an_issuer_reaches_a_worker_process_that_is_spawned(key_type: KeyType) -> None:
    ca: Issuer = pickle.loads(pickle.dumps(issuer(key_type)))  # noqa: S301
    der = issue_device(ca, key(EC, "device").public_key(), DeviceId("a"), SERIAL, VALIDITY, DeviceProfile())
    root = x509.load_der_x509_certificate(issuer(key_type).certificate_der)
    x509.load_der_x509_certificate(der).verify_directly_issued_by(root)


def test_signing_has_its_places() -> None:
    """No other module calls ``sign`` of anything; ``ca/lost_ca.py`` refuses what is no statement."""
    package = Path(signatures.__file__).parents[1]
    found = {
        path.relative_to(package).as_posix()
        for room in package.iterdir()
        if room.name != "cli"  # which has a verb of that name
        for path in room.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "sign"
    }
    assert found == {
        "ca/lost_ca.py", "ca/token_key.py", "pki/ca_request.py", "pki/certificates.py", "pki/csr.py",
        "pki/linting_key.py", "pki/probe.py", "pki/profiled.py", "pki/signatures.py",
    }  # fmt: skip
