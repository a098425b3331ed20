"""What OpenSSL's errors mean, and what becomes of a message."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from iotonboard.broker.acl import parse_acl
from iotonboard.broker.openssl import Finding
from iotonboard.broker.verdict import Cause, message_verdict, refusal

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "depth", "cause"),
    [
        (23, 0, Cause.REVOKED),
        (10, 0, Cause.EXPIRED),
        (10, 1, Cause.CA_NOT_VALID),
        (26, 0, Cause.NOT_FOR_CLIENTS),
        (26, 2, Cause.CA_NOT_FOR_CLIENTS),
        (20, 0, Cause.UNKNOWN_ISSUER),
        (12, 0, Cause.CRL_EXPIRED),
        (999, 0, Cause.REFUSED),
    ],
)
def test_an_error_of_openssl_has_a_meaning(number: int, depth: int, cause: Cause) -> None:
    found = refusal([Finding(number, depth, "in its words"), Finding(7, 0, "")], [], 5, NOW)
    assert found is not None
    assert (found.accepted, found.cause) == (False, cause)
    assert found.reason
    assert ("in its words" in found.reason) is (cause is Cause.REFUSED)


def test_no_error_is_no_refusal() -> None:
    assert refusal([], [], 5, NOW) is None


def test_an_unreadable_acl_is_told_apart_by_event_and_release() -> None:
    assert message_verdict(None, "a", "read", "x").cause is Cause.BROKER_DOWN
    assert message_verdict(None, "a", "read", "x", event="reload", version="2.1").cause is Cause.BROKER_DOWN
    assert message_verdict(None, "a", "read", "x", event="reload").accepted


def test_a_message_is_decided_by_the_acl() -> None:
    acl = parse_acl(b"user a\ntopic read x\n")
    assert message_verdict(acl, "a", "read", "x").reason == "granted by line 2: topic read x"
    assert message_verdict(acl, "a", "write", "x").cause is Cause.ACL_DENIED
