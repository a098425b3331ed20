"""``ca request``: a request for a root, of the key and the name that the CA of this state has.

1. Look where the file goes, then unlock the CA.
2. In one transaction: sign the request, which names the last answer, and tell of it in the trail.
3. Write the file. The state works on meanwhile, unless it waits for its first answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.disk.files import PUBLIC, create_exclusive, refuse_existing
from iotonboard.disk.walking import refuse_no_folder_of
from iotonboard.model import rfc3339
from iotonboard.pki import pem
from iotonboard.pki.ca_request import make_ca_request, read_ca_request
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.chain import identity

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.pki.ca_request import CaRequest
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The request and where it lies."""

    path: str
    request: CaRequest


def request_certificate(state: State, path: str, unlock: Unlock) -> Result:
    """Write a request of the newest CA.

    Raises:
        NotFoundError: there is no such folder.
        ConflictError: there is such a file.
        PolicyError: the clock cannot be right.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        BusyError: the state is locked or the disk refuses.
    """
    refuse_no_folder_of(path)
    refuse_existing(path, hint="choose another name, or delete it: an old request is refused by the root")
    authority = unlock()
    with state.transaction(signing=True) as now:
        refuse_changed(state, authority)
        ca = authority.active
        after = sha256(ca.chain[0]).hexdigest() if len(ca.chain) > 1 else ""
        begins = certificate_facts(ca.certificate_der).validity.not_before
        der = make_ca_request(ca.issuer.signer, *identity(ca.certificate_der), after, now, begins)
        request = read_ca_request(der)  # what the root will make of it
        state.record(now, "ca", detail={"requested": request.digest.hex(), "after": after})
        seal_audit(state, authority)
    create_exclusive(path, _head(request, now) + pem.pem_encode("CERTIFICATE REQUEST", der), PUBLIC)
    return Result(path, request)


def _head(request: CaRequest, now: datetime) -> bytes:
    """What people read in the file; the signed request behind it says the same."""
    lines = (
        "iotonboard CA request v1",
        f"name: {request.name}",
        f"key: {request.key_type}",
        f"made: {rfc3339(now)}",
        f"last answer: {request.after or 'none'}",
        f"sha256: {request.digest.hex()}",
        f"words: {request.words}",
    )
    return "".join(f"{line}\n" for line in lines).encode("utf-8")
