"""Only plain files are opened: nothing waits for a writer, and no device is touched."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from iotonboard.disk.reading import holds, open_file, read_back, read_file, read_pieces
from iotonboard.errors import BusyError, ConflictError, NotFoundError

from support.program import State


def _socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "a FIFO"),
        (_socket, "a socket"),
        (os.mkdir, "a folder"),
        (lambda path: os.symlink("/dev/null", path), "a device"),
    ],
)
def test_what_is_no_file_is_never_opened(
    make: Callable[[str], None], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make("given")
    for read in (open_file, read_file):
        with pytest.raises(NotFoundError, match=f"'given' is {what}, not a file") as caught:
            read("given")
        assert caught.value.hint
    for ask in (lambda path: list(read_pieces(path)), lambda path: holds(path, [b""]), read_back):
        with pytest.raises(BusyError, match=f"it is {what}, not a file"):
            ask("given")


def test_a_name_that_no_file_has(tmp_path: Path) -> None:
    for name in (str(tmp_path / "no"), "a\0b", str(tmp_path / "x" / "y"), "\ud800"):
        with pytest.raises(NotFoundError, match="there is no file"):
            read_file(name)


def test_what_the_caller_opened_is_read(tmp_path: Path) -> None:
    """As a shell hands over <(...): a pipe whose writer is there already."""
    reading, writing = os.pipe()
    os.write(writing, b"from a program")
    os.close(writing)
    try:
        assert read_file(f"/dev/fd/{reading}") == b"from a program"
    finally:
        os.close(reading)


def test_a_file_is_read_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(str(tmp_path / "file"), limit=5) == b"12345"
    with pytest.raises(ConflictError):
        read_file(str(tmp_path / "file"), limit=4)


def test_no_operand_makes_a_command_wait(state: State, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    state.register("d-1")
    for words in (
        ("register", "x", "--csr", fifo),
        ("verify", "--cert", fifo),
        ("verify", "--acl", fifo),
        ("revoke", "--cert", fifo),
        ("gen-crl", "--passphrase-file", fifo),
        ("bundle", "open", fifo, "--out", tmp_path / "opened"),
        ("apply", state.acl, "--ca", fifo, "--dest", tmp_path),
    ):
        result = state.run(*words, expect=range(2, 10), timeout_s=20)
        assert "a FIFO, not a file" in result.stdout + result.stderr, result
