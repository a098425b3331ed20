"""A C99 header with the credential as constants: DER for small stacks, PEM for the others.

Names do not depend on the device, so that one firmware source fits all: only this file changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.formats.c_array import c_text, render_octets, render_text
from iotonboard.delivery.formats.output import Options, OutputFile
from iotonboard.pki.pem import pem_encode

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

_HEAD = """\
/* Device {device_id}, certificate {serial}. */
#ifndef IOTONBOARD_CREDENTIAL_H
#define IOTONBOARD_CREDENTIAL_H

#define IOTONBOARD_DEVICE_ID "{device_id_text}"
#define IOTONBOARD_SERIAL "{serial}"
"""
_DER = """
#define IOTONBOARD_{upper}_DER_LEN {length}u
static const unsigned char iotonboard_{lower}_der[IOTONBOARD_{upper}_DER_LEN] = {{
{octets}
}};
"""
_PEM = """
/* The length counts the NUL at the end, as mbedTLS wants it. */
#define IOTONBOARD_{upper}_PEM_LEN {length}u
static const char iotonboard_{lower}_pem[IOTONBOARD_{upper}_PEM_LEN] =
{text};
"""
_TAIL = "\n#endif\n"


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write ``iotonboard_credential.h``.

    For ``device_key`` (absent when the device made it), ``device_crt`` and ``ca_crt`` it defines
    ``iotonboard_<name>_der``, ``iotonboard_<name>_pem`` and their lengths ``IOTONBOARD_<NAME>_DER_LEN`` and
    ``..._PEM_LEN``. The PEM of ``device_crt`` holds intermediate issuers too, its DER only the certificate. While a
    CA takes another one's place, the PEM of ``ca_crt`` holds both and ``ca2_crt`` is the new one.
    """
    del options
    parts = [
        _HEAD.format(
            device_id=credential.device_id,
            device_id_text=c_text(credential.device_id),
            serial=credential.serial.hex,
        )
    ]
    if credential.key_der is not None and credential.key_pem is not None:
        parts += _constants("device_key", credential.key_der, credential.key_pem)
    parts += _constants("device_crt", credential.certificate_der, credential.certificate_pem)
    first, *others = credential.anchor_ders
    parts += _constants("ca_crt", first, credential.anchor_pem)
    for number, der in enumerate(others, 2):
        parts += _constants(f"ca{number}_crt", der, pem_encode("CERTIFICATE", der))
    parts.append(_TAIL)
    data = "".join(parts).encode("utf-8")
    return (OutputFile("iotonboard_credential.h", data, secret=credential.key_der is not None),)


def _constants(name: str, der: bytes, pem: bytes) -> list[str]:
    names = {"lower": name, "upper": name.upper()}
    return [
        _DER.format(**names, length=len(der), octets=render_octets(der, "    ")),
        _PEM.format(**names, length=len(pem) + 1, text=render_text(pem)),
    ]
