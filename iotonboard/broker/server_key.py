"""The broker's own certificate and key: whether it can read them, and whether they belong together.

OpenSSL says so; what it says is put into words here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cryptography import x509

from iotonboard.broker.openssl import NotJudgedError, open_openssl
from iotonboard.broker.pem_views import as_read, certificate_blocks
from iotonboard.broker.problems import REFUSES_ALL, Problem, unusable
from iotonboard.disk.permissions import unreadable_for
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.pki.facts import is_issued_by
from iotonboard.pki.key_id import same_ca
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.broker.acl import Version

_LIMIT = 1 << 20
REFUSED_BY_DEVICES: Final = "devices that know the root only refuse the broker"
# Blocks that the broker passes over in its certificate file, as the strict reader of certificates does not.
_NO_CERTIFICATE = re.compile(rb"^(-----(?:BEGIN|END) )(?:[A-Z0-9]+ )?(?:CRL|PRIVATE KEY)(-----)", re.MULTILINE)
# The first certificate is read in a form that may say behind it what it is trusted for (PEM_read_bio_X509_AUX).
_FIRST = re.compile(rb"^(-----(?:BEGIN|END) )(?:X509 )?(CERTIFICATE-----)", re.MULTILINE)
_NO_CERTIFICATE_IN_IT: Final = ("certificate-unreadable", "there is no certificate in it that OpenSSL reads")
_NO_KEY_IN_IT: Final = ("key-unreadable", "there is no private key in it that OpenSSL reads")
_MISMATCH: Final = ("key-mismatch", "the key does not belong to the certificate")
_WEAK: Final = "certificate-too-weak"
_MEANINGS: Final = {
    "Could not read client certificate from": _NO_CERTIFICATE_IN_IT,
    "X509 V3 routines": ("certificate-unreadable", "an extension of a certificate in it is damaged"),
    "key values mismatch": _MISMATCH,
    "key type mismatch": _MISMATCH,
    "does not match": _MISMATCH,
    "Key is invalid": ("key-mismatch", "the key's private half does not belong to its public one"),
    "ee key too small": (_WEAK, "its key is too short for the broker's OpenSSL"),
    "ca key too small": (_WEAK, "the key of a CA in it is too short for the broker's OpenSSL"),
    "md too weak": (_WEAK, "a signature in it is too weak for the broker's OpenSSL"),
}


def judge_server_key(
    certificate_path: str, key_path: str, *, at: datetime, version: Version, user: str
) -> list[Problem]:
    """What is wrong with ``certfile`` and ``keyfile``; a broker re-reads both at a reload too.

    ``user`` is as in ``permissions.unreadable_for``; empty leaves owners and modes alone.
    """
    problems: list[Problem] = []
    certificate_pem = _read(certificate_path, "certificate-unreadable", user, version, problems)
    key_pem = _read(key_path, "key-unreadable", user, version, problems)
    if certificate_pem is not None and key_pem is not None:
        try:
            problems += _of_pair(certificate_path, certificate_pem, key_path, key_pem, version)
        except NotJudgedError as error:
            problems.append(Problem(certificate_path, "not-judged", f"not judged here: {error}", warning=True))
    if certificate_pem is not None and not _is_in_force(certificate_pem, at):
        message = "the broker's certificate ended or has not begun: devices that check it refuse the broker"
        problems.append(Problem(certificate_path, "certificate-not-valid", message, message, message))
    return problems


def judge_sent_chain(certificate_path: str, ca_path: str) -> list[Problem]:
    """What is wrong where a CA below another one issued the broker's certificate, and the file lacks that CA.

    What cannot be read is told elsewhere. Names and keys are looked at alone: what a device makes of the rest is its
    own library's matter.
    """
    try:
        sent, cas = (certificate_blocks(as_read(read_file(path, limit=_LIMIT))) for path in (certificate_path, ca_path))
    except IotOnboardError:
        return []
    if not sent:
        return []
    above = [ca for ca in cas if _issued(ca, sent[0])]
    if not above or any(_issued(ca, ca) for ca in above) or any(same_ca(ca, one) for ca in above for one in sent[1:]):
        return []
    message = "it lacks the CA that issued the broker's certificate: put that behind it, and give the broker both"
    return [Problem(certificate_path, "certificate-chain", message, REFUSED_BY_DEVICES, REFUSED_BY_DEVICES)]


def _issued(ca: bytes, der: bytes) -> bool:
    with suppress(PolicyError):
        return is_issued_by(der, ca)
    return False


def _of_pair(
    certificate_path: str, certificate_pem: bytes, key_path: str, key_pem: bytes, version: Version
) -> list[Problem]:
    read = _FIRST.sub(rb"\1TRUSTED \2", _NO_CERTIFICATE.sub(rb"\1OTHER\2", as_read(certificate_pem)), count=2)
    with open_openssl(read, b"") as openssl:
        if not openssl.loads("ca.pem"):
            code, message = _NO_CERTIFICATE_IN_IT
        elif said := openssl.refuses_pair(key_pem):
            code, message = next((found for words, found in _MEANINGS.items() if words in said), _NO_KEY_IN_IT)
        else:
            return []
    if code == "key-unreadable" and b"ENCRYPTED" in key_pem:
        message = "the key is encrypted: a broker that nobody sits at cannot read it"
        return [replace(_unusable(key_path, "key-encrypted", message, version), warning=True)]
    path = key_path if code.startswith("key") else certificate_path
    return [_unusable(path, code, message, version)]


def _unusable(path: str, code: str, message: str, version: Version) -> Problem:
    return unusable(path, code, message, REFUSES_ALL, version)


def _read(path: str, code: str, user: str, version: Version, problems: list[Problem]) -> bytes | None:
    try:
        if user and (reason := unreadable_for(path, user)):
            problems.append(_unusable(path, code, reason, version))
            return None
        return read_file(path, limit=_LIMIT)
    except IotOnboardError as error:
        problems.append(_unusable(path, code, error.message, version))
        return None


def _is_in_force(certificate_pem: bytes, at: datetime) -> bool:
    """Say whether the first certificate is valid at a time; one that cannot be read is told elsewhere."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except UNREADABLE:
        return True
    return certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc
