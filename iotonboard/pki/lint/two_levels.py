"""What a root may certify, and what a CA below one that limits names: rules as in ``certificate_rules``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotonboard.errors import PolicyError
from iotonboard.pki import der
from iotonboard.pki.lint.candidate import DIRECTORY_NAME, PERMITTED_SUBTREES
from iotonboard.pki.lint.names import BOUNDS, read_name

if TYPE_CHECKING:
    from iotonboard.pki.lint.candidate import CertificateCandidate
    from iotonboard.pki.lint.names import Name

_NAME_CONSTRAINTS: Final = der.oid("2.5.29.30")


def station_is_not_self_issued(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 3.2: what a root certifies is another CA, by another name."""
    holds = candidate.certificate.subject_der != candidate.certificate.issuer_der
    return None if holds else "subject and issuer of the CA are the same"


def name_constraints_permit_directory_names(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.10: permitted subtrees, of directory names alone, minimum 0 and no maximum."""
    extension = candidate.certificate.extensions.get(_NAME_CONSTRAINTS)
    if extension is None:
        return None
    value = extension.value
    try:
        (permitted,) = der.children(value, der.whole(value))
        subtrees = [(subtree, der.children(value, subtree)) for subtree in der.children(value, permitted)]
        kinds = {(permitted.tag, subtree.tag, *(part.tag for part in parts)) for subtree, parts in subtrees}
        names = [read_name(value[parts[0].begin : parts[0].end]) for _, parts in subtrees]
    except (PolicyError, ValueError, IndexError):
        return "nameConstraints cannot be read"
    fits = (
        all(names)
        and kinds == {(PERMITTED_SUBTREES, der.SEQUENCE, DIRECTORY_NAME)}
        and all(1 <= len(text) <= BOUNDS.get(attribute, 0) for name in names for attribute, text in name)
    )
    return None if fits else "nameConstraints are not permitted directory names alone"


def subject_is_permitted(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.10: a subject that is not empty is within one of the CA's permitted directory names."""
    subject, permitted = _folded(candidate.certificate.subject), candidate.issuer.permitted
    if not permitted or not subject:
        return None
    is_within = any(subject[: len(name)] == _folded(name) for name in permitted)
    return None if is_within else "subject is outside of the names that the root permits this CA"


def _folded(name: Name) -> tuple[tuple[bytes, str], ...]:
    """As names are compared (RFC 5280 7.1): without regard to case, and to blanks at ends or repeated."""
    return tuple((identifier, " ".join(value.split()).casefold()) for identifier, value in name)
