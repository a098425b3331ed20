"""The export formats: one line per format, one module per encoder, loaded when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from iotonboard.errors import KeyUnavailableError, UsageError, did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from iotonboard.delivery.credential import Credential
    from iotonboard.delivery.formats.output import Options, OutputFile


@dataclass(frozen=True, slots=True)
class Format:
    """One export format.

    ``name`` is that of its module too, and ``description`` is for shell completion. ``binary``: the output is no text
    for a terminal. ``needs_key``: useless when the device made its key. ``needs_password``: reads
    ``Options.password``. ``plain_key``: the key, if there is one, comes out unencrypted. ``single_file``: exactly one
    file, which can go to standard output; otherwise a folder. ``small_device``: for devices whose time may have 32
    bits.
    """

    name: str
    description: str
    binary: bool = False
    needs_key: bool = False
    needs_password: bool = False
    plain_key: bool = True
    single_file: bool = True
    small_device: bool = False


_TABLE = (
    Format(
        "zip", "AES-256 encrypted bundle: PEM files and a manifest",
        binary=True, needs_password=True, plain_key=False,
    ),
    Format(
        "p12", "PKCS#12 with AES-256, for Java and Windows; --legacy: macOS, older Android",
        binary=True, needs_key=True, needs_password=True, plain_key=False,
    ),
    Format("pem", "folder: device.key, device.crt, ca.crt", single_file=False),
    Format(
        "der", "folder: key and certificates in DER, for small TLS stacks",
        binary=True, single_file=False, small_device=True,
    ),
    Format("pem-chain", "one PEM file: key, certificate, issuers"),
    Format("c-header", "C99 header, for firmware built per device", small_device=True),
    Format("esp-nvs", "ESP32: CSV for the NVS partition generator, or with --image its partition", small_device=True),
    Format("esp-secure-cert", "CSV for esp-secure-cert-tool", small_device=True),
    Format("tasmota", "console commands TLSKey1 and TLSKey2, for Tasmota", small_device=True),
    Format("nrf", "nRF91: AT%CMNG commands, nRF Cloud onboarding CSV", single_file=False, small_device=True),
    Format("zephyr", "TLS credential includes, for Zephyr and nRF Connect SDK", single_file=False, small_device=True),
    Format("json", "one JSON object with PEM text"),
    Format(
        "opcua-store", "OPC UA: folders own, trusted and issuers, in DER, with the CRL",
        binary=True, single_file=False,
    ),
    Format("mosquitto", "PEM files, options for mosquitto_pub and _sub, a bridge", single_file=False),
)  # fmt: skip

FORMATS: Mapping[str, Format] = {entry.name: entry for entry in _TABLE}


def find_format(name: str, also: Collection[str] = ()) -> Format:
    """Look a format up by its name; ``also`` are others that the caller takes.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        return FORMATS[name]
    except KeyError:
        hint = did_you_mean(name[:80], (*FORMATS, *also), f"choose one of {', '.join((*FORMATS, *also))}")
        raise UsageError(f"{quoted(name)} is not a format", hint=hint) from None


def encode(name: str, credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Encode a credential; the result is one file for a ``single_file`` format, else the files of a folder.

    Raises:
        UsageError: no such format, or the format needs a password and there is none.
        KeyUnavailableError: the format needs the key and the device made its own.
        PolicyError: the format's consumer cannot use this kind of key, or the password.
    """
    chosen = find_format(name)
    if chosen.needs_password and not options.password:
        raise UsageError(f"format {name!r} needs a password")
    if chosen.needs_key and credential.key_der is None:
        raise KeyUnavailableError(
            f"format {name!r} needs the private key, and {str(credential.device_id)!r} keeps its own",
            hint="export the certificates alone, for example with --format pem",
        )
    module = import_module(f"iotonboard.delivery.formats.{name.replace('-', '_')}")
    files: tuple[OutputFile, ...] = module.encode(credential, options)
    return files
