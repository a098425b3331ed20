"""A ready NVS partition for a device's flash, made by Espressif's generator in this process: no plain key is on a disk.

The generator is the extra ``esp``. Its own keys come from Python's ``random``, so keys are made in ``nvs_keys``.
Format: ESP-IDF, Non-Volatile Storage Library, Internals.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from esp_idf_nvs_partition_gen import nvs_partition_gen as generator

from iotonboard.delivery.nvs_keys import KEY_OCTETS
from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    # Key, type, encoding, value: a row of the generator's CSV.
    Row = tuple[str, str, str, str]

_PAGE = 0x1000


def build_image(rows: Iterable[Row], size: int, keys: bytes | None) -> bytes:
    """The partition, as large as it is on the device; encrypted where there are ``keys``, an NVS key partition.

    Raises:
        PolicyError: the partition is too small for the rows.
    """
    out = io.BytesIO()
    key = keys[:KEY_OCTETS] if keys else None
    # One page is kept free, as the library on the device needs one to move entries.
    version = generator.Page.VERSION2
    partition = generator.nvs_open(out, size - _PAGE, version, is_encrypt=key is not None, key=key)
    try:
        for row in rows:
            generator.write_entry(partition, *row)
        generator.nvs_close(partition)
    except generator.InsufficientSizeError:
        raise PolicyError(f"an NVS partition of {size:#x} octets is too small", hint="a larger --image") from None
    return out.getvalue()
