"""The export formats: one line per format, one module per encoder, loaded when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile
from iotonboard.errors import KeyUnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.delivery.credential import Credential

__all__ = ["FORMATS", "Format", "Options", "OutputFile", "encode", "find_format"]


@dataclass(frozen=True, slots=True)
class Format:
    """One export format.

    ``binary``: the output is no text for a terminal. ``needs_key``: useless when the device made its key.
    ``needs_password``: reads ``Options.password``. ``plain_key``: the key, if there is one, comes out
    unencrypted. ``single_file``: exactly one file, which can go to standard output; otherwise a folder.
    """

    name: str
    description: str
    device_family: str
    module: str
    binary: bool = False
    needs_key: bool = False
    needs_password: bool = False
    plain_key: bool = True
    single_file: bool = True


_TABLE = (
    Format(
        "zip", "AES-256 encrypted bundle: PEM files and a manifest", "any, for transport", "zip",
        binary=True, needs_password=True, plain_key=False,
    ),
    Format(
        "p12", "PKCS#12 with AES-256 and SHA-256", "Windows, Java, Android, gateways", "p12",
        binary=True, needs_key=True, needs_password=True, plain_key=False,
    ),
    Format("pem", "folder: device.key, device.crt, ca.crt", "Linux, OpenSSL", "pem", single_file=False),
    Format("der", "folder: the same in DER", "small TLS stacks", "der", binary=True, single_file=False),
    Format("pem-chain", "one PEM file: key, certificate, issuers", "HAProxy, Python, scripts", "pem_chain"),
    Format("c-header", "C99 header: DER arrays, PEM strings", "firmware built per device", "c_header"),
    Format("esp-nvs", "CSV for ESP-IDF's NVS partition generator", "ESP32", "esp_nvs"),
    Format("esp-secure-cert", "CSV for esp-secure-cert-tool", "ESP32, secure cert", "esp_secure_cert"),
    Format("nrf", "AT%CMNG commands, nRF Cloud onboarding CSV", "Nordic nRF91", "nrf", single_file=False),
    Format("zephyr", "TLS credential includes", "Zephyr, nRF Connect SDK", "zephyr", single_file=False),
    Format("json", "one JSON object with PEM text", "scripts, own tools", "json"),
    Format(
        "mosquitto", "PEM files, options for mosquitto_pub and _sub, a bridge", "Linux gateways, tests",
        "mosquitto", single_file=False,
    ),
)  # fmt: skip

FORMATS: Mapping[str, Format] = {entry.name: entry for entry in _TABLE}


def find_format(name: str) -> Format:
    """Look a format up by its name.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UsageError(f"{name[:80]!r} is not a format", hint=f"choose one of {', '.join(FORMATS)}") from None


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
    files: tuple[OutputFile, ...] = import_module(f"iotonboard.delivery.formats.{chosen.module}").encode(
        credential, options
    )
    return files
