"""Every lint rule with a good vector and at least one bad one, made by editing the octets of good objects."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.errors import LintError, PolicyError
from iotonboard.model import KeyType, RevocationReason, SerialNumber
from iotonboard.pki import der
from iotonboard.pki.ca_profiles import Subject
from iotonboard.pki.crl import sign_crl
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.pki.keys import spki_der
from iotonboard.pki.lint import crl_rules
from iotonboard.pki.lint.candidate import Kind, issuer_facts, read_candidate, read_crl_candidate
from iotonboard.pki.lint.lint import LINTS, lint_certificate, lint_crl
from iotonboard.pki.lint.reader import read_certificate, read_tbs

from support.pki import CA_VALIDITY, NOW, SERIAL, UUID, device, issuer, key, root, server, station

EC = KeyType.EC_P256
FIELDS = ("version", "serial", "algorithm", "issuer", "validity", "subject", "spki", "extensions")
BASIC, USAGE, PURPOSE, SKI, AKI, SAN, LIMITS = (
    der.oid("2.5.29." + arc) for arc in ("19", "15", "37", "14", "35", "17", "30")
)  # fmt: skip
TRUE = b"\x01\x01\xff"


def parts(octets: bytes) -> list[bytes]:
    return [octets[child.start : child.end] for child in der.children(octets, der.read(octets))]


# What is judged is what will be signed.
GOOD = {
    Kind.CA: parts(issuer().certificate_der)[0],
    Kind.ROOT: parts(root())[0],
    Kind.STATION: parts(station("Station 7", Subject("Line A", "Example Works")))[0],
    Kind.DEVICE: parts(device())[0],
    Kind.SERVER: parts(server(EC, "broker.example", "10.0.0.1"))[0],
}


def edited(good: bytes, **fields: bytes) -> bytes:
    """Replace fields of a TBSCertificate."""
    return der.sequence(*(dict(zip(FIELDS, parts(good), strict=True)) | fields).values())


def with_extensions(good: bytes, change: Callable[[dict[bytes, bytes]], None]) -> bytes:
    """Edit the extensions as a mapping from OID to the whole Extension."""
    listed = parts(parts(parts(good)[7])[0])
    extensions = {parts(extension)[0]: extension for extension in listed}
    change(extensions)
    return edited(good, extensions=der.explicit(3, der.sequence(*extensions.values())))


def setting(oid: bytes, value: str, *, critical: bool) -> Callable[[dict[bytes, bytes]], None]:
    flag = TRUE if critical else b""
    return lambda extensions: extensions.update({oid: der.sequence(oid, flag, der.octet_string(bytes.fromhex(value)))})


def dropping(oid: bytes) -> Callable[[dict[bytes, bytes]], None]:
    return lambda extensions: extensions.update({oid: b""})


def with_extension(kind: Kind, oid: bytes, value: str, *, critical: bool) -> bytes:
    return with_extensions(GOOD[kind], setting(oid, value, critical=critical))


def without(kind: Kind, oid: bytes) -> bytes:
    return with_extensions(GOOD[kind], dropping(oid))


def validity(*times: bytes) -> bytes:
    return der.sequence(*times)


def utc(text: str) -> bytes:
    return der.tlv(der.UTC_TIME, text.encode())


def generalized(text: str) -> bytes:
    return der.tlv(der.GENERALIZED_TIME, text.encode())


def pair(oid: str, value: str, *, tag: int = 0x0C) -> bytes:
    return der.sequence(der.oid(oid), der.tlv(tag, value.encode()))


def name(*attributes: tuple[str, str]) -> bytes:
    return der.sequence(*(der.tlv(0x31, pair(oid, value)) for oid, value in attributes))


CN, O_, EMAIL = "2.5.4.3", "2.5.4.10", "1.2.840.113549.1.9.1"
BEGIN, END = der.x509_time(NOW), der.x509_time(NOW + timedelta(days=1))
OTHER_NAME = Subject("Other Root").name().public_bytes()
SHA384 = der.sequence(der.oid("1.2.840.10045.4.3.3"))
DEVICE, CA, SERVER = Kind.DEVICE, Kind.CA, Kind.SERVER
ROOT, STATION = Kind.ROOT, Kind.STATION
LIMITED = replace(issuer().facts, permitted=(((der.oid(O_), "Example  works "),),))


def device_with(**fields: bytes) -> bytes:
    return edited(GOOD[DEVICE], **fields)


def with_key(spki: bytes) -> bytes:
    """A device certificate for another key, with the key identifier that belongs to it."""
    bits = der.children(spki, der.read(spki))[-1]
    identifier = "0414" + hashlib.sha256(spki[bits.begin + 1 : bits.end]).digest()[:20].hex()
    return edited(with_extension(DEVICE, SKI, identifier, critical=False), spki=spki)


def rsa_spki(modulus: int, exponent: int) -> bytes:
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
    return der.sequence(algorithm, der.bit_string(der.sequence(der.integer(modulus), der.integer(exponent))))


MODULUS = key(KeyType.RSA_2048).public_key().public_numbers().n  # type: ignore[union-attr]
SMALL_ED25519 = der.sequence(der.sequence(der.oid("1.3.101.112")), der.bit_string(b"\x01" + bytes(31)))

POINTS = der.oid("2.5.29.31")


def points(url: bytes, *, tag: int = 0x86, beside: bytes = b"") -> str:
    """A CRLDistributionPoints with one point by one name, and what else stands in the point."""
    return der.sequence(der.sequence(der.explicit(0, der.tlv(0xA0, der.tlv(tag, url))), beside)).hex()


GOOD_POINTS = [points(b"http://crl.example/a.crl"), points(b"ldap://crl.example/CN=CA?certificateRevocationList")]
BAD_POINTS = [
    points(b"https://crl.example/a.crl"),
    points(b"http://crl.example/a b"),
    points("http://crl.example/\u00e4".encode()),
    points(b"http://crl.example/a.crl", tag=0x82),
    points(b"http://crl.example/a.crl", beside=der.tlv(0x81, b"\x06\x40")),  # reasons
    points(b"http://crl.example/a.crl", beside=der.tlv(0xA2, b"")),  # another issuer
    der.sequence(*[bytes.fromhex(GOOD_POINTS[0])[2:]] * 2).hex(),
    "3000",
    "0500",
]
BAD_CERTIFICATES = [
    ("version_is_3", DEVICE, device_with(version=der.explicit(0, der.integer(1)))),
    ("serial_is_positive", DEVICE, device_with(serial=der.integer(0))),
    ("serial_is_positive", DEVICE, device_with(serial=der.integer(-(1 << 100)))),
    ("serial_fits_20_octets", DEVICE, device_with(serial=der.integer(1 << 160))),
    ("serial_has_64_bits", DEVICE, device_with(serial=der.integer(1 << 40))),
    ("algorithm_fits_issuer", DEVICE, device_with(algorithm=SHA384)),
    ("issuer_is_ca_subject", DEVICE, device_with(issuer=OTHER_NAME)),
    ("times_are_well_formed", DEVICE, device_with(validity=validity(BEGIN, generalized("20310601120000Z")))),
    ("validity_is_ordered", DEVICE, device_with(validity=validity(END, BEGIN))),
    ("validity_is_ordered", DEVICE, device_with(validity=validity(BEGIN, BEGIN))),
    ("validity_is_inside_issuers", DEVICE, device_with(validity=validity(utc("300601105959Z"), END))),
    (
        "validity_is_inside_issuers",
        DEVICE,
        device_with(validity=validity(BEGIN, der.x509_time(CA_VALIDITY.not_after + timedelta(seconds=1)))),
    ),
    ("ca_is_self_issued", CA, edited(GOOD[CA], subject=OTHER_NAME)),
    ("subject_attributes_are_legal", DEVICE, device_with(subject=name((EMAIL, "a@b"), (CN, "sensor-1")))),
    ("subject_attributes_are_legal", DEVICE, device_with(subject=name((O_, "a"), (O_, "b"), (CN, "sensor-1")))),
    ("subject_attributes_are_legal", DEVICE, device_with(subject=name((O_, "x" * 65), (CN, "sensor-1")))),
    ("subject_has_common_name", DEVICE, device_with(subject=name((O_, "a")))),
    ("subject_has_common_name", DEVICE, device_with(subject=name())),
    ("subject_has_common_name", DEVICE, device_with(subject=name((CN, "sensor-1"), (CN, "sensor-2")))),
    ("subject_has_common_name", CA, edited(GOOD[CA], subject=name((O_, "a")))),
    ("common_name_is_device_id", DEVICE, device_with(subject=name((CN, "a/b")))),
    ("common_name_is_device_id", DEVICE, device_with(subject=name((CN, "+")))),
    ("common_name_is_device_id", DEVICE, device_with(subject=name((CN, "a\nb")))),
    *(("extensions_are_exact", DEVICE, without(DEVICE, oid)) for oid in (BASIC, USAGE, PURPOSE, SKI, AKI)),
    *(("extensions_are_exact", CA, without(CA, oid)) for oid in (BASIC, USAGE, SKI)),
    ("extensions_are_exact", DEVICE, with_extension(DEVICE, der.oid("2.5.29.99"), "0500", critical=False)),
    ("extensions_are_exact", CA, with_extension(CA, PURPOSE, "300a06082b06010505070302", critical=False)),
    ("criticality_is_right", DEVICE, with_extension(DEVICE, BASIC, "3000", critical=False)),
    ("criticality_is_right", DEVICE, with_extension(DEVICE, USAGE, "03020780", critical=False)),
    ("criticality_is_right", DEVICE, with_extension(DEVICE, PURPOSE, "300a06082b06010505070302", critical=True)),
    ("criticality_is_right", CA, with_extension(CA, USAGE, "03020106", critical=False)),
    (
        "criticality_is_right",
        SERVER,
        with_extension(SERVER, SAN, "3010820e62726f6b65722e6578616d706c65", critical=True),
    ),
    ("criticality_is_right", SERVER, edited(GOOD[SERVER], subject=name())),
    ("basic_constraints_fit", DEVICE, with_extension(DEVICE, BASIC, "30030101ff", critical=True)),
    ("basic_constraints_fit", CA, with_extension(CA, BASIC, "30030101ff", critical=True)),
    ("basic_constraints_fit", CA, with_extension(CA, BASIC, "30060101ff020101", critical=True)),
    ("basic_constraints_fit", CA, with_extension(CA, BASIC, "3000", critical=True)),
    ("key_usage_fits", DEVICE, with_extension(DEVICE, USAGE, "030205a0", critical=True)),
    ("key_usage_fits", DEVICE, with_extension(DEVICE, USAGE, "03020106", critical=True)),
    ("key_usage_fits", CA, with_extension(CA, USAGE, "03020204", critical=True)),
    ("key_usage_fits", SERVER, with_extension(SERVER, USAGE, "030205a0", critical=True)),
    ("extended_key_usage_fits", DEVICE, with_extension(DEVICE, PURPOSE, "300a06082b06010505070301", critical=False)),
    (
        "extended_key_usage_fits",
        DEVICE,
        with_extension(DEVICE, PURPOSE, "301406082b0601050507030206082b06010505070301", critical=False),
    ),
    ("extended_key_usage_fits", DEVICE, with_extension(DEVICE, PURPOSE, "30060604551d2500", critical=False)),
    ("extended_key_usage_fits", SERVER, with_extension(SERVER, PURPOSE, "300a06082b06010505070302", critical=False)),
    ("subject_key_id_is_hash", DEVICE, with_extension(DEVICE, SKI, "0414" + "00" * 20, critical=False)),
    ("subject_key_id_is_hash", CA, with_extension(CA, SKI, "0401aa", critical=False)),
    ("authority_key_id_is_issuers", DEVICE, with_extension(DEVICE, AKI, "30168014" + "00" * 20, critical=False)),
    ("authority_key_id_is_issuers", DEVICE, with_extension(DEVICE, AKI, "3000", critical=False)),
    ("authority_key_id_is_issuers", CA, with_extension(CA, AKI, "30168014" + "00" * 20, critical=False)),
    ("device_alt_name_is_urn", DEVICE, with_extension(DEVICE, SAN, "3003820161", critical=False)),
    ("device_alt_name_is_urn", DEVICE, edited(parts(device(EC, UUID))[0], subject=name((CN, "sensor-1")))),
    ("device_alt_name_is_urn", DEVICE, device_with(subject=name((CN, UUID)))),
    *(
        ("distribution_point_is_one_url", DEVICE, with_extension(DEVICE, POINTS, value, critical=False))
        for value in BAD_POINTS
    ),
    ("criticality_is_right", DEVICE, with_extension(DEVICE, POINTS, GOOD_POINTS[0], critical=True)),
    ("extensions_are_exact", SERVER, with_extension(SERVER, POINTS, GOOD_POINTS[0], critical=False)),
    ("server_alt_names_are_hosts", SERVER, without(SERVER, SAN)),
    ("server_alt_names_are_hosts", SERVER, with_extension(SERVER, SAN, "3000", critical=False)),
    ("server_alt_names_are_hosts", SERVER, with_extension(SERVER, SAN, "3003860161", critical=False)),
    ("server_alt_names_are_hosts", SERVER, edited(GOOD[SERVER], subject=name((CN, "other.example")))),
    ("ca_is_self_issued", ROOT, edited(GOOD[ROOT], subject=OTHER_NAME)),
    ("basic_constraints_fit", ROOT, with_extension(ROOT, BASIC, "30030101ff", critical=True)),
    ("extensions_are_exact", ROOT, with_extension(ROOT, LIMITS, "3000", critical=True)),
    ("station_is_not_self_issued", STATION, edited(GOOD[STATION], subject=issuer().subject_der)),
    ("extensions_are_exact", STATION, without(STATION, AKI)),
    ("extensions_are_exact", STATION, with_extension(STATION, PURPOSE, "300a06082b06010505070302", critical=False)),
    ("basic_constraints_fit", STATION, with_extension(STATION, BASIC, "30060101ff020101", critical=True)),
    ("criticality_is_right", STATION, with_extension(STATION, LIMITS, "3008a0063004a4023000", critical=False)),
    *(
        ("name_constraints_permit_directory_names", STATION, with_extension(STATION, LIMITS, value, critical=True))
        for value in ("3000", "3008a1063004a4023000", "3006a00430028200", "300ba0093007a4023000800101", "0500")
    ),
    ("subject_is_permitted", DEVICE, GOOD[DEVICE]),
    ("subject_is_permitted", SERVER, GOOD[SERVER]),
    ("key_is_supported", DEVICE, with_key(rsa_spki(MODULUS | 1 << 2050, 65537))),
    ("key_is_supported", DEVICE, with_key(rsa_spki(MODULUS >> 1024 | 1, 65537))),
    ("key_is_not_weak", DEVICE, with_key(rsa_spki(MODULUS, 3))),
    ("key_is_not_weak", DEVICE, with_key(SMALL_ED25519)),
]


def broken(rules: tuple[Callable[..., str | None], ...], candidate: object) -> set[str]:
    return {rule.__name__ for rule in rules if rule(candidate)}


@pytest.mark.parametrize("kind", LINTS)
def test_good_certificates_break_no_rule(kind: Kind) -> None:
    assert broken(LINTS[kind], read_candidate(GOOD[kind], kind, issuer().facts)) == set()
    lint_certificate(GOOD[kind], kind, issuer().facts)


@pytest.mark.parametrize("value", GOOD_POINTS)
def test_a_device_may_name_where_the_list_is_fetched(value: str) -> None:
    lint_certificate(with_extension(DEVICE, POINTS, value, critical=False), DEVICE, issuer().facts)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's opinion of the same vector
@pytest.mark.parametrize(("rule", "kind", "tbs"), BAD_CERTIFICATES)
def test_a_bad_certificate_is_named_by_its_rule(rule: str, kind: Kind, tbs: bytes) -> None:
    with pytest.raises(LintError, match=rule):
        lint_certificate(tbs, kind, LIMITED if rule == "subject_is_permitted" else issuer().facts)


@pytest.mark.parametrize(
    "subject", [name((O_, "EXAMPLE Works"), (CN, "sensor-1")), name((O_, " example works"), (CN, "a"))]
)
def test_a_subject_within_a_permitted_name_passes(subject: bytes) -> None:
    lint_certificate(device_with(subject=subject), DEVICE, LIMITED)


def test_a_ca_s_permitted_names_are_read_from_its_certificate() -> None:
    limited = issuer_facts(station("Station 7", Subject("Line A", "Example Works")))
    assert limited.permitted == (((der.oid(O_), "Example Works"), (der.oid(CN), "Line A")),)
    assert issuer_facts(station()).permitted == ()


def test_every_certificate_rule_has_a_bad_vector() -> None:
    rules = {rule.__name__ for table in LINTS.values() for rule in table}
    assert rules == {rule for rule, _, _ in BAD_CERTIFICATES}
    assert all("RFC" in (rule.__doc__ or "") or "Refuse" in (rule.__doc__ or "") or "Require" in (rule.__doc__ or "")
               for table in LINTS.values() for rule in table)  # fmt: skip


@pytest.mark.parametrize(
    "tbs",
    [
        b"",
        b"garbage",
        GOOD[DEVICE] + b"\x00",
        GOOD[DEVICE][:-1],
        device_with(version=b""),
        device_with(validity=validity(BEGIN, utc("310601120000"))),
        device_with(validity=validity(BEGIN, utc("3106011200Z"))),
        device_with(validity=validity(BEGIN, generalized("20510601120000.5Z"))),
        device_with(spki=spki_der(key(EC).public_key())[:-1] + b"\x00"),
        device_with(extensions=b""),
        with_extensions(GOOD[DEVICE], lambda found: found.update({b"again": found[BASIC]})),
        device_with(serial=der.tlv(der.INTEGER, b"\x00" + SERIAL.to_bytes(20))),
        device_with(serial=der.tlv(der.INTEGER, b"")),
        device_with(serial=der.tlv(der.INTEGER, b"\x00\x05")),
        device_with(validity=validity(BEGIN, utc("310631120000Z"))),
        device_with(validity=validity(BEGIN)),
        device_with(subject=der.sequence(der.tlv(0x31, 2 * pair(CN, "sensor-1")))),
        device_with(subject=der.sequence(pair(CN, "sensor-1"))),
        device_with(subject=der.sequence(der.tlv(0x31, pair(CN, "sensor-1", tag=0x14)))),
        device_with(subject=der.sequence(der.tlv(0x31, pair(CN, "\xe9", tag=0x13)))),
        device_with(spki=parts(GOOD[DEVICE])[6] + b"\x81\x01\x00"),
        with_extensions(
            GOOD[DEVICE],
            lambda found: found.update({PURPOSE: found[PURPOSE].replace(b"\x04", b"\x01\x01\x00\x04", 1)}),
        ),
        with_extensions(
            GOOD[DEVICE], lambda found: found.update({BASIC: found[BASIC].replace(b"\x01\x01\xff", b"\x01\x01\x01")})
        ),
    ],
)
def test_what_cannot_be_read_is_a_lint_error(tbs: bytes) -> None:
    """Malformed DER, times without seconds or with fractions, a point off the curve, an extension twice.

    Further: numbers not in their shortest form, days that do not exist, names of several attributes in a step or
    in other strings, unique identifiers, flags that are FALSE or not FF.
    """
    with pytest.raises(LintError, match="certificate cannot be read"):
        lint_certificate(tbs, DEVICE, issuer().facts)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("kind", LINTS)
def test_the_library_reads_the_same_from_what_the_lint_lets_pass(kind: Kind) -> None:
    """One octet changed, each in turn: the two readers have no line of code in common."""
    good, passed = bytearray(GOOD[kind]), 0
    for position in range(len(good)):
        for change in (0x01, 0x02, 0x10, 0x80):
            good[position] ^= change
            octets = bytes(good)
            good[position] ^= change
            try:
                found = read_candidate(octets, kind, issuer().facts).certificate
                lint_certificate(octets, kind, issuer().facts)
            except LintError:
                continue
            passed += 1
            unsigned = der.sequence(octets, found.signature_algorithm, der.EMPTY_BIT_STRING)
            other = x509.load_der_x509_certificate(unsigned)
            assert other.serial_number == int.from_bytes(found.serial)
            assert (other.not_valid_before_utc, other.not_valid_after_utc) == (found.not_before, found.not_after)
            assert [each.value for each in other.subject] == [value for _, value in found.subject]
            assert [(each.critical, each.value.public_bytes()) for each in other.extensions] == [
                (each.critical, each.value) for each in found.extensions.values()
            ]
    assert passed


def test_a_ca_may_name_its_own_key_as_its_issuer_s() -> None:
    """RFC 5280 4.2.1.1: not critical; it may be left out of a self-signed certificate, and is."""
    own = "30168014" + issuer().key_id.hex()
    lint_certificate(with_extension(CA, AKI, own, critical=False), CA, issuer().facts)
    with pytest.raises(LintError, match="criticality_is_right"):
        lint_certificate(with_extension(CA, AKI, own, critical=True), CA, issuer().facts)


def test_kinds_do_not_pass_for_each_other() -> None:
    for kind in LINTS:
        for other in LINTS:
            if other is not kind:
                with pytest.raises(LintError):
                    lint_certificate(GOOD[kind], other, issuer().facts)


def test_all_findings_are_told_at_once() -> None:
    certificate = device_with(issuer=OTHER_NAME, serial=der.integer(1))
    with pytest.raises(LintError) as caught:
        lint_certificate(certificate, DEVICE, issuer().facts)
    assert "issuer_is_ca_subject" in caught.value.message
    assert "serial_has_64_bits" in caught.value.message
    assert caught.value.exit_code == 6


def test_two_digits_of_a_year_are_of_1950_to_2049() -> None:
    found = read_tbs(device_with(validity=validity(utc("500101000000Z"), utc("491231235959Z"))))
    assert (found.not_before.year, found.not_after.year) == (1950, 2049)


def test_a_serial_of_one_is_positive_and_too_short() -> None:
    candidate = read_candidate(device_with(serial=der.integer(1)), DEVICE, issuer().facts)
    assert broken(LINTS[DEVICE], candidate) == {"serial_has_64_bits"}


def test_a_whole_certificate_is_read_as_strictly() -> None:
    """The CA's own, whose name, key and times are what its certificates are held against."""
    tbs, algorithm, signature = parts(issuer().certificate_der)
    assert read_certificate(issuer().certificate_der).subject_der == issuer().subject_der
    for bad in (
        b"",
        issuer().certificate_der + b"\x00",
        der.sequence(tbs, algorithm),
        der.sequence(tbs, SHA384, signature),
        der.sequence(tbs, algorithm, signature.replace(b"\x00", b"\x01", 1)),
        der.sequence(tbs, algorithm, der.octet_string(signature[2:])),
    ):
        with pytest.raises(PolicyError):
            read_certificate(bad)


