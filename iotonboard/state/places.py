"""Places of publication, known by what was published there: the folder of the CA, and the files of ACL and CRL.

Each may lie on a disk that is away. A place where something was published before, and where now neither a CRL of this
CA, nor the managed region, nor the CA's file is, is *away*: an empty mount point, or another disk. Nothing is written
there until its disk is back, or until somebody says by name that it begins anew. Somebody who deletes a file inside of
the state takes no disk away: there only the folder of the CA, which may be a mount point, is looked at.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

from iotonboard.broker import region
from iotonboard.disk.reading import file_mark, read_file, read_pieces
from iotonboard.errors import BusyError, ConflictError, PolicyError
from iotonboard.pki import der, pem
from iotonboard.state import chain
from iotonboard.store.issuers import all_issuers
from iotonboard.store.places import BEGUN, has_places, last_published, note_place

if TYPE_CHECKING:
    from iotonboard.state.layout import Paths
    from iotonboard.state.state import State

# Names of what CRL and ACL were when they were written last: a look at a file that is the same is saved.
SEEN_CRL, SEEN_ACL = "crl_seen", "acl_seen"
_CRL_LIMIT, _CA_LIMIT = 1 << 30, 1 << 20
_SUBJECT_KEY_ID = b"\x06\x03\x55\x1d\x0e\x04"  # the extension's OID, then the tag of an OCTET STRING
_AUTHORITY_KEY_ID = b"\x06\x03\x55\x1d\x23"


class Place(StrEnum):
    """What is published, and can lie elsewhere."""

    CRL = "crl"
    CA = "ca"
    ACL = "acl"
    BROKER_CA = "broker-ca"


SETTINGS = {
    "ca_root_path": Place.CA,
    "broker_acl_file": Place.ACL,
    "broker_crl_file": Place.CRL,
    "broker_ca_file": Place.BROKER_CA,
}
_SEEN = {Place.ACL: SEEN_ACL, Place.CRL: SEEN_CRL}
_NUMBERS = {Place.ACL: "acl_published", Place.CRL: "crl_published"}  # values that count what is published
_WHAT = {Place.CRL: "CRL", Place.CA: "CA folder", Place.ACL: "ACL", Place.BROKER_CA: "CA file for the broker"}
_BEGIN = {
    Place.CRL: "iotonboard gen-crl --here",
    Place.ACL: "iotonboard sync-acl --here",
    Place.CA: "iotonboard gen-crl --here",
    Place.BROKER_CA: "iotonboard gen-crl --here",
}


def path_of(paths: Paths, place: Place) -> str:
    """The file of ACL, CRL or CA file for the broker (empty where there is none), or the folder of the CA."""
    at = {Place.CRL: paths.crl, Place.CA: paths.certs, Place.ACL: paths.acl, Place.BROKER_CA: paths.broker_ca}
    return at[place]


def check_here(state: State, place: Place) -> None:
    """Make sure that a place is not away before something is written there.

    Raises:
        BusyError: its disk is away, or it cannot be looked at.
    """
    if is_away(state, place):
        raise away_error(state, place)


def away_error(state: State, place: Place) -> BusyError:
    """What is told of a place that is away."""
    path = path_of(state.paths, place)
    return BusyError(
        f"the {_WHAT[place]} was published at {path!r}, and nothing of this CA is there: its disk is away",
        hint=f"mount that disk and run the command again; where that place begins anew, type: {_BEGIN[place]}",
    )


def away_places(state: State) -> list[Place]:
    """The places that are away now."""
    return [place for place in Place if is_away(state, place)]


def is_away(state: State, place: Place) -> bool:
    """Say whether something was published at a place before, and nothing of ours is there now.

    Raises:
        BusyError: it cannot be looked at.
    """
    if not path_of(state.paths, place):
        return False
    return _can_be_away(state.paths, place) and _was_used(state, place) and not _holds_ours(state, place)


def is_as_left(state: State, place: Place) -> bool:
    """Say whether the file of ACL or CRL is the one that was written last, or none: then nobody else wrote there."""
    return file_mark(path_of(state.paths, place)) in {"", state.store.meta(_SEEN[place])}


def was_published(state: State, place: Place, number: int) -> bool:
    """Say whether the ACL or CRL of this number was the last one published, and where it belongs now."""
    if state.store.meta(_NUMBERS[place]) != number:
        return False
    last = last_published(state.store, place, _key(state.paths, place))
    return last == number or (last is None and not has_places(state.store, place))  # noted before places were


def number_there(state: State, place: Place) -> int | None:
    """The number of what was published last where a place is now; ``None`` where nothing is known of it."""
    return last_published(state.store, place, _key(state.paths, place))


def note_published(state: State, place: Place, number: int = 0) -> None:
    """Note, in the transaction that publishes, that a place holds what it should."""
    if last_published(state.store, place, _key(state.paths, place)) != number:
        note_place(state.store, place, _key(state.paths, place), number)


def begin_here(state: State, *places: Place) -> None:
    """Let those of the places that are away begin anew where the settings name them now.

    Raises:
        BusyError: the state is locked, or a place cannot be looked at.
    """
    with state.transaction() as now:
        for place in [one for one in places if is_away(state, one)]:
            note_place(state.store, place, _key(state.paths, place), BEGUN)
            state.record(now, "place", detail={"place": place, "begun": path_of(state.paths, place)})


def note_move(state: State, place: Place, there: Paths) -> None:
    """Note, in the caller's transaction, that the settings name another place now: its first use.

    The one before stays known, so that nobody writes there when the settings name it again while its disk is away.

    Raises:
        ConflictError: another CA's list or CA file is there, which nobody writes over.
    """
    old, new = _key(state.paths, place), _key(there, place)
    if old == new:
        return
    if old and not has_places(state.store, place) and _was_used(state, place):
        number = state.store.number(_NUMBERS[place]) if place in _NUMBERS else 0
        note_place(state.store, place, old, number or 0)
    if new and last_published(state.store, place, new) is None:
        _refuse_others(state, place, there)
        note_place(state.store, place, new, 0 if _holds_ours(state, place, there) else BEGUN)


def _refuse_others(state: State, place: Place, there: Paths) -> None:
    path = path_of(there, place)
    is_others = (
        (place is Place.CRL and bool(_crls_in(path)) and not _has_crl(state, path))
        or (place is Place.BROKER_CA and bool(_cas_in(path)) and _cas_in(path).isdisjoint(_own_cas(state)))
    )  # fmt: skip
    if is_others:
        raise ConflictError(
            f"the {_WHAT[place]} of another CA is at {path!r}",
            hint="name another file; where that fleet goes on at this broker, type 'iotonboard ca trust add FILE --crl"
            " FILE' with both, and move that file away",
        )


# -- what is known, and what is there ---------------------------------------------------------------------------------


def _key(paths: Paths, place: Place) -> str:
    """A path as it is noted: relative inside of the state, which may be moved."""
    path = path_of(paths, place)
    return os.path.relpath(path, paths.root) if _is_inside(paths, path) else path


def _is_inside(paths: Paths, path: str) -> bool:
    return os.path.normcase(path).startswith(os.path.normcase(os.path.join(paths.root, "")))


def _folder(paths: Paths, place: Place) -> str:
    return paths.certs if place is Place.CA else os.path.dirname(path_of(paths, place))


def _can_be_away(paths: Paths, place: Place) -> bool:
    return _folder(paths, place) == paths.certs or not _is_inside(paths, path_of(paths, place))


def _was_used(state: State, place: Place) -> bool:
    last = last_published(state.store, place, _key(state.paths, place))
    if last is not None:
        return last != BEGUN
    if place is Place.BROKER_CA or (place is not Place.CA and has_places(state.store, place)):
        return False
    # A state of before places were noted; and a folder of the CA has its key, which no publication brings back.
    return bool(state.store.meta(_NUMBERS.get(place, "crl_published")))


def _holds_ours(state: State, place: Place, paths: Paths | None = None) -> bool:
    """Say whether a folder holds anything that this state published, or the key of its CA."""
    paths = paths or state.paths
    folder = _folder(paths, place)
    if folder == paths.certs and _has_ca(state, paths):
        return True
    if os.path.dirname(paths.acl) == folder and _has_region(paths.acl):
        return True
    if os.path.dirname(paths.broker_ca) == folder and not _cas_in(paths.broker_ca).isdisjoint(_own_cas(state)):
        return True
    return os.path.dirname(paths.crl) == folder and _has_crl(state, paths.crl)


def _has_region(path: str) -> bool:
    return os.path.isfile(path) and region.has_marker(read_pieces(path))


def _has_ca(state: State, paths: Paths) -> bool:
    """The CA's file; where there is none at all, its key."""
    issuers = all_issuers(state.store)
    if not os.path.lexists(paths.ca_certificate):
        return any(os.path.isfile(os.path.join(paths.certs, issuer.key_file)) for issuer in issuers)
    if not os.path.isfile(paths.ca_certificate):
        return True  # whatever stands in its way is told by who writes it
    found = _cas_in(paths.ca_certificate)
    if not found:
        return any(os.path.isfile(os.path.join(paths.certs, issuer.key_file)) for issuer in issuers)
    return not found.isdisjoint(_own_cas(state))


