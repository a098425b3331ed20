"""Which certificates make a CA that may sign, and that all of one issuer are of its key and name."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import KeyType
from iotonboard.pki.issuer import load_issuer
from iotonboard.pki.keys import key_identifier
from iotonboard.pki.verifying import statement_holds

from support.pki import CA_SERIAL, CA_VALIDITY, device, issuer, key, signer

EC = KeyType.EC_P256
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{each: each in allowed for each in USAGES})


CONSTRAINTS = x509.BasicConstraints(ca=True, path_length=0)
SIGNS = usage("key_cert_sign", "crl_sign")
KEY_ID = x509.SubjectKeyIdentifier(key_identifier(key(EC).public_key()))


def certificate(subject: str, extensions: Iterable[x509.ExtensionType], *, by: str = "", role: str = "ca") -> bytes:
    """A certificate of the CA's key, or of another one, signed by itself or in the name of a CA above it."""
    public_key = (key(EC) if role == "ca" else key(EC, role)).public_key()
    builder = x509.CertificateBuilder(
        name(by or subject), name(subject), public_key, CA_SERIAL, CA_VALIDITY.not_before, CA_VALIDITY.not_after
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key(EC, "root") if by else key(EC), hashes.SHA256()).public_bytes(Encoding.DER)


COMPLETE = (CONSTRAINTS, SIGNS, KEY_ID)


def test_a_ca_that_may_sign_certificates_and_crls_is_an_issuer() -> None:
    ca = load_issuer(certificate("Plant", COMPLETE), signer())
    assert (ca.name, ca.key_id, ca.validity) == (name("Plant"), KEY_ID.digest, CA_VALIDITY)
    assert len(ca.fingerprint) == 64
    load_issuer(certificate("Plant", (CONSTRAINTS, KEY_ID)), signer())  # RFC 5280 4.2.1.3 limits a key that has it


@pytest.mark.parametrize(
    "extensions",
    [
        (SIGNS, KEY_ID),
        (CONSTRAINTS, SIGNS),
        (x509.BasicConstraints(ca=False, path_length=None), SIGNS, KEY_ID),
        (CONSTRAINTS, usage("key_cert_sign"), KEY_ID),
        (CONSTRAINTS, usage("crl_sign"), KEY_ID),
        (CONSTRAINTS, usage("digital_signature"), KEY_ID),
    ],
)
def test_what_is_not_allowed_to_sign_is_no_issuer(extensions: tuple[x509.ExtensionType, ...]) -> None:
    with pytest.raises(PolicyError, match="not one of a CA that may sign"):
        load_issuer(certificate("Plant", extensions), signer())


def test_a_station_keeps_its_key_and_name_when_a_root_certifies_it_too() -> None:
    own, by_root = certificate("Plant", COMPLETE), certificate("Plant", COMPLETE, by="Root")
    ca = load_issuer(own, signer(), by_root)
    assert ca.certificates == (own, by_root)
    assert ca.certificate_der == own
    with pytest.raises(PolicyError, match="not of one CA"):
        load_issuer(own, signer(), certificate("Other", COMPLETE, by="Root"))
    with pytest.raises(PolicyError, match="not of one CA"):
        load_issuer(own, signer(), certificate("Plant", (CONSTRAINTS, SIGNS, x509.SubjectKeyIdentifier(b"other"))))
    with pytest.raises(KeyUnavailableError):
        load_issuer(own, signer(), certificate("Plant", COMPLETE, by="Root", role="device"))


def test_what_cannot_be_read_is_no_issuer() -> None:
    for octets in (b"", b"garbage", issuer().certificate_der[:-1], device()):
        with pytest.raises((PolicyError, KeyUnavailableError)):
            load_issuer(octets, signer())


def test_a_key_of_a_type_that_no_ca_has_signed_no_statement() -> None:
    other = ed448.Ed448PrivateKey.generate()
    builder = x509.CertificateBuilder(
        name("Other"), name("Other"), other.public_key(), CA_SERIAL, CA_VALIDITY.not_before, CA_VALIDITY.not_after
    )
    certificate_der = builder.sign(other, None).public_bytes(Encoding.DER)
    statement = b"iotonboard test 1\n"
    assert not statement_holds(certificate_der, statement, other.sign(statement))
