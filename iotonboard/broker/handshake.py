"""Whom a broker lets connect: what OpenSSL says of its CA file, its lists and its clients."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256

from iotonboard.broker.openssl import LoadError, open_openssl
from iotonboard.broker.pem_views import (
    as_read,
    holds_certificates,
    may_hold_certificates,
    may_hold_lists,
    shown,
    view_cas,
    view_chain,
    view_client,
    view_lists,
    why_unreadable,
)
from iotonboard.broker.problems import (
    ADMITS_OR_REFUSES,
    ADMITS_REVOKED,
    REFUSES_ALL,
    REFUSES_CA,
    REFUSES_OTHERS,
    Problem,
    unusable,
)
from iotonboard.broker.verdict import OF_LISTS, Cause, Verdict, delta_verdict, refusal
from iotonboard.model import rfc3339
from iotonboard.pki.probe import SIGNATURE_ERROR, make_probe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import TypeAlias

    from iotonboard.broker.acl import Version
    from iotonboard.broker.openssl import Finding, OpenSsl
    from iotonboard.broker.pem_views import CaView, ListView

    # A client's certificate and the issuers that it sends along, DER.
    Client: TypeAlias = tuple[bytes, ...]

_MOST_OCTETS = 100 << 10  # of a client's certificates together: SSL_MAX_CERT_LIST_DEFAULT


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """``cafile`` and ``crlfile``: path and content, None where the broker cannot read it."""

    ca_path: str
    crl_path: str
    ca_pem: bytes | None
    crl_pem: bytes | None


@dataclass(frozen=True, slots=True)
class Handshakes:
    """What is wrong with the two files, and what becomes of each client.

    Where ``has_list`` is false the broker has no list, and ``verdicts`` are those of one that goes on without.
    """

    problems: tuple[Problem, ...]
    verdicts: tuple[Verdict, ...]
    has_list: bool


def judge_handshakes(files: TrustFiles, clients: Sequence[Client], at: datetime, version: Version) -> Handshakes:
    """Ask OpenSSL about both files and all clients, at the broker's time ``at``.

    Raises:
        NotJudgedError: OpenSSL could not be asked.
    """
    files = TrustFiles(files.ca_path, files.crl_path, _as_read(files.ca_pem), _as_read(files.crl_pem))
    cas, lists = view_cas(files.ca_pem or b""), view_lists(files.crl_pem or b"")
    probes = [(ca, probe) for ca in cas if (probe := make_probe(ca.certificate, at)) is not None]
    questions = [*((probe,) for _, probe in probes), *clients]
    with open_openssl(files.ca_pem or b"", files.crl_pem or b"") as openssl:
        has_cas, has_list, answers = _ask(openssl, files, questions, at)
    problems = _unread(files, version, has_cas=has_cas, has_list=has_list)
    if has_cas:
        findings = [(ca, answer) for (ca, _), answer in zip(probes, answers, strict=False)]
        sent = view_chain([der for client in clients for der in client[1:]])
        counting = [*view_lists(files.ca_pem or b""), *lists] if has_list else []
        problems += _of_cas(files, findings, sent, counting, at)
        problems += _of_lists(files.crl_path, lists if has_list else [], [*cas, *sent])
    else:
        counting = []
    verdicts = [
        _verdict(client, answer, counting, at, version)
        for client, answer in zip(clients, answers[len(probes) :], strict=True)
    ]
    return Handshakes(tuple(problems), tuple(verdicts), has_list)


def _as_read(content: bytes | None) -> bytes | None:
    return None if content is None else as_read(content)


def _ask(
    openssl: OpenSsl, files: TrustFiles, questions: Sequence[Client], at: datetime
) -> tuple[bool, bool, list[tuple[Finding, ...]]]:
    """Say whether OpenSSL reads the CA file and the list, and what it answers with what it reads."""
    if files.crl_pem is not None and may_hold_certificates(files.ca_pem or b"") and may_hold_lists(files.crl_pem):
        with contextlib.suppress(LoadError):  # one of them cannot be read: which?
            return True, True, openssl.judge(questions, at=at, with_list=True)
    has_list = files.crl_pem is not None and openssl.loads("crl.pem")
    if not openssl.loads("ca.pem"):
        return False, has_list, [() for _ in questions]
    return True, has_list, openssl.judge(questions, at=at, with_list=has_list)


def _unread(files: TrustFiles, version: Version, *, has_cas: bool, has_list: bool) -> list[Problem]:
    """The files that OpenSSL does not read, beside those that could not be read at all."""
    problems = []
    if has_cas and not holds_certificates(files.ca_pem or b""):
        message = "there is no certificate in it"
        problems.append(Problem(files.ca_path, "ca-incomplete", message, REFUSES_ALL, REFUSES_ALL))
    if files.ca_pem is not None and not has_cas:
        why = why_unreadable(files.ca_pem, "CERTIFICATE")
        problems.append(unusable(files.ca_path, "ca-unreadable", why, REFUSES_ALL, version))
    if files.crl_pem is not None and not has_list:
        why = why_unreadable(files.crl_pem, "X509 CRL")
        problems.append(unusable(files.crl_path, "crl-unreadable", why, ADMITS_REVOKED, version))
    return problems


def _verdict(
    sent: Client, findings: Sequence[Finding], lists: Sequence[ListView], at: datetime, version: Version
) -> Verdict:
    """OpenSSL's answer, and beside it what TLS and Mosquitto ask of a client."""
    if sum(map(len, sent)) > _MOST_OCTETS:
        reason = f"its certificates have more than the {_MOST_OCTETS} octets that a broker takes"
        return Verdict(accepted=False, cause=Cause.REFUSED, reason=reason)
    client = view_client(sent[0])
    own = [one for one in lists if client is not None and one.issuer == client.issuer]
    refused = refusal(findings, own, client.serial if client else 0, at)
    if decided := delta_verdict(own, refused) or refused:
        return decided
    if client is None:
        return Verdict(accepted=None, cause=Cause.NOT_JUDGED, reason="its certificate cannot be read here")
    if not client.has_tls_key:
        reason = "its key is of a kind that brokers do not take: P-256, P-384, P-521, RSA or Ed25519 are taken"
        return Verdict(accepted=False, cause=Cause.WRONG_CURVE, reason=reason)
    if client.user_name is None or (version == "2.1" and client.has_odd_name):
        reason = "its certificate has no common name that can be the user name"
        return Verdict(accepted=False, cause=Cause.NO_COMMON_NAME, reason=reason)
    return Verdict(accepted=True, cause=Cause.OK, reason=f"accepted as {client.user_name!r}")


