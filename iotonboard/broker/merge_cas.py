"""Which CAs a broker's machine has in the end, of those that a package brings and those that are there.

A CA is a key with a name: another certificate of it takes the place of the one that is there, as when a root certified
a station that signed itself until then. What a package does not name stays; what goes, the package says, or the list
of the CA above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from iotonboard.broker.ca_relations import key_of, sibling_keys
from iotonboard.broker.foreign_mark import MARK, foreign_part
from iotonboard.pki import pem
from iotonboard.pki.key_id import is_self_issued, same_ca

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Whom the CAs above took back: ``cas`` (DER) and the ``keys`` (``pki.key_id``) that count no more."""

    cas: tuple[bytes, ...] = ()
    keys: frozenset[str] = frozenset()

    def has(self, der: bytes) -> bool:
        """Say whether a CA goes."""
        return der in self.cas or key_of(der) in self.keys


NOBODY: Final = Withdrawn()


@dataclass(frozen=True, slots=True)
class Cas:
    """The CAs that are to be in place (DER), and those whose lists are to go with them.

    ``pem`` is the file. ``siblings`` are the keys of other stations here, and of the root above. ``kept`` and
    ``dropped`` are what is to be told.
    """

    ders: tuple[bytes, ...]
    gone: tuple[bytes, ...]
    pem: bytes
    siblings: frozenset[str]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]


def merge_cas(
    coming: bytes,
    there: bytes,
    leaving: Collection[str],
    own: Collection[str],
    withdrawn: Withdrawn,
    *,
    replaced: Collection[str] | None = None,
    as_it_is: bool = False,
    stations: Collection[str] = (),
) -> Cas:
    """Merge a package's CA file with the one that is there.

    ``leaving`` are CAs that the package says go, by SHA-256 of the certificate or by their key, and ``own`` the keys of
    the package's own CAs. ``replaced`` is given for a package that is older than one that was applied: the keys that it
    does not bring back; of CAs that are there its certificates are then not taken. ``as_it_is``: also a CA that signs
    itself in the place of one that another CA certified. ``stations`` are the keys of others whose packages were
    applied here: who had trusted such a CA beside its own, and does no more, takes it out nowhere but there.
    """
    old = list(dict.fromkeys(pem.pem_blocks("CERTIFICATE", there)))
    gone = [der for der in old if _leaves(der, leaving, stations) or withdrawn.has(der)]
    stays = [der for der in old if der not in gone]
    given = [der for der in pem.pem_blocks("CERTIFICATE", coming) if not withdrawn.has(der)]
    kept = {der: one for der in given for one in stays if _is_certified(one, der) and not as_it_is}
    new = [kept.get(der, der) for der in given]
    if replaced is None:
        chosen = [*new, *(der for der in stays if not any(same_ca(der, one) for one in new))]
    else:
        fresh = (der for der in new if key_of(der) not in replaced and not any(same_ca(der, one) for one in stays))
        chosen = [*stays, *fresh]
    chosen = list(dict.fromkeys(chosen))
    related = sibling_keys(chosen, own)
    foreign = [der for der in chosen if der not in new and key_of(der) not in related]
    superseded = [der for der in stays if der not in chosen]
    dropped = [f"the CA {_name(der)[:16]}, which goes" for der in gone]
    dropped += [f"the CA {_name(der)[:16]} of the package, which a CA above it certified since" for der in kept]
    dropped += [f"the CA {_name(der)[:16]}, which has another certificate now" for der in superseded]
    refused = [der for der in pem.pem_blocks("CERTIFICATE", coming) if withdrawn.has(der) and der not in gone]
    dropped += [f"the CA {_name(der)[:16]} of the package, which the CA above it revoked" for der in refused]
    return Cas(
        tuple(chosen),
        (*gone, *refused),
        _render(chosen, coming, there),
        _siblings(chosen, _marked(coming, there), own, related),
        tuple(f"the CA {_name(der)[:16]} that is of no package" for der in foreign if der in old),
        tuple(dropped),
    )


def _leaves(der: bytes, leaving: Collection[str], stations: Collection[str]) -> bool:
    """Say whether a package takes a CA out; of one of its own that ended it names the key too."""
    key = key_of(der)
    return key in leaving or (_name(der) in leaving and key not in stations)


def _is_certified(here: bytes, coming: bytes) -> bool:
    """Say whether a CA here is certified by another one, where a package has it as it signed itself: of a time before.

    A state that was restored from a backup of then would put its root's revocations out of force.
    """
    return here != coming and same_ca(here, coming) and is_self_issued(coming) and not is_self_issued(here)


def _siblings(
    chosen: Sequence[bytes], marked: Collection[bytes], own: Collection[str], related: frozenset[str]
) -> frozenset[str]:
    """Whose ACL stands beside that of the package: of all that are here, where a CA above certified the package's own.

    A station of the same root may be here as it was before: by a certificate that leads to no root.
    """
    if not related and all(is_self_issued(der) for der in chosen if key_of(der) in own):
        return related
    return related | (frozenset(key for der in chosen if der not in marked and (key := key_of(der))) - set(own))


def _marked(coming: bytes, there: bytes) -> set[bytes]:
    """The CAs of others; one that the package brings as its own is none."""
    given = set(pem.pem_blocks("CERTIFICATE", coming))
    marked = set(pem.pem_blocks("CERTIFICATE", foreign_part(coming)))
    return marked | (set(pem.pem_blocks("CERTIFICATE", foreign_part(there))) - given)


def _render(chosen: Sequence[bytes], coming: bytes, there: bytes) -> bytes:
    """The file; CAs of others stay marked."""
    marked = _marked(coming, there)
    return b"".join((MARK if der in marked else b"") + pem.pem_encode("CERTIFICATE", der) for der in chosen)


def _name(certificate_der: bytes) -> str:
    return sha256(certificate_der).hexdigest()
