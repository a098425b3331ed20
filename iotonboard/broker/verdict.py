"""What a Mosquitto broker will do with one device, in words: OpenSSL's errors, and what the ACL says of a message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Acl, Version
    from iotonboard.broker.openssl import Finding
    from iotonboard.broker.pem_views import ListView

Event = Literal["start", "reload"]


class Cause(StrEnum):
    """Why a verdict is what it is. The values are stable: scripts may compare them."""

    OK = "ok"
    NOT_JUDGED = "not-judged"
    BROKER_DOWN = "broker-down"
    UNREADABLE = "unreadable"
    NO_COMMON_NAME = "no-common-name"
    WRONG_CURVE = "wrong-curve"
    UNKNOWN_ISSUER = "unknown-issuer"
    BAD_SIGNATURE = "bad-signature"
    NOT_A_CA = "not-a-ca"
    CA_NOT_FOR_CLIENTS = "ca-not-for-clients"
    CA_NOT_VALID = "ca-not-valid"
    PATH_TOO_LONG = "path-too-long"
    NAME_NOT_PERMITTED = "name-not-permitted"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    NOT_FOR_CLIENTS = "not-for-clients"
    UNKNOWN_EXTENSION = "unknown-extension"
    TOO_WEAK = "too-weak"
    REFUSED = "refused"
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
class Verdict:
    """``accepted`` with its cause; ``reason`` is for people.

    ``accepted`` is None where releases of OpenSSL differ, or where nobody could be asked.
    """

    accepted: bool | None
    cause: Cause
    reason: str

    @property
    def outcome(self) -> str:
        """One word for people: ``accepted``, ``refused`` or ``unknown``."""
        return {True: "accepted", False: "refused", None: "unknown"}[self.accepted]


_ISSUER = (Cause.UNKNOWN_ISSUER, "its issuer, or an issuer above that, is not in the broker's cafile")
_SIGNATURE = (Cause.BAD_SIGNATURE, "a signature is wrong")
_NO_CA = (Cause.NOT_A_CA, "an issuer in the broker's cafile is not a CA")
_NAMES = (Cause.NAME_NOT_PERMITTED, "its CA may not issue to this name")
_WEAK = (Cause.TOO_WEAK, "a key is too short, or a signature too weak, for the broker's OpenSSL")
_CRL_SIGNATURE = (Cause.CRL_BAD_SIGNATURE, "the signature of its issuer's CRL is wrong")
# X509_V_ERR_... of OpenSSL's x509_vfy.h -> what it means here.
_MEANINGS: dict[int, tuple[Cause, str]] = {
    -1: (Cause.UNREADABLE, "its certificate cannot be read"),
    **dict.fromkeys((2, 18, 19, 20, 21, 27, 29, 30, 31), _ISSUER),
    **dict.fromkeys((4, 6, 7, 24, 76), _SIGNATURE),
    **dict.fromkeys((32, 37, 79), _NO_CA),
    **dict.fromkeys((46, 47, 48, 49, 51, 52, 53), _NAMES),
    **dict.fromkeys((66, 67, 68), _WEAK),
    **dict.fromkeys((5, 8), _CRL_SIGNATURE),
    3: (Cause.CRL_MISSING, "the broker has no CRL of its issuer: it refuses all of that CA's devices"),
    9: (Cause.NOT_YET_VALID, "its certificate is not valid yet"),
    10: (Cause.EXPIRED, "its certificate has expired"),
    11: (Cause.CRL_NOT_YET_VALID, "its issuer's CRL is not valid yet: until then the broker refuses everybody"),
    12: (Cause.CRL_EXPIRED, "its issuer's CRL has expired: the broker refuses everybody"),
    23: (Cause.REVOKED, "its certificate is revoked"),
    25: (Cause.PATH_TOO_LONG, "there are more CAs above it than one of them allows"),
    26: (Cause.NOT_FOR_CLIENTS, "its certificate is not meant for clients"),
    34: (Cause.UNKNOWN_EXTENSION, "a critical extension is not known to OpenSSL"),
    35: (Cause.CRL_SIGN_MISSING, "its issuer's certificate has no cRLSign: no CRL of it is believed"),
    36: (Cause.CRL_UNKNOWN_EXTENSION, "a critical extension of its issuer's CRL is not known to OpenSSL"),
    44: (Cause.CRL_OTHER_SCOPE, "its issuer's CRL is for other certificates"),
}
# The same errors of an issuer.
_ABOVE: dict[int, tuple[Cause, str]] = {
    9: (Cause.CA_NOT_VALID, "a CA is not valid yet"),
    10: (Cause.CA_NOT_VALID, "a CA has expired"),
    26: (Cause.CA_NOT_FOR_CLIENTS, "a CA is not one that may issue to clients"),
}
OF_LISTS = frozenset(cause for cause in Cause if cause is Cause.REVOKED or cause.value.startswith("crl-"))


def refusal(findings: Sequence[Finding], lists: Sequence[ListView], serial: int, at: datetime) -> Verdict | None:
    """Put OpenSSL's first error, at which a broker stops, into words; ``None`` without one.

    ``lists`` are those of the certificate's issuer.
    """
    if not findings:
        return None
    first = findings[0]
    own_words = (Cause.REFUSED, f"OpenSSL says: {first.text} (error {first.number})")
    cause, reason = (_ABOVE if first.depth else {}).get(first.number) or _MEANINGS.get(first.number, own_words)
    return Verdict(accepted=False, cause=cause, reason=_with_times(cause, reason, lists, serial, at))


def _with_times(cause: Cause, reason: str, lists: Sequence[ListView], serial: int, at: datetime) -> str:
    """Name the list that decides, where it can be read."""
    begun = [one for one in lists if one.this_update <= at]
    ends = [one.next_update for one in begun if one.next_update is not None]
    if cause is Cause.CRL_EXPIRED and ends:
        return f"the CRL expired at {rfc3339(max(ends))}: the broker refuses everybody"
    if cause is Cause.CRL_NOT_YET_VALID and len(begun) < len(lists):
        begins = min(one.this_update for one in lists if one.this_update > at)
        return f"the CRL begins at {rfc3339(begins)}: until then the broker refuses everybody"
    revoking = [one for one in begun if cause is Cause.REVOKED and one.lists(serial)]
    if revoking:
        return f"its certificate is revoked by CRL {max(revoking, key=lambda one: one.this_update).number}"
    return reason


def delta_verdict(lists: Sequence[ListView], refused: Verdict | None) -> Verdict | None:
    """What a delta CRL of the issuer makes of a verdict: unknown, unless something else than a list decided.

    Within the same series OpenSSL 3.0.19 takes a delta for a whole list and 3.0.22 for none; both are in use.
    """
    delta = next((one for one in lists if one.is_delta), None)
    if delta is None or (refused is not None and refused.cause not in OF_LISTS):
        return None
    reason = f"CRL {delta.number} is a delta: what comes of it depends on the broker's OpenSSL"
    return Verdict(accepted=None, cause=Cause.CRL_DELTA, reason=reason)


def message_verdict(
    acl: Acl | None, name: str, access: str, topic: str, *, event: Event = "start", version: Version = "2.0"
) -> Verdict:
    """Say whether a connected device may ``read`` or ``write`` a topic. Its name is also its client id.

    ``acl`` is None if the file is missing, unreadable, or has a line that the broker does not take.
    """
    if acl is None and (event == "start" or version != "2.0"):
        what = "does not start" if event == "start" else "ends at the reload"
        reason = f"the broker {what}: its ACL is missing, unreadable or has a bad line"
        return Verdict(accepted=False, cause=Cause.BROKER_DOWN, reason=reason)
    if acl is None:
        reason = "the broker could not read its ACL at the reload: every client may do everything"
        return Verdict(accepted=True, cause=Cause.ACL_UNREADABLE, reason=reason)
    decision = acl.explain(name, name, access, topic)
    cause = Cause.OK if decision.allowed else Cause.ACL_DENIED
    return Verdict(accepted=decision.allowed, cause=cause, reason=decision.reason)
