"""Who leads to whom, and whom a CA above took back."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.broker.ca_relations import key_of, revoked_above, sibling_keys, vouched
from iotonboard.model import KeyType
from iotonboard.pki.key_id import same_ca

from support import pki
from support.foreign_root import Root
from support.roots import certified, root_certificate

OWN_A, OWN_B = (pki.issuer(one).certificate_der for one in (KeyType.EC_P256, KeyType.EC_P384))
DEVICE = pki.device()
ROOT, OTHER_ROOT = root_certificate(), root_certificate("another")
BELOW_A, BELOW_B = certified(OWN_A), certified(OWN_B)


def test_one_ca_has_several_certificates() -> None:
    assert same_ca(OWN_A, BELOW_A)
    assert not same_ca(OWN_A, OWN_B), "one name, two keys"
    assert not same_ca(OWN_A, b"nothing")
    assert key_of(b"nothing") == ""


@pytest.mark.parametrize(
    ("anchors", "certificates", "withdrawn", "found"),
    [
        ((ROOT,), (BELOW_A, BELOW_B), (), {ROOT, BELOW_A, BELOW_B}),
        ((ROOT,), (OWN_A, DEVICE, b"nothing"), (), {ROOT}),
        ((OTHER_ROOT,), (BELOW_A,), (), {OTHER_ROOT}),
        ((OWN_A,), (BELOW_A, DEVICE), (), {OWN_A}),
        ((ROOT,), (BELOW_A, BELOW_B), (key_of(OWN_A),), {ROOT, BELOW_B}),
        ((OWN_A, ROOT), (BELOW_B,), (key_of(OWN_A), key_of(ROOT)), set()),
    ],
)
def test_who_leads_to_an_anchor(
    anchors: tuple[bytes, ...], certificates: tuple[bytes, ...], withdrawn: tuple[str, ...], found: set[bytes]
) -> None:
    assert set(vouched(anchors, certificates, withdrawn)) == found


def test_the_newest_list_says_who_goes_with_every_certificate_of_the_key(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    again = certified(OWN_A)
    lists = [root.crl(), root.crl(BELOW_A)]
    for order in (lists, lists[::-1]):
        assert revoked_above([ROOT, BELOW_A, BELOW_B, again], order) == ([BELOW_A, again], {key_of(OWN_A)})
    assert revoked_above([ROOT, BELOW_A, BELOW_B], [*lists, root.crl()]) == ([], set()), "it was taken back"
    assert revoked_above([BELOW_A], lists) == ([], set()), "nobody knows the CA above it"
    assert revoked_above([ROOT, OWN_A], lists) == ([], set())
    assert revoked_above([ROOT, BELOW_A], []) == ([], set())


def test_a_certificate_that_was_superseded_goes_alone(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    crl = root.crl(BELOW_A, reason=x509.ReasonFlags.superseded)
    again = certified(OWN_A)
    assert revoked_above([ROOT, BELOW_A, again], [crl]) == ([BELOW_A], set())
    assert revoked_above([ROOT, BELOW_A], [crl]) == ([BELOW_A], {key_of(OWN_A)}), "it has no other one"


def test_siblings_are_below_one_root_or_above() -> None:
    a, b, root = (key_of(der) for der in (OWN_A, OWN_B, ROOT))
    assert sibling_keys([ROOT, BELOW_A, BELOW_B], {a}) == {b, root}
    assert sibling_keys([ROOT, BELOW_A, BELOW_B], {root}) == {a, b}
    assert sibling_keys([OWN_A, OWN_B], {a}) == set()
    assert sibling_keys([ROOT, BELOW_A, OWN_B], {a}) == {root}
