"""The verdict on one device, situation by situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from iotonboard.broker.acl import parse_acl
from iotonboard.broker.verdict import Cause, CaView, CertView, CrlView, connect_verdict, message_verdict

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ROOT = CaView("CN=root", "CN=root", NOW - 9 * DAY, NOW + 99 * DAY, key_id=b"R")
SUB = CaView("CN=sub", "CN=root", NOW - 9 * DAY, NOW + 99 * DAY, key_id=b"S", authority_key_id=b"R")
CERT = CertView("dev", "CN=root", 5, NOW - DAY, NOW + DAY, authority_key_id=b"R")
CRL = CrlView("CN=root", 7, NOW - DAY, NOW + DAY, {9}, authority_key_id=b"R")
REVOKING = replace(CRL, revoked={5, 9})


def verdict(cert=CERT, cas=(ROOT,), crls=(CRL,), moment=NOW, **more):
    return connect_verdict(cert, cas=cas, crls=crls, moment=moment, **more)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({}, Cause.OK),
        ({"crls": (replace(CRL, next_update=None),)}, Cause.OK),
        ({"crls": (REVOKING,)}, Cause.REVOKED),
        ({"crls": (replace(CRL, revoked=lambda serial: serial == 5),)}, Cause.REVOKED),
        ({"crls": ()}, Cause.CRL_MISSING),
        ({"crls": (replace(CRL, issuer="CN=other"),)}, Cause.CRL_MISSING),
        ({"crls": (replace(CRL, authority_key_id=b"old"),)}, Cause.CRL_MISSING),
        ({"crls": (replace(CRL, is_passed_over=True),)}, Cause.CRL_MISSING),
        ({"crls": (replace(CRL, is_for_devices=False),)}, Cause.CRL_OTHER_SCOPE),
        ({"crls": (replace(CRL, is_for_devices=False), replace(REVOKING, this_update=NOW - 2 * DAY))}, Cause.REVOKED),
        ({"crls": (replace(CRL, points=frozenset("u")),)}, Cause.CRL_OTHER_SCOPE),
        ({"crls": (replace(CRL, points=frozenset("u")),), "cert": replace(CERT, points=frozenset("u"))}, Cause.OK),
        ({"crls": (replace(CRL, has_unknown_extension=True),)}, Cause.CRL_UNKNOWN_EXTENSION),
        ({"crls": (replace(REVOKING, has_unknown_extension=True), CRL)}, Cause.OK),
        ({"crls": (replace(CRL, next_update=NOW),)}, Cause.CRL_EXPIRED),
        ({"crls": (replace(CRL, next_update=NOW + SECOND),)}, Cause.OK),
        ({"crls": (replace(CRL, this_update=NOW + SECOND),)}, Cause.CRL_NOT_YET_VALID),
        ({"crls": (replace(CRL, this_update=NOW),)}, Cause.OK),
        ({"crls": (replace(CRL, signature_ok=False),)}, Cause.CRL_BAD_SIGNATURE),
        ({"cas": (replace(ROOT, allows_crl_sign=False),)}, Cause.CRL_SIGN_MISSING),
        # Several lists: the newest current one, the first of equally new ones, none of the future.
        ({"crls": (CRL, replace(REVOKING, this_update=NOW - SECOND))}, Cause.REVOKED),
        ({"crls": (replace(REVOKING, this_update=NOW - 2 * DAY), CRL)}, Cause.OK),
        ({"crls": (CRL, REVOKING)}, Cause.OK),
        ({"crls": (REVOKING, CRL)}, Cause.REVOKED),
        ({"crls": (CRL, replace(REVOKING, this_update=NOW + SECOND))}, Cause.OK),
        ({"crls": (replace(CRL, next_update=NOW), replace(CRL, this_update=NOW + DAY))}, Cause.CRL_EXPIRED),
        ({"crls": (replace(REVOKING, next_update=NOW), CRL)}, Cause.OK),
        # The certificate and its issuers.
        ({"cas": ()}, Cause.UNKNOWN_ISSUER),
        ({"cas": (replace(ROOT, key_id=b"other"),)}, Cause.UNKNOWN_ISSUER),
        ({"cas": (replace(ROOT, is_ca=False),)}, Cause.NOT_A_CA),
        ({"cas": (replace(ROOT, not_after=NOW),)}, Cause.CA_NOT_VALID),
        ({"cert": replace(CERT, signature_ok=False)}, Cause.BAD_SIGNATURE),
        ({"cert": replace(CERT, not_before=NOW + SECOND)}, Cause.NOT_YET_VALID),
        ({"cert": replace(CERT, not_before=NOW)}, Cause.OK),
        ({"cert": replace(CERT, not_after=NOW)}, Cause.EXPIRED),
        ({"cert": replace(CERT, not_after=NOW + SECOND)}, Cause.OK),
        ({"cert": replace(CERT, allows_client_auth=False)}, Cause.NOT_FOR_CLIENTS),
        ({"cert": replace(CERT, has_unknown_extension=True)}, Cause.UNKNOWN_EXTENSION),
        ({"cas": (replace(ROOT, has_unknown_extension=True),)}, Cause.UNKNOWN_EXTENSION),
        ({"cert": replace(CERT, weakness="too short")}, Cause.TOO_WEAK),
        ({"cas": (replace(ROOT, weakness="too short"),)}, Cause.TOO_WEAK),
        ({"cert": replace(CERT, common_name="")}, Cause.NO_COMMON_NAME),
        ({"cert": replace(CERT, not_after=NOW), "crls": (REVOKING,)}, Cause.EXPIRED),
    ],
)
def test_a_situation_has_its_verdict(given: dict, cause: Cause) -> None:
    found = verdict(**given)
    assert found.cause is cause, found.reason
    assert found.accepted is (cause is Cause.OK)
    assert found.reason


@pytest.mark.parametrize("beside", [(), (CRL,), (REVOKING,)])
@pytest.mark.parametrize("delta", [CRL, REVOKING])
def test_a_delta_crl_has_no_verdict_that_holds_for_every_openssl(beside: tuple[CrlView, ...], delta: CrlView) -> None:
    found = verdict(crls=(replace(delta, is_delta=True), *beside))
    assert (found.accepted, found.cause) == (None, Cause.CRL_DELTA)
    assert "depends on the broker's OpenSSL" in found.reason


def test_a_delta_crl_of_another_ca_and_one_for_a_refused_device_change_nothing() -> None:
    delta = replace(CRL, is_delta=True)
    assert verdict(crls=(CRL, replace(delta, issuer="CN=other"))).accepted
    assert verdict(replace(CERT, not_after=NOW), crls=(CRL, delta)).cause is Cause.EXPIRED


def test_two_levels_need_both_cas_and_the_issuing_cas_crl() -> None:
    cert = replace(CERT, issuer="CN=sub", authority_key_id=b"S")
    crl = replace(CRL, issuer="CN=sub", authority_key_id=b"S")
    assert verdict(cert, (ROOT, SUB), (crl,)).accepted
    assert verdict(cert, (SUB,), (crl,)).cause is Cause.UNKNOWN_ISSUER
    assert verdict(cert, (ROOT, SUB), (CRL,)).cause is Cause.CRL_MISSING
    assert verdict(cert, (ROOT, SUB), (CRL, crl)).accepted
    loop = replace(SUB, issuer="CN=sub2", authority_key_id=b""), replace(SUB, subject="CN=sub2", issuer="CN=sub")
    assert verdict(cert, loop, (crl,)).cause is Cause.UNKNOWN_ISSUER


def test_an_unreadable_crl_is_told_apart_by_event_and_release() -> None:
    assert verdict(crls=None).cause is Cause.BROKER_DOWN
    assert verdict(crls=None, event="reload", version="2.1").cause is Cause.BROKER_DOWN
    found = verdict(crls=None, event="reload")
    assert (found.accepted, found.cause) == (True, Cause.CRL_UNREADABLE)
    assert verdict(replace(CERT, not_after=NOW), crls=None, event="reload").cause is Cause.EXPIRED


def test_an_unreadable_acl_is_told_apart_by_event_and_release() -> None:
    assert message_verdict(None, "a", "read", "x").cause is Cause.BROKER_DOWN
    assert message_verdict(None, "a", "read", "x", event="reload", version="2.1").cause is Cause.BROKER_DOWN
    assert message_verdict(None, "a", "read", "x", event="reload").accepted


def test_a_message_is_decided_by_the_acl() -> None:
    acl = parse_acl(b"user a\ntopic read x\n")
    assert message_verdict(acl, "a", "read", "x").reason == "granted by line 2: topic read x"
    assert message_verdict(acl, "a", "write", "x").cause is Cause.ACL_DENIED
