"""CRLs: signed, read back, checked, and refused when they are not what was meant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from iotonboard.errors import LintError, PolicyError
from iotonboard.model import KeyType, RevocationReason, SerialNumber
from iotonboard.pki.crl import check_crl, crl_facts, find_entry, revoked_entries, sign_crl
from iotonboard.pki.crl_entry import encode_entry

from support.pki import NOW, device, issuer, key

EC = KeyType.EC_P256
NEXT = NOW + timedelta(days=30)
REVOKED = [(SerialNumber(1000 + number), NOW, reason) for number, reason in enumerate(RevocationReason)]
ENTRIES = [encode_entry(*revoked) for revoked in REVOKED]


def crl(key_type: KeyType = EC, number: int = 7, entries: list[bytes] | None = None) -> bytes:
    chosen = ENTRIES if entries is None else entries
    return sign_crl(issuer(key_type), number=number, this_update=NOW, next_update=NEXT, entries=iter(chosen)).der


@pytest.mark.parametrize("key_type", KeyType)
@pytest.mark.parametrize("entries", [[], ENTRIES[:1], ENTRIES])
def test_every_key_type_verifies_with_the_library(key_type: KeyType, entries: list[bytes]) -> None:
    der = crl(key_type, 7, entries)
    root = x509.load_der_x509_certificate(issuer(key_type).certificate_der)
    loaded = x509.load_der_x509_crl(der)
    assert loaded.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    assert loaded.issuer == root.subject
    assert len(loaded) == len(entries)
    assert loaded.public_bytes(serialization.Encoding.DER) == der
    facts = check_crl(der, issuer(key_type).certificate_der)
    assert (facts.number, facts.count) == (7, len(entries))


def test_extensions_and_facts() -> None:
    der = crl(number=1 << 100)
    found = {extension.oid.dotted_string: extension.critical for extension in x509.load_der_x509_crl(der).extensions}
    assert found == {"2.5.29.35": False, "2.5.29.20": False}
    facts = crl_facts(der)
    assert (facts.number, facts.this_update, facts.next_update) == (1 << 100, NOW, NEXT)
    assert (facts.issuer_der, facts.count) == (issuer().subject_der, len(ENTRIES))


def test_entries_read_back_in_order() -> None:
    assert list(revoked_entries(crl())) == REVOKED
    assert list(revoked_entries(crl(entries=[]))) == []


def test_a_large_list() -> None:
    entries = [encode_entry(SerialNumber(1 << 150 | n), NOW, RevocationReason.SUPERSEDED) for n in range(5000)]
    der = crl(entries=entries)
    assert check_crl(der, issuer().certificate_der) == crl_facts(der)
    assert crl_facts(der).count == 5000


def test_a_wrong_issuer_or_signature_is_found() -> None:
    der = crl()
    certificate = issuer().certificate_der
    check_crl(der, certificate)
    with pytest.raises(PolicyError, match="signature"):
        check_crl(der, issuer(KeyType.EC_P384).certificate_der)
    with pytest.raises(PolicyError, match="another CA"):
        check_crl(der, device())
    with pytest.raises(PolicyError, match="signature is wrong"):
        check_crl(der[:-1] + bytes((der[-1] ^ 1,)), certificate)
    changed = der.replace(ENTRIES[0], ENTRIES[0].replace(b"\x02\x03\xe8", b"\x02\x03\xe7"))
    assert changed != der
    with pytest.raises(PolicyError, match="signature is wrong"):
        check_crl(changed, certificate)
    for garbage in (b"", b"garbage", der[:-1], der + b"\x00"):
        with pytest.raises(PolicyError):
            check_crl(garbage, certificate)
        with pytest.raises(PolicyError):
            crl_facts(garbage)


def test_nothing_that_breaks_a_rule_is_signed() -> None:
    with pytest.raises(LintError, match="updates_are_ordered"):
        sign_crl(issuer(), number=1, this_update=NOW, next_update=NOW, entries=[])
    with pytest.raises(LintError):
        crl(number=-1)
    with pytest.raises(LintError, match="number_is_in_range"):
        crl(number=1 << 160)
    with pytest.raises(LintError):
        crl(entries=[b"garbage"])
    with pytest.raises(LintError, match="entries_are_legal"):
        crl(entries=[ENTRIES[1].replace(b"\x0a\x01\x01", b"\x0a\x01\x08")])


def foreign(builder: x509.CertificateRevocationListBuilder) -> bytes:
    name = x509.load_der_x509_certificate(issuer().certificate_der).subject
    complete = builder.issuer_name(name).last_update(NOW).next_update(NEXT)
    return complete.sign(key(EC), hashes.SHA256()).public_bytes(serialization.Encoding.DER)  # type: ignore[arg-type]


def test_foreign_lists_without_number_or_with_other_reasons() -> None:
    plain = foreign(x509.CertificateRevocationListBuilder())
    with pytest.raises(PolicyError, match="cRLNumber"):
        crl_facts(plain)
    with pytest.raises(PolicyError, match="cRLNumber"):
        check_crl(plain, issuer().certificate_der)
    revoked = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(NOW)
    revoked = revoked.add_extension(x509.CRLReason(x509.ReasonFlags.ca_compromise), critical=False)
    with pytest.raises(PolicyError, match="cACompromise"):
        list(revoked_entries(foreign(x509.CertificateRevocationListBuilder().add_revoked_certificate(revoked.build()))))


def test_the_entry_of_a_serial_is_found_among_those_that_hold_its_octets() -> None:
    dates = [NOW - timedelta(days=number) for number in range(3)]
    # The octets of the first serial stand inside of the second, and those of a date inside of the third.
    wanted = SerialNumber.from_hex("0102")
    within = SerialNumber.from_hex("33" + "02020102" + "44")
    dated = SerialNumber(int.from_bytes(b"\x17\x0d2611010000", "big"))
    held = RevocationReason.CERTIFICATE_HOLD
    entries = [encode_entry(one, date, held) for one, date in zip((within, dated, wanted), dates, strict=True)]
    for some in (entries, entries[::-1]):
        list_der = crl(entries=some)
        assert [find_entry(list_der, one) for one in (within, dated, wanted)] == entries
        assert find_entry(list_der, SerialNumber.from_hex("0103")) is None
    assert find_entry(crl(entries=entries[:2]), wanted) is None
