"""What a broker will do with an ACL, a CRL file and a CA file, said before they are published.

Files are read and become views; problems and verdicts come back. Nothing is written and no state is needed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker import openssl_view
from iotonboard.broker.acl import Acl, AclSyntaxError, Effect, acl_problems, parse_acl
from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.broker.verdict import Cause, CaView, CertView, CrlView, Event, Verdict, connect_verdict, message_verdict
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.model import rfc3339
from iotonboard.permissions import unreadable_for
from iotonboard.pki.parse_errors import UNREADABLE
from iotonboard.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.broker.acl import Version

_LIMIT = 1 << 30
_DOWN = "the broker does not start"
_ENDS = "the broker ends"
_REFUSES = "the broker refuses every device of this CA"
_REFUSES_ALL = "the broker refuses every connection"
_CRL_OPEN = "the broker admits revoked devices"
_ACL_OPEN = "every client may do everything"
_DELTA = f"{_CRL_OPEN}, or refuses every device of this CA"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that would go wrong. ``code`` is stable; ``at_start`` and ``at_reload`` say what follows, in words.

    A ``warning`` fails nothing by itself.
    """

    path: str
    code: str
    message: str
    at_start: str = ""
    at_reload: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """The three files as the broker holds them. ``acl`` and ``crls`` are None where it cannot read them."""

    acl: Acl | None
    crls: tuple[CrlView, ...] | None
    cas: tuple[CaView, ...]
    issuers: tuple[openssl_view.SeenCertificate, ...]
    problems: tuple[Problem, ...]


def check_files(
    acl_path: str, crl_path: str, ca_path: str, *, at: datetime, version: Version = "2.0", user: str = ""
) -> list[Problem]:
    """Say what a broker with these files would stumble over at the time ``at``."""
    return list(read_broker_files(acl_path, crl_path, ca_path, at=at, version=version, user=user).problems)


def check_before_reload(acl_path: str, crl_path: str, ca_path: str, *, at: datetime) -> None:
    """Make sure that a broker that reads these files now goes on enforcing them.

    Somebody may have written into one since it was published.

    Raises:
        PolicyError: it would stumble over one of them; names the file and the reason.
    """
    for problem in check_files(acl_path, crl_path, ca_path, at=at):
        if not problem.warning:
            raise PolicyError(
                f"the broker was not reloaded: {problem.path!r}: {problem.message}; {problem.at_reload}",
                hint="correct that, then type 'iotonboard sync-acl --reload'; 'iotonboard verify' says more",
            )


def read_broker_files(
    acl_path: str, crl_path: str, ca_path: str, *, at: datetime, version: Version = "2.0", user: str = ""
) -> BrokerFiles:
    """Read the files and judge them at the time ``at``; a file that cannot be read is a problem, not an error.

    ``user`` is whom the broker runs as (``permissions.unreadable_for``); empty leaves owners and modes alone.
    """
    problems: list[Problem] = []
    issuers = _read_cas(ca_path, problems)
    crls = _read_crls(crl_path, issuers, version, problems)
    acl = _read_acl(acl_path, version, problems)
    if user:
        acl = acl if _is_readable(acl_path, "acl-unreadable", _ACL_OPEN, user, version, problems) else None
        crls = crls if _is_readable(crl_path, "crl-unreadable", _CRL_OPEN, user, version, problems) else None
    cas = tuple(_ca_view(one, issuers) for one in issuers)
    if issuers:
        problems += _ca_problems(ca_path, cas, at)
    if crls is not None:
        problems += _crl_problems(crl_path, crls, cas, at)
    return BrokerFiles(acl, crls, cas, issuers, tuple(problems))


def see_certificate_file(path: str) -> list[openssl_view.SeenCertificate]:
    """Read what decides about every certificate of a file that somebody named (``read_certificate_file``).

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it holds no certificate, or one that cannot be read.
    """
    try:
        return [openssl_view.see_certificate(der) for der in read_certificate_file(path)]
    except UNREADABLE as error:
        hint = "'openssl x509 -text -in FILE' may say more"
        raise PolicyError(f"{path!r}: a certificate in it cannot be read", hint=hint) from error


