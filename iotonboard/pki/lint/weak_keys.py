"""Public keys that should not be certified although their size is right.

RFC 5280 leaves key quality to the CA; the checks are those that can be decided from the public key alone.
The keys of Debian's broken OpenSSL (CVE-2008-0166, withdrawn in 2008) can only be told by a list of all of them,
32 768 for each size and platform: many times the size of this program, so they are not looked for.
"""

from __future__ import annotations

from functools import cache
from math import gcd, isqrt
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from iotonboard.errors import PolicyError
from iotonboard.pki.keys import PublicKey, key_type_of

_MIN_EXPONENT: Final = 65537  # FIPS 186-5 A.1.1: 2^16 < e < 2^256, odd
_MAX_EXPONENT_BITS: Final = 256
_SMALL_PRIME_LIMIT: Final = 752  # the limit of the CA/Browser Forum's Baseline Requirements 6.1.6
_FERMAT_ROUNDS: Final = 100  # the same requirements 6.1.1.3
_ROCA_PRIME_LIMIT: Final = 167
_ROCA_GENERATOR: Final = 65537
_ADVICE: Final = "make a new key pair with a current library"

# Encodings of the points whose order divides 8 (the sign bit left out), also as integers that are not reduced
# modulo p = 2^255 - 19. Such a key verifies signatures that nobody made.
_SMALL_ORDER_POINTS: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def check_public_key(public_key: PublicKey) -> None:
    """Refuse a weak key.

    An EC key needs no check of its own: the library refuses points that are not on the named curve when it
    reads them, and the curves have cofactor 1.

    Raises:
        PolicyError: unsupported type or size, or weak; the message names the weakness.

    """
    key_type_of(public_key)
    if isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        weakness = rsa_weakness(numbers.n, numbers.e)
    elif isinstance(public_key, ed25519.Ed25519PublicKey):
        weakness = ed25519_weakness(public_key.public_bytes_raw())
    else:
        weakness = None
    if weakness:
        raise PolicyError(f"the key is weak: {weakness}", hint=_ADVICE)


def rsa_weakness(modulus: int, exponent: int) -> str | None:
    """Name what is wrong with an RSA key, or None."""
    if exponent < _MIN_EXPONENT or exponent % 2 == 0 or exponent.bit_length() > _MAX_EXPONENT_BITS:
        return f"the public exponent {exponent if exponent < 1 << 64 else 'is out of range'} is not accepted"
    if gcd(modulus, _small_primes_product()) != 1:
        return "the modulus has a small factor"
    if _has_roca_fingerprint(modulus):
        return "the modulus has the ROCA fingerprint (CVE-2017-15361)"
    if _has_close_primes(modulus):
        return "the two primes are close together"
    return None


def ed25519_weakness(point: bytes) -> str | None:
    """Name what is wrong with an Ed25519 public key of 32 octets, or None."""
    if point[:31] + bytes((point[31] & 0x7F,)) in _SMALL_ORDER_POINTS:
        return "the point has a small order"
    return None


def _primes_up_to(limit: int) -> list[int]:
    return [n for n in range(2, limit + 1) if all(n % p for p in range(2, isqrt(n) + 1))]


@cache
def _small_primes_product() -> int:
    product = 1
    for prime in _primes_up_to(_SMALL_PRIME_LIMIT):
        product *= prime
    return product


@cache
def _roca_residues() -> tuple[tuple[int, frozenset[int]], ...]:
    """For each small prime, the residues that powers of 65537 can have (Nemec et al., 2017, section 3)."""
    table = []
    for prime in _primes_up_to(_ROCA_PRIME_LIMIT):
        residues = frozenset(pow(_ROCA_GENERATOR, exponent, prime) for exponent in range(prime - 1))
        if len(residues) < prime - 1:
            table.append((prime, residues))
    return tuple(table)


def _has_roca_fingerprint(modulus: int) -> bool:
    """Vulnerable moduli are a power of 65537 modulo every small prime; sound ones by a chance of 2^-27."""
    return all(modulus % prime in residues for prime, residues in _roca_residues())


def _has_close_primes(modulus: int) -> bool:
    """Try Fermat's factorisation: n = a^2 - b^2 with a just above the square root."""
    a = isqrt(modulus)
    a += a * a < modulus
    for _ in range(_FERMAT_ROUNDS):
        remainder = a * a - modulus
        if isqrt(remainder) ** 2 == remainder:
            return True
        a += 1
    return False
