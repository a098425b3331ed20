"""A PostgreSQL server of our own on loopback, as Debian packs it: it starts once, and each test has a database."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.broker import free_port
from support.tools import missing

_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_numbers = itertools.count(1)


def program(name: str) -> str:
    """The path of one of the server's programs; without it the test is skipped, or fails where CI is set."""
    found = shutil.which(name) or next((str(one / name) for one in _FOLDERS if (one / name).exists()), None)
    if found is None:
        missing(f"{name} is not installed (package postgresql on Debian)")
    return found


class Server:
    """A server that runs until its block ends. It refuses to be root's, so there ``postgres`` runs it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def url(self, name: str) -> str:
        """What names one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def new_database(self) -> str:
        """Make an empty database, and return its URL."""
        name = f"office_{next(_numbers)}"
        self.ask("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def ask(self, name: str, statement: str) -> str:
        """Run a statement as the administrator of the server, and return what it says, unadorned."""
        words = [program("psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.url(name), "-c", statement]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@contextlib.contextmanager
def serve(*, durable: bool = False) -> Iterator[Server]:
    """Start a server that keeps nothing safe, unless it is to be ``durable``, and stop it behind the block."""
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if user:
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", free_port()
    try:
        _run(*user, program("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8")
        kept = "" if durable else " -c fsync=off -c full_page_writes=off"
        options = f"-p {port} -k {folder} -h 127.0.0.1 -c max_connections=30{kept}"
        control = program("pg_ctl")
        _run(*user, control, "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        try:
            yield Server(folder, port)
        finally:
            _run(*user, control, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*words: str | Path) -> None:
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=120)