# CRLs

NEXT = NOW + timedelta(days=30)
ENTRY = encode_entry(SerialNumber.from_random(b"\x5a" * 20), NOW, RevocationReason.KEY_COMPROMISE)
GOOD_CRL = parts(sign_crl(issuer(), number=3, this_update=NOW, next_update=NEXT, entries=[ENTRY]).der)[0]
CRL_FIELDS = ("version", "algorithm", "issuer", "this_update", "next_update", "entries", "extensions")
NUMBER, IDP, DELTA = der.oid("2.5.29.20"), der.oid("2.5.29.28"), der.oid("2.5.29.27")


def edited_crl(**fields: bytes) -> bytes:
    """Replace fields of a TBSCertList."""
    return der.sequence(*(dict(zip(CRL_FIELDS, parts(GOOD_CRL), strict=True)) | fields).values())


def crl_extension(oid: bytes, value: str, *, critical: bool = False) -> bytes:
    """Add or replace one extension."""
    listed = parts(parts(parts(GOOD_CRL)[6])[0])
    extensions = {parts(extension)[0]: extension for extension in listed}
    setting(oid, value, critical=critical)(extensions)
    return edited_crl(extensions=der.explicit(0, der.sequence(*extensions.values())))


def crl_entries(*entries: bytes) -> bytes:
    return edited_crl(entries=der.sequence(*entries))


