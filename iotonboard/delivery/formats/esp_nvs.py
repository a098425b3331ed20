"""What ESP-IDF's NVS partition generator (``esp_idf_nvs_partition_gen``) takes, or the partition that it makes.

Format: https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-reference/storage/nvs_partition_gen.html
"""

from __future__ import annotations

import base64
import csv
import io
from importlib import import_module
from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import NvsImage, Options, OutputFile, check_no_ed25519
from iotonboard.delivery.nvs_keys import make_keys
from iotonboard.errors import PolicyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from iotonboard.delivery.credential import Credential

    Row = tuple[str, str, str, str]

ATTRIBUTES = "attributes"  # their namespace: no name of theirs is one of the credential's
_LONGEST_NAME = 15
_LONGEST_VALUE = 3999  # octets; with its NUL a string must fit into one page


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write a namespace with the credential, and another with the device's attributes; as CSV or as a partition.

    Its strings are ``device_id`` and ``serial``, its blobs ``device_key``, ``device_crt`` and ``ca_crt``.
    A blob is PEM with a NUL at the end: what esp-tls and esp-mqtt take as it is. Blobs, because a string ends
    at 4000 bytes and must fit into one page. ``device_key`` is absent when the device made its key. Attributes
    are strings in the namespace ``attributes``. Those that do not fit are left out where nobody asked for them
    (``options.nvs`` is ``None``), and named: as devices are registered, nothing may stop the line.

    Raises:
        PolicyError: the key is Ed25519, which mbedTLS does not know; an attribute does not fit into NVS; the partition
            is too small, or its keys are none.
        UsageError: a partition is asked for, and Espressif's generator is not installed; an attribute is not there.
    """
    check_no_ed25519(credential, "ESP-IDF")
    left_out: tuple[str, ...] = ()
    if options.nvs is None:
        left_out = tuple(name for name, value in credential.attributes if not _fits(name, value))
    asked = options.nvs or NvsImage(tuple(name for name, _ in credential.attributes if name not in left_out))
    rows = [*_credential_rows(credential, options.nvs_namespace), *_attribute_rows(credential, asked)]
    is_secret = credential.key_der is not None
    if asked.size is not None:
        return _partition(f"{credential.file_name}-nvs", rows, asked, is_secret=is_secret)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([("key", "type", "encoding", "value"), *rows])
    data = out.getvalue().encode("utf-8")
    return (OutputFile(f"{credential.file_name}-nvs.csv", data, secret=is_secret, left_out=left_out),)


def _credential_rows(credential: Credential, namespace: str) -> Iterator[Row]:
    yield namespace, "namespace", "", ""
    yield "device_id", "data", "string", str(credential.device_id)
    yield "serial", "data", "string", credential.serial.hex
    if credential.key_pem is not None:
        yield "device_key", "data", "base64", _blob(credential.key_pem)
    yield "device_crt", "data", "base64", _blob(credential.certificate_pem)
    yield "ca_crt", "data", "base64", _blob(credential.anchor_pem)


def _attribute_rows(credential: Credential, asked: NvsImage) -> Iterator[Row]:
    values = dict(credential.attributes)
    names = asked.names_among(str(credential.device_id), values)
    if names:
        yield ATTRIBUTES, "namespace", "", ""
    for name in names:
        if not _fits(name, values[name]):
            raise PolicyError(
                f"attribute {name!r} of {str(credential.device_id)!r} does not fit into NVS (a name has at most 15"
                " letters, a value 3999 octets)",
                hint="name those that shall go in: export --format esp-nvs --attributes line,site",
            )
        yield name, "data", "string", values[name]


def _fits(name: str, value: str) -> bool:
    return len(name) <= _LONGEST_NAME and len(value.encode("utf-8")) <= _LONGEST_VALUE


def image_maker() -> ModuleType:
    """What makes a ready partition.

    Raises:
        UsageError: Espressif's generator is not installed.
    """
    try:
        return import_module("iotonboard.delivery.nvs_image")
    except ImportError as error:
        raise UsageError(
            f"a ready partition needs Espressif's generator ({error.name} is missing)",
            hint="pip install 'iotonboard[esp]', or leave --image out and give the CSV to the generator elsewhere",
        ) from None


def _partition(stem: str, rows: list[Row], asked: NvsImage, *, is_secret: bool) -> tuple[OutputFile, ...]:
    made = make_keys() if asked.keys == b"" else None
    data = image_maker().build_image(rows, asked.size, made or asked.keys)
    image = OutputFile(f"{stem}.bin", data, secret=is_secret)
    return (image, OutputFile(f"{stem}-keys.bin", made, secret=True)) if made else (image,)


def _blob(pem: bytes) -> str:
    return base64.b64encode(pem + b"\0").decode("ascii")
