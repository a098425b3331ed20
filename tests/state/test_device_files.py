"""The files of devices: durable when they count as written, and one device's trouble is its own."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from iotonboard.errors import BusyError, ConflictError
from iotonboard.state.device_files import FileBacklog, write_devices, writing
from iotonboard.state.publication import publish, publish_device_files
from iotonboard.state.state import State as OpenState
from iotonboard.store.devices import device_record
from iotonboard.store.pending import PendingFiles, add_pending, pending_files

from support.program import State

DEVICES = tuple(f"press-{number}" for number in range(1, 41))


@pytest.fixture
def waiting(state: State, opened: OpenState) -> list[PendingFiles]:
    """Forty devices that are registered, and whose files nobody wrote yet."""
    state.run("register", *DEVICES[2:], "--no-bundle")
    with opened.store.transaction():
        for name in DEVICES:
            add_pending(opened.store, device_record(opened.store, name).certificates[0].serial, b"a bundle")
    for path in (state.certs / "devices").rglob("*.*"):
        path.unlink() if path.is_file() else None
    return pending(opened)


def pending(opened: OpenState) -> list[PendingFiles]:
    return pending_files(opened.store, 100, is_broker=False)


def complete(state: State) -> set[str]:
    """Devices that have all their files."""
    names = ("device.crt", "device.key", "creds.zip")
    return {name for name in DEVICES if all((state.device(name) / file).is_file() for file in names)}


class Disk:
    """Notes what is synced, and refuses what ``refuses`` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[Path] = []
        self.refuses = ""
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.delattr(os, "sync")  # it waits for every disk, and tells no error

    def fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if self.refuses and self.refuses in str(path):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.synced.append(path)
        self._sync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not tell which file is synced")
    return Disk(monkeypatch)


def test_every_file_is_synced_with_its_folder_and_that_one_s(
    state: State, opened: OpenState, waiting: list[PendingFiles], disk: Disk
) -> None:
    assert publish(opened, publish_device_files) == []
    synced = {path.relative_to(state.certs).as_posix() for path in disk.synced}
    assert "devices" in synced
    for name in DEVICES:
        assert f"devices/{name}" in synced
        for file in ("device.crt", "device.key", "creds.zip"):
            assert any(path.startswith(f"devices/{name}/.iotonboard-{file}-") for path in synced), "before its rename"
    assert complete(state) == set(DEVICES)
    assert pending(opened) == []


def test_a_new_folder_is_synced_with_its_files_and_its_own_name(
    state: State, opened: OpenState, waiting: list[PendingFiles], disk: Disk
) -> None:
    for path in (state.certs / "devices").iterdir():
        path.rmdir()
    assert publish(opened, publish_device_files) == []
    synced = {path.relative_to(state.certs).as_posix() for path in disk.synced}
    names = ("", "/device.crt", "/device.key", "/creds.zip")
    assert synced == {"devices"} | {f"devices/{name}{file}" for name in DEVICES for file in names}
    assert complete(state) == set(DEVICES)


@pytest.mark.parametrize("place", ["press-7/.iotonboard-device.key", "press-7"])
def test_a_sync_that_fails_is_the_error_of_that_device(
    state: State, opened: OpenState, waiting: list[PendingFiles], disk: Disk, place: str
) -> None:
    disk.refuses = f"devices/{place}"
    (refused,) = publish(opened, publish_device_files)
    assert refused.path == str(state.device("press-7"))
    assert isinstance(refused.error, BusyError)
    assert [files.name for files in pending(opened)] == ["press-7"]
    disk.refuses = ""
    assert publish(opened, publish_device_files) == []
    assert complete(state) == set(DEVICES)


def test_a_parent_that_cannot_be_synced_leaves_all_noted(
    opened: OpenState, waiting: list[PendingFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse_parent(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/devices"):
            raise OSError(errno.EIO, "bad disk")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_parent)
    assert len(publish(opened, publish_device_files)) == len(DEVICES)
    assert len(pending(opened)) == len(DEVICES)


def test_a_folder_in_the_way_is_one_device_s_trouble(
    state: State, opened: OpenState, waiting: list[PendingFiles]
) -> None:
    (state.device("press-3") / "device.crt").mkdir(parents=True)
    (refused,) = publish(opened, publish_device_files)
    assert isinstance(refused.error, ConflictError)
    assert complete(state) == set(DEVICES) - {"press-3"}


def test_a_backlog_is_written_at_once_and_noted_until_it_is_settled(
    state: State, opened: OpenState, waiting: list[PendingFiles], disk: Disk
) -> None:
    backlog = FileBacklog()
    backlog.write(opened)
    assert complete(state) == set(DEVICES)
    assert len(backlog) == len(pending(opened)) == len(DEVICES)
    assert disk.synced == []
    assert publish(opened, backlog.settle) == []
    assert pending(opened) == []
    assert len(backlog) == 0
    synced = {path.relative_to(state.certs).as_posix() for path in disk.synced}
    assert {"devices", "devices/press-9", "devices/press-9/creds.zip"} <= synced


def test_settling_writes_nothing_that_somebody_changed_meanwhile(
    state: State, opened: OpenState, waiting: list[PendingFiles]
) -> None:
    """Another command gave the device a new bundle: it is left to the step behind."""
    backlog = FileBacklog()
    backlog.write(opened)
    with opened.store.transaction():
        add_pending(opened.store, device_record(opened.store, "press-5").certificates[0].serial, b"another bundle")
    publish(opened, backlog.settle)
    assert [files.name for files in pending(opened)] == ["press-5"]
    publish(opened, publish_device_files)
    assert (state.device("press-5") / "creds.zip").read_bytes() == b"another bundle"


def test_a_backlog_that_cannot_be_synced_stays_noted(
    opened: OpenState, waiting: list[PendingFiles], disk: Disk
) -> None:
    backlog = FileBacklog()
    backlog.write(opened)
    disk.refuses = "press-8/creds.zip"
    (refused,) = publish(opened, backlog.settle)
    assert refused.path.endswith("press-8")
    assert [files.name for files in pending(opened)] == ["press-8"]


def test_what_is_written_elsewhere_is_noted_as_done_in_the_same_transaction(
    opened: OpenState, waiting: list[PendingFiles]
) -> None:
    busy = {waiting[0].certificate: ConflictError("in the way")}
    with opened.store.transaction(), writing(opened, lambda _paths, _group: lambda: busy):
        pass
    assert [files.certificate for files in pending(opened)] == [waiting[0].certificate]
    full = {waiting[0].certificate: BusyError("the disk is full")}
    with pytest.raises(BusyError), opened.store.transaction(), writing(opened, lambda _paths, _group: lambda: full):
        pass


def test_what_a_device_has_no_more_is_erased(state: State, opened: OpenState, waiting: list[PendingFiles]) -> None:
    publish(opened, publish_device_files)
    with opened.store.transaction():
        add_pending(opened.store, device_record(opened.store, "press-4").certificates[0].serial, None)
        assert write_devices(opened) == []
    assert sorted(os.listdir(state.device("press-4"))) == ["device.crt", "device.key"]
