"""What a Mosquitto broker will do with one device, said beforehand and in words.

Plain facts in, a verdict out: no file is read and no signature checked here. The rules are those of a
listener as ``render_conf`` writes it, with OpenSSL below it (``X509_verify_cert`` with
``X509_V_FLAG_CRL_CHECK``: RFC 5280 6.1 and 6.3, for the device's certificate only).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Acl, Version

Event = Literal["start", "reload"]
_MAX_CHAIN = 10  # longer than any chain that is meant; a loop of issuers ends here


class Cause(StrEnum):
    """Why a verdict is what it is. The values are stable: scripts may compare them."""

    OK = "ok"
    BROKER_DOWN = "broker-down"
    NO_COMMON_NAME = "no-common-name"
    UNKNOWN_ISSUER = "unknown-issuer"
    BAD_SIGNATURE = "bad-signature"
    NOT_A_CA = "not-a-ca"
    CA_NOT_VALID = "ca-not-valid"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    NOT_FOR_CLIENTS = "not-for-clients"
    UNKNOWN_EXTENSION = "unknown-extension"
    TOO_WEAK = "too-weak"
    CRL_UNREADABLE = "crl-unreadable"
    CRL_MISSING = "crl-missing"
    CRL_NOT_YET_VALID = "crl-not-yet-valid"
    CRL_EXPIRED = "crl-expired"
    CRL_BAD_SIGNATURE = "crl-bad-signature"
    CRL_SIGN_MISSING = "crl-sign-missing"
    CRL_OTHER_SCOPE = "crl-other-scope"
    CRL_UNKNOWN_EXTENSION = "crl-unknown-extension"
    CRL_DELTA = "crl-delta"
    REVOKED = "revoked"
    ACL_UNREADABLE = "acl-unreadable"
    ACL_DENIED = "acl-denied"


@dataclass(frozen=True, slots=True)
class CertView:
    """A device's certificate. Times are aware UTC; names are comparable texts such as RFC 4514's.

    ``points`` are the names where its CRLs are said to be (RFC 5280 4.2.1.13).
    """

    common_name: str
    issuer: str
    serial: int
    not_before: datetime
    not_after: datetime
    authority_key_id: bytes = b""
    allows_client_auth: bool = True
    signature_ok: bool = True
    weakness: str = ""
    has_unknown_extension: bool = False
    points: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CaView:
    """One certificate of the broker's ``cafile``. A root's issuer is its own subject."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    key_id: bytes = b""
    authority_key_id: bytes = b""
    is_ca: bool = True
    allows_crl_sign: bool = True
    signature_ok: bool = True
    weakness: str = ""
    has_unknown_extension: bool = False

    @property
    def is_root(self) -> bool:
        """Say whether the certificate is its own issuer."""
        return self.subject == self.issuer


