"""Names of adopted devices: what the database, the disk and the program take for one."""

from __future__ import annotations

import pytest
from iotonboard.errors import PolicyError
from iotonboard.ids import DeviceId, folder_name, parse_id

ADOPTED = ["AA:BB:CC:00:00:01", "Pump 3", "con", "COM1.x", "x.", "-x", ".ssh", "größe", "ж" * 64, "_a", "{3F}", 'a"\\b']
NEVER = ["", "+", "a+b", "#", "a#", "a/b", "a\nb", "a\x7f", "\x85", " a", "a ", "$SYS", "a%b", "a{device_id}", "x" * 65,
         "a\u00a0b", "a\u202eb", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("name", ADOPTED)
def test_a_name_that_a_line_and_a_topic_hold_is_an_adopted_devices_alone(name: str) -> None:
    assert DeviceId.adopted(name) == parse_id(name) == name
    with pytest.raises(PolicyError):
        DeviceId(name)


@pytest.mark.parametrize("name", NEVER)
def test_what_has_a_meaning_there_is_no_name(name: str) -> None:
    for parse in (DeviceId, DeviceId.adopted, parse_id, folder_name):
        with pytest.raises(PolicyError):
            parse(name)


def test_folders_are_names_on_every_disk_and_no_two_devices_share_one() -> None:
    names = [*ADOPTED, "pump-3", "AA-BB-CC-00-00-01", "x", "a_b", "ж" * 63, "AA%3ABB"[:2]]
    folders = [folder_name(name) for name in names]
    assert len({folder.lower() for folder in folders}) == len(names)
    for folder in folders:
        assert folder.isascii()
        assert len(folder) <= 160
        assert not set(folder) & set('<>:"/\\|?* ')
        assert not folder.startswith((".", "-"))
        assert not folder.endswith(".")
        assert folder.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1"}
    assert folder_name("pump-3.a_b") == "pump-3.a_b"