def judge_device(
    certificate_der: bytes, files: BrokerFiles, *, at: datetime, event: Event = "start", version: Version = "2.0"
) -> Verdict:
    """Say whether the broker lets a device with this certificate connect.

    Raises:
        PolicyError: it is not a certificate that can be read.
    """
    return connect_verdict(
        cert_view(certificate_der, files), cas=files.cas, crls=files.crls, moment=at, event=event, version=version
    )


def judge_message(
    name: str, access: str, topic: str, files: BrokerFiles, *, event: Event = "start", version: Version = "2.0"
) -> Verdict:
    """Say whether a connected device may ``read`` or ``write`` a topic."""
    return message_verdict(files.acl, name, access, topic, event=event, version=version)


def cert_view(certificate_der: bytes, files: BrokerFiles) -> CertView:
    """Read a device's certificate, its signature verified with the CA that it names.

    Raises:
        PolicyError: it is not a certificate that can be read.
    """
    try:
        seen = openssl_view.see_certificate(certificate_der)
    except UNREADABLE as error:
        raise PolicyError("this is not a certificate that can be read") from error
    return CertView(
        common_name=seen.common_name,
        issuer=seen.issuer,
        serial=seen.certificate.serial_number,
        not_before=seen.certificate.not_valid_before_utc,
        not_after=seen.certificate.not_valid_after_utc,
        authority_key_id=seen.authority_key_id,
        allows_client_auth=seen.allows_client_auth,
        signature_ok=_is_signed(seen, files.issuers),
        weakness=seen.weakness,
        has_unknown_extension=seen.has_unknown_extension,
        points=seen.points,
    )


def _read_cas(path: str, problems: list[Problem]) -> tuple[openssl_view.SeenCertificate, ...]:
    try:
        return tuple(openssl_view.read_certificates(read_file(path, limit=_LIMIT)))
    except IotOnboardError as error:
        problems.append(Problem(path, "ca-unreadable", error.message, _DOWN, _REFUSES_ALL))
        return ()


def _read_crls(
    path: str, issuers: tuple[openssl_view.SeenCertificate, ...], version: Version, problems: list[Problem]
) -> tuple[CrlView, ...] | None:
    try:
        found = openssl_view.read_crls(read_file(path, limit=_LIMIT))
    except IotOnboardError as error:
        at_reload = _CRL_OPEN if version == "2.0" else _ENDS
        problems.append(Problem(path, "crl-unreadable", error.message, _DOWN, at_reload))
        return None
    return tuple(_crl_view(one, issuers) for one in found)


def _read_acl(path: str, version: Version, problems: list[Problem]) -> Acl | None:
    at_reload = _ACL_OPEN if version == "2.0" else _ENDS
    if version == "2.1" and os.path.islink(path):
        problems.append(Problem(path, "acl-link", "Mosquitto 2.1 takes no symbolic link for its ACL", _DOWN, at_reload))
        return None
    try:
        text = read_file(path, limit=_LIMIT)
    except IotOnboardError as error:
        problems.append(Problem(path, "acl-unreadable", error.message, _DOWN, at_reload))
        return None
    for found in acl_problems(text, version=version):
        if found.effect is Effect.REFUSED:
            problems.append(Problem(path, "acl-syntax", str(found), _DOWN, at_reload))
        else:
            lost = "the broker ignores the rest" if found.effect is Effect.LOST else ""
            problems.append(Problem(path, f"acl-{found.effect.value}", str(found), lost, lost, not found.blocks))
    try:
        return parse_acl(text, version=version)
    except AclSyntaxError:
        return None


def _is_readable(path: str, code: str, effect: str, user: str, version: Version, problems: list[Problem]) -> bool:
    if reason := unreadable_for(path, user):
        problems.append(Problem(path, code, reason, _DOWN, effect if version == "2.0" else _ENDS))
    return not reason


