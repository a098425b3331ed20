"""The program as its users meet it: a process with arguments, streams, an exit code and a state on disk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from iotonboard.ca.passphrase import key_file_text

from support.clock import fake_time
from support.launcher import Launcher
from support.messages import refuse_python_values

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "iotonboard"]


@dataclass(frozen=True)
class Result:
    """What one call of the program left behind."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object that stdout holds."""
        (only,) = self.json_lines
        return only

    @property
    def json_lines(self) -> list[dict[str, Any]]:
        """One JSON object for each line of stdout."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def __str__(self) -> str:
        words = " ".join(self.argv)
        return f"exit {self.exit_code}: iotonboard {words}\n-- stdout\n{self.stdout}-- stderr\n{self.stderr}"


def program_environment(
    *, state: State | Path | None = None, env: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """The environment of a call: the state and its passphrase file by variable, nothing else of ours."""
    merged: dict[str, str | None] = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONUTF8": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    if isinstance(state, State):
        merged |= {
            "IOTONBOARD_STATE": str(state.path),
            "IOTONBOARD_PASSPHRASE_FILE": str(state.passphrase_file),
        }
    elif state is not None:
        merged["IOTONBOARD_STATE"] = str(state)
    merged |= env or {}
    return {name: value for name, value in merged.items() if value is not None}


def run_cli(
    *args: str | Path,
    state: State | Path | None = None,
    input: str | bytes | None = None,  # noqa: A002  # subprocess.run's own word
    env: Mapping[str, str | None] | None = None,
    expect: int | Collection[int] | None = 0,
    cwd: Path | None = None,
    timeout_s: float = 120,
    before: Callable[[], object] | None = None,
) -> Result:
    """Run the real program to its end.

    Args:
        args: the words after ``iotonboard``.
        state: a State brings its passphrase file along; a Path is only IOTONBOARD_STATE.
        input: what stdin holds; stdin is never a terminal.
        env: variables to set, or to remove with None.
        expect: the exit code that must come, or several that may; None accepts any.
        cwd: the current directory; by default one that is empty and gone afterwards.
        before: what happens first in the process of the call, such as one of ``support.faults``.
    """
    words = tuple(map(str, args))
    environment = program_environment(state=state, env=env)
    with contextlib.ExitStack() as stack:
        folder = cwd or stack.enter_context(tempfile.TemporaryDirectory())
        streams = given, out, err = tuple(stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(input.encode() if isinstance(input, str) else (input or b""))
        given.seek(0)
        starts = launcher(draws_labels="labels" in words, fakes_time="FAKETIME" in environment)
        exit_code = starts.run(
            words, streams=streams, environment=environment, cwd=folder, timeout_s=timeout_s, before=before
        )
        out.seek(0)
        err.seek(0)
        result = Result(words, exit_code, out.read().decode(), err.read().decode())
    if expect is None:
        return result
    if result.exit_code not in (expect if isinstance(expect, Collection) else (expect,)):
        told = f"expected exit {expect}, got {result}"
        pytest.fail(told.encode("utf-8", "backslashreplace").decode())  # a name that is no text
    if "Traceback" in result.stderr and result.exit_code != 1:  # an expected 1 is a defect that the test made
        pytest.fail(f"a traceback: {result}")
    texts = [text for text in (*environment.values(), input) if isinstance(text, str)]
    refuse_python_values(result.exit_code, words, result.stdout, result.stderr, texts)
    return result


@functools.cache
def launcher(*, draws_labels: bool = False, fakes_time: bool = False) -> Launcher:
    """What starts the program for this worker."""
    environment = program_environment(env=fake_time("+0") if fakes_time else {})
    return Launcher(PROGRAM, environment, draws_labels=draws_labels)


@dataclass(frozen=True)
class State:
    """One state directory and the passphrase file that opens it."""

    path: Path
    passphrase_file: Path

    def run(self, *args: str | Path, **options: Any) -> Result:
        """Run the program on this state."""
        return run_cli(*args, state=self, **options)

    def json(self, *args: str | Path, **options: Any) -> dict[str, Any]:
        """Run the program with --json and return its one object."""
        return self.run(*args, "--json", **options).json

    def register(self, *device_ids: str, **options: Any) -> list[dict[str, Any]]:
        """Register devices; one object for each, in order."""
        return self.run("register", *device_ids, "--json", **options).json_lines

    def copy_to(self, folder: Path) -> State:
        """Copy the state and its passphrase file into another folder."""
        shutil.copytree(self.path, folder / "state")
        return State(folder / "state", Path(shutil.copy2(self.passphrase_file, folder / "key-file")))

    @property
    def certs(self) -> Path:
        return self.path / "certs"

    @property
    def ca_cert(self) -> Path:
        return self.certs / "ca.crt"

    @property
    def crl(self) -> Path:
        return self.certs / "crl.pem"

    @property
    def acl(self) -> Path:
        return self.path / "mosquitto.acl"

    def device(self, device_id: str) -> Path:
        """The folder that holds a device's published files."""
        return self.certs / "devices" / device_id

    def snapshot(self) -> dict[str, str]:
        """Everything the state holds, as path -> kind, mode and SHA-256; the database by its contents."""
        return snapshot(self.path)


def write_key_file(path: Path) -> None:
    """What ``--generate-key-file`` writes: random, in the form that needs no slow derivation."""
    path.write_bytes(key_file_text(os.urandom(32)) + b"\n")
    path.chmod(0o600)


def make_state(folder: Path, *options: str) -> State:
    """Make a CA with a random key file for a passphrase: the fast way, without a slow KDF."""
    state = State(folder / "state", folder / "key-file")
    write_key_file(state.passphrase_file)
    named = () if "--common-name" in options else ("--common-name", "IoT Onboarding CA")
    state.run("init-ca", *named, *options)
    return state


def snapshot(folder: Path) -> dict[str, str]:
    """A folder's contents as relative path -> kind, mode and SHA-256.

    SQLite's own side files are left out and a database counts by its dump, one entry for each row: opening
    one may move pages between the files without changing what they say.
    """
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.name.endswith((".db-wal", ".db-shm", ".db-journal")):
                continue
            status = path.lstat()
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            if stat.S_ISLNK(status.st_mode):
                content = f"link to {path.readlink()}"
            elif stat.S_ISDIR(status.st_mode):
                content = "folder"
            elif path.suffix == ".db" and path.read_bytes().startswith(b"SQLite format 3\0"):
                content = "database"
                found |= {f"{name}: {statement}": "" for statement in dump_database(path)}
            else:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = f"{mode} {content}"
    return found


def dump_database(path: Path) -> list[str]:
    """The database as SQL, read from a copy so that the original is not touched."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.db")
        shutil.copy(path, copy)
        wal = Path(f"{path}-wal")
        if wal.exists():
            shutil.copy(wal, f"{copy}-wal")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            return [
                *connection.iterdump(),
                f"user_version {connection.execute('PRAGMA user_version').fetchone()[0]}",
            ]
