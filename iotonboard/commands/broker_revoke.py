"""``broker revoke``: take back the certificates of a broker, in the way of ``revoke``.

Devices hear of it where they check the CRL of their broker. Recorded first; then signed, published and reloaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iotonboard.ca.carry_out import publish_signed, sign_waiting
from iotonboard.enrolment.broker_plan import recorded_host
from iotonboard.model import Refused, Target
from iotonboard.state.revocations import Revoked, record_revocations
from iotonboard.store.certificates import broker_certificates
from iotonboard.store.issuers import crl_number

if TYPE_CHECKING:
    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.model import CertificateRecord, RevocationReason
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


def revoke_broker(
    state: State, name: str, reason: RevocationReason, unlock: Unlock, *, reload: Reload | None
) -> tuple[Revoked, list[Unpublished]]:
    """Revoke every certificate of a broker that is valid still; returns what stands now, and what is not published.

    Raises:
        NotFoundError: there is no such broker.
        KeyUnavailableError: the CA key is missing or the passphrase does not open it, and no revocation waits for it.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    host = recorded_host(state.store, name, by_index=False)  # brokers are few: no index is asked that may be damaged
    earliest, issued = state.read_clock().earliest, broker_certificates(state.store, host, by_index=False)
    live = [one for one in issued if one.validity.not_after >= earliest]
    targets = [Target("", serial=one.serial.hex) for one in live if _can_be_revoked(one, reason)]
    results = record_revocations(state, targets, reason, strict=True)
    done = [one for one in results if not isinstance(one, Refused)]
    refused = [one for one in results if isinstance(one, Refused)]
    if refused:
        raise refused[0].error
    if not done:
        return _stands(host, live, reason), publish_signed(state, (), reload=reload)
    rows, unsigned = sign_waiting(state, unlock)
    unpublished = unsigned + publish_signed(state, rows, reload=reload)
    serials = tuple(serial for one in done for serial in one.serials)
    revoked = replace(done[0], device_id=host, serials=serials)
    return (replace(revoked, crl_number=crl_number(state.store, rows, serials)) if rows else revoked), unpublished


def _can_be_revoked(certificate: CertificateRecord, reason: RevocationReason) -> bool:
    return certificate.revocation is None or reason.replaces(certificate.revocation.reason)


def _stands(host: str, live: list[CertificateRecord], reason: RevocationReason) -> Revoked:
    """What was so before: revoked already, or expired."""
    found = next((one.revocation for one in live if one.revocation), None)
    return Revoked(host, (), found.reason if found else reason, found.revocation_date if found else None)
