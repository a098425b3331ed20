"""The folder of a CA whose key was stolen: its last CRL, the anchors that followed, and who is to be enrolled again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.disk.files import PRIVATE, PUBLIC, make_private_dir, sweep_staging, write_atomic
from iotonboard.pki import pem
from iotonboard.store.compromised import compromised_cas, waiting_devices
from iotonboard.store.issuers import all_issuers
from iotonboard.store.left_to_do import REPLACED_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.state.state import State

LAST_CRL, ANCHORS, DEVICES = "last-crl.pem", "anchors.pem", "devices.csv"
_SHORT = 16


def folder_of(state: State, fingerprint: str) -> str:
    """The folder of a CA, named after the beginning of its fingerprint."""
    return os.path.join(state.paths.replaced, fingerprint[:_SHORT])


def write_replaced(state: State) -> None:
    """Write the folders anew from the database, in the transaction that notes it.

    Raises:
        IotOnboardError: the disk refuses, or something else stands there.
    """
    make_private_dir(state.paths.replaced)
    names = {issuer.id: issuer for issuer in all_issuers(state.store)}
    for ca in compromised_cas(state.store):
        issuer = names[ca.issuer]
        folder = folder_of(state, issuer.fingerprint)
        make_private_dir(folder)
        sweep_staging(folder)
        public = {
            "old-ca.pem": pem.pem_encode("CERTIFICATE", issuer.der),
            LAST_CRL: pem.pem_encode("X509 CRL", ca.last_crl),
            ANCHORS: ca.anchors,
            f"{ANCHORS}.old.sig": ca.old_signature,
            f"{ANCHORS}.new.sig": ca.new_signature,
        }
        for name, content in public.items():
            write_atomic(os.path.join(folder, name), content, PUBLIC)
        write_atomic(os.path.join(folder, DEVICES), _device_lines(state), PRIVATE)
    state.store.set_meta(REPLACED_FILES, 0)


def _device_lines(state: State) -> Iterator[bytes]:
    yield b"device_id\n"
    for device_id in waiting_devices(state.store):
        yield device_id.encode("utf-8") + b"\n"
