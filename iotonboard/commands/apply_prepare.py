"""``apply --prepare``: on a broker's machine, a key that never leaves it, and a request for its certificate.

Needs no state. The workstation certifies the request (``broker issue --csr``), and the next package brings the
certificate (``apply``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.own_certificate import KEY
from iotonboard.disk.files import PUBLIC, make_dir, sweep_staging, write_atomic
from iotonboard.disk.permissions import Placement, check_plain, user_number
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, KeyUnavailableError
from iotonboard.model import KeyType
from iotonboard.pki import pem
from iotonboard.pki.csr import make_request
from iotonboard.pki.hostnames import parse_host_names
from iotonboard.pki.keys import dump_key, generate_key, load_key
from iotonboard.state.broker_folder import find_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.pki.keys import PrivateKey

_REQUEST = "broker.csr"
_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """The request, for these names, and whether the key is new."""

    path: str
    names: tuple[str, ...]
    key_created: bool


def prepare(path: str, hosts: Sequence[str], *, user: str, key_type: KeyType | None) -> Prepared:
    """Make key and request in a folder; a key that is there stays, and gets a new request.

    Raises:
        NotFoundError: there is no such user, or no folder to make this one in.
        ConflictError: something is in the way, or the key there is no key.
        PolicyError: a name is neither a host name nor an address, or the broker's user could not read its files.
        BusyError: the disk refuses.
    """
    names = parse_host_names(hosts)
    folder = find_folder(path, user)
    make_dir(folder.path, 0o755)
    sweep_staging(folder.path)
    key, is_new = _key(os.path.join(folder.path, KEY), folder.user, key_type or KeyType.EC_P256)
    request = os.path.join(folder.path, _REQUEST)
    check_plain(request)
    write_atomic(request, pem.pem_encode("CERTIFICATE REQUEST", make_request(key, names)), PUBLIC)
    return Prepared(request, tuple(map(str, names)), is_new)


def _key(path: str, user: str, key_type: KeyType) -> tuple[PrivateKey, bool]:
    if os.path.lexists(path):
        try:
            return load_key(read_file(path, limit=_LIMIT), None), False
        except KeyUnavailableError as error:
            raise ConflictError(f"{path!r}: {error.message}", hint="move it away, or choose another folder") from None
    key = generate_key(key_type)
    # Whole or not there, so that a call that was killed is repeated; and what is there then is what is asked for.
    write_atomic(path, pem.pem_encode("PRIVATE KEY", dump_key(key)), Placement(0o600, user_number(user)))
    return load_key(read_file(path, limit=_LIMIT), None), True
