"""What is signed, octet for octet, against vectors that an encoder of its own made before the library's was used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from iotonboard.errors import PolicyError
from iotonboard.model import DeviceId, SerialNumber, Validity
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import issue_device, issue_server, make_ca
from iotonboard.pki.issuer import Issuer, load_issuer
from iotonboard.pki.profiles import DeviceProfile, ServerProfile
from iotonboard.pki.signatures import SoftwareSigner

from support.pki import TBS, UUID, vector_key

NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
YEAR = Validity(NOW, NOW + timedelta(days=365))
UNTIL_2080 = Validity(NOW, NOW.replace(year=2080))
CA_SERIAL = SerialNumber.from_random(bytes(range(1, 21)))
SERIAL = SerialNumber.from_random(bytes(range(0xFF, 0xFF - 20, -1)))
EXTRA = (("country", "DE"), ("state", "Bayern"), ("locality", "x" * 128), ("organization", "Gr\u00fcn & Co"),
         ("organizational_unit", "O" * 64))  # fmt: skip
HOSTS = ("broker.example", "10.0.0.1", "2001:db8::1")


@cache
def issuer(key_type: str) -> Issuer:
    signer = SoftwareSigner(vector_key(key_type))
    subject = Subject("Gr\u00fcn Root", "Example Works & S\u00f6hne", "Factory 7", "DE")
    validity = Validity(NOW - timedelta(hours=1), NOW + timedelta(days=36500))
    return load_issuer(make_ca(CaProfile(subject), signer, CA_SERIAL, validity), signer)


def device(key_type: str, name: str, profile: DeviceProfile, serial: int, validity: Validity) -> bytes:
    ca = issuer(key_type)
    return issue_device(ca, ca.signer.public_key(), DeviceId(name), SerialNumber(serial), validity, profile)


def server(key_type: str, names: tuple[str, ...], profile: ServerProfile) -> bytes:
    ca = issuer(key_type)
    return issue_server(ca, ca.signer.public_key(), names, SERIAL, YEAR, profile)


MADE = {
    "ca": lambda key_type: issuer(key_type).certificate_der,
    "device": lambda key_type: device(key_type, "sensor-1", DeviceProfile(), SERIAL, YEAR),
    "device, UUID": lambda key_type: device(key_type, UUID, DeviceProfile(), SERIAL, UNTIL_2080),
    "device, extras": lambda key_type: device(key_type, "i" * 64, DeviceProfile(EXTRA), 1 << 64, YEAR),
    "server": lambda key_type: server(key_type, HOSTS, ServerProfile((("organization", "Example"),))),
    "server, long name": lambda key_type: server(key_type, ("a" * 40 + "." + "b" * 40, *HOSTS), ServerProfile()),
}


@pytest.mark.parametrize("key_type", TBS["tbs"])
@pytest.mark.parametrize("what", MADE)
def test_the_same_octets_are_signed_as_ever(key_type: str, what: str) -> None:
    certificate = x509.load_der_x509_certificate(MADE[what](key_type))
    assert certificate.tbs_certificate_bytes.hex() == TBS["tbs"][key_type][what]
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(issuer(key_type).certificate_der))


@pytest.mark.filterwarnings("error")
def test_a_ca_whose_name_has_64_characters_and_more_octets_goes_on() -> None:
    """The library counts a commonName's octets, which RFC 5280 does not; no new CA gets such a name."""
    signer = issuer("ec-p256").signer
    ca = load_issuer(bytes.fromhex(TBS["ca_with_a_name_of_128_octets"]), signer)
    der = issue_device(ca, signer.public_key(), DeviceId("sensor-1"), SERIAL, YEAR, DeviceProfile())
    assert ca.subject_der in der
    with pytest.raises(PolicyError, match="more than 64 octets"):
        Subject("\u00fc" * 64)


def test_every_vector_is_tried() -> None:
    assert all(vectors.keys() == MADE.keys() for vectors in TBS["tbs"].values())
