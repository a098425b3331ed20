"""One call, as a whole process, beside the imports it cannot do without; and one device on an open stream."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from measure import PROGRAM, Case, Line, Run, Spent, State, environment, install, pair, process, skipped
from peers import CFSSL, cfssl_gencert, make_ca

LIGHT = "import typer, sqlite3"
HEAVY = "import typer, cryptography.x509, sqlite3, pyzipper"


def startup(state: State) -> list[Case]:
    """Light verbs and ``register``."""

    def bare(code: str) -> Run:
        return lambda: process(sys.executable, "-c", code)

    def deferred() -> Spent:
        name = state.fresh()
        state.call("register", name, "--no-bundle")
        return state.call("revoke", name, "--defer", unlocked=False)

    light = {
        "--version": lambda: process(*PROGRAM, "--version"),
        "--help": lambda: process(*PROGRAM, "--help"),
        "show": lambda: state.call("show", "first", unlocked=False),
        "sync-acl": lambda: state.call("sync-acl", unlocked=False),
        "revoke --defer": deferred,
    }
    return [
        *(pair(words.split()[0].strip("-"), f"`{words}`", f"`{LIGHT}`", "<= 1.25", ours, bare(LIGHT))
          for words, ours in light.items()),
        pair("register", "`register`, one EC device with bundle", f"`{HEAVY}`", "<= 1.05",
             lambda: state.call("register", state.fresh()), bare(HEAVY)),
    ]  # fmt: skip


def without_bytecode(state: State, folder: Path) -> list[Case]:
    """The package as it lies in a folder that is read-only and was never compiled; all others have their bytecode."""
    env = {"PYTHONDONTWRITEBYTECODE": "1", "IOTONBOARD_STATE": str(state.path),
           "IOTONBOARD_PASSPHRASE_FILE": str(state.key_file)}  # fmt: skip
    bare: list[str] = []

    def call(*words: str) -> Spent:
        bare[:] = bare or install(folder / "bare", compiled=False)
        return process(*bare, *words, env=env)

    calls: dict[str, Callable[[], list[str]]] = {
        "`show`": lambda: ["show", "first"],
        "`register`, one EC device with bundle": lambda: ["register", state.fresh()],
    }
    return [
        pair("bytecode", f"{what}, package without bytecode", "the same, compiled", "-",
             lambda words=words: call(*words()), lambda words=words: state.call(*words()))
        for what, words in calls.items()
    ]  # fmt: skip


def stream(state: State, folder: Path, devices: int) -> list[Case]:
    """A device on an open stream beside a process of cfssl that makes a key and a certificate."""
    what, peer, required = "`register --stream`, line in to line out", "one `cfssl gencert` process", "<= 0.75"
    if not shutil.which("cfssl"):
        return [skipped("stream", what, peer, f"not installed ({CFSSL})")]

    def measure(_runs: int) -> Line:
        with _Stream(state) as opened:
            theirs = cfssl_gencert(make_ca(folder / "stream-ca"))
            return pair("stream", what, peer, required, opened.register, theirs).measure(devices)

    return [Case("stream", measure)]


class _Stream:
    """``register --stream`` as a line script keeps it open."""

    def __init__(self, state: State) -> None:
        self._state = state
        env = environment(IOTONBOARD_STATE=str(state.path), IOTONBOARD_PASSPHRASE_FILE=str(state.key_file))
        self._child = subprocess.Popen(
            [*PROGRAM, "register", "--stream", "--json", "--quiet"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate()

    def register(self) -> Spent:
        """The time of one device; neither processor time nor memory."""
        begin = time.perf_counter()
        self._child.stdin.write(self._state.fresh().encode() + b"\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        wall = time.perf_counter() - begin
        if b'"serial"' not in answer:
            sys.exit(f"register --stream: {answer.decode(errors='replace')}")
        return Spent(wall * 1000)
