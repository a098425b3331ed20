"""Real disks that refuse: full, limited, read-only, of another user, failing at fsync and rename.

Nothing is replaced here: the kernel says no. Every call ends with exit 0 or 8, loses nothing, and the same
command succeeds once the disk is well.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support.faults import become_nobody, use_a_tiny_cache
from support.invariants import check_invariants
from support.program import PROGRAM, Result, State, program_environment
from support.tools import need

_PAGE = 4096  # tmpfs gives and takes whole pages


def _defer(state: State) -> None:
    state.run("revoke", "a", "--defer")


def _touch_acl(state: State) -> None:
    state.acl.write_text("user nobody\ntopic read x\n")


# command -> (words, what is done before it, the words that repeat it)
_BATCH = ("register", "--batch", "LIST", "--if-exists", "skip")
COMMANDS: dict[str, tuple[tuple[str, ...], Callable[[State], object], tuple[str, ...]]] = {
    "register": (("register", "c"), lambda _: None, ("register", "c", "--if-exists", "skip")),
    "batch": (_BATCH, lambda _: None, _BATCH),
    "revoke": (("revoke", "a"), lambda _: None, ("revoke", "a")),
    "gen-crl": (("gen-crl",), _defer, ("gen-crl",)),
    "sync-acl": (("sync-acl",), _touch_acl, ("sync-acl",)),
}


@pytest.fixture(scope="module")
def fleet(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Two devices, one of them revoked."""
    state = pristine.copy_to(tmp_path_factory.mktemp("fleet"))
    state.register("a", "b")
    state.run("revoke", "b")
    return state


@pytest.fixture
def batch_list(tmp_path: Path) -> Path:
    path = tmp_path / "devices.csv"
    path.write_text("device_id\n" + "".join(f"batch-{number}\n" for number in range(9)))
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 80 MiB: health wants 64 of them free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m,mode=0700", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"may not mount here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def _copy(fleet: State, folder: Path) -> State:
    folder.mkdir()
    return fleet.copy_to(folder)


def _words(words: tuple[str, ...], batch_list: Path) -> list[str]:
    return [str(batch_list) if word == "LIST" else word for word in words]


def _refused(result: Result) -> bool:
    """Whether the disk refused; then as documented."""
    assert result.exit_code in (0, 8), result
    assert "Traceback" not in result.stderr, result
    if result.exit_code == 8:
        assert "iotonboard: hint: " in result.stderr, result
    return result.exit_code == 8


def _answered(result: Result) -> tuple[str, ...]:
    return tuple(re.findall(r"\tserial ([0-9A-F]+)\t", result.stdout))


def _check_and_repeat(state: State, again: list[str], answered: tuple[str, ...], *, is_long: bool) -> None:
    """Nothing was lost; the same command succeeds."""
    check_invariants(state, answered=answered)
    state.run(*again)
    if is_long:
        check_invariants(state, answered=answered)


