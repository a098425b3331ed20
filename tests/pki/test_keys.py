"""Keys: every type is made, stored, encrypted, opened and recognised; every failure is a KeyUnavailableError."""

from __future__ import annotations

import hashlib
from itertools import count
from math import isqrt

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.keys import (
    dump_key,
    encrypt_key,
    generate_key,
    kdf_iterations,
    key_identifier,
    key_type_of,
    load_key,
    load_public_key,
    public_key_matches,
    spki_der,
)
from iotonboard.pki.lint import weak_keys
from iotonboard.pki.pem import pem_encode

from support.pki import device, key

SALT, IV = b"s" * 16, b"i" * 16
EC = KeyType.EC_P256


def encrypted(iterations: int = 100) -> bytes:
    return encrypt_key(dump_key(key(EC)), b"secret", iterations=iterations, salt=SALT, iv=IV)


@pytest.mark.parametrize("key_type", KeyType)
def test_every_type_survives_encryption(key_type: KeyType) -> None:
    private = key(key_type)
    assert key_type_of(private.public_key()) is key_type
    stored = encrypt_key(dump_key(private), b"secret", iterations=100, salt=SALT, iv=IV)
    for form in (stored, pem_encode("ENCRYPTED PRIVATE KEY", stored)):
        assert dump_key(load_key(form, b"secret")) == dump_key(private)
    assert spki_der(load_public_key(spki_der(private.public_key()))) == spki_der(private.public_key())


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_new_keys_are_of_their_type_and_differ(key_type: str) -> None:
    one, other = generate_key(KeyType(key_type)), generate_key(KeyType(key_type))
    assert key_type_of(one.public_key()) == key_type
    assert dump_key(one) != dump_key(other)


@pytest.mark.parametrize("passphrase", [None, b"", b"not needed"])
def test_a_plain_key_opens_with_or_without_a_passphrase(passphrase: bytes | None) -> None:
    plain = dump_key(key(EC))
    assert dump_key(load_key(plain, passphrase)) == plain
    assert dump_key(load_key(pem_encode("PRIVATE KEY", plain), passphrase)) == plain


@pytest.mark.parametrize("passphrase", [b"wrong", None, b""])
def test_a_wrong_or_missing_passphrase_says_so_and_no_more(passphrase: bytes | None) -> None:
    with pytest.raises(KeyUnavailableError) as caught:
        load_key(encrypted(), passphrase)
    assert "passphrase" in caught.value.message
    assert caught.value.hint
    assert "wrong" not in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x30\x03\x02\x01\x00", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_what_is_not_a_key_is_refused(content: bytes, passphrase: bytes | None) -> None:
    with pytest.raises(KeyUnavailableError):
        load_key(content, passphrase)


@pytest.mark.parametrize("size", [1024, 2056])
def test_keys_of_other_sizes_and_types_are_refused(size: int) -> None:
    others = (
        rsa.generate_private_key(65537, size),
        ec.generate_private_key(ec.SECP521R1()),
        dsa.generate_private_key(2048),
    )
    for other in others:
        plain = other.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with pytest.raises(KeyUnavailableError):
            load_key(plain, None)
        with pytest.raises(PolicyError):
            key_type_of(other.public_key())


@pytest.mark.parametrize(
    "bad", [{"salt": b"short"}, {"iv": b"short"}, {"iterations": 0}], ids=["salt", "iv", "iterations"]
)
def test_encryption_refuses_bad_parameters(bad: dict[str, object]) -> None:
    parameters: dict[str, object] = {"salt": SALT, "iv": IV, "iterations": 100} | bad
    with pytest.raises(PolicyError):
        encrypt_key(b"key", b"secret", **parameters)  # type: ignore[arg-type]
    with pytest.raises(PolicyError):
        encrypt_key(b"key", b"", salt=SALT, iv=IV, iterations=100)


def test_iterations_are_read_from_pbkdf2_alone() -> None:
    assert kdf_iterations(encrypted(600_000)) == 600_000
    assert kdf_iterations(dump_key(key(EC))) is None
    assert kdf_iterations(b"garbage") is None
    assert kdf_iterations(encrypted()[:40]) is None