def _own_cas(state: State) -> set[bytes]:
    """The certificates of the CAs, of now and of before; a root's says nothing, for other stations have it too."""
    return {der for row in all_issuers(state.store) for der in (row.der, chain.chain_in_force(state.store, row)[0])}


def _cas_in(path: str) -> set[bytes]:
    """The certificates of a file, DER; none when it is damaged or not there."""
    try:
        return (
            set(pem.pem_decode_all("CERTIFICATE", read_file(path, limit=_CA_LIMIT))) if os.path.isfile(path) else set()
        )
    except PolicyError:
        return set()


def _has_crl(state: State, path: str) -> bool:
    """A CRL of one of this state's CAs, or one that is damaged: that is no other disk."""
    if not os.path.isfile(path):
        return False
    ders = _crls_in(path)
    if not ders:
        return b"BEGIN X509 CRL" in read_file(path, limit=_CRL_LIMIT)
    rows = all_issuers(state.store)
    return any(_key_id(row.der) in one or _names_no_key_but(row.der, one) for row in rows for one in ders)


def _names_no_key_but(issuer_certificate_der: bytes, crl_der: bytes) -> bool:
    """Say whether a list names no key, as openssl signs one unless it is told otherwise, and the CA by its name."""
    if _AUTHORITY_KEY_ID in crl_der:
        return False
    try:
        tbs, *_ = der.children(crl_der, der.whole(crl_der))
        _, name, *_ = (field for field in der.children(crl_der, tbs) if field.tag != der.INTEGER)
    except (PolicyError, ValueError):
        return False
    return crl_der[name.start : name.end] in issuer_certificate_der


def _crls_in(path: str) -> list[bytes]:
    """The CRLs of a file, DER; none when it is damaged or not there."""
    try:
        return pem.pem_decode_all("X509 CRL", read_file(path, limit=_CRL_LIMIT)) if os.path.isfile(path) else []
    except PolicyError:
        return []


def _key_id(issuer_certificate_der: bytes) -> bytes:
    """What names a CA's key in its certificate and in the CRLs that it signed (RFC 5280 4.2.1.2 and 5.2.1).

    Found by its octets: enough to tell disks apart, and without the library, which many a command does not load.
    """
    at = issuer_certificate_der.find(_SUBJECT_KEY_ID) + len(_SUBJECT_KEY_ID)
    if at < len(_SUBJECT_KEY_ID) or at >= len(issuer_certificate_der):
        return b"?"  # a row that somebody damaged
    length = issuer_certificate_der[at]  # of an OCTET STRING that holds another one: below 128 both
    return issuer_certificate_der[at + 3 : at + 1 + length]