def reason(code: str) -> bytes:
    return ENTRY.replace(bytes.fromhex("0a0101"), bytes.fromhex(code))


DATE = der.x509_time(NOW)
CRITICAL_REASON = der.sequence(der.sequence(der.oid("2.5.29.21"), TRUE, der.octet_string(der.enumerated(1))))

BAD_CRLS = [
    ("algorithm_fits_issuer", edited_crl(algorithm=SHA384)),
    ("issuer_is_ca_subject", edited_crl(issuer=OTHER_NAME)),
    ("times_are_well_formed", edited_crl(next_update=generalized("20300701120000Z"))),
    ("times_are_well_formed", edited_crl(next_update=b"")),
    ("updates_are_ordered", edited_crl(next_update=der.x509_time(NOW))),
    ("updates_are_ordered", edited_crl(next_update=der.x509_time(NOW - timedelta(seconds=1)))),
    ("updates_are_ordered", edited_crl(next_update=b"")),
    ("extensions_are_exact", edited_crl(extensions=b"")),
    ("extensions_are_exact", crl_extension(der.oid("2.5.29.99"), "0500")),
    ("criticality_is_right", crl_extension(NUMBER, "020103", critical=True)),
    ("issuing_distribution_point_is_wanted", crl_extension(IDP, "30038101ff", critical=True)),
    ("is_not_delta", crl_extension(DELTA, "020101", critical=True)),
    ("authority_key_id_is_issuers", crl_extension(AKI, "30168014" + "00" * 20)),
    ("number_is_in_range", crl_extension(NUMBER, der.integer(1 << 159).hex())),
    ("number_is_in_range", edited_crl(extensions=b"")),
    ("list_is_not_empty", crl_entries()),
    ("entries_are_legal", crl_entries(reason("0a0107"))),
    ("entries_are_legal", crl_entries(ENTRY, reason("0a0100"))),
    ("entries_are_legal", crl_entries(der.sequence(der.integer(5), DATE, CRITICAL_REASON))),
    ("entries_are_legal", crl_entries(der.sequence(der.integer(0), DATE))),
    ("entries_are_legal", crl_entries(der.sequence(der.integer(-5), DATE))),
    ("entries_are_legal", crl_entries(der.sequence(der.integer(1 << 160), DATE))),
]  # fmt: skip


