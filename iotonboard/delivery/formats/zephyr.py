"""Includes for Zephyr's TLS credential store, in the manner of its samples.

Interface: zephyr/net/tls_credentials.h, ``tls_credential_add``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.formats.c_array import c_text, render_octets
from iotonboard.delivery.formats.output import Options, OutputFile, check_no_ed25519

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

_HEAD = """\
/* Device {device_id}, certificate {serial}.
   Call iotonboard_add_credentials() before connecting. */
#ifndef IOTONBOARD_TLS_CREDENTIALS_H
#define IOTONBOARD_TLS_CREDENTIALS_H

#include <zephyr/net/tls_credentials.h>

#define IOTONBOARD_DEVICE_ID "{device_id_text}"
#define IOTONBOARD_SEC_TAG {security_tag}
"""
_ARRAY = """
static const unsigned char iotonboard_{name}[] = {{
#include "{name}.inc"
}};
"""
_FUNCTION = """
/* Returns 0, or the negative errno value of the first credential that was refused. */
static inline int iotonboard_add_credentials(void)
{{
    int err = 0;
{calls}
    return err;
}}

#endif
"""
_CALL = """
    if (err == 0) {{
        err = tls_credential_add(IOTONBOARD_SEC_TAG, {kind},
                                 iotonboard_{name}, sizeof(iotonboard_{name}));
    }}"""


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write ``iotonboard_tls_credentials.h`` and the ``.inc`` files it includes.

    The octets are DER, which needs no PEM parser in the firmware; only a device certificate with intermediate
    issuers, and two CAs while one takes the other's place, are PEM with their NUL
    (``CONFIG_MBEDTLS_PEM_CERTIFICATE_FORMAT``). Zephyr's name for one's own
    certificate is ``TLS_CREDENTIAL_SERVER_CERTIFICATE``, a client's too.

    Raises:
        PolicyError: the key is Ed25519, which mbedTLS does not know.
    """
    check_no_ed25519(credential, "Zephyr")
    has_intermediates = len(credential.chain) > 1
    own = credential.certificate_pem + b"\0" if has_intermediates else credential.certificate_der
    anchors = credential.anchor_ders
    trusted = anchors[0] if len(anchors) == 1 else credential.anchor_pem + b"\0"
    entries = [
        ("ca_crt", "TLS_CREDENTIAL_CA_CERTIFICATE", trusted),
        ("device_crt", "TLS_CREDENTIAL_SERVER_CERTIFICATE", own),
    ]
    if credential.key_der is not None:
        entries.append(("device_key", "TLS_CREDENTIAL_PRIVATE_KEY", credential.key_der))
    head = _HEAD.format(
        device_id=credential.device_id,
        device_id_text=c_text(credential.device_id),
        serial=credential.serial.hex,
        security_tag=options.security_tag,
    )
    arrays = "".join(_ARRAY.format(name=name) for name, _, _ in entries)
    calls = "".join(_CALL.format(name=name, kind=kind) for name, kind, _ in entries)
    header = head + arrays + _FUNCTION.format(calls=calls.lstrip("\n"))
    return (
        OutputFile("iotonboard_tls_credentials.h", header.encode("utf-8")),
        *(
            OutputFile(f"{name}.inc", render_octets(data).encode("ascii") + b"\n", secret=name == "device_key")
            for name, _, data in entries
        ),
    )
