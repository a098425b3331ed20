"""The CRL for brokers that fetch it, and for servers, published beside the one that Mosquitto reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.disk.files import PUBLIC, remove_file, write_atomic
from iotonboard.disk.permissions import check_plain
from iotonboard.disk.reading import holds
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl
from iotonboard.state.places import Place, check_here, is_away
from iotonboard.store.crls import crl_generation, fetched_lists
from iotonboard.store.issuers import all_issuers

if TYPE_CHECKING:
    from iotonboard.state.state import State


def write_fetched(state: State) -> None:
    """Write the lists that were signed last with a distribution point; take the files away where none is wanted."""
    paths = state.paths.fetched_crl
    if not state.config["crl_url"]:
        for path in paths:
            if os.path.isfile(path) and not is_away(state, Place.CRL):
                remove_file(path)
        return
    for path, content in zip(paths, fetched_files(state), strict=True):
        if not content or (os.path.exists(path) and holds(path, [content])) or is_away(state, Place.CRL):
            continue
        check_here(state, Place.CRL)
        check_plain(path)
        write_atomic(path, content, PUBLIC)


def write_der(state: State) -> None:
    """Write the newest lists of an added CA in DER too, which is what servers read: a file for each of its CAs."""
    if is_away(state, Place.CRL):  # which is told of the other file
        return
    first: dict[int, bytes] = {}
    for row in crl_generation(state.store):
        first.setdefault(row.issuer, row.der or b"")
    lists = [*first.values(), b"", b""]
    for path, content in ((state.paths.crl_der, lists[0]), (state.paths.old_crl_der, lists[1])):
        if content and not (os.path.exists(path) and holds(path, [content])):
            check_plain(path)
            write_atomic(path, content, PUBLIC)
        elif not content and os.path.isfile(path):
            remove_file(path)


def fetched_files(state: State) -> tuple[bytes, bytes]:
    """What the PEM and the DER file hold; empty until a list was signed for them.

    Raises:
        ConflictError: a list in the database is not the one that was signed.
    """
    cas = {row.id: row.der for row in all_issuers(state.store)}
    ders = []
    for issuer, number, der in fetched_lists(state.store):
        try:
            is_right = check_crl(der, cas.get(issuer, b"")).number == number
        except PolicyError:
            is_right = False
        if not is_right:
            raise ConflictError(
                f"the CRL {number} to be fetched is not the one that was signed", hint="type: iotonboard gen-crl"
            )
        ders.append(der)
    return b"".join(pem.pem_encode("X509 CRL", der) for der in ders), next(iter(ders), b"")


def is_fetched_published(state: State) -> bool:
    """Say whether a list with a distribution point was signed, and the files hold it."""
    pairs = list(zip(state.paths.fetched_crl, fetched_files(state), strict=True))
    return all(content and os.path.exists(path) and holds(path, [content]) for path, content in pairs)
