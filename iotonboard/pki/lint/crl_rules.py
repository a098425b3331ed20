"""What a CRL must be: one function per rule, each with its clause; ``None`` means that it holds."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from iotonboard.model import RevocationReason
from iotonboard.pki import der
from iotonboard.pki.lint.certificate_rules import ALGORITHM_OF, time_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.pki.lint.candidate import CrlCandidate

_V2: Final = b"\x01"
_MAX_NUMBER_BITS: Final = 159
_ALLOWED: Final = {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}
# reasonCode, not critical; [1] DER leaves FALSE out. RFC 5280 5.3.1: unspecified SHOULD be absent.
_REASON_HEAD: Final = bytes.fromhex("300c300a0603551d1504030a01")
_REASON_CODES: Final = bytes(reason.code for reason in RevocationReason if reason.code)
_TIME_PATTERNS: Final = (rb"\x17\x0d[0-9]{12}Z", rb"\x18\x0f[0-9]{14}Z")
_TIME_OCTETS: Final = (15, 17)


# Octets of the serials in a list: this program's have 20, and a pattern for these alone is compiled in no time.
_OWN_SERIALS: Final = (20,)
_ANY_SERIALS: Final = tuple(range(20, 0, -1))


@cache  # compiled when a CRL is signed: most calls sign none
def _entry_pattern(serials: tuple[int, ...]) -> re.Pattern[bytes]:
    """Match any number of entries with serials of these lengths, each exactly as ``crl_entry`` writes them.

    A million entries take a tenth of a second: the loop is the pattern's, possessive: it keeps no state.
    """
    reason = re.escape(_REASON_HEAD) + b"[" + re.escape(_REASON_CODES) + b"]"
    forms = [
        re.escape(bytes((der.SEQUENCE, 2 + serial + octets + extra, der.INTEGER, serial)))
        # Positive and in its shortest form (X.690 8.3.2); a serial is never zero.
        + (rb"[\x01-\x7f]" if serial == 1 else rb"(?:[\x01-\x7f].|\x00[\x80-\xff]).{%d}" % (serial - 2))
        + time
        + ending
        for serial in serials
        for time, octets in zip(_TIME_PATTERNS, _TIME_OCTETS, strict=True)
        for ending, extra in ((reason, len(_REASON_HEAD) + 1), (b"", 0))
    ]
    return re.compile(b"(?:" + b"|".join(forms) + b")*+", re.DOTALL)


def version_is_2(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.1.2.1: version MUST be 2 when extensions are used."""
    return None if candidate.version == _V2 else "version is not 2"


def algorithm_fits_issuer(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.1.2.2: the algorithm is the one that goes with the CA's key, parameters included."""
    fits = candidate.signature_algorithm == ALGORITHM_OF[candidate.issuer.key_type]
    return None if fits else "signature algorithm does not belong to the CA's key"


def issuer_is_ca_subject(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.1.2.3: the issuer is the CA's subject, here octet for octet."""
    return None if candidate.issuer_der == candidate.issuer.subject_der else "issuer is not the CA's subject"


def times_are_well_formed(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.1.2.4, 5.1.2.5: UTCTime through 2049, then GeneralizedTime; nextUpdate MUST be there."""
    if len(candidate.times) != 2:
        return "nextUpdate is missing"
    for name, time in zip(("thisUpdate", "nextUpdate"), candidate.times, strict=True):
        if problem := time_problem(time):
            return f"{name} {problem}"
    return None


def updates_are_ordered(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.1.2.5: nextUpdate is later than thisUpdate; brokers refuse every client otherwise."""
    next_update = candidate.crl.next_update_utc
    ordered = next_update is not None and candidate.crl.last_update_utc < next_update
    return None if ordered else "nextUpdate is not after thisUpdate"


def extensions_are_exact(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.2: authorityKeyIdentifier and cRLNumber, and the distribution point that is wanted; nothing else."""
    wanted = _ALLOWED | {ExtensionOID.ISSUING_DISTRIBUTION_POINT} if candidate.crl_url else _ALLOWED
    return None if candidate.extensions.keys() == wanted else "extensions are not those of the profile"


def criticality_is_right(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.2.1, 5.2.3, 5.2.5: an issuingDistributionPoint is critical, the others are not."""
    wrong = [
        oid for oid, one in candidate.extensions.items()
        if one.critical != (oid == ExtensionOID.ISSUING_DISTRIBUTION_POINT)
    ]  # fmt: skip
    return "an extension is critical, or not, against its clause" if wrong else None


def issuing_distribution_point_is_wanted(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.2.5: the CRL covers all that the CA issued; with a URL here Mosquitto refuses all clients.

    So only the list that is fetched has one, by one URL, and without a limit of what it covers.
    """
    found = candidate.extensions.get(ExtensionOID.ISSUING_DISTRIBUTION_POINT)
    if not candidate.crl_url:
        return None if found is None else "issuingDistributionPoint is present"
    names = [x509.UniformResourceIdentifier(candidate.crl_url)]
    whole = x509.IssuingDistributionPoint(
        names, None, only_contains_user_certs=False, only_contains_ca_certs=False, only_some_reasons=None,
        indirect_crl=False, only_contains_attribute_certs=False,
    )  # fmt: skip
    fits = found is not None and found.value == whole
    return None if fits else "issuingDistributionPoint is not the one that is wanted"


def is_not_delta(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.2.4: a complete CRL; brokers ignore deltas."""
    return "it is a delta CRL" if ExtensionOID.DELTA_CRL_INDICATOR in candidate.extensions else None


def authority_key_id_is_issuers(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.2.1: keyIdentifier equal to the CA's subjectKeyIdentifier, and no other field."""
    found = candidate.extensions.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    expected = x509.AuthorityKeyIdentifier(candidate.issuer.key_id, None, None)
    fits = found is not None and found.value == expected
    return None if fits else "authorityKeyIdentifier is not the CA's key identifier"


def number_is_in_range(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.2.3: a number that is not negative and not longer than 20 octets."""
    found = candidate.extensions.get(ExtensionOID.CRL_NUMBER)
    number = found.value.crl_number if found is not None and isinstance(found.value, x509.CRLNumber) else -1
    return None if 0 <= number < 1 << _MAX_NUMBER_BITS else "cRLNumber is missing or out of range"


def list_is_not_empty(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.1.2.6: when nothing is revoked, the revokedCertificates list MUST be absent."""
    empty = candidate.entries is not None and len(candidate.entries) == 0
    return "revokedCertificates is present and empty" if empty else None


def entries_are_legal(candidate: CrlCandidate) -> str | None:
    """RFC 5280 5.1.2.6, 5.3.1: positive serials, well-formed dates, legal reason codes and nothing else."""
    entries = candidate.entries
    if entries is None or any(_entry_pattern(serials).fullmatch(entries) for serials in (_OWN_SERIALS, _ANY_SERIALS)):
        return None
    return "an entry of revokedCertificates is malformed or has an illegal reason"


RULES: Final[tuple[Callable[[CrlCandidate], str | None], ...]] = (
    version_is_2,
    algorithm_fits_issuer,
    issuer_is_ca_subject,
    times_are_well_formed,
    updates_are_ordered,
    extensions_are_exact,
    criticality_is_right,
    issuing_distribution_point_is_wanted,
    is_not_delta,
    authority_key_id_is_issuers,
    number_is_in_range,
    list_is_not_empty,
    entries_are_legal,
)