def _fill(disk: Path, pages_left: int) -> Path:
    """Fill the disk until only so many pages are free."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (free.f_bavail - pages_left) * _PAGE)
    assert os.statvfs(disk).f_bavail == pages_left
    return filler


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(fleet: State, small_disk: Path, batch_list: Path, is_long: bool, name: str) -> None:
    """For several numbers of free pages (the long version: for each), from none until the command succeeds."""
    words, prepare, again = COMMANDS[name]
    refused = 0
    for left in range(1000) if is_long else (0, 16, 24, 120):
        state = _copy(fleet, small_disk / str(left))
        prepare(state)
        filler = _fill(small_disk, left)
        result = state.run(*_words(words, batch_list), expect=None)
        filler.unlink()
        is_refused = _refused(result)
        refused += is_refused
        _check_and_repeat(state, _words(again, batch_list), _answered(result), is_long=is_long)
        shutil.rmtree(state.path.parent)
        if not is_refused:
            break
    assert not is_refused
    assert refused >= 1


def test_a_disk_that_is_full_before_the_commit(fleet: State, small_disk: Path, batch_list: Path, is_long: bool) -> None:
    """SQLite then ends the transaction by itself."""
    refused = 0
    for left in range(10, 60, 1 if is_long else 11):
        state = _copy(fleet, small_disk / str(left))
        filler = _fill(small_disk, left)
        result = state.run(*_words(_BATCH, batch_list), before=use_a_tiny_cache, expect=None)
        filler.unlink()
        refused += _refused(result)
        _check_and_repeat(state, _words(_BATCH, batch_list), _answered(result), is_long=is_long)
        shutil.rmtree(state.path.parent)
    assert refused >= 2


@pytest.mark.parametrize("name", COMMANDS)
def test_a_limit_on_file_sizes(fleet: State, tmp_path: Path, batch_list: Path, is_long: bool, name: str) -> None:
    """``ulimit -f`` from a kilobyte on until the command succeeds."""
    words, prepare, again = COMMANDS[name]
    refused = 0
    for kilobytes in range(1, 1000, 4) if is_long else (1, 36, 80, 1000):
        state = _copy(fleet, tmp_path / str(kilobytes))
        prepare(state)
        limit = kilobytes * 1024
        result = state.run(
            *_words(words, batch_list),
            before=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)),
            expect=None,
        )
        is_refused = _refused(result)
        refused += is_refused
        _check_and_repeat(state, _words(again, batch_list), _answered(result), is_long=is_long)
        shutil.rmtree(state.path.parent)
        if not is_refused:
            break
    assert not is_refused
    assert refused >= 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_mounted_read_only(fleet: State, small_disk: Path, batch_list: Path, is_long: bool, name: str) -> None:
    words, prepare, again = COMMANDS[name]
    state = _copy(fleet, small_disk / "x")
    prepare(state)
    before = state.snapshot()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    result = state.run(*_words(words, batch_list), expect=None)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert _refused(result)
    assert state.snapshot() == before
    _check_and_repeat(state, _words(again, batch_list), (), is_long=is_long)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_state_of_another_user(fleet: State, batch_list: Path, is_long: bool, name: str) -> None:
    """Everybody may read it, nobody but its owner may write it: exit 8 and not an octet changed."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can become another user")
    words, prepare, again = COMMANDS[name]
    with tempfile.TemporaryDirectory() as place:
        state = _copy(fleet, Path(place, "x"))
        prepare(state)
        batch = Path(shutil.copy(batch_list, place))
        for path in (Path(place), *Path(place).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        before = state.snapshot()
        result = state.run(*_words(words, batch), before=become_nobody, expect=None)
        assert _refused(result)
        assert state.snapshot() == before
        for path in state.path.rglob("*"):
            path.chmod(stat.S_IMODE((fleet.path / path.relative_to(state.path)).stat().st_mode))
        _check_and_repeat(state, _words(again, batch), (), is_long=is_long)


# What the kernel answers instead of doing the call; strace counts the calls of each process; CI tries one.
INJECTIONS = {
    "fsync EIO": ("fsync,fdatasync", "EIO", 2),
    "rename ENOSPC": ("rename,renameat,renameat2", "ENOSPC", 1),
    "write EIO": ("pwrite64", "EIO", 6),
}


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_call_that_the_kernel_refuses(
    fleet: State, tmp_path: Path, batch_list: Path, is_long: bool, name: str, injection: str
) -> None:
    """The n-th fsync, rename or write of the program's own process fails, for one n after the other."""
    words, prepare, again = COMMANDS[name]
    calls, error, usual = INJECTIONS[injection]
    refused = 0
    for number in range(1, 100) if is_long else (usual,):
        state = _copy(fleet, tmp_path / str(number))
        prepare(state)
        result, happened = _run_injected(state, _words(words, batch_list), f"{calls}:error={error}:when={number}")
        refused += _refused(result)
        _check_and_repeat(state, _words(again, batch_list), _answered(result), is_long=is_long)
        shutil.rmtree(state.path.parent)
        if not happened:
            break
    assert refused >= 1


def _run_injected(state: State, words: list[str], fault: str) -> tuple[Result, bool]:
    """Run the real program under strace; also says whether the fault came about."""
    log = state.path.parent / "strace.log"
    calls = fault.partition(":")[0]
    argv = [need("strace"), "-f", "-o", log, "-e", f"trace={calls}", "-e", f"inject={fault}", *PROGRAM]
    done = subprocess.run(
        [*argv, *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=program_environment(state=state),
        cwd=state.path.parent,
        check=False,
        timeout=120,
    )
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    return Result(tuple(words), done.returncode, done.stdout, done.stderr), "(INJECTED)" in log.read_text()
