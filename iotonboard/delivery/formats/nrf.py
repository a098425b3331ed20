"""Credentials for the modem of a Nordic nRF91: AT commands, and the onboarding CSV of nrfcloud-utils.

Formats: nRF91x1 AT Commands, Credential storage management %CMNG; nrfcloud-utils ``nrf_cloud_onboard``.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile, check_no_ed25519
from iotonboard.pki.pem import pem_encode

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

# %CMNG <type>
_ROOT_CA, _CLIENT_CERTIFICATE, _CLIENT_KEY = 0, 1, 2
# The modem writes credentials only while it is offline.
_OFFLINE = "AT+CFUN=4"


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write ``credentials.at`` and ``onboard.csv``.

    Commands end in CR LF and PEM lines inside the quotes in LF, so that every line-end setting of the AT host
    takes the file. Without a key (made by the modem's ``%KEYGEN``) only the certificates are written.

    Raises:
        PolicyError: the key is Ed25519, which the modem does not know.
    """
    check_no_ed25519(credential, "the nRF91 modem")
    commands = [_OFFLINE, _write(options.security_tag, _ROOT_CA, credential.anchor_pem)]
    commands.append(_write(options.security_tag, _CLIENT_CERTIFICATE, credential.certificate_pem))
    if credential.key_pem is not None:
        commands.append(_write(options.security_tag, _CLIENT_KEY, credential.key_pem))
    script = "".join(command + "\r\n" for command in commands).encode("ascii")
    return (
        OutputFile("credentials.at", script, secret=credential.key_pem is not None),
        OutputFile("onboard.csv", _render_onboarding(credential)),
    )


def _write(security_tag: int, kind: int, pem: bytes) -> str:
    return f'AT%CMNG=0,{security_tag},{kind},"{pem.decode("ascii").rstrip()}"'


def _render_onboarding(credential: Credential) -> bytes:
    """Columns: device id, sub-type, tags, firmware types, certificate; no header."""
    target = io.StringIO()
    certificate = pem_encode("CERTIFICATE", credential.certificate_der).decode("ascii")
    csv.writer(target, lineterminator="\n").writerow((str(credential.device_id), "", "", "", certificate))
    return target.getvalue().encode("utf-8")
