"""Lists: own, foreign, stale, not yet valid, of a wrong issuer, partial, badly signed, several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cryptography import x509
from iotonboard.pki import der

from support.situations import Making, Situation
from support.situations.authorities import SIGNS, basic
from support.situations.devices import CLIENT
from support.strange import (
    DAY,
    NOW,
    UNKNOWN,
    Made,
    distribution_point,
    make_ca,
    make_certificate,
    make_crl,
    make_device,
    name,
)

URL = [x509.UniformResourceIdentifier("http://plant/crl")]
OTHER_URL = [x509.UniformResourceIdentifier("http://plant/other")]
Listing = Callable[[Made, Made], bytes]


def lists(cause: str, *made: Listing, ca_key: str = "ec", **device: object) -> Making:
    """Each of ``made`` makes a list from CA and device."""

    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}", key=ca_key)
        one = make_device(ca, title, **device)
        return Situation(one, cause, (ca,), tuple(each(ca, one) for each in made))

    return make


def listing(*, revokes: bool = False, **options: object) -> Listing:
    return lambda ca, device: make_crl(ca, *((device,) if revokes else ()), **options)


def foreign(**options: object) -> Listing:
    """A list of another CA."""
    return lambda _ca, device: make_crl(make_ca("another CA"), device, **options)


def impostor(**options: object) -> Listing:
    """A list of another CA of the same name."""
    return lambda ca, device: make_crl(make_certificate(ca.certificate.subject, [basic(), SIGNS]), device, **options)


def scoped(**given: object) -> Listing:
    return listing(extensions=(distribution_point(**given),))


def revoked_with(reason: x509.ReasonFlags | None, **options: object) -> Listing:
    return listing(revokes=True, reason=reason, **options)


def badly_signed(ca: Made, device: Made) -> bytes:
    """A list that another key signed in the CA's name."""
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    return make_crl(Made(ca.certificate, make_ca("another").key), device, key_id=key_id)


def _points(*urls: list[x509.GeneralName]) -> list[x509.ExtensionType]:
    return [CLIENT, x509.CRLDistributionPoints([x509.DistributionPoint(url, None, None, None) for url in urls])]


def _by_signer(cause: str, *, cafile: Iterable[int]) -> Making:
    """A CA (0) whose lists another certificate (1) of the same name signs."""

    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}")
        signer = make_ca(f"CA: {title}", issuer=ca, extensions=[basic(ca=False), SIGNS])
        pair = (ca, signer)
        return Situation(make_device(ca, title), cause, tuple(pair[each] for each in cafile), (make_crl(signer),))

    return make


def _below(cause: str, *, root: Listing, sub: Listing) -> Making:
    """Two levels, with a list of each."""

    def make(title: str) -> Situation:
        top = make_ca(f"root: {title}")
        lower = make_ca(f"sub: {title}", issuer=top)
        device = make_device(lower, title)
        return Situation(device, cause, (top, lower), (root(top, lower), sub(lower, device)))

    return make


_STALE, _FUTURE = {"days": (-9, -1)}, {"days": (1, 9)}
_DELTA = {"extensions": (x509.DeltaCRLIndicator(1),), "days": (-0.5, 30)}
_OTHER_NUMBER = (der.octet_string(der.integer(7)), der.octet_string(der.integer(-1)))
_END, _BEFORE = der.x509_time(NOW + 30 * DAY), der.x509_time(NOW - 2 * DAY)
_ISSUER = x509.CertificateIssuer([x509.DirectoryName(name("another"))])

