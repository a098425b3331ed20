"""The state's secret: a random vault key from which every bundle password is derived.

The vault key lies in the database, wrapped by the CA's key (``ca_key``), so one unlock serves both and neither the
database nor a bundle alone gives a password away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber

VAULT_KEY_OCTETS = 32
SALT_OCTETS = 16
RECOVERY: Final = "recovery"  # single value: what the recovery passphrase opens (``recovery``)
# Crockford's base 32: no I, L, O or U, so it can be read aloud and typed.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PASSWORD_BITS = 128
_GROUPS = (5, 5, 5, 5, 6)


@dataclass(frozen=True, slots=True)
class Vault:
    """The unwrapped vault key."""

    key: bytes = field(repr=False)

    def bundle_password(self, serial: SerialNumber, salt: bytes) -> str:
        """The password of one certificate's bundle and encrypted key: 128 bits, 26 letters and digits in groups."""
        message = b"iotonboard bundle password v1" + serial.octets + salt
        mac = HMAC(self.key, SHA256())
        mac.update(message)
        return spell(mac.finalize()[: _PASSWORD_BITS // 8])


def spell(octets: bytes) -> str:
    """128 bits as ``XXXXX-XXXXX-XXXXX-XXXXX-XXXXXX``."""
    value = int.from_bytes(octets)
    letters = "".join([_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5)])
    groups, start = [], 0
    for size in _GROUPS:
        groups.append(letters[start : start + size])
        start += size
    return "-".join(groups)
