"""What every encoder takes and gives: the options of an export and the files that come out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError, UsageError, quoted
from iotonboard.ids import in_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.delivery.credential import Credential

_MAX_SECURITY_TAG = 2147483647  # nRF91 AT commands reference, %CMNG: <sec_tag>
# ESP-IDF's NVS: keys and namespaces have at most 15 characters.
_NVS_NAME = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_NVS_PAGE, _LARGEST_NVS = 0x1000, 1 << 24
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
# SubjectPublicKeyInfo of an Ed25519 key up to its bits (RFC 8410 4): a constant.
_ED25519_KEY_INFO = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True, slots=True)
class NvsImage:
    """What ``esp-nvs`` makes beside the credential.

    ``attributes`` are the names of those of the device that go in; ``None``: all of them. ``size`` is that of the
    partition in octets, where the ready binary is asked for and not the CSV. ``keys`` are the octets of an NVS key
    partition that it is encrypted with, or empty octets for keys of its own, which come out beside it.

    Raises:
        UsageError: a size that no partition has, keys that are none, or keys without a size.
    """

    attributes: tuple[str, ...] | None = None
    size: int | None = None
    keys: bytes | None = field(default=None, repr=False)

    def names_among(self, device_id: str, attributes: Mapping[str, str]) -> tuple[str, ...]:
        """The names of the attributes of a device that go in.

        Raises:
            PolicyError: the device has no attribute of a name that was asked for.
        """
        for name in self.attributes or ():
            if name not in attributes:
                raise PolicyError(
                    f"{device_id!r} has no attribute {quoted(name)}",
                    hint=f"'iotonboard show {in_command(device_id)}' lists them",
                )
        return tuple(attributes) if self.attributes is None else self.attributes

    def __post_init__(self) -> None:
        if self.size is not None and (self.size % _NVS_PAGE or not 3 * _NVS_PAGE <= self.size <= _LARGEST_NVS):
            raise UsageError(
                f"'{self.size:#x}' is not the size of an NVS partition", hint="a multiple of 0x1000 from 0x3000 on"
            )
        if self.keys is not None and self.size is None:
            raise UsageError("a CSV is not encrypted: the partition is", hint="say its size: --image 0x4000")


@dataclass(frozen=True, slots=True)
class Options:
    """What an export can be told; every format reads only what concerns it.

    ``password`` protects ``zip`` and ``p12``; with ``legacy`` a ``p12`` is one for old readers. ``security_tag`` is
    the slot for ``nrf`` and ``zephyr``; its default is that of nrfcloud-utils. ``broker_host``, ``broker_port`` and
    ``directory`` (where the files will lie; empty: wherever the client is started) are for ``mosquitto``. ``esp-nvs``
    takes ``nvs_namespace`` and ``nvs``. ``crls`` are CAs with their lists, both in DER, for ``opcua-store``.

    Raises:
        UsageError: a value that the format's consumer could not read.
    """

    password: str | None = field(default=None, repr=False)
    security_tag: int = 16842753
    nvs_namespace: str = "iotonboard"
    broker_host: str = "localhost"
    broker_port: int = 8883
    directory: str = ""
    legacy: bool = False
    nvs: NvsImage | None = None
    crls: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.security_tag <= _MAX_SECURITY_TAG:
            raise UsageError(f"'{self.security_tag}' is not a security tag", hint="use 0 to 2147483647")
        if not _NVS_NAME.fullmatch(self.nvs_namespace) or self.nvs_namespace == "attributes":
            raise UsageError(
                f"{quoted(self.nvs_namespace)} is not an NVS namespace",
                hint="use 1 to 15 letters, digits, dots, dashes and underscores, and not 'attributes'",
            )
        if not _HOST.fullmatch(self.broker_host):
            raise UsageError(f"{quoted(self.broker_host)} is not a host name or address")
        if not 0 < self.broker_port < 65536:
            raise UsageError(f"'{self.broker_port}' is not a port", hint="use 1 to 65535")
        if not (self.directory.isprintable() and self.directory == self.directory.strip()):
            raise UsageError(f"{quoted(self.directory)} cannot be written into an options file")


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of an export: a name that is safe everywhere, its bytes, and whether it holds a plain key.

    A name with slashes is one in folders below. What ``ages`` is another one with every CRL.

    ``repr`` does not show the bytes. Of a format of one file a second one is put beside the first. ``left_out`` are the
    names of the device's attributes that the format cannot hold, and nobody asked for.
    """

    name: str
    data: bytes = field(repr=False)
    secret: bool = False
    left_out: tuple[str, ...] = ()
    ages: bool = False


def check_no_ed25519(credential: Credential, consumer: str) -> None:
    """Refuse a device or CA key that ``consumer`` cannot use.

    Raises:
        PolicyError: the device's or the anchor's key is Ed25519.
    """
    if any(_ED25519_KEY_INFO in der for der in (credential.certificate_der, *credential.chain, *credential.anchors)):
        raise PolicyError(f"{consumer} cannot use Ed25519 keys", hint="register the device with an EC or RSA key")
