"""Which rules apply to what, and the functions that apply them; ``linting_key`` signs nothing that broke one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from iotonboard.errors import LintError
from iotonboard.pki.lint import certificate_rules as certificate
from iotonboard.pki.lint import crl_rules, profile_rules, two_levels
from iotonboard.pki.lint.candidate import CertificateCandidate, CrlCandidate, Kind, read_candidate, read_crl_candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from iotonboard.pki.lint.candidate import IssuerFacts
    from iotonboard.pki.profile_values import FilledProfile

    CertificateRule = Callable[[CertificateCandidate], str | None]

_Candidate = TypeVar("_Candidate", CertificateCandidate, CrlCandidate)

_ANY: Final[tuple[CertificateRule, ...]] = (
    certificate.version_is_3,
    certificate.serial_is_positive,
    certificate.serial_fits_20_octets,
    certificate.serial_has_64_bits,
    certificate.algorithm_fits_issuer,
    certificate.issuer_is_ca_subject,
    certificate.times_are_well_formed,
    certificate.validity_is_ordered,
    certificate.subject_key_id_is_hash,
    certificate.authority_key_id_is_issuers,
    certificate.key_is_supported,
    certificate.key_is_not_weak,
)
_EVERY_CERTIFICATE: Final[tuple[CertificateRule, ...]] = (
    *_ANY,
    certificate.validity_is_inside_issuers,
    certificate.subject_attributes_are_legal,
    certificate.extensions_are_exact,
    certificate.criticality_is_right,
    certificate.basic_constraints_fit,
    certificate.key_usage_fits,
)

LINTS: Final[dict[Kind, tuple[CertificateRule, ...]]] = {
    Kind.CA: (*_EVERY_CERTIFICATE, certificate.ca_is_self_issued, certificate.subject_has_common_name),
    Kind.ROOT: (*_EVERY_CERTIFICATE, certificate.ca_is_self_issued, certificate.subject_has_common_name),
    Kind.STATION: (
        *_EVERY_CERTIFICATE,
        two_levels.station_is_not_self_issued,
        certificate.subject_has_common_name,
        two_levels.name_constraints_permit_directory_names,
    ),
    Kind.DEVICE: (
        *_EVERY_CERTIFICATE,
        certificate.subject_has_common_name,
        certificate.common_name_is_device_id,
        certificate.extended_key_usage_fits,
        certificate.device_alt_name_is_urn,
        certificate.distribution_point_is_one_url,
        two_levels.subject_is_permitted,
    ),
    Kind.SERVER: (
        *_EVERY_CERTIFICATE,
        certificate.extended_key_usage_fits,
        certificate.server_alt_names_are_hosts,
        two_levels.subject_is_permitted,
    ),
}


def rules_for(kind: Kind) -> tuple[CertificateRule, ...]:
    """The rules for a kind of certificate; those of profiles are loaded when one is issued."""
    if kind is Kind.PROFILED:
        return (*_ANY, *profile_rules.RULES, two_levels.subject_is_permitted)
    return LINTS[kind]


def lint_certificate(tbs: bytes, kind: Kind, issuer: IssuerFacts, profile: FilledProfile | None = None) -> None:
    """Check a TBSCertificate, before it is signed; ``profile`` is what one of that kind was filled in with.

    Raises:
        LintError: it cannot be read, or breaks a rule; the message names every broken rule.

    """
    _refuse_broken("certificate", rules_for(kind), read_candidate(tbs, kind, issuer, profile))


def lint_crl(tbs: bytes, issuer: IssuerFacts, crl_url: str = "") -> CrlCandidate:
    """Check a TBSCertList, before it is signed, and return what was read of it.

    ``crl_url``: the one of the issuingDistributionPoint that it shall have; empty: it must not have any.

    Raises:
        LintError: it cannot be read, or breaks a rule; the message names every broken rule.

    """
    candidate = read_crl_candidate(tbs, issuer, crl_url)
    _refuse_broken("CRL", crl_rules.RULES, candidate)
    return candidate


def _refuse_broken(what: str, rules: Iterable[Callable[[_Candidate], str | None]], candidate: _Candidate) -> None:
    """Apply all rules, and name every one that does not hold."""
    broken = [f"{problem} ({getattr(rule, '__name__', 'rule')})" for rule in rules if (problem := rule(candidate))]
    if broken:
        problems = "; ".join(broken)
        raise LintError(f"the {what} was not signed: {problems}", hint="this is a defect or a damaged CA: report it")
