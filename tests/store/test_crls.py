"""What is on the CRLs of an issuer, in which order, and for how long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from iotonboard.errors import ConflictError
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.store.crls import (
    CrlRow,
    add_crl,
    count_crl_entries,
    crl_entries,
    crl_entry,
    crl_generation,
    last_crl,
    last_listed_crl,
    replaced_crls,
    thin_crls,
)
from iotonboard.store.issuers import add_issuer
from iotonboard.store.newest_lists import generation_ders, newest_update
from iotonboard.store.revocations import (
    add_revocation,
    foreign_entry,
    held_serials,
    remove_revocation,
    revocable,
    revocation_of,
    set_foreign_entry,
)
from iotonboard.store.store import Store

from support.rows import NOW, PAST, YEAR, give, make_store, take

HOLD, COMPROMISE = RevocationReason.CERTIFICATE_HOLD, RevocationReason.KEY_COMPROMISE
SUPERSEDED = RevocationReason.SUPERSEDED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two CAs; certificates 1 to 6, of which the even ones are of the second CA."""
    with contextlib.closing(make_store(tmp_path)) as store, store.transaction():
        add_issuer(store, SerialNumber(1 << 101), YEAR, b"second", "ca-2.key", NOW)
        for serial in range(1, 7):
            give(store, f"dev-{serial}", serial, issuer=1 if serial % 2 else 2)
        yield store


def entries(store: Store, issuer: int, since: object = NOW) -> list[bytes]:
    found = list(crl_entries(store, issuer, since))
    assert count_crl_entries(store, issuer, since) == len(found)
    return found


def test_each_issuer_lists_its_own_in_the_order_of_the_certificates(store: Store) -> None:
    for serial in (5, 2, 1, 4):
        take(store, serial)
    assert entries(store, 1) == [b"entry 001", b"entry 005"]
    assert entries(store, 2) == [b"entry 002", b"entry 004"]
    assert crl_entry(store, 1, NOW, SerialNumber(5)) == b"entry 005"
    assert crl_entry(store, 2, NOW, SerialNumber(5)) is None


def test_an_entry_stays_until_it_was_listed_after_its_expiry(store: Store) -> None:
    give(store, "old", 9, PAST)
    take(store, 9)
    assert entries(store, 1, PAST.not_after) == [b"entry 009"]
    assert entries(store, 1, PAST.not_after + timedelta(seconds=1)) == []


def test_an_entry_without_a_certificate_stands_behind_the_others_for_ever(store: Store) -> None:
    take(store, 1)
    set_foreign_entry(store, 1, SerialNumber(77), b"foreign 77")
    assert entries(store, 1, NOW + timedelta(days=365_000)) == [b"foreign 77"]
    assert entries(store, 1) == [b"entry 001", b"foreign 77"]
    assert entries(store, 2) == []
    assert crl_entry(store, 1, NOW, SerialNumber(77)) == foreign_entry(store, SerialNumber(77)) == b"foreign 77"
    set_foreign_entry(store, 1, SerialNumber(77), None)
    assert entries(store, 1) == [b"entry 001"]


@pytest.mark.parametrize("reason", [SUPERSEDED, COMPROMISE])
def test_a_hold_becomes_final_and_a_final_revocation_only_a_compromise(store: Store, reason: RevocationReason) -> None:
    take(store, 1, HOLD)
    assert held_serials(store, "dev-1") == [SerialNumber(1)]
    take(store, 1, reason)
    assert held_serials(store, "dev-1") == []
    later = NOW + timedelta(days=1)
    for other in (HOLD, SUPERSEDED, RevocationReason.UNSPECIFIED):
        add_revocation(store, SerialNumber(1), later, other, b"another entry")
    found = revocation_of(store, SerialNumber(1))
    assert found is not None
    assert (found.reason, found.revocation_date) == (reason, NOW)
    add_revocation(store, SerialNumber(1), later, COMPROMISE, b"compromised")
    assert entries(store, 1) == [b"entry 001" if reason is COMPROMISE else b"compromised"]


def test_what_can_be_revoked_has_not_expired_and_is_not_revoked_for_good(store: Store) -> None:
    for serial in (11, 12, 13):
        give(store, "dev-1", serial, PAST if serial == 13 else YEAR)
    take(store, 11, HOLD)
    take(store, 12)
    assert revocable(store, "dev-1", NOW) == [SerialNumber(1)]
    assert revocable(store, "dev-1", NOW, SUPERSEDED) == [SerialNumber(1), SerialNumber(11)]
    assert revocable(store, "dev-1", NOW, COMPROMISE) == [SerialNumber(1), SerialNumber(11), SerialNumber(12)]
    remove_revocation(store, SerialNumber(11), NOW)
    assert revocable(store, "dev-1", NOW) == [SerialNumber(1), SerialNumber(11)]


# -- signed lists ---------------------------------------------------------------------------------------------------


def signed(generation: int, number: int, day: int, der: bytes | None = b"crl", issuer: int = 1) -> CrlRow:
    begin = NOW + timedelta(days=day)
    return CrlRow(generation, issuer, number, begin, begin + timedelta(days=30), 0, der, NOW)


def test_the_newest_generation_is_what_is_published(store: Store) -> None:
    for row in (signed(1, 1, -9), signed(2, 2, -2), signed(2, 3, 5, b"to come"), signed(2, 1, -2, b"other", issuer=2)):
        add_crl(store, row)
    assert [(row.issuer, row.number) for row in crl_generation(store)] == [(2, 1), (1, 2), (1, 3)]
    assert list(generation_ders(store)) == [b"other", b"crl", b"to come"]
    assert newest_update(store, NOW) == NOW - timedelta(days=2)
    assert [row.number for row in replaced_crls(store, 5)] == [1]


def test_a_number_is_used_once(store: Store) -> None:
    add_crl(store, signed(1, 1, 0))
    with pytest.raises(ConflictError):
        add_crl(store, signed(2, 1, 1))


def test_thinned_lists_keep_number_and_times(store: Store) -> None:
    for number in (1, 2, 3):
        add_crl(store, signed(number, number, number))
    add_crl(store, signed(4, 4, 4, None))  # passed by a restored state, and never seen
    thin_crls(store, 2)
    last, listed = last_crl(store, 1), last_listed_crl(store, 1)
    assert last is not None
    assert listed is not None
    assert (last.number, last.der, listed.number) == (4, None, 3)
    assert [row.der for row in replaced_crls(store, 9)] == [None] * 3
    assert store.rows("SELECT number FROM crl WHERE der IS NOT NULL") == [(3,)]
