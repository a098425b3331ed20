"""The folders in which OPC UA applications keep certificates: own, trusted and issuers, all in DER.

OPC 10000-12, section 7.8.3 (trust lists: trusted certificates with their lists, issuers with theirs). Below each as in
the .NET stack and those that follow it, ``certs``, ``private`` and ``crl``. A list lies there under two endings: the
.NET stack reads ``.crl`` alone, asyncua ``.der`` alone, and each takes a revoked application in whose list it passes
over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iotonboard.delivery.credential import Credential


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write the folders. Without a key where the device made it.

    ``trusted`` has the CA that issued the device's certificate, and while another one takes its place that one too;
    ``issuers`` has all CAs of the chain. Beside each lies its list, for an application refuses a CA without.
    """
    files = [OutputFile("own/certs/device.der", credential.certificate_der)]
    if credential.key_der is not None:
        files.append(OutputFile("own/private/device.der", credential.key_der, secret=True))
    own, crls = credential.chain[0], dict(options.crls)
    trusted = credential.anchor_ders if own in credential.anchor_ders else (own,)
    files += _with_lists("trusted", trusted, crls)
    files += _with_lists("issuers", dict.fromkeys((*credential.chain, *trusted)), crls)
    return tuple(files)


def _with_lists(folder: str, cas: Iterable[bytes], crls: Mapping[bytes, bytes]) -> Iterator[OutputFile]:
    for number, ca in enumerate(cas, 1):
        stem = f"ca{number}" if number > 1 else "ca"
        yield OutputFile(f"{folder}/certs/{stem}.der", ca)
        if ca in crls:
            for ending in ("crl", "der"):
                yield OutputFile(f"{folder}/crl/{stem}.{ending}", crls[ca], ages=True)
