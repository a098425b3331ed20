"""Certificate profiles: what settings may say, what is filled in, and what the lint thinks of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from iotonboard.errors import LintError, PolicyError
from iotonboard.model import KeyType, Validity
from iotonboard.pki import der
from iotonboard.pki.built_in_profiles import BUILT_IN
from iotonboard.pki.lint.candidate import Kind
from iotonboard.pki.lint.lint import lint_certificate
from iotonboard.pki.lint.profile_rules import RULES
from iotonboard.pki.profile_form import KEYS, parse_profile
from iotonboard.pki.profile_values import FilledProfile, check_key_type, fill
from iotonboard.pki.profiled import issue_profiled

from support.pki import NOW, SERIAL, issuer, key

NAMESPACE = uuid.UUID(int=7)
ATTRIBUTES = {
    "host": "pump.plant.example", "vendor": "acme", "product": "pump", "hardware_type": "1.3.6.1.4.1.99999.1",
    "vendor_id": "FFF1", "product_id": "8000", "mail": "pump@plant.example", "ip": "10.0.0.7",
}  # fmt: skip
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
LIFE = Validity(NOW, NOW + timedelta(days=90))


def filled(table: dict[str, Any], device_id: str = "pump-1", **attributes: str) -> FilledProfile:
    return fill(parse_profile("mine", table), device_id, ATTRIBUTES | attributes, NAMESPACE)


def issue(found: FilledProfile, key_type: KeyType = KeyType.EC_P256) -> x509.Certificate:
    validity = Validity(LIFE.not_before, NEVER) if found.ends_never else LIFE
    return x509.load_der_x509_certificate(issue_profiled(issuer(), key(key_type).public_key(), found, SERIAL, validity))


# -- what the settings may say ---------------------------------------------------------------------------------------

REFUSED: list[tuple[object, str]] = [
    ("text", "not a table"),
    ({"subjekt": []}, "no key 'subjekt'"),
    ({"subject": "common_name={device_id}"}, "subject must be a list"),
    ({"subject": ["common_name"]}, "subject has 'common_name'"),
    ({"subject": ["colour=red"]}, "subject has 'colour=red'"),
    ({"subject": ["common_name={device}"]}, r"field \{device\}"),
    ({"subject": ["common_name={attr.}"]}, "field"),
    ({"subject": ["common_name={device_id"]}, "brace"),
    ({"subject": ["common_name={device_id}", "common_name={device_id}"]}, "twice"),
    ({"subject": ["common_name={device_id}", "2.5.4.3={uuid}"]}, "each attribute once"),
    ({"subject": ["critical", "common_name={device_id}"]}, "cannot be critical"),
    ({"subject": ["common_name= "]}, "empty value"),
    ({"subject": []}, "nobody is named"),
    ({"subject": [7]}, "list of texts"),
    ({"san": ["name:x"]}, "san has 'name:x'"),
    ({"san": ["dns"]}, "san has 'dns'"),
    ({"san": ["rid:plant"]}, "OBJECT IDENTIFIER"),
    ({"san": ["hardware:1.2.3"]}, "a comma and a number"),
    ({"san": ["dns:{attr.host}"] * 2}, "twice"),
    *(({"san": [text]}, "cannot be") for text in (
        "dns:*.plant.example", "dns:*.{attr.host}", "host:*.{attr.host}", "host:10.0.0.256", "dns:a.{attr.host}:8883",
        "dns:a b", "dns:m\u00fcnchen.example", "dns:xn--abc-.example", "dns:host.{attr.x}.5", "ip:10.0.0.256",
        "ip:10.0.{attr.x}", "uri:http:", "uri:urn:-:{attr.x}", "uri:http://m\u00fcnchen/{attr.x}", "email:pump",
        "email:a@*.{attr.host}",
    )),
    ({"san": ["critical"], "subject": []}, "nothing else"),
    ({"eku": ["critical"]}, "nothing else"),
    ({"san": ["critical", "dns:{attr.host}"]}, "exactly when the subject is empty"),
    ({"subject": ["common_name={device_id}", "country=Germany"]}, "Germany"),
    ({"subject": ["common_name={device_id}", "organization=" + "a" * 65]}, "1 to 64"),
    ({"subject": ["common_name={device_id}", "serial_number=Nr. \u00fc {attr.x}"]}, "serialNumber"),
    ({"san": [f"dns:h{number}.example" for number in range(17)]}, "at most 16"),
    ({"key_usage": ["keyCertSign"]}, "a CA's"),
    ({"key_usage": ["cRLSign"]}, "a CA's"),
    ({"key_usage": ["sign"]}, "key_usage has 'sign'"),
    ({"key_usage": []}, "key_usage is empty"),
    ({"key_usage": ["keyEncipherment"]}, "for RSA"),
    ({"key_usage": ["dataEncipherment"], "key_types": ["rsa-2048", "ec-p256"]}, "for RSA"),
    ({"key_usage": ["keyAgreement"]}, "for EC"),
    ({"key_usage": ["keyAgreement"], "key_types": ["ed25519"]}, "for EC"),
    ({"eku": ["anyExtendedKeyUsage"]}, "anyExtendedKeyUsage"),
    ({"eku": ["2.5.29.37.0"]}, "anyExtendedKeyUsage"),
    ({"eku": ["OCSPSigning"]}, "OCSPSigning"),
    ({"eku": ["1.3.6.1.5.5.7.3.9"]}, "OCSPSigning"),
    ({"eku": ["client"]}, "eku has 'client'"),
    ({"eku": ["3.1.2"]}, "eku has"),
    ({"eku": ["1.40.2"]}, "eku has"),
    ({"eku": ["1.3.06"]}, "eku has"),
    ({"eku": ["serverAuth"], "san": ["dns:{attr.host}"]}, "pose as the broker"),
    ({"eku": ["1.3.6.1.5.5.7.3.1"], "san": ["dns:{attr.host}"]}, "pose as the broker"),
    *(({"eku": ["clientAuth", oid], "san": ["dns:{attr.host}"]}, "pose as the broker") for oid in (
        "1.3.6.1.4.1.311.10.3.3", "2.16.840.1.113730.4.1")),
    ({"eku": ["serverAuth"], "ca": "servers"}, "known by its san"),
    ({"subject": ["common_name={attr.host}"], "eku": ["clientAuth"]}, "commonName"),
    ({"subject": ["common_name={attr.host}"]}, "commonName"),
    ({"subject": ["2.5.4.3=admin"], "eku": ["clientAuth"]}, "commonName"),
    ({"validity_days": 0}, "validity_days"),
    ({"validity_days": True}, "validity_days"),
    ({"validity_days": "365"}, "validity_days"),
    ({"not_after": "2030-01-01"}, "not_after can only be"),
    ({"not_after": "never", "validity_days": 90}, "exclude each other"),
    ({"key_types": ["ec-p521"]}, "key_types has"),
    ({"device_id": "("}, "regular expression"),
    ({"device_id": "(a+)+b"}, "repeated groups"),
    ({"device_id": 7}, "regular expression"),
    ({"extensions": ["1.2.3"]}, "each of the extensions"),
    ({"extensions": [{"oid": "1.2.3.4"}]}, "either hex or utf8"),
    ({"extensions": [{"oid": "1.2.3.4", "hex": "0500", "utf8": "x"}]}, "either hex or utf8"),
    ({"extensions": [{"oid": "plant", "utf8": "x"}]}, "no OBJECT IDENTIFIER"),
    ({"extensions": [{"oid": "1.2.3.4", "hex": "05"}]}, "one whole DER"),
    ({"extensions": [{"oid": "1.2.3.4", "hex": "050000"}]}, "one whole DER"),
    ({"extensions": [{"oid": "1.2.3.4", "hex": "zz"}]}, "one whole DER"),
    ({"extensions": [{"oid": "1.2.3.4", "utf8": ""}]}, "no value"),
    ({"extensions": [{"oid": "1.2.3.4", "utf8": "a\x07b"}]}, "not printable"),
    *(({"extensions": [{"oid": oid, "hex": value}]}, "nobody could read") for oid, value in (
        ("1.3.6.1.5.5.7.1.1", "0500"), ("1.3.6.1.5.5.7.1.1", "3000"), ("2.5.29.32", "0c0161"), ("2.5.29.32", "3000"),
        ("1.3.6.1.5.5.7.1.24", "3000"))),
    ({"extensions": [{"oid": "1.2.3.4", "utf8": "x", "critical": True}]}, "is critical"),
    ({"extensions": [{"oid": "1.2.3.4", "utf8": "x", "critical": "yes"}]}, "true or false"),
    ({"extensions": [{"oid": "1.2.3.4", "utf8": "x"}] * 2}, "twice"),
    *(({"extensions": [{"oid": f"2.5.29.{arc}", "hex": "3000"}]}, "no profile gives")
      for arc in (14, 15, 17, 19, 30, 31, 33, 35, 37, 46)),
    ({"ca": "No CA"}, "name of a CA"),
    ({"ca": 1}, "name of a CA"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "words"), REFUSED)
def test_what_cannot_be_or_is_not_safe_is_refused_by_name(table: object, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as refused:
        parse_profile("mine", table)
    assert "'mine'" in refused.value.message


@pytest.mark.parametrize("name", ["", "Mine", "a b", "-a", "ä", "a" * 33, "../x"])
def test_a_profile_has_a_plain_name(name: str) -> None:
    with pytest.raises(PolicyError, match="name"):
        parse_profile(name, {})


def test_every_key_is_read() -> None:
    table = {
        "subject": ["serial_number={attr.sn}", "common_name={device_id}"],
        "san": ["dns:{attr.host}"],
        "key_usage": ["critical", "digitalSignature", "nonRepudiation"],
        "eku": ["critical", "clientAuth", "1.3.6.1.4.1.99999.2"],
        "validity_days": 90,
        "key_types": ["ec-p384"],
        "device_id": "pump-[0-9]+",
        "extensions": [{"oid": "1.3.6.1.4.1.99999.3", "utf8": "{attr.line}"}],
        "ca": "servers",
    }
    found = parse_profile("mine", table)
    assert {*table, "not_after"} == set(KEYS)
    assert found.subject == (("2.5.4.5", "{attr.sn}"), ("2.5.4.3", "{device_id}"))
    assert (found.eku, found.eku_is_critical) == (("1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.99999.2"), True)
    assert (found.validity_days, found.key_types, found.ca) == (90, (KeyType.EC_P384,), "servers")
    assert parse_profile("mine", {"not_after": "never"}).ends_never


# -- what is filled in -----------------------------------------------------------------------------------------------


def test_values_are_filled_in_once_and_are_no_templates() -> None:
    found = filled({"subject": ["common_name={device_id}", "organization={attr.line}"]}, line="{device_id} {uuid}")
    assert found.subject[1] == ("2.5.4.10", "{device_id} {uuid}")


def test_a_uuid_is_the_id_or_made_of_it_and_the_ca() -> None:
    table = {"san": ["uri:urn:uuid:{uuid}"]}
    own = "0B3E6C1C-3C1E-4E0A-9D0A-000000000001"
    assert filled(table, own).san == (("uri", f"urn:uuid:{own.lower()}"),)
    assert filled(table).san == filled(table).san == (("uri", f"urn:uuid:{uuid.uuid5(NAMESPACE, 'pump-1')}"),)
    other = fill(parse_profile("mine", table), "pump-1", {}, uuid.UUID(int=8))
    assert other.san != filled(table).san


BAD_VALUES: list[tuple[dict[str, Any], str, str]] = [
    ({"subject": ["common_name={device_id}", "organization={attr.x}"]}, "", "needs the attribute 'x'"),
    ({"subject": ["common_name={device_id}", "organization={attr.x}"]}, "a\tb", "subject"),
    ({"subject": ["common_name={device_id}", "organization={attr.x}"]}, "a" * 65, "subject"),
    ({"subject": ["common_name={device_id}", "organization={attr.x}"]}, " a", "subject"),
    ({"subject": ["common_name={device_id}", "country={attr.x}"]}, "Germany", "subject"),
    ({"subject": ["common_name={device_id}", "country={attr.x}"]}, "de", "country"),
    ({"subject": ["common_name={device_id}", "serial_number={attr.x}"]}, "Nr. ü", "serialNumber"),
    ({"subject": ["common_name={device_id}", "1.3.6.1.4.1.37244.2.1={attr.x}"]}, "fff1", "Matter"),
    *(({"san": ["dns:{attr.x}"]}, name, "'dns'") for name in (
        "xn--abc-.example", "xn--a-.example", "xn--0000000000000000.example", "a.xn--" + "9" * 50,
        "*.plant.example", "a b", "münchen.example", "a_b.example", "-a.example", "a..b", "a.", "10.0.0.256", "a" * 64,
        "host\n", ".".join(["a" * 60] * 5),
    )),
    *(({"san": ["ip:{attr.x}"]}, text, "'ip'") for text in ("10.0.0", "fe80::1%eth0", "host", "10.0.0.256")),
    *(({"san": ["uri:{attr.x}"]}, text, "'uri'") for text in (
        "plant/pump", "urn:a b:c", "urn::c", "urn:x", "http://a b", "http://münchen", "//host/x", "1http:x")),
    *(({"san": ["email:{attr.x}"]}, text, "'email'") for text in (
        "pump", "a@b@c", "ü@plant.example", "a@*.example", ".a@b", "a..b@c")),
    ({"san": ["hardware:{attr.x},{device_id}"]}, "plant", "'hardware'"),
    ({"san": ["rid:{attr.x}"]}, "plant", "'rid'"),
    ({"san": ["upn:{attr.x}"]}, "a\x07b", "'upn'"),
    ({"extensions": [{"oid": "1.3.6.1.4.1.99999.3", "hex": "{attr.x}"}]}, "0c05", "one whole DER"),
    ({"extensions": [{"oid": "1.3.6.1.4.1.99999.3", "utf8": "{attr.x}"}]}, "a\x1bb", "not printable"),
    ({"extensions": [{"oid": "1.3.6.1.5.5.7.1.1", "hex": "{attr.x}"}]}, "0500", "nobody could read"),
    ({"device_id": "press-.*"}, "x", "no id for the profile"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "value", "words"), BAD_VALUES)
def test_a_value_that_cannot_be_is_a_bad_row(table: dict[str, Any], value: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        filled(table, x=value)


def test_names_of_every_form_are_encoded_as_their_clause_says() -> None:
    found = filled({"subject": ["common_name={device_id}"], "san": [
        "dns:{attr.host}", "dns:xn--mnchen-3ya.{attr.host}",
        "ip:{attr.ip}", "ip:2001:db8::1", "uri:urn:plant-4:{attr.vendor}", "email:{attr.mail}",
        "upn:{device_id}@plant.example", "rid:1.3.6.1.4.1.99999.4", "hardware:{attr.hardware_type},{device_id}",
    ]})  # fmt: skip
    certificate = issue(found)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    upn, hardware = names.get_values_for_type(x509.OtherName)
    assert names.get_values_for_type(x509.DNSName) == ["pump.plant.example", "xn--mnchen-3ya.pump.plant.example"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == ["10.0.0.7", "2001:db8::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:plant-4:acme"]
    assert names.get_values_for_type(x509.RFC822Name) == ["pump@plant.example"]
    assert (upn.type_id.dotted_string, upn.value) == ("1.3.6.1.4.1.311.20.2.3", b"\x0c\x14pump-1@plant.example")
    assert hardware.type_id.dotted_string == "1.3.6.1.5.5.7.8.4"
    assert hardware.value == der.sequence(der.oid("1.3.6.1.4.1.99999.1"), der.octet_string(b"pump-1"))
    assert names.get_values_for_type(x509.RegisteredID)[0].dotted_string == "1.3.6.1.4.1.99999.4"


@pytest.mark.parametrize(
    ("host", "form"), [("pump.example", "dns"), ("10.0.0.7", "ip"), ("2001:DB8::7", "ip"), ("Pump", "dns")]
)
def test_a_host_stands_there_as_what_it_is(host: str, form: str) -> None:
    found = filled({"san": ["host:{attr.host}"], "eku": ["clientAuth"]}, host=host)
    assert [kind for kind, _ in found.san] == [form]
    names = issue(found).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [host.lower()]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_profile_can_be_issued(name: str) -> None:
    about, source, table = BUILT_IN[name]
    assert about
    assert source
    profile = parse_profile(name, table)
    found = fill(profile, "pump-1", ATTRIBUTES, NAMESPACE)
    certificate = issue(found, (profile.key_types or (KeyType.EC_P256,))[0])
    assert (certificate.not_valid_after_utc == NEVER) == profile.ends_never
    purposes = [one.value for one in certificate.extensions if isinstance(one.value, x509.ExtendedKeyUsage)]
    assert tuple(oid.dotted_string for each in purposes for oid in each) == profile.eku
    assert profile.may_be_a_server == (profile.ca == "servers")


def test_a_key_of_another_type_is_refused() -> None:
    with pytest.raises(PolicyError, match="takes no ec-p256"):
        check_key_type(parse_profile("opcua", BUILT_IN["opcua"][2]), KeyType.EC_P256)


# -- the lint --------------------------------------------------------------------------------------------------------

PLAIN = filled({"subject": ["common_name={device_id}"], "san": ["dns:{attr.host}"], "eku": ["clientAuth"],
                "extensions": [{"oid": "1.3.6.1.4.1.99999.3", "utf8": "A3"}]})  # fmt: skip
TBS = issue(PLAIN).tbs_certificate_bytes
FETCHED = replace(PLAIN, crl_url="http://crl.plant.example/crl.der")
UNNAMED = filled({"subject": [], "san": ["critical", "hardware:1.3.6.1.4.1.99999.1,{device_id}"]})
RSA_TBS = issue(
    filled({"key_types": ["rsa-2048"], "key_usage": ["keyEncipherment"]}), KeyType.RSA_2048
).tbs_certificate_bytes
SAN, USAGE, CONSTRAINTS, PURPOSES = (der.oid(f"2.5.29.{arc}") for arc in (17, 15, 19, 37))


def parts(octets: bytes) -> list[bytes]:
    return [octets[child.start : child.end] for child in der.children(octets, der.read(octets))]


def edited(tbs: bytes, change: Callable[[dict[bytes, bytes]], None]) -> bytes:
    *fields, wrapper = parts(tbs)
    extensions = {parts(each)[0]: each for each in parts(parts(wrapper)[0])}
    change(extensions)
    return der.sequence(*fields, der.explicit(3, der.sequence(*extensions.values())))


def put(identifier: bytes, value: bytes, *, critical: bool = False) -> Callable[[dict[bytes, bytes]], None]:
    flag = [der.TRUE] if critical else []
    return lambda found: found.update({identifier: der.sequence(identifier, *flag, der.octet_string(value))})


def named(tag: int, content: bytes) -> tuple[bytes, FilledProfile]:
    return edited(TBS, put(SAN, der.sequence(der.tlv(tag, content)))), PLAIN


def subject(*steps: tuple[str, int, bytes]) -> bytes:
    found = parts(TBS)
    name = (der.tlv(der.SET, der.sequence(der.oid(oid), der.tlv(tag, text))) for oid, tag, text in steps)
    return der.sequence(*found[:5], der.sequence(*name), *found[6:])


CN = ("2.5.4.3", der.UTF8_STRING, b"pump-1")
BROKEN: list[tuple[str, bytes, FilledProfile]] = [
    ("subject_is_wanted", TBS, replace(PLAIN, subject=(("2.5.4.3", "pump-2"),))),
    ("subject_is_wanted", subject(CN, ("2.5.4.10", der.UTF8_STRING, b"x")), PLAIN),
    ("subject_values_are_legal", subject(CN, CN), PLAIN),
    ("subject_values_are_legal", subject(("2.5.4.5", der.UTF8_STRING, "ü".encode())), PLAIN),
    ("subject_values_are_legal", subject(("2.5.4.10", der.UTF8_STRING, b"a" * 65)), PLAIN),
    ("subject_values_are_legal", subject(("1.3.6.1.4.1.37244.2.1", der.UTF8_STRING, b"zz")), PLAIN),
    ("somebody_is_named", edited(TBS, put(SAN, der.sequence(), critical=True)), PLAIN),
    ("somebody_is_named", edited(issue(UNNAMED).tbs_certificate_bytes, lambda found: found.pop(SAN) and None), UNNAMED),
    ("profile_extensions_are_exact", TBS, replace(PLAIN, extensions=())),
    ("profile_extensions_are_exact", TBS, FETCHED),
    ("profile_extensions_are_exact", issue(FETCHED).tbs_certificate_bytes, PLAIN),
    ("profile_extensions_are_exact", issue(FETCHED).tbs_certificate_bytes,
     replace(PLAIN, crl_url="http://other.example/")),
    ("profile_extensions_are_exact", edited(TBS, put(der.oid("2.5.29.36"), der.sequence())), PLAIN),
    ("profile_extensions_are_exact", edited(TBS, lambda found: found.pop(CONSTRAINTS) and None), PLAIN),
    ("profile_extensions_are_exact", edited(TBS, lambda found: found.pop(PURPOSES) and None), PLAIN),
    ("profile_criticality_is_right", edited(TBS, put(CONSTRAINTS, der.sequence())), PLAIN),
    ("profile_criticality_is_right", TBS, replace(PLAIN, eku_is_critical=True)),
    ("is_no_ca", edited(TBS, put(CONSTRAINTS, der.sequence(der.TRUE), critical=True)), PLAIN),
    ("is_no_ca", edited(TBS, put(USAGE, bytes.fromhex("03020186"), critical=True)), PLAIN),
    ("key_usage_is_wanted", TBS, replace(PLAIN, key_usage=("digitalSignature", "nonRepudiation"))),
    ("key_usage_is_wanted", edited(TBS, put(USAGE, bytes.fromhex("030100"), critical=True)), PLAIN),
    ("key_usage_fits_key_type", edited(TBS, put(USAGE, bytes.fromhex("03020520"), critical=True)), PLAIN),
    ("key_usage_fits_key_type", RSA_TBS.replace(b"\x03\x02\x05 ", b"\x03\x02\x03\x08"), PLAIN),
    ("purposes_are_wanted", TBS, replace(PLAIN, eku=("1.3.6.1.5.5.7.3.1",))),
    ("purposes_are_wanted", edited(TBS, put(PURPOSES, der.sequence(der.oid("2.5.29.37.0")))),
     replace(PLAIN, eku=("2.5.29.37.0",))),
    ("alt_names_are_wanted", TBS, replace(PLAIN, san=(("dns", "other.example"),))),
    *(("alt_names_are_well_formed", *named(tag, content)) for tag, content in (
        (0x82, b"*.plant.example"), (0x82, b"xn--abc-.example"), (0x82, b"xn--9.example"),
        (0x82, b"m\xc3\xbcnchen.example"), (0x82, b""), (0x82, b"UPPER.example"),
        (0x87, b"\x0a\x00\x00"), (0x86, b"plant/pump"), (0x86, b"http://m\xc3\xbc"), (0x81, b"pump"), (0xA4, b""),
    )),
    ("ends_as_wanted", TBS, replace(PLAIN, ends_never=True)),
    ("ends_as_wanted", issue(filled({"not_after": "never"})).tbs_certificate_bytes, replace(PLAIN, ends_never=False)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tbs", "wanted"), BROKEN)
def test_a_bad_certificate_is_named_by_its_rule(rule: str, tbs: bytes, wanted: FilledProfile) -> None:
    with pytest.raises(LintError, match=rule):
        lint_certificate(tbs, Kind.PROFILED, issuer().facts, wanted)


def test_every_rule_has_a_bad_vector_and_its_clause() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, _, _ in BROKEN}
    assert all("RFC" in (rule.__doc__ or "") for rule in RULES)


@pytest.mark.parametrize(
    ("table", "is_within"),
    [
        ({"subject": ["organization=Works", "common_name={device_id}"]}, True),
        ({"subject": ["common_name={device_id}"]}, False),
        ({"subject": [], "san": ["critical", "hardware:1.3.6.1.4.1.99999.1,{device_id}"]}, True),
    ],
)
def test_a_subject_outside_of_what_the_root_permits_is_refused(table: dict[str, Any], is_within: bool) -> None:
    found = filled(table)
    limited = replace(issuer().facts, permitted=(((der.oid("2.5.4.10"), "Works"),),))
    with nullcontext() if is_within else pytest.raises(LintError, match="subject_is_permitted"):
        lint_certificate(issue(found).tbs_certificate_bytes, Kind.PROFILED, limited, found)


POLICIES = filled({"eku": ["clientAuth"], "extensions": [
    {"oid": "2.5.29.32", "critical": True, "hex": "300e300c060a2b0601040186fd320102"}]})  # fmt: skip


def test_policies_may_be_critical_since_everybody_reads_them() -> None:
    found = issue(POLICIES).extensions.get_extension_for_class(x509.CertificatePolicies)
    assert found.critical
    assert [one.policy_identifier.dotted_string for one in found.value] == ["1.3.6.1.4.1.114354.1.2"]


@pytest.mark.parametrize("found", [PLAIN, UNNAMED, FETCHED, POLICIES])
def test_a_good_one_breaks_no_rule(found: FilledProfile) -> None:
    lint_certificate(issue(found).tbs_certificate_bytes, Kind.PROFILED, issuer().facts, found)
