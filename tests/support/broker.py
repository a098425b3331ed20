"""A real Mosquitto on loopback, run from the configuration that ``broker issue`` wrote."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from iotonboard.broker.acl import Version

from support.clock import fake_clock
from support.program import State
from support.tools import need

BROKER_NAMES = ("localhost", "127.0.0.1")
_START_ATTEMPTS = 5  # another process may take the free port between finding and binding it


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 20.0, *, pause_s: float = 0.01) -> Any:
    """Wait until the condition holds and return its value; fail with ``what`` when it never does."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:.0f} s for {what() if callable(what) else what}")
        time.sleep(pause_s)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_ready(log: str) -> bool:
    """Whether a log has the line behind which signals and sockets are ready; 2.1 says before whom it runs as."""
    return re.search(r"mosquitto version \S+ running", log) is not None


@functools.cache
def release() -> Version:
    """The release of the broker that the tests run: the one that ``MOSQUITTO`` names, or the system's."""
    said = subprocess.run([need("mosquitto"), "-h"], capture_output=True, text=True, check=False).stdout
    return "2.1" if "mosquitto version 2.1" in said else "2.0"


class Broker:
    """One mosquitto process. ``state`` gains a broker certificate when it has none.

    Args:
        state: where conf, certificates, CRL and ACL are; the broker reads the published files in place.
        folder: where the adapted configuration and the log go.
        replace: words of the configuration to change, to show what one of its lines is good for.
        clock: let ``set_clock`` move the broker's time.
        user: whom the broker becomes, when root runs the tests.
    """

    def __init__(
        self,
        state: State,
        folder: Path,
        *,
        replace: dict[str, str] | None = None,
        clock: bool = False,
        user: str = "root",
    ) -> None:
        self.mosquitto = need("mosquitto")
        self.state = state
        self.folder = folder
        self.replace = replace or {}
        self.user = user
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self._environment = {**os.environ, **(fake_clock(folder / "clock") if clock else {})}
        self.conf = folder / "mosquitto.conf"
        self.log_file = folder / "mosquitto.log"
        conf = state.certs / "brokers" / BROKER_NAMES[0] / "mosquitto.conf"
        if not conf.exists():
            issued = state.json("broker", "issue", *BROKER_NAMES, "--plain-key")
            conf = Path(issued["config"])
        self.template = conf.read_text()

    def start(self) -> None:
        """Start and wait until the broker takes connections."""
        for _ in range(_START_ATTEMPTS):
            self.port = free_port()
            self.conf.write_text(self._adapted())
            with self.log_file.open("wb") as log:
                self._process = subprocess.Popen(
                    [self.mosquitto, "-v", "-c", str(self.conf)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                )
            # Signals and sockets are ready when this line appears; a SIGHUP before that would end the broker.
            wait_for(lambda: not self.is_running() or is_ready(self.log), lambda: f"the broker:\n{self.log}")
            if self.is_running():
                return
            if "Address already in use" not in self.log:
                break
        pytest.fail(f"mosquitto did not start:\n{self.log}\n-- configuration\n{self.conf.read_text()}")

    def _adapted(self) -> str:
        """The generated configuration, on a free loopback port, as the user who runs the tests."""
        text, changed = re.subn(r"(?m)^(listener|port) .*$", f"listener {self.port} 127.0.0.1", self.template)
        assert changed == 1, f"one listener was expected in the configuration:\n{self.template}"
        for old, new in self.replace.items():
            assert old in text, f"{old!r} is not in the configuration:\n{text}"
            text = text.replace(old, new)
        user = f"user {self.user}\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        return user + "set_tcp_nodelay true\n" + text  # or many an answer waits 40 ms for an ACK

    def set_clock(self, offset: str) -> None:
        """Move the broker's time, also while it runs: ``"+8d"`` is eight days ahead of ours."""
        (self.folder / "clock").write_text(offset)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def reload(self, *, wake: Callable[[], object] = lambda: None) -> None:
        """Send SIGHUP; what reaches the broker from now on meets the new CRL and ACL.

        The broker has one thread: the line in its log precedes the reload, and it handles no packet and no
        handshake until the reload is over. It looks for signals ten times a second, and after each packet that
        ``wake`` sends.
        """
        assert self._process is not None
        before = self.log.count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        wake()
        wait_for(
            lambda: not self.is_running() or self.log.count("Reloading config") > before,
            lambda: f"a reload:\n{self.log}",
        )
        assert self.is_running(), f"the broker ended at the reload:\n{self.log}"

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
