"""The broker's process is one process: whoever has its number later is another one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from iotonboard.broker.process import Process, broker_process
from iotonboard.broker.reload_method import Method
from iotonboard.errors import BusyError, NotFoundError

CODE = "import signal; open('/proc/self/comm', 'w').write('mosquitto'); print('runs', flush=True); signal.pause()"
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="Linux tells in /proc")


@pytest.fixture
def broker() -> Iterator[subprocess.Popen[str]]:
    """A process that is called as the broker's, and that a SIGHUP ends."""
    process = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def found(broker: subprocess.Popen[str], tmp_path: Path) -> Process:
    (tmp_path / "pid").write_text(f"{broker.pid}\n")
    process = broker_process(Method("pid", str(tmp_path / "pid")))
    assert process is not None
    return process


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_another_process_with_its_number_is_not_the_broker(
    broker: subprocess.Popen[str], found: Process, has_pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    assert found.lives()
    gone = replace(found, start=found.start - 1)  # what the system gave the number to is younger
    assert not gone.lives()
    assert gone.status() == {}
    with pytest.raises(BusyError, match="No such process"):
        gone.hang_up()
    assert broker.poll() is None
    found.hang_up()
    assert broker.wait(10) != 0


def test_one_that_ended_is_not_signalled(broker: subprocess.Popen[str], found: Process) -> None:
    broker.kill()
    broker.wait()
    assert not found.lives()
    with pytest.raises(BusyError):
        found.hang_up()


def test_a_pid_file_names_no_process_that_began_after_it_was_written(
    broker: subprocess.Popen[str], found: Process, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    method = Method("pid", str(pid))
    os.utime(pid, (found.started_at() - 60, found.started_at() - 60))
    with pytest.raises(NotFoundError, match="started after"):
        broker_process(method)
    os.utime(pid, (0, 0))  # written while the system had no clock yet
    assert broker_process(method) == found
