"""``gen-crl``: sign and publish a new CRL; also how ``revoke`` puts its revocations on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard import fsio
from iotonboard.authority import seal_audit, sign_crls
from iotonboard.errors import StateError
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl, crl_facts

if TYPE_CHECKING:
    from iotonboard.authority import Authority
    from iotonboard.statedir import State
    from iotonboard.store import CrlRow


def gen_crl(state: State, authority: Authority, *, next_update_days: int | None = None) -> CrlRow:
    """Sign a CRL from the committed revocations, publish it with the ACL, and read back what was written.

    Raises:
        PolicyError: the clock cannot be right, or an operator's ACL line would break the broker.
        StateError: the file on disk is not what was signed.
    """
    with state.transaction(signing=True) as now:
        row = sign_crls(state, authority, now, next_update_days=next_update_days)[0]
        seal_audit(state, authority)
    state.publish()
    written = pem.pem_decode_all("X509 CRL", fsio.read_file(state.paths.crl, limit=1 << 30))
    if not written:
        raise StateError(f"{state.paths.crl!r} holds no CRL", hint="run 'iotonboard gen-crl' again")
    check_crl(written[0], authority.active.issuer.certificate_der)
    if crl_facts(written[0]).number < row.number:  # another process may have published a newer one by now
        raise StateError(f"{state.paths.crl!r} is not the CRL that was signed", hint="run 'iotonboard gen-crl' again")
    return row
