"""The ACL of an office behind a revocation that it ordered: who is named is denied at once, whatever else is wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.broker.denials import silence
from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.disk.permissions import check_plain, placement_like
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, KeyUnavailableError, NotFoundError, Unpublished
from iotonboard.office.giving import open_given
from iotonboard.office.publishing import publish

if TYPE_CHECKING:
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office

_LARGEST = 1 << 30


def deny_ordered(office: Office) -> list[Unpublished]:
    """Deny in the ACL whose revocation is ordered; returns what refused it.

    The file is made anew where that needs no key; else those who were ordered are silenced in it as it stands.
    """
    path = office.place("broker_acl_file")
    try:
        with open_given(office, _no_key) as given:
            return publish(office, given, only=("acl",))
    except IotOnboardError:
        try:
            _silence(office, path)
        except IotOnboardError as error:
            return [Unpublished("acl", path, error)]
    return []


def _no_key() -> OfficeKey:
    raise KeyUnavailableError("the office's key is not open", hint="iotonboard sync-acl")


def _silence(office: Office, path: str) -> None:
    check_plain(path)
    if not os.path.exists(path):
        raise NotFoundError(f"there is no ACL {path!r} yet", hint="'iotonboard sync-acl' makes it")
    there = read_file(path, limit=_LARGEST)
    names = {one.device_id for one in office.decisions.open_revocations if one.device_id}
    if (denied := silence(there, names)) != there:
        write_atomic(path, denied, placement_like(path, PUBLIC))
