"""The broker's own certificate and key: whether it can read them, and whether they belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from iotonboard.broker.problems import DOES_NOT_START, REFUSES_ALL, Problem, unusable
from iotonboard.errors import IotOnboardError
from iotonboard.permissions import unreadable_for
from iotonboard.pki.parse_errors import UNREADABLE
from iotonboard.reading import read_file

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.broker.acl import Version

_LIMIT = 1 << 20


def judge_server_key(
    certificate_path: str, key_path: str, *, at: datetime, version: Version, user: str
) -> list[Problem]:
    """What is wrong with ``certfile`` and ``keyfile``; a broker re-reads both at a reload too.

    ``user`` is as in ``permissions.unreadable_for``; empty leaves owners and modes alone.
    """
    problems: list[Problem] = []
    certificate_pem = _read(certificate_path, "certificate-unreadable", user, version, problems)
    key_pem = _read(key_path, "key-unreadable", user, version, problems)
    certificate = None
    if certificate_pem is not None:
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except UNREADABLE:
            problems.append(_unusable(certificate_path, "certificate-unreadable", "no certificate in it", version))
    if certificate is not None and not certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc:
        message = "the broker's certificate ended or has not begun: devices that check it refuse the broker"
        problems.append(Problem(certificate_path, "certificate-not-valid", message, message, message))
    public_key = _public_key(key_path, key_pem, version, problems) if key_pem is not None else None
    if certificate is not None and public_key is not None and public_key != _spki(certificate):
        message = "the key does not belong to the certificate"
        problems.append(_unusable(key_path, "key-mismatch", message, version))
    return problems


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


def _public_key(path: str, key_pem: bytes, version: Version, problems: list[Problem]) -> bytes | None:
    if b"ENCRYPTED" in key_pem:
        message = "the key is encrypted: a broker that nobody sits at does not start"
        problems.append(Problem(path, "key-encrypted", message, DOES_NOT_START, warning=True))
        return None
    try:
        key = load_pem_private_key(key_pem, None)
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except UNREADABLE:
        problems.append(_unusable(path, "key-unreadable", "no private key in it", version))
        return None


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
