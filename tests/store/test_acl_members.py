"""Which devices the ACL names: the same ids whether the few that are left out are kept in memory or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from iotonboard.store import acl_members
from iotonboard.store.acl_members import denied_ids, permitted_ids
from iotonboard.store.devices import set_retired

from support.rows import NOW, give, make_store, take


@pytest.mark.parametrize("few", [0, 10_000])
def test_revoked_and_retired_devices_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(acl_members, "_FEW", few)
    store = make_store(tmp_path)
    with store.transaction():
        for serial, name in enumerate(("c", "B", "a", "renewed", "retired", "revoked", "renewed"), start=1):
            give(store, name, serial)
        for serial in (4, 6):  # of the renewed device, the old one only
            take(store, serial)
        set_retired(store, "retired", NOW)
    assert list(permitted_ids(store, NOW)) == ["a", "B", "c", "renewed"]
    assert denied_ids(store, NOW, NOW) == ["revoked"]
    store.close()
