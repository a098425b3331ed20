"""Certification requests: good ones of every key type, and everything that must be refused."""

from __future__ import annotations

import base64

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


# -- requests as other makers write them: OpenSSL verifies all of these ------------------------------------------------

EC_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))
EC_SHA256_NULL = der.sequence(der.oid("1.2.840.10045.4.3.2"), der.NULL)


def written(
    *, version: int = 0, attributes: bytes = b"\xa0\x00", algorithm: bytes = EC_SHA256, digest: object = None
) -> bytes:
    """A request by hand, signed with the P-256 key over what stands in it."""
    private = key(KeyType.EC_P256)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    info = der.sequence(der.integer(version), der.sequence(), spki_der(private.public_key()), attributes)
    signature = private.sign(info, ec.ECDSA(digest or hashes.SHA256()))  # type: ignore[arg-type]
    return der.sequence(info, algorithm, der.bit_string(signature))


@pytest.mark.parametrize(
    "changed", [{"attributes": b""}, {"version": 1}, {"version": 2}, {"algorithm": EC_SHA256_NULL}]
)
def test_what_the_signature_covers_is_taken_as_it_is(changed: dict[str, object]) -> None:
    octets = written(**changed)  # type: ignore[arg-type]
    for form in (octets, octets + b"\n", octets + b"\r\n", pem_encode("CERTIFICATE REQUEST", octets)):
        assert parse_csr(form).spki_der == spki_der(key(KeyType.EC_P256).public_key())
    other = spki_der(key(KeyType.EC_P256, "device").public_key())
    assert "not proved" in refused(octets.replace(spki_der(key(KeyType.EC_P256).public_key()), other))


def test_a_version_that_nobody_knows_is_refused() -> None:
    assert "version" in refused(written(version=3))
    assert "version" in refused(written(version=-1))


@pytest.mark.parametrize(("arc", "digest"), [(9, hashes.SHA3_224()), (10, hashes.SHA3_256()), (12, hashes.SHA3_512())])
def test_sha_3_is_as_good_as_sha_2(arc: int, digest: hashes.HashAlgorithm) -> None:
    algorithm = der.sequence(der.oid(f"2.16.840.1.101.3.4.3.{arc}"))
    assert parse_csr(written(algorithm=algorithm, digest=digest)).key_type is KeyType.EC_P256


@pytest.mark.parametrize("salt", [0, 20, 32])
def test_an_rsa_key_may_sign_with_pss(salt: int) -> None:
    private = key(KeyType.RSA_2048)
    padded = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    made = builder.sign(private, hashes.SHA256(), rsa_padding=padded)  # type: ignore[arg-type]
    octets = made.public_bytes(DER)
    assert parse_csr(octets).key_type is KeyType.RSA_2048
    assert "not proved" in refused(octets[:-1] + bytes((octets[-1] ^ 1,)))


def test_pss_with_the_default_digest_is_too_weak() -> None:
    assert "sha1" in refused(written(algorithm=der.sequence(der.oid("1.2.840.113549.1.1.10"), der.sequence())))


def test_an_algorithm_that_nobody_knows_is_named() -> None:
    assert "1.3.6.1.4.1.99999.7" in refused(written(algorithm=der.sequence(der.oid("1.3.6.1.4.1.99999.7"))))


def test_a_key_for_pss_alone_is_refused_with_the_reason() -> None:
    """The library reads it as any RSA key: the certificate would be for a key that the device does not have."""
    spki = spki_der(key(KeyType.RSA_2048).public_key())
    for_pss = der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.10")), spki[spki.index(b"\x03\x82\x01\x0f\x00") :])
    info = der.sequence(der.integer(0), der.sequence(), for_pss, b"\xa0\x00")
    assert "id-RSASSA-PSS" in refused(der.sequence(info, EC_SHA256, der.bit_string(b"x")))


def test_a_curve_without_a_name_is_refused_with_the_reason() -> None:
    spki = der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"), der.sequence(der.integer(1))), der.bit_string(b"x"))
    info = der.sequence(der.integer(0), der.sequence(), spki, b"\xa0\x00")
    assert "without a name" in refused(der.sequence(info, EC_SHA256, der.bit_string(b"x")))


def test_a_key_that_is_not_supported_is_named() -> None:
    assert "secp521r1" in refused(request(ec.generate_private_key(ec.SECP521R1()), hashes.SHA256()))


def test_the_answer_of_a_modem_is_a_request() -> None:
    """AT%KEYGEN of the nRF91: base64url of the request, a dot, base64url of the attestation; without padding."""
    octets = written(algorithm=EC_SHA256_NULL)
    answer = (
        base64.urlsafe_b64encode(octets).rstrip(b"=") + b"." + base64.urlsafe_b64encode(b"attestation").rstrip(b"=")
    )
    for form in (
        b'AT%KEYGEN=16842753,2,0\r\n%KEYGEN: "' + answer + b'"\r\nOK\r\n',
        b'%KEYGEN: "' + answer[:70] + b"\n" + answer[70:] + b'"',
        answer + b"\n",
        b'"' + answer + b'"',
        answer.partition(b".")[0],
    ):
        assert parse_csr(form).key_type is KeyType.EC_P256
    twice = b'%KEYGEN: "' + answer + b'"\n%KEYGEN: "' + answer + b'"\n'
    assert "2 requests" in refused(twice)
    public = base64.urlsafe_b64encode(spki_der(key(KeyType.EC_P256).public_key())).rstrip(b"=")
    assert "a public key" in refused(b'%KEYGEN: "' + public + b'.eA"\r\nOK\r\n')


# -- keys -------------------------------------------------------------------------------------------------------------


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
