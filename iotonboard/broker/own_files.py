"""Where OpenSSL cannot be asked: what is certain of files that the program itself made.

A CA file and lists that are octet for octet as the program writes them, of a CA whose signature holds on its lists, are
judged by their times and serial numbers. Everything else is not judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509

from iotonboard.broker.foreign_mark import without_marks
from iotonboard.broker.handshake import Handshakes
from iotonboard.broker.openssl import Finding
from iotonboard.broker.pem_views import name_key, view_client, view_lists, why_unreadable
from iotonboard.broker.problems import ADMITS_REVOKED, REFUSES_CA, Problem, unusable
from iotonboard.broker.verdict import Cause, Verdict, refusal
from iotonboard.errors import PolicyError
from iotonboard.pki.crl import check_crl
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.pki.key_id import is_self_issued
from iotonboard.pki.pem import pem_decode_all, pem_encode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Version
    from iotonboard.broker.handshake import Client, TrustFiles
    from iotonboard.broker.pem_views import ListView


@dataclass(frozen=True, slots=True)
class _OwnFiles:
    """The CAs, DER, and the lists that are theirs."""

    cas: tuple[bytes, ...]
    lists: tuple[ListView, ...]


def judge_own_files(
    files: TrustFiles, clients: Sequence[Client], at: datetime, version: Version, *, why_not: str
) -> Handshakes:
    """Judge what is certain; of the rest say that it was not judged, and why OpenSSL could not be asked."""
    has_list = files.crl_pem is not None and b"-----BEGIN X509 CRL-----" in files.crl_pem
    problems = []
    if files.crl_pem is not None and not has_list:
        why = why_unreadable(files.crl_pem, "X509 CRL")
        problems.append(unusable(files.crl_path, "crl-unreadable", why, ADMITS_REVOKED, version))
    own = _own_files(files) if has_list else None
    verdicts = [_verdict(client, own, at, why_not) for client in clients]
    if own is not None:
        # The list of a CA that certified another one is asked about no device.
        issuing = [ca for ca in own.cas if not any(_is_above(ca, other) for other in own.cas)]
        found = [refusal(_list_findings(own.lists, ca, at), _lists_of(own.lists, ca), 0, at) for ca in issuing]
        problems += [
            Problem(files.crl_path, one.cause, one.reason, REFUSES_CA, REFUSES_CA, ca=sha256(ca).hexdigest())
            for ca, one in zip(issuing, found, strict=True)
            if one
        ]
    if own is None or any(one.accepted is None for one in verdicts):
        problems.append(Problem(files.ca_path, "not-judged", f"not judged here: {why_not}", warning=True))
    return Handshakes(tuple(problems), tuple(verdicts), has_list)


def _own_files(files: TrustFiles) -> _OwnFiles | None:
    """Read both files; ``None`` when one is not as the program writes it."""
    try:
        cas = _blocks_as_written("CERTIFICATE", without_marks(files.ca_pem or b""))
        ders = _blocks_as_written("X509 CRL", files.crl_pem or b"")
        for der in ders:
            if not any(_is_list_of(der, ca) for ca in cas):
                return None
    except PolicyError:
        return None
    return _OwnFiles(cas, tuple(view_lists(files.crl_pem or b"")))


def _blocks_as_written(label: str, data: bytes) -> tuple[bytes, ...]:
    """The blocks of a file.

    Raises:
        PolicyError: an octet of it is not as the program writes it.
    """
    ders = tuple(pem_decode_all(label, data))
    if b"".join(pem_encode(label, der) for der in ders) != data:
        raise PolicyError("not as the program writes it")
    return ders


def _is_above(ca_der: bytes, other_der: bytes) -> bool:
    return ca_der != other_der and is_issued_by(other_der, ca_der)


def _leads_to_a_root(ca_der: bytes, cas: Sequence[bytes], at: datetime) -> bool:
    """Say whether a CA signs itself, or is below one in the file that does, all of them valid at a time."""
    if is_self_issued(ca_der):
        return True
    above = next((one for one in cas if _is_above(one, ca_der)), None)
    if above is None or not all(certificate_facts(one).validity.contains(at) for one in (ca_der, above)):
        return False
    return _leads_to_a_root(above, [one for one in cas if one != ca_der], at)


def _is_list_of(crl_der: bytes, ca_der: bytes) -> bool:
    try:
        check_crl(crl_der, ca_der)
    except PolicyError:
        return False
    return True


def _lists_of(lists: Sequence[ListView], ca_der: bytes) -> list[ListView]:
    subject = name_key(x509.load_der_x509_certificate(ca_der).subject.public_bytes())
    return [one for one in lists if one.issuer == subject]


def _list_findings(lists: Sequence[ListView], ca_der: bytes, at: datetime) -> tuple[Finding, ...]:
    """The error that each certificate of a CA meets by its lists at a time, as OpenSSL numbers it."""
    own = _lists_of(lists, ca_der)
    begun = [one for one in own if one.this_update <= at]
    if not own:
        return (Finding(3, 0, ""),)
    if not begun:
        return (Finding(11, 0, ""),)
    if all(one.next_update is not None and one.next_update <= at for one in begun):
        return (Finding(12, 0, ""),)
    return ()


def _verdict(client: Client, own: _OwnFiles | None, at: datetime, why_not: str) -> Verdict:
    unknown = Verdict(accepted=None, cause=Cause.NOT_JUDGED, reason=f"not judged here: {why_not}")
    view = view_client(client[0])
    issuer = next((ca for ca in own.cas if is_issued_by(client[0], ca)), None) if own and view else None
    if own is None or view is None or issuer is None or view.user_name is None:
        return unknown
    if not _leads_to_a_root(issuer, own.cas, at):
        return unknown
    validity = certificate_facts(client[0]).validity
    lists = _lists_of(own.lists, issuer)
    findings = _list_findings(own.lists, issuer, at)
    if not findings:  # OpenSSL looks at the lists before the certificate's own times
        in_force = max((one for one in lists if one.this_update <= at), key=lambda one: one.this_update)
        if in_force.lists(view.serial):
            findings = (Finding(23, 0, ""),)
        elif not validity.contains(at):
            findings = (Finding(9 if at < validity.not_before else 10, 0, ""),)
    accepted = Verdict(accepted=True, cause=Cause.OK, reason=f"accepted as {view.user_name!r}")
    return refusal(findings, lists, view.serial, at) or accepted
