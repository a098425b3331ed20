"""``revoke`` of certificates that the database forgot: which serials the CA's own signed results files name.

A certificate that was issued after the backup from which the state came back is in no row. The manifest beside its
results file (``FILE.manifest``, signed in ``FILE.manifest.sig``) proves that this CA issued it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.enrolment.results import manifest_holders
from iotonboard.errors import IotOnboardError
from iotonboard.pki.verifying import statement_holds
from iotonboard.store.compromised import is_compromised
from iotonboard.store.issuers import all_issuers

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State

_MAX_MANIFEST, _MAX_SIGNATURE = 1 << 28, 1 << 12


def proved_holders(state: State, results: str) -> dict[SerialNumber, str]:
    """Serial -> device in the manifest of a results file, if a CA of this state signed it whose key nobody stole."""
    try:
        manifest = read_file(results + ".manifest", limit=_MAX_MANIFEST)
        signature = read_file(results + ".manifest.sig", limit=_MAX_SIGNATURE)
        stores = [state.store, *([state.main.store] if state.main else [])]
        believed = [one for store in stores for one in all_issuers(store) if not is_compromised(store, one.id)]
        is_signed = any(statement_holds(issuer.der, manifest, signature) for issuer in believed)
        return manifest_holders(manifest) if is_signed else {}
    except IotOnboardError:
        return {}
