"""What a CA that goes at once leaves for whoever trusted it: the anchors that follow, and its last list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import rfc3339
from iotonboard.pki import pem
from iotonboard.pki.signatures import sign_statement
from iotonboard.store.compromised import CompromisedCa

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Authority, SigningCa


def anchors_after(ca: SigningCa, left: Authority, last_crl: bytes, now: datetime) -> CompromisedCa:
    """The file of anchors that follow, signed with the old key and the new one: the root, where there is one."""
    # A new CA that waits for the root of the stolen one has no anchor yet, and devices go on to trust that root.
    chains = (ca.chain if len(one.chain) == 1 < len(ca.chain) else one.chain for one in left.signing)
    anchors = b"".join(pem.pem_encode("CERTIFICATE", der) for der in dict.fromkeys(chain[-1] for chain in chains))
    head = f"iotonboard anchors v1\nreplaces {ca.identity}\ncreated {rfc3339(now)}\n\n"
    statement = head.encode("ascii") + anchors
    signed = (sign_statement(one.issuer.signer, statement) for one in (ca, left.active))
    return CompromisedCa(ca.row, now, last_crl, statement, *signed)
