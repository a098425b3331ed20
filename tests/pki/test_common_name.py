"""Serial number and commonName, read from a certificate's octets alone."""

from __future__ import annotations

import pytest
from iotonboard.errors import PolicyError
from iotonboard.model import KeyType
from iotonboard.pki.common_name import serial_and_common_name
from iotonboard.pki.facts import certificate_facts

from support.pki import device, issuer, server

CERTIFICATES = {
    "device": device(),
    "device of an organization": device(organization="Ölwerk", country="DE"),
    "RSA": device(KeyType.RSA_2048, "press-" + "9" * 50),
    "broker": server(KeyType.EC_P256, "broker.test", "10.0.0.1"),
    "CA": issuer().certificate_der,
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_it_reads_what_the_library_reads(name: str) -> None:
    facts = certificate_facts(CERTIFICATES[name])
    assert serial_and_common_name(CERTIFICATES[name]) == (facts.serial, facts.subject_cn)


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"\x30\x03\x30\x01\x00", b"0" * 300, b"\x30\x80\x00\x00"])
def test_what_is_no_certificate_is_refused(octets: bytes) -> None:
    with pytest.raises(PolicyError):
        serial_and_common_name(octets)