@dataclass(frozen=True, slots=True)
class CrlView:
    """One CRL of the broker's ``crlfile``. ``revoked`` holds serial numbers, or tells whether one is listed.

    Of the issuing distribution point (RFC 5280 5.2.5): ``is_passed_over`` where OpenSSL does not look at the list,
    ``is_for_devices`` false where it is for CAs or attributes only, and ``points`` its names.
    """

    issuer: str
    number: int
    this_update: datetime
    next_update: datetime | None
    revoked: Collection[int] | Callable[[int], bool]
    authority_key_id: bytes = b""
    signature_ok: bool = True
    is_delta: bool = False
    is_passed_over: bool = False
    is_for_devices: bool = True
    points: frozenset[str] = frozenset()
    has_unknown_extension: bool = False

    def covers(self, cert: CertView) -> bool:
        """Say whether the list is meant for a certificate such as this one."""
        return self.is_for_devices and (not self.points or bool(self.points & cert.points))

    def lists(self, serial: int) -> bool:
        """Say whether a serial number is on the list."""
        return self.revoked(serial) if callable(self.revoked) else serial in self.revoked

    def is_current(self, moment: datetime) -> bool:
        """Say whether OpenSSL takes the list at ``moment``: nextUpdate itself is too late."""
        return self.this_update <= moment and (self.next_update is None or moment < self.next_update)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``accepted`` with its cause; ``reason`` is for people. ``accepted`` is None where releases of OpenSSL differ."""

    accepted: bool | None
    cause: Cause
    reason: str

    @property
    def outcome(self) -> str:
        """One word for people: ``accepted``, ``refused`` or ``unknown``."""
        return {True: "accepted", False: "refused", None: "unknown"}[self.accepted]


def connect_verdict(
    cert: CertView,
    *,
    cas: Sequence[CaView],
    crls: Sequence[CrlView] | None,
    moment: datetime,
    event: Event = "start",
    version: Version = "2.0",
) -> Verdict:
    """Say whether the broker lets a device connect at ``moment``.

    Args:
        cert: the device's certificate.
        cas: the certificates of ``cafile``, in order.
        crls: the lists of ``crlfile``, in order; None if it is missing, empty, cut short or unreadable.
        moment: the broker's clock.
        event: how the broker last came to read its files. A file that it cannot read keeps it from starting;
            at a reload 2.0 goes on without a CRL, and 2.1 ends.
        version: which Mosquitto.
    """
    if crls is None and (event == "start" or version != "2.0"):
        what = "does not start" if event == "start" else "ends at the reload"
        return _refused(Cause.BROKER_DOWN, f"the broker {what}: its CRL file is missing, empty, damaged or unreadable")
    chain = _chain(cert, cas)
    if refusal := _certificate_refusal(cert, chain, moment):
        return refusal
    if crls is None:
        return Verdict(
            accepted=True,
            cause=Cause.CRL_UNREADABLE,
            reason="the broker could not read its CRL file at the reload and admits revoked devices too",
        )
    return _crl_refusal(cert, chain[0], crls, moment) or Verdict(
        accepted=True, cause=Cause.OK, reason=f"accepted as {cert.common_name!r}"
    )


def message_verdict(
    acl: Acl | None, name: str, access: str, topic: str, *, event: Event = "start", version: Version = "2.0"
) -> Verdict:
    """Say whether a connected device may ``read`` or ``write`` a topic. Its name is also its client id.

    ``acl`` is None if the file is missing, unreadable, or has a line that the broker does not take.
    """
    if acl is None and (event == "start" or version != "2.0"):
        what = "does not start" if event == "start" else "ends at the reload"
        return _refused(Cause.BROKER_DOWN, f"the broker {what}: its ACL is missing, unreadable or has a bad line")
    if acl is None:
        reason = "the broker could not read its ACL at the reload: every client may do everything"
        return Verdict(accepted=True, cause=Cause.ACL_UNREADABLE, reason=reason)
    decision = acl.explain(name, name, access, topic)
    cause = Cause.OK if decision.allowed else Cause.ACL_DENIED
    return Verdict(accepted=decision.allowed, cause=cause, reason=decision.reason)


def _chain(cert: CertView, cas: Sequence[CaView]) -> list[CaView]:
    """Find the issuers from the device's up to a root; empty when they do not reach one."""
    chain: list[CaView] = []
    issuer, key_id = cert.issuer, cert.authority_key_id
    while len(chain) < _MAX_CHAIN:
        found = next((ca for ca in cas if ca.subject == issuer and _same_key(ca.key_id, key_id)), None)
        if found is None:
            return []
        chain.append(found)
        if found.is_root:
            return chain
        issuer, key_id = found.issuer, found.authority_key_id
    return []


def _same_key(one: bytes, other: bytes) -> bool:
    """Compare key identifiers, where both sides have one (RFC 5280 4.2.1.1)."""
    return not one or not other or one == other


