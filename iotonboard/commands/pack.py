"""``pack``: ACL, CRL and CA file, made anew from the database, in one signed file for a broker's machine.

1. Look at the place, then unlock the CA.
2. In one transaction: sign CRLs of all that is recorded, and count the package.
3. Publish, so that here and there the same is in force.
4. Render the three files from the database, sign them with the key of each CA, and write the package.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.broker.package import ACL, CA, CRL, Manifest, describe, render_package
from iotonboard.ca.authority import seal_audit
from iotonboard.ca.crl import sign_crls
from iotonboard.errors import ConflictError
from iotonboard.files import PUBLIC, refuse_existing, write_atomic
from iotonboard.model import to_epoch, whole_seconds
from iotonboard.pki import pem
from iotonboard.state.acl_file import renew_acl
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.store.crls import crl_generation
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.state.state import State

DEFAULT_VALID_DAYS = 30
_COUNTER = "package_counter"


@dataclass(frozen=True, slots=True)
class Result:
    """The new package; ``size`` in octets."""

    path: str
    manifest: Manifest
    size: int


def pack(state: State, out: str, unlock: Unlock, *, valid_days: int | None = None, force: bool = False) -> Result:
    """Sign new CRLs, publish, and write what was published as a package to ``out``.

    It can be applied for ``valid_days``, at most until its last CRL ends.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        ConflictError: ``out`` exists, or a revocation would be lost.
        PolicyError: the clock cannot be right, or an operator's ACL line would break the broker.
        BusyError: the state is locked or the disk refuses.
    """
    if not force:
        refuse_existing(out)
    authority = unlock()
    with state.transaction(signing=True) as now:
        number = sign_crls(state, authority, now)[0].number
        # Of time, so that it rises past what a restored backup has forgotten too.
        counter = max(int(state.store.meta(_COUNTER) or 0) + 1, to_epoch(now))
        state.store.set_meta(_COUNTER, counter)
        state.record(now, "package", detail={"counter": counter, "crl_number": number})
        seal_audit(state, authority)
    refuse_unpublished(publish(state, *EVERYTHING))
    with state.store.transaction():
        files = _published(state)
        ends = _end_of_lists(state)
    expires = min(now + timedelta(days=valid_days or DEFAULT_VALID_DAYS), ends)
    begins = now - timedelta(minutes=state.config["not_before_skew_minutes"])
    manifest = Manifest(counter, now, begins, expires, number, describe(files))
    signers = [ca.issuer.signer for ca in authority.signing]
    write_atomic(out, render_package(manifest, files, signers), PUBLIC)
    return Result(out, manifest, os.path.getsize(out))


def _published(state: State) -> dict[str, bytes]:
    """The three files as the database says them: what else somebody wrote into ``ca.crt`` is not signed."""
    now = whole_seconds(state.clock())
    ders = [row.der for row in crl_generation(state.store) if row.der is not None]
    if not ders:
        raise ConflictError("the newest CRLs are not kept in the database", hint="run 'iotonboard gen-crl' first")
    return {
        CRL: b"".join(pem.pem_encode("X509 CRL", der) for der in ders),
        ACL: b"".join(renew_acl(state, state.paths.acl, now)),
        CA: b"".join(pem.pem_encode("CERTIFICATE", issuer.der) for issuer in current_issuers(state.store)),
    }


def _end_of_lists(state: State) -> datetime:
    """When the first CA has no current list left."""
    ends: dict[int, datetime] = {}
    for row in crl_generation(state.store):
        ends[row.issuer] = max(row.next_update, ends.get(row.issuer, row.next_update))
    return min(ends.values())
