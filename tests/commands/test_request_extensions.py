"""What a device's own request asks for, beside its key, never reaches a certificate that its profile does not give."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from iotonboard.pki import der

from support.program import State

OWN = """
[profiles.own]
subject = ["common_name={device_id}", "organization=Works"]
san = ["uri:urn:plant-4:{device_id}"]
key_usage = ["digitalSignature"]
eku = ["clientAuth"]
extensions = [{ oid = "1.3.6.1.4.1.99999.3", utf8 = "A3" }]
"""
MICROSOFT = "1.3.6.1.4.1.311.2.1.14"  # extensions of a request, before PKCS #9 had them
EVERY_USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True, key_agreement=True,
    key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip
UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05admin")
FORMS: dict[str, x509.ExtensionType] = {
    "ca": x509.BasicConstraints(ca=True, path_length=None),
    "path": x509.BasicConstraints(ca=True, path_length=3),
    "usage": EVERY_USAGE,
    "server": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    "any": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.OCSP_SIGNING]),
    "dns": x509.SubjectAlternativeName([x509.DNSName("broker.evil.example"), x509.DNSName("*.evil.example")]),
    "ip": x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("192.0.2.66"))]),
    "ip6": x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("2001:db8::66"))]),
    "uri": x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:evil:x")]),
    "email": x509.SubjectAlternativeName([x509.RFC822Name("root@evil.example")]),
    "upn": x509.SubjectAlternativeName([UPN]),
    "names": x509.NameConstraints([x509.DNSName("evil.example")], None),
    "points": x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier("http://evil.example/c")], None, None, None)]
    ),
    "access": x509.AuthorityInformationAccess(
        [x509.AccessDescription(x509.OID_OCSP, x509.UniformResourceIdentifier("http://evil.example/o"))]
    ),
    "policies": x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)]),
    "identifier": x509.SubjectKeyIdentifier(b"evil" * 5),
    "unknown": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.3"), b"\x0c\x04evil"),
}


def request(path: Path, *extensions: x509.ExtensionType, critical: bool = True) -> Path:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    path.write_bytes(signed.public_bytes(Encoding.PEM))
    return path


def old_request(path: Path) -> None:
    """All of them, where only old programs look."""
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    every = (
        der.sequence(der.oid(one.oid.dotted_string), der.octet_string(one.public_bytes())) for one in FORMS.values()
    )
    attribute = der.sequence(der.oid(MICROSOFT), der.tlv(der.SET, der.sequence(*every)))
    info = der.sequence(der.integer(0), der.sequence(), spki, der.explicit(0, attribute))
    signature = der.bit_string(key.sign(info, ec.ECDSA(hashes.SHA256())))
    path.write_bytes(der.sequence(info, der.sequence(der.oid("1.2.840.10045.4.3.2")), signature))


def looked_at(state: State, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((state.device(name) / "device.crt").read_bytes())


def contents(found: x509.Certificate) -> list[tuple[str, bool, object]]:
    """What a certificate has beside its key, and what is of its key and its CA."""
    keyed = (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)
    return [(one.oid.dotted_string, one.critical, one.value) for one in found.extensions
            if not isinstance(one.value, keyed)]  # fmt: skip


@pytest.fixture(scope="module")
def plant(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    state = pristine.copy_to(tmp_path_factory.mktemp("plant"))
    (state.path / "iotonboard.toml").write_text(OWN)
    state.run("config", "accept")
    return state


@pytest.mark.parametrize("profile", ["mqtt", "own", "idevid", "azure"])
def test_no_form_of_a_request_reaches_a_certificate(plant: State, tmp_path: Path, profile: str) -> None:
    words = ("--profile", profile, "--set", "hardware_type=1.3.6.1.4.1.99999.1")
    plain = f"{profile}-plain"
    plant.run("register", plain, *words)
    expected = contents(looked_at(plant, plain))
    folder = tmp_path / "requests"
    folder.mkdir()
    for form, extension in FORMS.items():
        request(folder / f"{profile}-{form}.csr", extension)
    old_request(folder / f"{profile}-old.csr")
    plant.run("register", "--csr-dir", folder, *words)
    for form in (*FORMS, "old"):
        name = f"{profile}-{form}"
        found = looked_at(plant, name)
        octets = found.public_bytes(Encoding.DER)
        assert contents(found) == contents_of(expected, plain, name), form
        assert b"evil" not in octets
        assert b"admin" not in octets
        assert (name in found.subject.rfc4514_string()) or profile == "idevid"


def contents_of(expected: list[tuple[str, bool, object]], plain: str, name: str) -> list[tuple[str, bool, object]]:
    """What another device has: names hold its own id."""

    def named(value: object) -> object:
        if not isinstance(value, x509.SubjectAlternativeName):
            return value
        (only,) = value
        if isinstance(only, x509.UniformResourceIdentifier):
            return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(only.value.replace(plain, name))])
        assert isinstance(only, x509.OtherName)
        hardware = der.sequence(der.oid("1.3.6.1.4.1.99999.1"), der.octet_string(name.encode()))
        return x509.SubjectAlternativeName([x509.OtherName(only.type_id, hardware)])

    return [(oid, critical, named(value)) for oid, critical, value in expected]


@pytest.mark.parametrize("critical", [True, False])
def test_a_renewal_by_a_request_gets_nothing_of_it_either(plant: State, tmp_path: Path, critical: bool) -> None:
    name = f"renewed-{critical}"
    plant.run("register", name, "--profile", "own")
    before = contents(looked_at(plant, name))
    forms = [FORMS[form] for form in ("ca", "usage", "server", "dns", "names", "points", "unknown")]
    plant.run("renew", name, "--csr", request(tmp_path / "a.csr", *forms, critical=critical))
    assert contents(looked_at(plant, name)) == before