def test_good_crls_break_no_rule() -> None:
    for octets in (GOOD_CRL, edited_crl(entries=b""), crl_entries(ENTRY, der.sequence(der.integer(1), DATE))):
        assert broken(crl_rules.RULES, read_crl_candidate(octets, issuer().facts)) == set()
        lint_crl(octets, issuer().facts)


FETCHED_FROM = "http://crl.example/a.crl"


def issuing_point(url: str) -> bytes:
    return der.sequence(der.explicit(0, der.tlv(0xA0, der.tlv(0x86, url.encode()))))


POINT = issuing_point(FETCHED_FROM)


def test_a_list_that_is_fetched_has_the_point_that_is_wanted() -> None:
    lint_crl(crl_extension(IDP, POINT.hex(), critical=True), issuer().facts, FETCHED_FROM)


@pytest.mark.parametrize(
    ("rule", "crl"),
    [
        ("extensions_are_exact", GOOD_CRL),
        ("criticality_is_right", crl_extension(IDP, POINT.hex())),
        ("issuing_distribution_point_is_wanted", crl_extension(IDP, "30038101ff", critical=True)),
        (
            "issuing_distribution_point_is_wanted",
            crl_extension(IDP, issuing_point("http://other.example/").hex(), critical=True),
        ),
        (
            "issuing_distribution_point_is_wanted",
            crl_extension(IDP, der.sequence(POINT[2:], b"\x81\x01\xff").hex(), critical=True),  # of users alone
        ),
    ],
)
def test_a_list_that_is_fetched_and_says_something_else_is_refused(rule: str, crl: bytes) -> None:
    with pytest.raises(LintError, match=rule):
        lint_crl(crl, issuer().facts, FETCHED_FROM)


