"""Files of certificates and requests as people have them: read as meant, or refused for what they are."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7, pkcs12
from iotonboard.errors import PolicyError
from iotonboard.model import KeyType
from iotonboard.pki.crl import sign_crl
from iotonboard.pki.given import certificates_in, crls_in, request_in
from iotonboard.pki.keys import dump_key, spki_der
from iotonboard.pki.pem import pem_encode

from support.pki import NOW, device, issuer, key

CA, DEVICE = issuer().certificate_der, device()
CA_PEM, PEM = pem_encode("CERTIFICATE", CA), pem_encode("CERTIFICATE", DEVICE)
KEY_DER = dump_key(key(KeyType.EC_P256))
KEY_PEM = pem_encode("PRIVATE KEY", KEY_DER)


@pytest.mark.parametrize(
    "data",
    [
        PEM,
        DEVICE,
        DEVICE + b"\r\n",
        b"\xef\xbb\xbf" + PEM,
        b"Subject: sensor-1\nissued for hall 3\n" + PEM + b"-- \nregards\n",
        PEM.replace(b"\n", b"\r\n"),
        PEM.replace(b"\n", b"\r"),
        PEM.replace(b"\n", b" \t\n"),
        PEM.replace(b"\n", b"\xc2\xa0\n"),
        PEM.replace(b"\n", b"\n\n"),
        PEM.replace(b"\n", b"\n    "),
        PEM.rstrip(b"\n"),
        b'{"certificatePem": "' + PEM.replace(b"\n", b"\\n") + b'"}',
        PEM.decode().encode("utf-16"),
        PEM.decode().encode("utf-16-le"),
        PEM.decode().encode("utf-16-be"),
        PEM.replace(b"-----\n", b'-----\nX-Made-By: a tool\nComment: "two\n  lines"\n\n', 1),
        PEM.replace(b"-----\n", b"-----\r\nVersion: 1\r\n\r\n", 1),
        PEM.replace(b" CERTIFICATE", b" X509 CERTIFICATE"),
        pem_encode("TRUSTED CERTIFICATE", DEVICE + bytes.fromhex("300c300a06082b06010505070302")),
        base64.encodebytes(DEVICE),
        KEY_PEM + PEM,
        PEM + KEY_PEM,
    ],
)
def test_one_certificate_whatever_wraps_it(data: bytes) -> None:
    assert certificates_in(data) == [DEVICE]


@pytest.mark.parametrize("data", [PEM + CA_PEM, PEM + KEY_PEM + CA_PEM, PEM + b"the CA:\n" + CA_PEM, DEVICE + CA])
def test_every_certificate_is_meant(data: bytes) -> None:
    assert certificates_in(data) == [DEVICE, CA]


CRL = sign_crl(issuer(), number=1, this_update=NOW, next_update=NOW.replace(year=2031), entries=iter(())).der
CRL_PEM = pem_encode("X509 CRL", CRL)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (CRL_PEM, 1),
        (CRL, 1),
        (CRL + b"\n", 1),
        (CRL + CRL, 2),
        (CRL_PEM + CRL_PEM, 2),
        (CA_PEM + b"our list:\n" + CRL_PEM.replace(b"\n", b" \r\n"), 1),
        (b"\xef\xbb\xbf" + CRL_PEM, 1),
        (CRL_PEM.decode().encode("utf-16"), 1),
        (base64.encodebytes(CRL), 1),
    ],
)
def test_every_crl_of_a_file_whatever_wraps_it(data: bytes, count: int) -> None:
    assert crls_in(data) == [CRL] * count


@pytest.mark.parametrize("data", [b"", CA, CA_PEM, CRL[:-1], CRL_PEM[:-9], b"hello\n", CRL + b"x"])
def test_what_is_no_crl_is_refused_with_a_hint(data: bytes) -> None:
    with pytest.raises(PolicyError) as caught:
        crls_in(data)
    assert caught.value.hint


def _pkcs12() -> bytes:
    certificate = x509.load_der_x509_certificate(CA)
    return pkcs12.serialize_key_and_certificates(b"x", key(KeyType.EC_P256), certificate, None, NoEncryption())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"hello", "no 'CERTIFICATE' block"),
        (KEY_PEM, "holds PRIVATE KEY"),
        (KEY_DER, "a private key"),
        (
            key(KeyType.RSA_2048).private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
            "private",
        ),
        (spki_der(key(KeyType.EC_P256).public_key()), "a public key"),
        (_pkcs12(), "a PKCS #12 file"),
        (pkcs7.serialize_certificates([x509.load_der_x509_certificate(CA)], Encoding.DER), "a PKCS #7 file"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (CRL, "a CRL"),
        (PEM[:-30], "cut short"),
        (PEM[30:], "cut short"),
        (PEM + CA_PEM[:-30], "cut short"),
        (PEM + PEM.replace(b"-----END CERTIFICATE-----\n", b""), "cut short"),
        (DEVICE[:-1], "cut short"),
        (DEVICE + b"\x00", "1 octets follow"),
        (PEM.replace(b"M", b"*", 1), "not base64"),
        (pem_encode("CERTIFICATE", b"0\x03\x02\x01\x00"), "can be read"),
        (pem_encode("CERTIFICATE", KEY_DER), "a private key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",  # keys differ from run to run
)
def test_what_is_no_certificate_is_refused_for_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason) as caught:
        certificates_in(data)
    assert caught.value.hint


def test_a_certificate_is_no_request() -> None:
    with pytest.raises(PolicyError, match="CERTIFICATE, not a certification request"):
        request_in(PEM, "make one")
    with pytest.raises(PolicyError, match="this is a certificate"):
        request_in(DEVICE, "make one")
