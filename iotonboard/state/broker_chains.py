"""Brokers whose CA got another chain: their certificate files get it too, before devices are told of a new anchor.

Certificates and keys stay; what is sent behind the certificate changes, and a broker reads it at a reload.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.disk.permissions import check_plain, placement_like
from iotonboard.disk.reading import read_file
from iotonboard.pki.pem import pem_blocks
from iotonboard.state.sent_chain import as_sent, chains_behind
from iotonboard.store import brokers
from iotonboard.store.certificates import broker_certificates
from iotonboard.store.issuers import issuer_of

if TYPE_CHECKING:
    from iotonboard.state.state import State

CERTIFICATE = "broker.crt"  # in a folder that a broker reads everything from
_LIMIT = 1 << 20


def write_folder_certificates(state: State) -> None:
    """Write the newest certificate of each broker with a folder on this machine anew, where its chain is another one.

    What lies there that is not that certificate stays: an interrupted ``broker issue`` is finished by that.

    Raises:
        ConflictError: a link, or something that is no file, stands there.
        BusyError: the disk refuses.
    """
    chains = chains_behind(state.store)
    for host in brokers.live_broker_hosts(state.store, state.trusted_time()) if chains else ():
        setup, newest = brokers.broker_setup(state.store, host), broker_certificates(state.store, host)[0]
        # A copy of the state that was restored for a drill publishes elsewhere, and leaves the folder alone.
        if setup is None or not setup.folder or os.path.dirname(state.paths.acl) != setup.folder:
            continue
        path = os.path.join(setup.folder, CERTIFICATE)
        if not os.path.lexists(path):
            continue
        check_plain(path)
        found = read_file(path, limit=_LIMIT)
        wanted = as_sent(newest.der, chains.get(issuer_of(state.store, newest.serial), ()))
        if found != wanted and pem_blocks("CERTIFICATE", found)[:1] == [newest.der]:
            write_atomic(path, wanted, placement_like(path, PUBLIC))
