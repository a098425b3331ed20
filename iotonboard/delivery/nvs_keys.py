"""NVS key partitions: what a device's flash is encrypted with (ESP-IDF, NVS Encryption, NVS Key Partition)."""

from __future__ import annotations

import os
import struct
import zlib

_PAGE = 0x1000
KEY_OCTETS = 64  # of AES-256-XTS: the key's and the tweak's 32


def make_keys() -> bytes:
    """A new NVS key partition: two random keys, their CRC-32, and erased flash."""
    return _partition(os.urandom(KEY_OCTETS))


def are_keys(octets: bytes) -> bool:
    """Say whether these are an NVS key partition."""
    return octets == _partition(octets[:KEY_OCTETS])


def _partition(key: bytes) -> bytes:
    checked = key + struct.pack("<I", zlib.crc32(key, 0xFFFFFFFF))
    return checked.ljust(_PAGE, b"\xff")
