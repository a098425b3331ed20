"""A storm of reloads while the files are replaced: the broker never meets a file that lets anyone in, or nobody.

A writer runs the real program without a pause, each command in a process of its own, while a real Mosquitto gets one
SIGHUP after the other. What a reload took holds until the next one, so every reload is judged by what the broker then
does with a revoked device, with one of another CA and with two registered ones; by delivery, not by return codes.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client, connect_answer, connected, unpack
from support.program import PROJECT, State, make_state, program_environment

DEVICES = 300  # so that both files are long enough to be met half-written, if they could be
WRITER = """
import itertools, sys
from pathlib import Path
from support.program import State

state, note = State(Path(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[3])
for number in itertools.count():
    device = f"new-{number}"
    for words in (
        ("register", device, "--no-bundle"),
        ("revoke", "held", "--reason", "certificateHold"),
        ("topics", "add", device, "read:plant/news"),
        ("release", "held"),
        ("revoke", device, "--reason", "keyCompromise"),
        ("gen-crl", "--calendar", str(number % 3 * 2)),
        ("config", "set", "acl.style", ("pattern", "per-device")[number % 2]),
        ("sync-acl",),
    ):
        state.run(*words)
        with note.open("a") as file:
            file.write(words[0] + "\\n")
"""


@contextlib.contextmanager
def _writer(state: State, folder: Path) -> Iterator[Path]:
    """Publish without a pause; yields the file that has a line for every command that ended well."""
    note, errors = folder / "published", folder / "errors"
    note.touch()
    environment = program_environment(state=state) | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}
    words = [sys.executable, "-c", WRITER, state.path, state.passphrase_file, note]
    with errors.open("wb") as file, subprocess.Popen(words, env=environment, stderr=file) as process:
        try:
            yield note
            assert process.poll() is None, errors.read_text()
        finally:
            process.terminate()


@pytest.mark.parametrize("reloads", [220, pytest.param(3000, marks=pytest.mark.long)])
def test_no_reload_meets_a_file_that_lets_anyone_in_or_nobody(
    state: State, start_broker, tmp_path: Path, reloads: int
) -> None:
    state.run("register", "--count", DEVICES, "--no-bundle")
    names = ("one", "two", "fresh", "gone", "held")
    one, two, fresh, gone, _ = (unpack(found, tmp_path) for found in state.register(*names))
    state.run("revoke", "gone", "--reason", "keyCompromise")
    (tmp_path / "other").mkdir()
    stranger = unpack(make_state(tmp_path / "other").register("one")[0], tmp_path)
    broker = start_broker(state)
    with connected(broker, one, two) as clients, _writer(state, tmp_path) as note:
        for client in clients:
            client.subscribe("#")
        for number in range(reloads):
            broker.reload(wake=lambda: clients[0].is_connected)
            _check_topics(clients, str(number))
            assert connect_answer(broker, gone).startswith("refused"), f"reload {number}"
            if number % 10 == 0:
                assert connect_answer(broker, stranger, ca_cert=state.ca_cert).startswith("refused"), number
                with connected(broker, fresh) as [newcomer]:
                    newcomer.subscribe("#")
                    _check_topics([clients[0], newcomer], f"{number} again")
        published = note.read_text().split()
    assert broker.log.count("Reloading config") == reloads
    assert len(published) >= reloads // 10, published


def _check_topics(clients: list[Client], payload: str) -> None:
    """Each client reaches its own topics and nobody else's."""
    for client, other in zip(clients, reversed(clients), strict=True):
        client.publish(f"devices/{client.device_id}/x", payload)
        client.publish(f"devices/{other.device_id}/forged", payload)
    for client in clients:
        assert client.received() == [(f"devices/{client.device_id}/x", payload)]
