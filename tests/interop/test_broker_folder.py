"""What ``broker issue --for`` makes, read by a real broker that becomes Debian's own service user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from iotonboard.disk.permissions import has_user

from support.broker import free_port, is_ready, wait_for
from support.client import connect_answer, connected, unpack
from support.program import State
from support.tools import need

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not has_user("mosquitto"),
    reason="only root can become the broker's own user",
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the broker's user may enter, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def etc(place: Path) -> Path:
    """/etc/mosquitto as Debian ships it, in another place."""
    folder = place / "mosquitto"
    (folder / "conf.d").mkdir(parents=True)
    for own in ("lib", "run"):
        (place / own).mkdir()
        shutil.chown(place / own, "mosquitto")
    (folder / "mosquitto.conf").write_text(
        f"pid_file {place}/run/mosquitto.pid\npersistence true\npersistence_location {place}/lib/\n"
        f"log_dest file {place}/lib/mosquitto.log\ninclude_dir {folder}/conf.d\n"
    )
    return folder


@pytest.fixture
def service(etc: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """``systemctl start mosquitto``: as root, with the main configuration alone."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        words = [need("mosquitto"), "-c", str(etc / "mosquitto.conf")]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        started.append(process)
        log = etc.parent / "lib" / "mosquitto.log"
        wait_for(lambda: process.poll() is not None or (log.exists() and is_ready(log.read_text())), "the broker")
        assert process.poll() is None, process.stderr.read()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


class _At:
    """Where a client of the tests finds the broker."""

    def __init__(self, state: State, port: int) -> None:
        self.state, self.port = state, port


def test_one_command_and_a_restart(
    state: State, etc: Path, service: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    one, two = (unpack(found, tmp_path) for found in state.register("press-1", "press-2"))
    port = free_port()
    made = state.json("broker", "issue", "localhost", "127.0.0.1", "--for", etc / "iotonboard", "--port", str(port))
    judged = state.json("verify", "press-1", "--conf", etc / "mosquitto.conf")
    assert (judged["status"], judged["problems"]) == ("ok", [])
    assert all(judged["listeners"][0][f"enforces_{what}"] for what in ("certificate", "crl", "acl"))
    process, broker = service(), _At(state, port)
    assert (
        f"Uid:\t{os.stat(made['folder'] + '/broker.key').st_uid}\t" in Path(f"/proc/{process.pid}/status").read_text()
    )
    with connected(broker, one, two) as [first, second]:
        second.subscribe("devices/press-2/#")
        second.publish("devices/press-2/x", "arrives")
        assert second.received() == [("devices/press-2/x", "arrives")]
        assert "has read its files" in state.run("revoke", "press-1", "--reload").stderr
        assert first.is_connected
    assert connect_answer(broker, one) != connect_answer(broker, two)
    late = unpack(state.register("press-3")[0], tmp_path)
    state.run("sync-acl", "--reload")
    with connected(broker, late) as [third]:
        third.subscribe("devices/press-3/#")
        third.publish("devices/press-3/x", "arrives")
        assert third.received() == [("devices/press-3/x", "arrives")]
    served = state.json("broker", "issue", "localhost")["serial"]
    process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: _served(port) == served, "the new certificate")
    assert process.poll() is None


def _served(port: int) -> str:
    """Serial of the certificate that the broker shows; it and its key are read again at a reload."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
    shown = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout
    found = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True, check=False)
    return found.stdout.decode().strip().partition("=")[2]


def test_a_folder_of_its_own(state: State, place: Path, start_broker: Callable, tmp_path: Path) -> None:
    """Without Debian's layout the configuration lies in the folder too."""
    state.run("broker", "issue", "localhost", "127.0.0.1", "--for", place / "broker", "--user", "mosquitto")
    device = unpack(state.register("press-1")[0], tmp_path)
    broker = start_broker(state, user="mosquitto")
    assert "cafile" in broker.template
    with connected(broker, device) as [client]:
        client.subscribe("devices/press-1/#")
        client.publish("devices/press-1/x", "arrives")
        assert client.received() == [("devices/press-1/x", "arrives")]
    assert "Future versions" not in broker.log  # 2.1 about others, owner and group


def test_what_2_1_says_of_rights_is_foretold(state: State, place: Path) -> None:
    state.run("broker", "issue", "localhost", "--for", place / "broker", "--user", "mosquitto")
    acl, asked = place / "broker" / "mosquitto.acl", ("verify", "--broker", "mosquitto-2.1")
    assert state.json(*asked)["problems"] == []
    for spoil in (lambda: acl.chmod(0o644), lambda: os.chown(acl, 0, -1), lambda: os.chown(acl, -1, 0)):
        before = acl.stat()
        spoil()
        (found,) = state.json(*asked)["problems"]
        assert (found["code"], found["status"]) == ("acl-rights", "warning")
        assert state.json("verify", "--broker", "mosquitto-2.0")["problems"] == []
        os.chown(acl, before.st_uid, before.st_gid)
        acl.chmod(before.st_mode & 0o777)


def test_a_device_that_has_not_reached_the_broker_is_told(state: State, etc: Path, service: Callable) -> None:
    """The most common "it connects and nothing arrives": registered, and the broker has not read the ACL since."""
    state.run("broker", "issue", "localhost", "--for", etc / "iotonboard", "--port", str(free_port()))
    service()
    said = state.run("register", "press-1").stderr
    assert "next: reload the broker" in said
    acl = etc / "iotonboard" / "mosquitto.acl"
    later = acl.stat().st_mtime_ns + 3 * 10**9  # the broker's start is known to two seconds
    os.utime(acl, ns=(later, later))
    for _ in range(2):  # looking leaves no trace
        assert codes(state) == ["not-read-yet"]
    assert "has read its files" in state.run("topics", "add", "press-1", "read:plant/x", "--reload").stderr
    assert codes(state) == []
    assert "has read its files" in state.run("register", "press-2", "--reload").stderr
    told = state.run("register", "--stream", "--reload", input="press-3\n").stderr
    assert "has read its files" in told
    assert codes(state) == []


def codes(state: State) -> list[str]:
    return [one["code"] for one in state.json("verify", "press-1")["problems"]]