def _certificate_refusal(cert: CertView, chain: list[CaView], moment: datetime) -> Verdict | None:
    weakness = cert.weakness or next((ca.weakness for ca in chain if ca.weakness), "")
    is_understood = not cert.has_unknown_extension and not any(ca.has_unknown_extension for ca in chain)
    checks = (
        (chain, Cause.UNKNOWN_ISSUER, "its issuer, or an issuer above that, is not in the broker's cafile"),
        (all(ca.is_ca for ca in chain), Cause.NOT_A_CA, "an issuer in the broker's cafile is not a CA"),
        (not weakness, Cause.TOO_WEAK, weakness),
        (cert.signature_ok and all(ca.signature_ok for ca in chain), Cause.BAD_SIGNATURE, "a signature is wrong"),
        (
            all(ca.not_before <= moment < ca.not_after for ca in chain),
            Cause.CA_NOT_VALID,
            "a CA is outside its validity",
        ),
        (cert.not_before <= moment, Cause.NOT_YET_VALID, "its certificate is not valid yet"),
        (moment < cert.not_after, Cause.EXPIRED, "its certificate has expired"),
        (cert.allows_client_auth, Cause.NOT_FOR_CLIENTS, "its certificate is not meant for clients"),
        (is_understood, Cause.UNKNOWN_EXTENSION, "a critical extension is not known to OpenSSL"),
        (cert.common_name, Cause.NO_COMMON_NAME, "its certificate has no common name to be the user name"),
    )
    return next((_refused(cause, reason) for good, cause, reason in checks if not good), None)


def _crl_refusal(cert: CertView, issuer: CaView, crls: Iterable[CrlView], moment: datetime) -> Verdict | None:
    """Apply the list that OpenSSL picks: the one with the least against it, then the newest, then the first."""
    own = [
        crl
        for crl in crls
        if crl.issuer == cert.issuer and _same_key(crl.authority_key_id, issuer.key_id) and not crl.is_passed_over
    ]
    if not own:
        return _refused(Cause.CRL_MISSING, "the broker has no CRL of its issuer: it refuses all of that CA's devices")
    if delta := next((crl for crl in own if crl.is_delta), None):
        # Within the same series 3.0.19 takes a delta for a whole list and 3.0.22 for none; both are in use.
        reason = f"CRL {delta.number} is a delta: what comes of it depends on the broker's OpenSSL"
        return Verdict(accepted=None, cause=Cause.CRL_DELTA, reason=reason)
    chosen = max(own, key=lambda crl: (_fitness(crl, cert, moment), crl.this_update))  # max keeps the first of equals
    checks = (
        (
            issuer.allows_crl_sign,
            Cause.CRL_SIGN_MISSING,
            "its issuer's certificate has no cRLSign: no CRL of it is believed",
        ),
        (chosen.covers(cert), Cause.CRL_OTHER_SCOPE, f"CRL {chosen.number} is for other certificates"),
        (chosen.is_current(moment), *_not_current(own, moment)),
        (chosen.signature_ok, Cause.CRL_BAD_SIGNATURE, f"the signature of CRL {chosen.number} is wrong"),
        (
            not chosen.has_unknown_extension,
            Cause.CRL_UNKNOWN_EXTENSION,
            f"a critical extension of CRL {chosen.number} is not known to OpenSSL",
        ),
        (not chosen.lists(cert.serial), Cause.REVOKED, f"its certificate is revoked by CRL {chosen.number}"),
    )
    return next((_refused(cause, reason) for good, cause, reason in checks if not good), None)


def _fitness(crl: CrlView, cert: CertView, moment: datetime) -> tuple[bool, bool, bool]:
    """What OpenSSL looks at, the weightiest first (``get_crl_score``)."""
    return not crl.has_unknown_extension, crl.covers(cert), crl.is_current(moment)


def _not_current(own: Sequence[CrlView], moment: datetime) -> tuple[Cause, str]:
    """Say why none of the lists is in force."""
    ends = [crl.next_update for crl in own if crl.next_update is not None and crl.this_update <= moment]
    if ends:
        reason = f"the CRL expired at {max(ends):%Y-%m-%dT%H:%M:%SZ}: the broker refuses everybody"
        return Cause.CRL_EXPIRED, reason
    begins = min(crl.this_update for crl in own)
    return (
        Cause.CRL_NOT_YET_VALID,
        f"the CRL begins at {begins:%Y-%m-%dT%H:%M:%SZ}: until then the broker refuses everybody",
    )


def _refused(cause: Cause, reason: str) -> Verdict:
    return Verdict(accepted=False, cause=cause, reason=reason)
