"""Devices that are denied by name alone, since no row is left of their certificates: the trail knows them too."""

from __future__ import annotations

import pytest

from support.in_process import call
from support.program import State
from support.tampering import edit

_LOSE = """DELETE FROM bundle WHERE certificate IN (SELECT c.id FROM certificate c JOIN device d ON d.id = c.device
    WHERE d.device_id = 'press-1'); DELETE FROM certificate WHERE device = (SELECT id FROM device
    WHERE device_id = 'press-1'); DELETE FROM device WHERE device_id = 'press-1'"""


@pytest.fixture(scope="module")
def lost(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A device whose rows somebody deleted, and that was revoked then."""
    state = pristine.copy_to(tmp_path_factory.mktemp("lost"))
    assert call(state, "register", "press-1", "press-2").exit_code == 0
    assert call(state, "config", "set", "acl.style", "pattern").exit_code == 0
    for statement in _LOSE.split(";"):
        edit(state, statement)
    assert call(state, "revoke", "press-1").exit_code == 0
    assert denies(state)
    return state


def denies(state: State) -> bool:
    return "user press-1\n" in state.acl.read_text()


def differences(state: State) -> str:
    return "\n".join(line for line in call(state, "health", "--deep").stdout.splitlines() if "lost_device" in line)


@pytest.mark.parametrize("words", [("sync-acl",), ("gen-crl",), ("pack", "--out", "PACK")])
def test_one_whose_row_was_deleted_stays_denied_and_is_told(
    lost: State, tmp_path_factory: pytest.TempPathFactory, words: tuple[str, ...]
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    state = lost.copy_to(folder)
    edit(state, "DELETE FROM lost_device")
    assert "row 'press-1' of lost_device is gone" in differences(state)
    state.acl.write_text("")
    told = call(state, *(str(folder / "pack") if word == "PACK" else word for word in words))
    assert (told.exit_code, "'press-1'" in told.stderr) == (8, True), told
    assert denies(state)
    call(state, "register", "press-3")
    call(state, "topics", "add", "press-3", "read:x")
    assert denies(state)


def test_a_repair_puts_such_rows_back_and_takes_others_away(lost: State, tmp_path: object) -> None:
    state = lost.copy_to(tmp_path)  # type: ignore[arg-type]
    edit(state, "UPDATE lost_device SET device_id = 'press-2'")
    found = differences(state)
    assert "press-1" in found
    assert "press-2" in found
    assert call(state, "sync-acl").exit_code == 8
    call(state, "health", "--repair")
    assert differences(state) == ""
    assert call(state, "sync-acl").exit_code == 0
    assert denies(state)