@pytest.mark.parametrize("number", [0, 1, (1 << 159) - 1])
def test_numbers_of_up_to_20_octets_are_legal(number: int) -> None:
    lint_crl(crl_extension(NUMBER, der.integer(number).hex()), issuer().facts)


@pytest.mark.parametrize("length", range(1, 160, 7))
def test_entries_of_every_length_are_legal(length: int) -> None:
    for when in (NOW, NOW.replace(year=2060)):
        for why in RevocationReason:
            entry = encode_entry(SerialNumber((1 << length) - 1), when, why)
            lint_crl(crl_entries(entry, ENTRY, entry), issuer().facts)


@pytest.mark.parametrize(("rule", "crl"), BAD_CRLS)
def test_a_bad_crl_is_named_by_its_rule(rule: str, crl: bytes) -> None:
    with pytest.raises(LintError, match=rule):
        lint_crl(crl, issuer().facts)


def test_every_crl_rule_has_a_bad_vector() -> None:
    assert {rule.__name__ for rule in crl_rules.RULES} == {rule for rule, _ in BAD_CRLS} | {"version_is_2"}
    assert all("RFC" in (rule.__doc__ or "") for rule in crl_rules.RULES)


@pytest.mark.parametrize("version", [b"", der.integer(0), der.integer(2)])
def test_a_crl_of_another_version_is_refused(version: bytes) -> None:
    with pytest.raises(LintError):
        lint_crl(edited_crl(version=version), issuer().facts)


