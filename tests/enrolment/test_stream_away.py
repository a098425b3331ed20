"""A stream serves a whole shift: a share that is away, or a broker that does not reload, does not end it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from support.broker import wait_for
from support.program import State
from support.stream import count_pending, opened

PLACES = {"broker_acl_file": "acl", "broker_crl_file": "crl", "ca_root_path": "device files"}


def move_place(state: State, setting: str, disk: Path) -> None:
    """Publish on a disk of its own."""
    disk.mkdir(mode=0o700)
    if setting == "ca_root_path":
        for one in state.certs.iterdir():
            shutil.move(one, disk / one.name)
        state.certs.rmdir()
    names = {"broker_acl_file": "mosquitto.acl", "broker_crl_file": "crl.pem", "ca_root_path": ""}
    state.run("config", "set", setting, disk / names[setting])
    state.run("gen-crl")


@pytest.mark.parametrize("setting", PLACES)
def test_a_stream_goes_on_while_a_share_is_away(state: State, tmp_path: Path, setting: str) -> None:
    """What waits is told once, and at the end in one object behind the answers; it is done when the share is back."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    move_place(state, setting, disk)
    told = f"iotonboard: not done: {PLACES[setting]}: "

    def has_rested(name: str) -> bool:
        return count_pending(state) == 0 or f"user {name}\n" in state.acl.read_text()

    with opened(state) as stream:
        stream.ask("press-1")
        wait_for(lambda: count_pending(state) == 0, "the first device")
        disk.rename(elsewhere)
        state.run("revoke", "press-1", expect=8)
        assert stream.ask("press-2")["created"] is True
        errors = stream.told(told)
        for name in ("press-3", "press-4"):
            assert stream.ask(name)["created"] is True
            wait_for(partial(has_rested, name), "the stream to rest")
        assert stream.ask("press-1")["error"]["exit_code"] == 4
        stream.end()
        last = stream.answer()
        code, more = stream.close()
    assert code == 8
    assert set(last) == {"schema", "command", "unpublished"}
    assert PLACES[setting] in {one["what"] for one in last["unpublished"]}
    while_open, at_end = (errors + more).rsplit("iotonboard: error: ", 1)
    assert (while_open.count(told), at_end.count(told)) == (1, 1), errors + more
    elsewhere.rename(disk)
    state.run("gen-crl")
    assert state.json("health")["status"] == "ok"
    certs = disk if setting == "ca_root_path" else state.certs
    assert all((certs / "devices" / f"press-{number}" / "creds.zip").exists() for number in (2, 3, 4))


def test_a_stream_goes_on_past_a_device_whose_folder_is_in_the_way_and_a_broker_that_does_not_reload(
    state: State,
) -> None:
    state.run("config", "set", "broker.reload", "command:false")
    (state.certs / "devices").mkdir(mode=0o700, exist_ok=True)
    (state.certs / "devices" / "press-1").touch()
    with opened(state, "--reload") as stream:
        for name in ("press-1", "press-2"):
            assert stream.ask(name)["created"] is True
        errors = stream.told("not done: reload")
        assert stream.ask("press-3")["created"] is True
        assert (state.device("press-3") / "creds.zip").exists()
        stream.end()
        assert {one["what"] for one in stream.answer()["unpublished"]} == {"device files"}
        code, more = stream.close()
    assert code == 8
    assert "press-1" in errors
    assert "Traceback" not in errors + more
