"""An office's orders, killed at every step: what was ordered is whole or not there, and a file of orders too."""

from __future__ import annotations

from pathlib import Path

import pytest
from iotonboard.exchange.orders import read_orders, split_orders

from support.faults import KILLED, die_at
from support.offices import Office, make_office, trust
from support.program import make_state

SIGN = ("order", "sign", "--station", "line7", "--devices", "5", "--until", "2099-01-01")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("plant")
    office, state = make_office(folder / "hq"), make_state(folder)
    state.register(*(f"press-{number}" for number in range(40)))
    trust(office, state, "line7")
    state.run("journal", "--out", folder / "one.journal")
    office.run("station", "take", folder / "one.journal")
    return office


def is_whole(office: Office) -> bool:
    return office.json("audit", "verify")["problem"] == ""


def test_an_order_is_signed_whole_or_not_at_all(office: Office) -> None:
    step = 0
    for step in range(1, 200):
        before = len(office.json("order", "list")["production"])
        code = office.run(*SIGN, before=die_at(step), expect=(0, KILLED)).exit_code
        assert is_whole(office)
        assert len(office.json("order", "list")["production"]) in (before, before + 1)
        if code == 0:
            break
    assert step > 3


def test_a_file_of_orders_is_there_whole_or_not_at_all(office: Office, tmp_path: Path) -> None:
    path, step, newest = tmp_path / "line7.orders", 0, 0
    for step in range(1, 200):
        code = office.run("order", "write", "--out", tmp_path, before=die_at(step), expect=(0, KILLED)).exit_code
        assert is_whole(office)
        if path.exists():
            number = read_orders(split_orders(path.read_bytes())).number
            assert number >= newest
            newest = number
        if code == 0:
            break
    assert step > 5
    assert newest > 0


def test_a_revocation_is_ordered_whole_or_not_at_all(office: Office) -> None:
    step = 0
    for step in range(1, 40):
        device = f"press-{step}"
        killed = Office(office.path, Path("/nowhere"))
        code = killed.run("revoke", device, before=die_at(step), expect=(8, KILLED)).exit_code
        ordered = [one["device_id"] for one in office.json("order", "list")["revocations"]]
        assert (office.json("show", device)["status"] == "revoked") == (device in ordered)
        assert is_whole(office)
        if code != KILLED:
            break
    assert step > 1