def test_a_rule_that_the_library_applies_first_holds_by_itself_too() -> None:
    """It does not read CRLs of other versions; a later one may."""
    crl = read_crl_candidate(GOOD_CRL, issuer().facts)
    assert broken(crl_rules.RULES, replace(crl, version=b"\x02")) == {"version_is_2"}
    assert broken(crl_rules.RULES, replace(crl, version=None)) == {"version_is_2"}


@pytest.mark.parametrize(
    "crl", [b"", b"garbage", GOOD_CRL + b"\x00", GOOD_CRL[:-1], crl_entries(ENTRY[:-1]), der.sequence()]
)
def test_a_crl_that_cannot_be_read_is_a_lint_error(crl: bytes) -> None:
    with pytest.raises(LintError):
        lint_crl(crl, issuer().facts)


def test_the_lint_shares_no_code_with_what_encodes() -> None:
    """Only the reader of DER, types of keys, and what the library reads; nothing that writes a certificate."""
    imported = set()
    for path in Path(crl_rules.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    pki = {name.removeprefix("iotonboard.pki.") for name in imported if name.startswith("iotonboard.pki.")}
    assert {name for name in pki if not name.startswith("lint.")} == {
        "der",
        "der.Element",
        "keys.PublicKey",
        "keys.key_type_of",
        "keys.read_public_key",
        "parse_errors.UNREADABLE",
        "profile_values.FilledProfile",  # the wanted values, as texts
    }
    library = {name.split(".")[-1] for name in imported if name.startswith("cryptography")}
    assert library == {"x509", "ExtensionOID", "ObjectIdentifier", "ed25519", "rsa"}
