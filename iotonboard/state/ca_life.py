"""How long a CA lasts as it goes out, which bounds what it issues, and what makes it last longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotonboard.pki import facts
from iotonboard.pki.certificates import NEW_CA
from iotonboard.state.chain import chain_in_force

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.model import Validity
    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.store import Store

ASK_ROOT: Final = "iotonboard ca request --out FILE"


def validity_in_force(store: Store, issuer: IssuerRow) -> Validity:
    """The validity of the certificate that a CA goes out with."""
    chain = chain_in_force(store, issuer)
    return facts.certificate_facts(chain[0]).validity if len(chain) > 1 else issuer.validity


def last_longer(chain: Sequence[bytes]) -> str:
    """What to type for certificates that end later than a CA that goes out with a chain (DER, its own first)."""
    return ASK_ROOT if len(chain) > 1 else NEW_CA
