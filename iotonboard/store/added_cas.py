"""CAs that were added to a state, for certificates that brokers must not take: their names, and which CA each is.

Such a CA has a database of its own (``state/added_cas.py``). Which one it is, the trail of the state tells, and a CA of
the state signed it: whoever writes on the disk puts no other in its place.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from iotonboard.store import audit
from iotonboard.store.issuers import all_issuers
from iotonboard.store.succession import VOUCHED, signed_before

if TYPE_CHECKING:
    from iotonboard.store.store import Store

NAME: Final = "added_ca"  # keys in the row of the trail that tells of one
WHICH: Final = "which"


def added_statement(name: str, fingerprint: str) -> bytes:
    """The octets that a CA signs for one that is added: its name, and SHA-256 of its first certificate in hex."""
    return b"iotonboard added CA v1\n%s\n%s\n" % (name.encode("ascii"), fingerprint.encode("ascii"))


def added_cas(store: Store) -> dict[str, str]:
    """Name -> fingerprint of the first certificate (SHA-256, lower-case hex), in the order in which they were added.

    Of one that was made anew, since its database was lost, the last one counts.
    """
    found: dict[str, str] = {}
    rows = all_issuers(store)
    ders = [row.der for row in rows]
    for seq, detail in store.small(audit.ADDED_CAS):
        name, fingerprint, signature = _said(detail)
        signers = signed_before(store, ders, seq)
        if any(_signed(store, row.der, name, fingerprint, signature) for row in rows if row.fingerprint in signers):
            found[name] = fingerprint
    return found


def _said(detail: object) -> tuple[str, str, str]:
    """What a row of the trail tells; nothing, where somebody edited it."""
    try:
        said = json.loads(detail) if isinstance(detail, str) else {}
        return tuple(str(said[key]) for key in (NAME, WHICH, VOUCHED))  # type: ignore[return-value]
    except (ValueError, TypeError, KeyError):
        return "", "", ""


def _signed(store: Store, der: bytes, name: str, fingerprint: str, signature: str) -> bool:
    try:
        statement = added_statement(name, fingerprint)
        return bool(name) and (store.verifies is None or store.verifies(der, statement, bytes.fromhex(signature)))
    except ValueError:  # no hexadecimal digits, or a name that no command took
        return False