def _of_cas(
    files: TrustFiles,
    findings: Sequence[tuple[CaView, tuple[Finding, ...]]],
    sent: Sequence[CaView],
    lists: Sequence[ListView],
    at: datetime,
) -> list[Problem]:
    """What every device of a CA would meet, by what a probe below it met before its signature."""
    cas = [ca for ca, _ in findings]
    above = {ca.issuer for ca in (*cas, *sent) if ca.issuer != ca.subject}  # a device's own issuer needs a list alone
    problems, is_any_fine = [], any(_first(answer) is None for _, answer in findings)
    for ca, answer in findings:
        own = [one for one in lists if one.issuer == ca.subject]
        found = refusal(_before_signature(answer), own, 0, at)
        if found is None or delta_verdict(own, found) or (found.cause in OF_LISTS and ca.subject in above):
            continue
        if found.cause is Cause.NAME_NOT_PERMITTED and answer[0].depth == 0:
            continue  # the probe's own name; each device is asked about with its own
        name = shown(ca.certificate.subject)
        if len({one.certificate.serial_number for one in cas if one.subject == ca.subject}) > 1:
            name += f", serial {ca.certificate.serial_number:X}"
        problems.append(_of_ca(files, ca, name, found, is_any_fine=is_any_fine, at=at))
    return list(dict.fromkeys(problems))


def _of_ca(files: TrustFiles, ca: CaView, name: str, found: Verdict, *, is_any_fine: bool, at: datetime) -> Problem:
    path = files.crl_path if found.cause in OF_LISTS else files.ca_path
    digest = ca.certificate.fingerprint(SHA256()).hex()
    begins, ends = ca.certificate.not_valid_before_utc, ca.certificate.not_valid_after_utc
    if found.cause is Cause.CA_NOT_VALID:
        # An expired CA beside a good one: its devices expired no later than itself, and the others connect.
        is_spent = at >= ends and is_any_fine
        message = f"{name} is valid from {rfc3339(begins)} to {rfc3339(ends)} only"
        return Problem(path, found.cause, message, REFUSES_CA, REFUSES_CA, is_spent, digest)
    if found.cause is Cause.NOT_A_CA and is_any_fine and ca.subject != ca.issuer:
        return Problem(path, found.cause, f"{name} is no CA: the broker has no use for it here", warning=True)
    message = f"{_WORDS_OF_CAS.get(found.cause, found.reason)} ({name})"
    code = "ca-incomplete" if found.cause is Cause.UNKNOWN_ISSUER else found.cause.value
    effect = REFUSES_OTHERS if found.cause is Cause.CRL_OTHER_SCOPE else REFUSES_CA  # the probe names no URL
    return Problem(path, code, message, effect, effect, ca=digest)


_WORDS_OF_CAS = {
    Cause.NOT_A_CA: "this is not a CA",
    Cause.UNKNOWN_ISSUER: "a CA above it is not in the file",
}


def _before_signature(answer: Sequence[Finding]) -> Sequence[Finding]:
    return () if _first(answer) is None else answer


def _first(answer: Sequence[Finding]) -> Finding | None:
    """The first error that is not the probe's own wrong signature."""
    first = next(iter(answer), None)
    return None if first is None or (first.number, first.depth) == (SIGNATURE_ERROR, 0) else first


def _of_lists(path: str, lists: Sequence[ListView], cas: Sequence[CaView]) -> list[Problem]:
    """Lists that do not what they seem to do."""
    problems = []
    subjects = {ca.subject for ca in cas}
    for one in lists:
        name = f"CRL {one.number} of {shown(one.crl.issuer)}"
        if one.is_delta and one.issuer in subjects:
            message = f"{name} is a delta: what comes of it depends on the broker's OpenSSL"
            problems.append(Problem(path, Cause.CRL_DELTA, message, ADMITS_OR_REFUSES, ADMITS_OR_REFUSES))
        if one.issuer not in subjects:
            problems.append(Problem(path, "crl-foreign", f"{name}: this CA is not in the cafile", warning=True))
    return problems
