"""Certification requests: good ones of every key type, and everything that must be refused."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from iotonboard.errors import PolicyError
from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.csr import MAX_CSR_OCTETS, parse_csr
from iotonboard.pki.keys import spki_der
from iotonboard.pki.pem import pem_encode

from support.pki import key

DER = serialization.Encoding.DER


def request(private: object, digest: hashes.HashAlgorithm | None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "anything")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(private, digest).public_bytes(DER)  # type: ignore[arg-type]


GOOD = request(key(KeyType.EC_P256), hashes.SHA256())


@pytest.mark.parametrize("key_type", KeyType)
def test_every_key_type_in_both_encodings(key_type: KeyType) -> None:
    octets = request(key(key_type), None if key_type is KeyType.ED25519 else hashes.SHA256())
    for form in (
        octets,
        pem_encode("CERTIFICATE REQUEST", octets),
        b"text\n" + pem_encode("NEW CERTIFICATE REQUEST", octets).replace(b"\n", b"\r\n"),
    ):
        csr = parse_csr(form)
        assert csr.key_type is key_type
        assert csr.spki_der == spki_der(key(key_type).public_key())


def refused(data: bytes) -> str:
    with pytest.raises(PolicyError) as caught:
        parse_csr(data)
    assert caught.value.exit_code == 6
    assert caught.value.hint
    return caught.value.message


def test_what_is_not_one_request_is_refused() -> None:
    pem = pem_encode("CERTIFICATE REQUEST", GOOD)
    for data in (
        b"",
        b"  \n",
        b"garbage",
        GOOD[:-1],
        GOOD + b"\x00",
        pem[:-9],
        pem + pem,
        pem_encode("CERTIFICATE", GOOD),
    ):
        try:
            parse_csr(data)
        except PolicyError:
            continue
        pytest.fail(f"accepted {data[:40]!r}")


def test_a_huge_request_is_refused_unread() -> None:
    assert "larger" in refused(b"\x30" * (MAX_CSR_OCTETS + 1))


def test_a_signature_that_proves_nothing_is_refused() -> None:
    assert "not proved" in refused(GOOD[:-1] + bytes((GOOD[-1] ^ 1,)))
    other = spki_der(key(KeyType.EC_P256, "device").public_key())
    assert "not proved" in refused(GOOD.replace(spki_der(key(KeyType.EC_P256).public_key()), other))


def test_a_weak_digest_is_refused() -> None:
    der_request = request(key(KeyType.RSA_2048), hashes.SHA256())
    info, *_ = der.children(der_request, der.whole(der_request))
    octets = der_request[info.start : info.end]
    signature = key(KeyType.RSA_2048).sign(octets, padding.PKCS1v15(), hashes.SHA1())  # type: ignore[call-arg, arg-type]
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.5"), der.NULL)
    assert "sha1" in refused(der.sequence(octets, algorithm, der.bit_string(signature)))


def test_other_key_types_and_sizes_are_refused() -> None:
    refused(request(ec.generate_private_key(ec.SECP521R1()), hashes.SHA256()))
    refused(request(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()))
    refused(request(rsa.generate_private_key(65537, 1024), hashes.SHA256()))


def test_a_weak_rsa_exponent_is_refused() -> None:
    assert "exponent" in refused(request(rsa.generate_private_key(3, 2048), hashes.SHA256()))


def test_a_key_of_small_order_is_refused() -> None:
    """With the neutral element as key, S = 0 and R = neutral verifies for every message."""
    octets = request(key(KeyType.ED25519), None)
    own = key(KeyType.ED25519).public_key().public_bytes_raw()  # type: ignore[union-attr]
    neutral = b"\x01" + bytes(31)
    forged = octets.replace(own, neutral)[:-64] + neutral + bytes(32)
    ed25519.Ed25519PublicKey.from_public_bytes(neutral)
    refused(forged)