def _ca_view(seen: openssl_view.SeenCertificate, issuers: tuple[openssl_view.SeenCertificate, ...]) -> CaView:
    return CaView(
        subject=seen.subject,
        issuer=seen.issuer,
        not_before=seen.certificate.not_valid_before_utc,
        not_after=seen.certificate.not_valid_after_utc,
        key_id=seen.key_id,
        authority_key_id=seen.authority_key_id,
        is_ca=seen.is_ca,
        allows_crl_sign=seen.allows_crl_sign,
        signature_ok=seen.subject == seen.issuer or _is_signed(seen, issuers),
        weakness=seen.weakness,
        has_unknown_extension=seen.has_unknown_extension,
    )


def _crl_view(seen: openssl_view.SeenCrl, issuers: tuple[openssl_view.SeenCertificate, ...]) -> CrlView:
    signed = any(one.subject == seen.issuer and openssl_view.crl_is_signed_by(seen, one) for one in issuers)
    return CrlView(
        issuer=seen.issuer,
        number=seen.number,
        this_update=seen.this_update,
        next_update=seen.next_update,
        revoked=seen.lists,
        authority_key_id=seen.authority_key_id,
        signature_ok=signed,
        is_delta=seen.is_delta,
        is_passed_over=seen.is_passed_over,
        is_for_devices=seen.is_for_devices,
        points=seen.points,
        has_unknown_extension=seen.has_unknown_extension,
    )


def _is_signed(seen: openssl_view.SeenCertificate, issuers: tuple[openssl_view.SeenCertificate, ...]) -> bool:
    """Verify with the CAs of the issuer's name; without any of that name the chain is what is wrong."""
    named = [one for one in issuers if one.subject == seen.issuer]
    return not named or any(openssl_view.is_signed_by(seen, one) for one in named)


def _ca_problems(path: str, cas: tuple[CaView, ...], at: datetime) -> Iterator[Problem]:
    for ca in cas:
        if not ca.is_ca:
            yield Problem(path, "not-a-ca", f"{_shown(ca.subject)} is not a CA", _REFUSES, _REFUSES)
        if not ca.not_before <= at < ca.not_after:
            when = f"{rfc3339(ca.not_before)} to {rfc3339(ca.not_after)}"
            message = f"{_shown(ca.subject)} is valid from {when} only"
            # An expired CA beside a valid one: its devices expired no later than itself, and the others connect.
            spent = at >= ca.not_after and any(other.not_before <= at < other.not_after for other in cas)
            yield Problem(path, "ca-not-valid", message, _REFUSES, _REFUSES, warning=spent)
        if not ca.is_root and all(other.subject != ca.issuer for other in cas):
            message = f"{_shown(ca.issuer)}, the issuer of {_shown(ca.subject)}, is not in the file"
            yield Problem(path, "ca-incomplete", message, _REFUSES, _REFUSES)


def _shown(name: str) -> str:
    """A name's values without their attribute types, for people."""
    return ", ".join(re.findall(r"='([^']*)'", name)) or name


def _crl_problems(path: str, crls: tuple[CrlView, ...], cas: tuple[CaView, ...], at: datetime) -> Iterator[Problem]:
    """Ask the verdict, for every CA that issues devices, what becomes of a certificate that is on no list."""
    above = {ca.issuer for ca in cas if not ca.is_root}
    for ca in cas:
        if ca.subject in above:
            continue  # a root above issuing CAs: only the device's own issuer needs a CRL
        probe = CertView("probe", ca.subject, 0, at, ca.not_after, ca.key_id)
        anchor = CaView(ca.subject, ca.subject, at, ca.not_after, ca.key_id, allows_crl_sign=ca.allows_crl_sign)
        if ca.not_before <= at < ca.not_after:
            found = connect_verdict(probe, cas=(anchor,), crls=crls, moment=at)
            if not found.accepted and found.cause is not Cause.CRL_DELTA:  # each delta is named below
                yield Problem(path, found.cause.value, f"{found.reason} ({_shown(ca.subject)})", _REFUSES, _REFUSES)
    for crl in crls:
        if crl.is_delta:
            message = f"CRL {crl.number} is a delta: what comes of it depends on the broker's OpenSSL"
            yield Problem(path, Cause.CRL_DELTA.value, message, _DELTA, _DELTA)
        if all(ca.subject != crl.issuer for ca in cas):
            yield Problem(path, "crl-foreign", f"CRL {crl.number} is of no CA in the cafile", warning=True)
