"""A mixed load of real processes, killed at random moments: nothing lost, nothing used twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from support.invariants import check_invariants
from support.program import PROGRAM, State, program_environment

_SLOWEST_S = 0.9  # the kill falls anywhere between start-up and a moment after the end
_CHECKED_EVERY = 10


def _load(choice: random.Random, known: list[str]) -> list[str]:
    some = choice.choice(known)
    return choice.choice(
        [
            ["register"],
            ["register", "--count", "40", "--jobs", "2"],
            ["register", some, "--if-exists", "reissue"],
            ["revoke", some],
            ["revoke", some, "--defer"],
            ["gen-crl"],
            ["renew", some, "--revoke-old", choice.choice(["now", "after-overlap"])],
            ["renew", "--old-ca", "--revoke-old", "now"],
            ["ca", "rollover", "begin"],
            ["ca", "rollover", "--retire"],
            ["sync-acl"],
            ["broker", "issue", "broker.test"],
            ["config", "set", "acl.style", choice.choice(["pattern", "per-device"])],
        ]
    )


def _kill_one(state: State, words: list[str], after_s: float) -> str:
    """Run a real process and kill it and its workers' parent; returns what it had answered."""
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            [*PROGRAM, *words, "--json"] if words[0] == "register" else [*PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=program_environment(state=state),
        )
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
        out.seek(0)
        return out.read().decode()


def _storm(state: State, kills: int, seed: int) -> None:
    choice = random.Random(seed)  # noqa: S311 - a load that can be repeated
    known = [one["device_id"] for one in state.register("a", "b", "c", "d")]
    answered: set[str] = set()
    for number in range(1, kills + 1):
        words = _load(choice, known)
        text = _kill_one(state, words, choice.uniform(0.05, _SLOWEST_S))
        if words[0] == "register":
            answered |= {part.split('"')[3] for part in text.split(", ") if part.startswith('"serial": "')}
        if number % _CHECKED_EVERY == 0 or number == kills:
            check_invariants(state, answered=tuple(answered), with_openssl=True)
        if number % 100 == 0:  # else the load grows with every batch
            state.run("list", "--limit", "5")
    state.run("gen-crl")
    check_invariants(state, answered=tuple(answered), with_openssl=True)


def test_random_kills(state: State) -> None:
    _storm(state, 12, seed=1)


@pytest.mark.long
def test_500_random_kills(state: State) -> None:
    _storm(state, 500, seed=int(os.environ.get("IOTB_SEED", "2")))


def test_workers_end_with_a_killed_parent(state: State, tmp_path: Path) -> None:
    """No orphan stays behind with the CA key in its memory."""
    child = subprocess.Popen(
        [*PROGRAM, "register", "--count", "5000", "--jobs", "2"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=program_environment(state=state),
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(_session_of(child.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(_session_of(child.pid)) >= 3, "the workers never started"
    child.kill()
    child.wait()
    while _session_of(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _session_of(child.pid)


def _session_of(leader: int) -> list[int]:
    """The living processes of a session, from /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found