LISTS: dict[str, Making] = {
    "no list of this CA": lists("crl-missing", foreign()),
    "own list beside a foreign one": lists("", foreign(), listing()),
    "own list before a stale foreign one": lists("", listing(), foreign(**_STALE)),
    "list expired": lists("crl-expired", listing(**_STALE)),
    "list not yet valid": lists("crl-not-yet-valid", listing(**_FUTURE)),
    "list expired, the next not yet valid": lists("crl-not-yet-valid", listing(**_STALE), listing(**_FUTURE)),
    "list that ends before it begins": lists("crl-expired", listing(change=[(_END, _BEFORE)])),
    "stale list before a fresh one": lists("", listing(**_STALE), listing()),
    "stale list behind a fresh one": lists("", listing(), listing(**_STALE)),
    "stale list that revokes, beside a fresh one": lists("", listing(revokes=True, **_STALE), listing()),
    "list to come beside a fresh one": lists("", listing(revokes=True, **_FUTURE), listing()),
    "calendar of three": lists("", listing(**_STALE), listing(), listing(revokes=True, **_FUTURE)),
    "list revokes": lists("revoked", listing(revokes=True)),
    "list revokes, the device expired too": lists("revoked", listing(revokes=True), days=(-9, -1)),
    "list expired and revokes": lists("crl-expired", listing(revokes=True, **_STALE)),
    "list revokes with effect in the future": lists("revoked", listing(revokes=True, entry_days=9)),
    "list revokes twice": lists("revoked", lambda ca, one: make_crl(ca, one, one)),
    "list revokes others": lists("", lambda ca, _: make_crl(ca, make_device(ca, "another"))),
    "list revokes a number of another CA": lists("", lambda ca, one: make_crl(ca), foreign()),
    "older list revokes, the newer does not": lists("", listing(revokes=True, days=(-2, 30)), listing()),
    "newer list revokes, the older does not": lists("revoked", listing(days=(-2, 30)), listing(revokes=True)),
    "of the same second, the first revokes": lists("revoked", listing(revokes=True), listing()),
    "of the same second, the second revokes": lists("", listing(), listing(revokes=True)),
    "of the same second, the second with a higher number": lists("", listing(), listing(revokes=True, number=8)),
    "the same list twice": lists("revoked", listing(revokes=True), listing(revokes=True)),
    "list with a hold": lists("revoked", revoked_with(x509.ReasonFlags.certificate_hold)),
    "list with an entry removed": lists("", revoked_with(x509.ReasonFlags.remove_from_crl)),
    "list with an entry without a reason": lists("revoked", revoked_with(None)),
    "list with an entry of an unknown kind": lists("crl-unknown-extension", listing(revokes=True, entry=UNKNOWN)),
    "list with an entry of another issuer": lists("", listing(revokes=True, entry=_ISSUER)),
    "list with an entry of another issuer, and it says so": lists(
        "crl-missing",
        listing(revokes=True, entry=_ISSUER, extensions=(distribution_point(indirect_crl=True),)),
    ),
    "list badly signed": lists("crl-bad-signature", badly_signed),
    "list badly signed beside a good one": lists("", badly_signed, listing(days=(-0.5, 30))),
    "newest list badly signed": lists("crl-bad-signature", listing(days=(-2, 30)), badly_signed),
    "list of an impostor": lists("crl-missing", impostor()),
    "list of an impostor without a key identifier": lists("crl-bad-signature", impostor(key_id=False)),
    "list of an impostor beside a good one": lists("", impostor(), listing()),
    "list signed with SHA-1": lists("", listing(sha1=True), ca_key="2048"),
    "list signed with Ed25519": lists("", listing(), ca_key="ed25519"),
    "list without a key identifier": lists("", listing(key_id=False)),
    "list without a number": lists("", listing(number=None)),
    "list of number 0": lists("", listing(number=0)),
    "list of a number of 30 octets": lists("", listing(number=1 << 239)),
    "list of a negative number": lists("", listing(change=[_OTHER_NUMBER])),
    "list with an unknown critical extension": lists("crl-unknown-extension", listing(extensions=(UNKNOWN,))),
    "list for a URL": lists("crl-other-scope", scoped(full_name=URL)),
    "list for a URL, the device has it": lists("", scoped(full_name=URL), extensions=_points(URL)),
    "list for a URL, the device has another": lists(
        "crl-other-scope", scoped(full_name=URL), extensions=_points(OTHER_URL)
    ),
    "list for a URL, the device has two": lists("", scoped(full_name=URL), extensions=_points(OTHER_URL, URL)),
    "list for all, the device has a URL": lists("", listing(), extensions=_points(URL)),
    "list for a URL beside one for all": lists("", scoped(full_name=URL), listing()),
    "list for users": lists("", scoped(only_contains_user_certs=True)),
    "list for CAs": lists("crl-other-scope", scoped(only_contains_ca_certs=True)),
    "list for CAs beside one for users": lists(
        "", scoped(only_contains_ca_certs=True), scoped(only_contains_user_certs=True)
    ),
    "list for attributes": lists("crl-other-scope", scoped(only_contains_attribute_certs=True)),
    "list for some reasons": lists(
        "crl-missing", scoped(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise]))
    ),
    "list for others": lists("crl-missing", scoped(indirect_crl=True)),
    "list for others beside one of its own": lists("", scoped(indirect_crl=True), listing()),
    "list of another signer, who is known": _by_signer("crl-missing", cafile=[0, 1]),
    "list of another signer, who is not": _by_signer("crl-missing", cafile=[0]),
    "the CA above revokes the one below": _below("", root=listing(revokes=True), sub=listing()),
    "the CA above has a stale list": _below("", root=listing(**_STALE), sub=listing()),
    "the CA below has a stale list": _below("crl-expired", root=listing(), sub=listing(**_STALE)),
    "both revoke": _below("revoked", root=listing(revokes=True), sub=listing(revokes=True)),
    "delta alone": lists("crl-delta", listing(revokes=True, **_DELTA)),
    "delta of others alone": lists("crl-delta", listing(**_DELTA)),
    "delta beside a full list": lists("crl-delta", listing(), listing(revokes=True, **_DELTA)),
    "delta beside a full list that revokes": lists("crl-delta", listing(revokes=True), listing(**_DELTA)),
    "delta of a foreign CA": lists("", foreign(**_DELTA), listing()),
}  # fmt: skip
