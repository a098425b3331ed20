"""Whether the indexes find all certificates of a device, in a small database and in a large one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from iotonboard.store.store import Store
from iotonboard.store.table_scan import TableScan

from support.indexes import spoil_index
from support.rows import NOW, give, make_store

ON = "ON certificate({}) WHERE device IS NOT NULL AND id <> 2"


@pytest.mark.parametrize("read_through", [0, 1 << 20])
@pytest.mark.parametrize(
    ("index", "definition"),
    [
        ("certificate_device", ON.format("device")),
        ("certificate_device", "ON certificate(iif(id = 3, 1, device)) WHERE device IS NOT NULL"),
        ("certificate_device_again", ON.format("-device")),
    ],
)
def test_two_indexes_say_the_same_or_one_is_damaged(
    tmp_path: Path, index: str, definition: str, read_through: int
) -> None:
    with contextlib.closing(make_store(tmp_path)) as store:
        with store.transaction():
            give(store, "a", 1)
            give(store, "a", 2)
            give(store, "b", 3)
        assert TableScan(store, read_through=read_through).is_found_whole("a")
        assert not TableScan(store, read_through=read_through).is_found_whole("c")
    spoil_index(tmp_path / "devices.db", index, definition)
    with contextlib.closing(Store.open(str(tmp_path / "devices.db"), timeout_s=1, now=NOW)) as store:
        is_asked = not read_through or index == "certificate_device"
        assert TableScan(store, read_through=read_through).is_found_whole("a") is not is_asked