def test_a_key_matches_its_own_certificate_only() -> None:
    assert public_key_matches(device(), key(EC, "device"))
    assert not public_key_matches(device(), key(EC))
    assert not public_key_matches(device(), key(KeyType.ED25519))
    with pytest.raises(PolicyError):
        public_key_matches(b"garbage", key(EC))


@pytest.mark.parametrize("key_type", KeyType)
def test_the_key_identifier_of_rfc_7093(key_type: KeyType) -> None:
    """Of all that follows the BIT STRING's first octet, which counts unused bits."""
    public_key = key(key_type).public_key()
    spki = spki_der(public_key)
    *_, bits = der.children(spki, der.whole(spki))
    assert key_identifier(public_key) == hashlib.sha256(spki[bits.begin + 1 : bits.end]).digest()[:20]


def test_public_keys_that_are_none_are_refused() -> None:
    for octets in (b"", b"garbage", dump_key(key(EC))):
        with pytest.raises(PolicyError):
            load_public_key(octets)


def test_sound_rsa_keys_pass() -> None:
    for key_type in (KeyType.RSA_2048, KeyType.RSA_3072, KeyType.RSA_4096):
        weak_keys.check_public_key(key(key_type).public_key())


@pytest.mark.parametrize("exponent", [1, 3, 17, 65535, 65538, 1 << 300 | 1])
def test_rsa_exponents_out_of_range(exponent: int) -> None:
    modulus = key(KeyType.RSA_2048).public_key().public_numbers().n  # type: ignore[union-attr]
    assert "exponent" in (weak_keys.rsa_weakness(modulus, exponent) or "")


def test_rsa_with_a_small_factor() -> None:
    cofactor = next(n for n in count((1 << 2038) + 1, 2) if all(n % d for d in range(3, 751, 2)))
    assert "small factor" in (weak_keys.rsa_weakness(751 * cofactor, 65537) or "")


def test_rsa_with_close_primes() -> None:
    p = (1 << 1023) + 12345678901234567890 + 1505  # the next prime
    q = p + (1 << 400) + 830  # again
    assert "close" in (weak_keys.rsa_weakness(p * q, 65537) or "")
    assert "close" in (weak_keys.rsa_weakness(p * p, 65537) or "")
    assert isqrt(p * p) == p


def test_rsa_with_the_roca_fingerprint() -> None:
    """A modulus that is a power of 65537 modulo each small prime, as CVE-2017-15361 makes them."""
    primorial = 1
    for prime in (n for n in range(2, 168) if all(n % d for d in range(2, n))):
        primorial *= prime
    modulus = pow(65537, 4711, primorial) + primorial * ((1 << 2047) // primorial + 1)
    assert modulus.bit_length() == 2048
    assert "ROCA" in (weak_keys.rsa_weakness(modulus, 65537) or "")


P25519 = (1 << 255) - 19


def small_order_points() -> set[bytes]:
    """Multiply points by the order of the large subgroup: what is left has an order that divides 8."""
    d = -121665 * pow(121666, -1, P25519) % P25519
    order = (1 << 252) + 27742317777372353535851937790883648493

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        t = d * a[0] * b[0] * a[1] * b[1] % P25519
        x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + t, -1, P25519)
        return x % P25519, (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, P25519) % P25519

    found: set[bytes] = set()
    for y in range(2, 60):
        square = (y * y - 1) * pow(d * y * y + 1, -1, P25519) % P25519
        x = pow(square, (P25519 + 3) // 8, P25519)
        if x * x % P25519 != square:
            x = x * pow(2, (P25519 - 1) // 4, P25519) % P25519
        if x * x % P25519 != square:
            continue
        result, power, scalar = (0, 1), (x, y), order
        while scalar:
            if scalar & 1:
                result = add(result, power)
            power, scalar = add(power, power), scalar >> 1
        found.add((result[1] | (result[0] & 1) << 255).to_bytes(32, "little"))
    return found


def test_ed25519_points_of_small_order() -> None:
    points = small_order_points()
    assert len(points) == 8
    for point in points:
        assert weak_keys.ed25519_weakness(point)
        with pytest.raises(PolicyError):
            weak_keys.check_public_key(ed25519.Ed25519PublicKey.from_public_bytes(point))
    assert weak_keys.ed25519_weakness(key(KeyType.ED25519).public_key().public_bytes_raw()) is None  # type: ignore[union-attr]
