"""A CA and certificates for tests of the pki package: made once per process, with fixed times."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from iotonboard.model import DeviceId, KeyType, SerialNumber, Validity
from iotonboard.pki.ca_profiles import CaProfile, StationProfile, Subject
from iotonboard.pki.certificates import certify_station, issue_device, issue_server, make_ca
from iotonboard.pki.issuer import Issuer, load_issuer
from iotonboard.pki.keys import PrivateKey, generate_key
from iotonboard.pki.profiles import DeviceProfile, ServerProfile
from iotonboard.pki.signatures import SoftwareSigner

NOW = datetime(2030, 6, 1, 12, 0, 0, tzinfo=UTC)
CA_VALIDITY = Validity(NOW - timedelta(hours=1), NOW + timedelta(days=3650))
VALIDITY = Validity(NOW, NOW + timedelta(days=365))
CA_SERIAL = SerialNumber.from_random(bytes(range(1, 21)))
SERIAL = SerialNumber.from_random(bytes(range(21, 41)))
UUID = "6A0ECF65-4f83-4c3b-8f21-0e8e1ab13b6c"


VECTORS = Path(__file__).parents[1] / "vectors"
RSA_PRIMES = json.loads((VECTORS / "keys/rsa.json").read_text())  # it takes seconds to find them


@cache
def key(key_type: KeyType, role: str = "ca") -> PrivateKey:
    """The same key for the same role in every test of a process; RSA keys are always the same."""
    return rsa_key(*RSA_PRIMES[key_type][role]) if key_type in RSA_PRIMES else generate_key(key_type)


def rsa_key(p_hex: str, q_hex: str) -> rsa.RSAPrivateKey:
    """The RSA key of these primes, with the usual exponent."""
    p, q = int(p_hex, 16), int(q_hex, 16)
    d = rsa.rsa_recover_private_exponent(65537, p, q)
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(65537, p * q))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def signer(key_type: KeyType = KeyType.EC_P256) -> SoftwareSigner:
    """The CA's key."""
    return SoftwareSigner(key(key_type))


TBS = json.loads((VECTORS / "certificates/tbs.json").read_text())


@cache
def vector_key(key_type: str) -> PrivateKey:
    """The CA's key of the vectors: always the same."""
    if key_type == "ec-p256":
        return ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
    if key_type == "ec-p384":
        return ec.derive_private_key(0xFEDCBA0987654321, ec.SECP384R1())
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return rsa_key(*TBS["rsa_2048_primes"])


@cache
def issuer(key_type: KeyType = KeyType.EC_P256) -> Issuer:
    profile = CaProfile(Subject("Test Root", "Example Works", "Factory 7", "DE"))
    return load_issuer(make_ca(profile, signer(key_type), CA_SERIAL, CA_VALIDITY), signer(key_type))


def device(key_type: KeyType = KeyType.EC_P256, device_id: str = "sensor-1", **extra: str) -> bytes:
    profile = DeviceProfile(tuple(extra.items()))
    public_key = key(key_type, "device").public_key()
    return issue_device(issuer(key_type), public_key, DeviceId(device_id), SERIAL, VALIDITY, profile)


@cache
def root(key_type: KeyType = KeyType.EC_P256) -> bytes:
    """A root of the issuer's name and key."""
    profile = CaProfile(Subject("Test Root", "Example Works", "Factory 7", "DE"), is_root=True)
    return make_ca(profile, signer(key_type), CA_SERIAL, CA_VALIDITY)


def station(name: str = "Station 7", *permitted: Subject) -> bytes:
    """A CA that the issuer certifies."""
    profile = StationProfile(tuple(one.name() for one in permitted))
    public_key = key(KeyType.EC_P256, "station").public_key()
    return certify_station(issuer(), public_key, Subject(name).name(), SERIAL, VALIDITY, profile)


def server(key_type: KeyType = KeyType.EC_P256, *names: str) -> bytes:
    public_key = key(key_type, "server").public_key()
    return issue_server(issuer(key_type), public_key, names, SERIAL, VALIDITY, ServerProfile())
