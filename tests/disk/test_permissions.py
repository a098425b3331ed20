"""Who may read a published file: by the first class of the mode that fits, through every folder on the way."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from iotonboard.disk.files import write_atomic
from iotonboard.disk.permissions import (
    POSIX_ACL,
    Placement,
    check_plain,
    check_replaceable,
    group_number,
    has_user,
    obstacle_to_reading,
    placement_like,
    unreadable_for,
    user_number,
)
from iotonboard.errors import ConflictError, NotFoundError

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away and open every folder"
)
OWNER, MEMBER, STRANGER = 4001, 4002, 4003
GROUP = 4004


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that all may enter, as the test's own is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def file(place: Path) -> Path:
    """A file of OWNER and GROUP."""
    path = place / "acl"
    path.write_text("x")
    os.chown(path, OWNER, GROUP)
    return path


READERS = {"owner": (OWNER, ()), "member": (MEMBER, (GROUP,)), "stranger": (STRANGER, (7,)), "root": (0, ())}


@pytest.mark.parametrize(
    ("mode", "may"),
    [
        (0o400, {"owner"}),
        (0o040, {"member"}),
        (0o004, {"stranger"}),
        (0o440, {"owner", "member"}),
        (0o044, {"member", "stranger"}),
        (0o333, set()),
        (0o444, {"owner", "member", "stranger"}),
    ],
)
def test_the_first_class_that_fits_decides_alone(file: Path, mode: int, may: set[str]) -> None:
    file.chmod(mode)
    found = {name for name, (uid, groups) in READERS.items() if not obstacle_to_reading(str(file), uid, groups)}
    assert found == {*may, "root"}


def test_every_folder_on_the_way_must_be_entered(file: Path, place: Path) -> None:
    inner = place / "a" / "b"
    inner.mkdir(parents=True)
    deep = inner / "crl"
    deep.write_text("x")
    for folder in (inner, inner.parent):
        folder.chmod(0o711)
    assert obstacle_to_reading(str(deep), STRANGER, ()) == ""
    for folder in (inner, inner.parent):
        folder.chmod(0o766)  # may be listed, not entered
        assert obstacle_to_reading(str(deep), STRANGER, ()) == f"it may not enter {str(folder)!r}"
        folder.chmod(0o711)
    link = place / "link"
    link.symlink_to(deep)
    inner.chmod(0o700)
    assert "it may not enter" in obstacle_to_reading(str(link), STRANGER, ())


def test_what_is_not_there_cannot_be_read(file: Path) -> None:
    assert obstacle_to_reading(f"{file}-2", STRANGER, ()) == "its mode or access list does not allow it"
    assert unreadable_for(f"{file}-2", str(STRANGER)) == "", "what is missing is told elsewhere"


def test_a_reader_is_a_user_a_group_or_both(file: Path) -> None:
    file.chmod(0o440)
    assert unreadable_for(str(file), str(OWNER)) == ""
    assert unreadable_for(str(file), f":{GROUP}") == ""
    assert unreadable_for(str(file), f"{STRANGER}:{GROUP}") == ""
    assert unreadable_for(str(file), f"nobody:{GROUP}") == ""
    told = "its mode or access list does not allow it"
    assert unreadable_for(str(file), "nobody") == f"the broker's user 'nobody' cannot read it: {told}"
    assert unreadable_for(str(file), ":4005") == f"the broker's group '4005' cannot read it: {told}"


def test_a_user_brings_its_own_groups(file: Path) -> None:
    os.chown(file, OWNER, group_number("nogroup"))
    file.chmod(0o040)
    assert unreadable_for(str(file), "nobody") == ""
    assert unreadable_for(str(file), "daemon") != ""


def test_names_and_numbers() -> None:
    assert (user_number("root"), user_number("4001"), group_number("root"), group_number("0")) == (0, 4001, 0, 0)
    assert (has_user("root"), has_user("0"), has_user("nobody-of-that-name")) == (True, True, False)
    for find, kind in ((user_number, "user"), (group_number, "group")):
        for name in ("none-of-that-name", "1234567890"):  # a number of ten digits is a name that nobody has
            with pytest.raises(NotFoundError, match=f"there is no {kind} {name!r}"):
                find(name)


def test_a_file_that_is_there_keeps_its_mode_and_owner(file: Path, place: Path) -> None:
    default = Placement(0o600)
    file.chmod(0o640)
    assert placement_like(str(file), default) == Placement(0o640, OWNER, GROUP)
    (place / "link").symlink_to(file)
    for other in (place / "nothing", place / "link", place):
        assert placement_like(str(other), default) is default
    assert default == Placement(0o600, uid=-1, gid=-1, reader="")


def test_what_a_rename_may_replace(file: Path, place: Path) -> None:
    (place / "link").symlink_to(file)
    os.mkfifo(place / "pipe")
    for free in (file, place / "nothing"):
        check_plain(str(free))
        check_replaceable(str(free))
    check_replaceable(str(place / "link"))
    with pytest.raises(ConflictError, match="is a symbolic link to"):
        check_plain(str(place / "link"))
    for taken in (place, place / "pipe", Path("/dev/null")):
        for check in (check_plain, check_replaceable):
            with pytest.raises(ConflictError, match="is not a file"):
                check(str(taken))


NOBODY_ELSE = 0xFFFFFFFF  # of an entry that names nobody
OWNER_MAY, OTHERS_MAY = (0x01, 6, NOBODY_ELSE), (0x20, 4, NOBODY_ELSE)
ACCESS_LISTS = {
    "a user is shut out": [OWNER_MAY, (0x02, 0, STRANGER), (0x04, 4, NOBODY_ELSE), (0x10, 4, NOBODY_ELSE), OTHERS_MAY],
    "a user is let in": [
        OWNER_MAY, (0x02, 4, STRANGER), (0x04, 0, NOBODY_ELSE), (0x10, 4, NOBODY_ELSE), (0x20, 0, NOBODY_ELSE),
    ],
    "the mask takes it back": [
        OWNER_MAY, (0x02, 4, STRANGER), (0x04, 4, NOBODY_ELSE), (0x10, 0, NOBODY_ELSE), (0x20, 0, NOBODY_ELSE),
    ],
    "a group is let in": [
        OWNER_MAY, (0x04, 0, NOBODY_ELSE), (0x08, 4, 7), (0x10, 4, NOBODY_ELSE), (0x20, 0, NOBODY_ELSE),
    ],
    "one of two groups": [OWNER_MAY, (0x04, 4, NOBODY_ELSE), (0x08, 0, 7), (0x10, 4, NOBODY_ELSE), OTHERS_MAY],
}  # fmt: skip


def _set_access_list(path: Path, entries: list[tuple[int, int, int]]) -> None:
    octets = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, POSIX_ACL, octets)
    except OSError as error:
        pytest.skip(f"this disk has no access lists: {error}")


@pytest.mark.parametrize("name", ACCESS_LISTS)
def test_an_access_list_beside_the_mode_decides_as_the_kernel_does(file: Path, name: str) -> None:
    _set_access_list(file, ACCESS_LISTS[name])
    for uid, groups in READERS.values():
        words = ["setpriv", f"--reuid={uid}", "--regid=4999", f"--groups={','.join(map(str, groups)) or 4999}"]
        may_read = subprocess.run([*words, "cat", file], capture_output=True, check=False).returncode == 0
        assert (obstacle_to_reading(str(file), uid, groups) == "") == may_read, uid


def test_an_access_list_goes_on_with_the_file_that_takes_its_place(file: Path) -> None:
    _set_access_list(file, ACCESS_LISTS["a user is let in"])
    write_atomic(str(file), b"new", placement_like(str(file), Placement(0o600)))
    assert file.read_text() == "new"
    assert obstacle_to_reading(str(file), STRANGER, ()) == ""
    assert obstacle_to_reading(str(file), MEMBER, ()) != ""
