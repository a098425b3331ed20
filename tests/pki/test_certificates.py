"""Profiles, issuers and certificates: what is in them, and what is refused before anything is signed."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtensionOID, NameOID
from iotonboard.errors import KeyUnavailableError, LintError, PolicyError
from iotonboard.model import DeviceId, KeyType, SerialNumber, Validity
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import issue_device, issue_server, make_ca, validity_for
from iotonboard.pki.facts import certificate_facts, fingerprint
from iotonboard.pki.issuer import load_issuer
from iotonboard.pki.keys import key_identifier, spki_der
from iotonboard.pki.lint.candidate import Kind
from iotonboard.pki.lint.lint import lint_certificate
from iotonboard.pki.profiles import DeviceProfile, ServerProfile
from iotonboard.pki.signatures import SoftwareSigner

from support.pki import CA_SERIAL, CA_VALIDITY, NOW, SERIAL, UUID, VALIDITY, device, issuer, key, server, signer

EC = KeyType.EC_P256


@pytest.mark.parametrize("key_type", KeyType)
def test_every_key_type_verifies_against_its_ca(key_type: KeyType) -> None:
    root = x509.load_der_x509_certificate(issuer(key_type).certificate_der)
    root.verify_directly_issued_by(root)
    for leaf_der in (device(key_type), device(key_type, UUID), server(key_type, "broker.example", "10.0.0.1", "::1")):
        leaf = x509.load_der_x509_certificate(leaf_der)
        leaf.verify_directly_issued_by(root)
        hash_name = leaf.signature_hash_algorithm.name if leaf.signature_hash_algorithm else None
        assert hash_name == {KeyType.EC_P384: "sha384", KeyType.ED25519: None}.get(key_type, "sha256")


@pytest.mark.parametrize("ca_type", [KeyType.EC_P256, KeyType.RSA_2048, KeyType.ED25519])
@pytest.mark.parametrize("device_type", [KeyType.EC_P384, KeyType.RSA_2048, KeyType.ED25519])
def test_key_types_of_ca_and_device_are_independent(ca_type: KeyType, device_type: KeyType) -> None:
    public_key = key(device_type, "device").public_key()
    der = issue_device(issuer(ca_type), public_key, DeviceId("mixed"), SERIAL, VALIDITY, DeviceProfile())
    root = x509.load_der_x509_certificate(issuer(ca_type).certificate_der)
    x509.load_der_x509_certificate(der).verify_directly_issued_by(root)


def test_a_device_certificate_says_this_and_nothing_else() -> None:
    certificate = x509.load_der_x509_certificate(device())
    assert certificate.subject.rfc4514_string() == "CN=sensor-1"
    assert certificate.issuer.rfc4514_string() == "CN=Test Root,OU=Factory 7,O=Example Works,C=DE"
    assert certificate.serial_number == SERIAL
    found = {
        extension.oid: (extension.critical, extension.value.public_bytes().hex())
        for extension in certificate.extensions
    }
    key_id = key_identifier(key(EC, "device").public_key()).hex()
    assert found == {
        ExtensionOID.BASIC_CONSTRAINTS: (True, "3000"),
        ExtensionOID.KEY_USAGE: (True, "03020780"),
        ExtensionOID.EXTENDED_KEY_USAGE: (False, "300a06082b06010505070302"),
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: (False, "0414" + key_id),
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (False, "30168014" + issuer().key_id.hex()),
    }


def test_a_uuid_is_a_urn_in_lower_case() -> None:
    for text in (UUID, UUID.lower(), str(uuid.UUID(int=7))):
        names = x509.load_der_x509_certificate(device(EC, text)).extensions.get_extension_for_oid(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        )
        assert [name.value for name in names.value] == [f"urn:uuid:{text.lower()}"]
        assert not names.critical


def test_configured_attributes_come_before_the_common_name() -> None:
    subject = x509.load_der_x509_certificate(device(organization="Example Works", country="DE")).subject
    assert [attribute.oid for attribute in subject] == [
        NameOID.ORGANIZATION_NAME,
        NameOID.COUNTRY_NAME,
        NameOID.COMMON_NAME,
    ]


def test_a_ca_certificate() -> None:
    facts = certificate_facts(issuer().certificate_der)
    assert (facts.is_ca, facts.subject_cn, facts.serial) == (True, "Test Root", CA_SERIAL)
    certificate = x509.load_der_x509_certificate(issuer().certificate_der)
    assert certificate.subject.public_bytes() == certificate.issuer.public_bytes() == issuer().subject_der
    key_id = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert key_id == issuer().key_id == key_identifier(key(EC).public_key())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.path_length) == (True, 0)


def test_server_names_are_all_there_in_order_and_once() -> None:
    names = ("Broker.Example", "10.0.0.1", "2001:db8::1", "broker.example", "localhost")
    facts = certificate_facts(server(EC, *names))
    assert facts.alt_names == ("broker.example", "10.0.0.1", "2001:db8::1", "localhost")
    assert facts.subject_cn == "broker.example"


def test_a_long_first_name_leaves_the_subject_empty_and_the_alt_name_critical() -> None:
    long_name = ".".join(["a" * 40] * 2)
    certificate = x509.load_der_x509_certificate(server(EC, long_name, "b.example"))
    assert not list(certificate.subject)
    assert certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "*", "*.example", "a b", "-a", "a-", "a..b", ".a", "a.", "a/b", "a" * 64, "10.0.0.256", "1.2.3",
        "10.0.0.1/8", "fe80::1%eth0x y", "b\u00fccher.example", "a\nb", "a\x00b", "host:8883", ".".join(["a" * 60] * 5),
    ],
)  # fmt: skip
def test_bad_host_names_are_refused(name: str) -> None:
    with pytest.raises(PolicyError) as caught:
        server(EC, "good.example", name)
    assert caught.value.hint


def test_a_server_without_a_name_is_refused() -> None:
    with pytest.raises(PolicyError):
        server(EC)


@pytest.mark.parametrize(
    "values",
    [
        {"common_name": ""},
        {"common_name": "x" * 65},
        {"common_name": "a\nb"},
        {"common_name": " a"},
        {"common_name": "a", "country": "de"},
        {"common_name": "a", "country": "DEU"},
        {"common_name": "a", "organization": "x" * 65},
        {"common_name": "a", "organizational_unit": ""},
    ],
)
def test_illegal_subjects_cannot_exist(values: dict[str, str]) -> None:
    with pytest.raises(PolicyError):
        Subject(**values)


@pytest.mark.parametrize(
    "extra",
    [
        (("common_name", "x"),),
        (("organization", "a"), ("organization", "b")),
        (("serial_number", "1"),),
        (("country", "Germany"),),
        (("locality", "x" * 129),),
    ],
)
def test_illegal_profiles_cannot_exist(extra: tuple[tuple[str, str], ...]) -> None:
    for profile in (DeviceProfile, ServerProfile):
        with pytest.raises(PolicyError):
            profile(extra)


def test_validity_is_backdated_but_not_before_the_ca() -> None:
    validity = validity_for(NOW, 10, skew_minutes=30, issuer_validity=CA_VALIDITY)
    assert validity == Validity(NOW - timedelta(minutes=30), NOW + timedelta(days=10))
    clamped = validity_for(NOW, 10, skew_minutes=600, issuer_validity=CA_VALIDITY)
    assert clamped.not_before == CA_VALIDITY.not_before
    fraction = validity_for(NOW.replace(microsecond=7), 10, skew_minutes=0, issuer_validity=None)
    assert fraction == Validity(NOW, NOW + timedelta(days=10))


def test_a_certificate_may_not_outlive_its_ca_and_the_error_says_what_fits() -> None:
    late = CA_VALIDITY.not_after - timedelta(days=30, hours=5)
    with pytest.raises(PolicyError) as caught:
        validity_for(late, 31, skew_minutes=60, issuer_validity=CA_VALIDITY)
    assert "30" in caught.value.message
    assert "30 days" in caught.value.hint
    assert validity_for(late, 30, skew_minutes=60, issuer_validity=CA_VALIDITY).not_after <= CA_VALIDITY.not_after


@pytest.mark.parametrize("days", [0, -1, 10**6 * 4, 10**12])
def test_impossible_lifetimes(days: int) -> None:
    with pytest.raises(PolicyError):
        validity_for(NOW, days, skew_minutes=60, issuer_validity=None)


def test_a_clock_outside_the_ca_is_refused() -> None:
    for moment in (CA_VALIDITY.not_before - timedelta(seconds=1), CA_VALIDITY.not_after + timedelta(days=1)):
        with pytest.raises(PolicyError):
            validity_for(moment, 1, skew_minutes=60, issuer_validity=CA_VALIDITY)


def test_an_issuer_needs_its_own_key_and_a_ca_certificate() -> None:
    with pytest.raises(KeyUnavailableError):
        load_issuer(issuer().certificate_der, SoftwareSigner(key(EC, "device")))
    with pytest.raises(PolicyError):
        load_issuer(device(), SoftwareSigner(key(EC, "device")))
    with pytest.raises(PolicyError):
        load_issuer(b"garbage", signer())
    assert "PrivateKey" not in repr(issuer())


def test_nothing_that_breaks_a_rule_is_signed() -> None:
    """The key is never asked."""
    outside = Validity(NOW, CA_VALIDITY.not_after + timedelta(seconds=1))
    public_key = key(EC, "device").public_key()
    with pytest.raises(LintError, match="validity_is_inside_issuers"):
        issue_device(issuer(), public_key, DeviceId("late"), SERIAL, outside, DeviceProfile())
    with pytest.raises(LintError, match="serial_has_64_bits"):
        issue_device(issuer(), public_key, DeviceId("short"), SerialNumber(5), VALIDITY, DeviceProfile())
    with pytest.raises(LintError, match="serial_has_64_bits"):
        make_ca(CaProfile(Subject("CA")), signer(), SerialNumber(5), CA_VALIDITY)
    with pytest.raises(LintError, match="validity_is_inside_issuers"):
        issue_server(issuer(), public_key, ["a.example"], SERIAL, outside, ServerProfile())


def test_a_weak_key_from_outside_is_not_certified() -> None:
    neutral = ed25519.Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
    with pytest.raises(LintError, match="key_is_not_weak"):
        issue_device(issuer(), neutral, DeviceId("weak"), SERIAL, VALIDITY, DeviceProfile())


def test_facts_and_fingerprint() -> None:
    der = device(EC, UUID)
    facts = certificate_facts(der)
    assert facts.fingerprint == fingerprint(der) == hashlib.sha256(der).hexdigest()
    assert facts.spki_sha256 == hashlib.sha256(spki_der(key(EC, "device").public_key())).digest()
    assert (facts.serial, facts.subject_cn, facts.is_ca, facts.key_type) == (SERIAL, UUID, False, EC)
    assert facts.validity == VALIDITY
    assert facts.spki_der == spki_der(key(EC, "device").public_key())
    for garbage in (b"", b"garbage", der[:-1], der + b"\x00"):
        with pytest.raises(PolicyError):
            certificate_facts(garbage)


def test_signed_certificates_pass_the_lint_again() -> None:
    for der, kind in (
        (device(), Kind.DEVICE),
        (server(EC, "a.example"), Kind.SERVER),
        (issuer().certificate_der, Kind.CA),
    ):
        lint_certificate(x509.load_der_x509_certificate(der).tbs_certificate_bytes, kind, issuer().facts)


def test_dates_after_2049() -> None:
    validity = Validity(NOW, NOW.replace(year=2080))
    root = load_issuer(make_ca(CaProfile(Subject("Old")), signer(), CA_SERIAL, validity), signer())
    public_key = key(EC, "device").public_key()
    der = issue_device(root, public_key, DeviceId("old"), SERIAL, validity, DeviceProfile())
    assert b"\x18\x0f20800601120000Z" in der
