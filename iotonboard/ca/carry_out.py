"""What follows a record: sign CRLs of it, publish them, read them back, reload the broker.

The record stays, whatever fails of this. So nothing here ends the command: each failure is told, the rest is done, and
the next command that can does what is missing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from iotonboard.ca.crl import check_published, sign_recorded
from iotonboard.state.alone import attempt
from iotonboard.state.publication import publish_recorded
from iotonboard.store.revocations import unlisted_revocations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow


def sign_waiting(state: State, unlock: Unlock) -> tuple[list[CrlRow], list[Unpublished]]:
    """Unlock the CA and sign CRLs of all that is recorded; without them, why there are none.

    Raises:
        IotOnboardError: there are none, and no revocation waits for them either.
    """
    rows: list[CrlRow] = []

    def sign() -> None:
        rows.extend(sign_recorded(state, unlock(), is_urgent=True))

    refused = attempt("crl", state.paths.crl, sign, is_unsigned=True)
    if refused and not unlisted_revocations(state.store):
        raise refused[0].error
    return rows, refused


def publish_signed(state: State, rows: Sequence[CrlRow], *, reload: Reload | None = None) -> list[Unpublished]:
    """Publish what is recorded, read the CRLs back that were signed (``rows``), and reload the broker.

    Returns what of it was refused. The broker is reloaded all the same: the ACL alone takes access away too.
    """
    refused = publish_recorded(state)
    if rows and not any(one.what in {"crl", "database", "publication"} for one in refused):
        refused += attempt("crl", state.paths.crl, partial(check_published, state, rows))
    if reload is not None:
        refused += attempt("reload", str(state.config["broker.reload"]), reload)
    return refused
