"""``--reload`` by pid file, systemd and command: never while the broker starts, and with a look at the outcome."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.broker import Broker, wait_for
from support.client import connected, unpack
from support.program import State

USERS = 12_000  # of the operator's own, so that the broker takes a second to start
# What systemd's own program does here: it knows a unit's process, and signals it (ExecReload=kill -HUP $MAINPID).
SYSTEMCTL = """#!/bin/sh
echo "$*" >>{folder}/asked
case $1 in
show) cat {folder}/pid ;;
reload) [ -e {folder}/fails ] && {{ echo "Job for $2 failed." >&2; exit 1; }}; kill -HUP "$(cat {folder}/pid)" ;;
esac
"""
NAMED = "open('/proc/self/comm', 'w').write('mosquitto')"  # called as the broker's process is
# Processes that do what a broker may do; each says when it is ready.
ENDS = "signal.signal(signal.SIGHUP, lambda *_: sys.exit(0))"
HANGS = "signal.signal(signal.SIGHUP, lambda *_: [None for _ in iter(int, 1)])"
IGNORES = "signal.signal(signal.SIGHUP, lambda *_: None)"
READS = "signal.signal(signal.SIGHUP, lambda *_: [open(path).read() for path in sys.argv[1:]])"
STARTS = ""
DONE = re.compile("has read its files|has reloaded and lives; its log says")  # as the disk records who read


@pytest.fixture
def stand_in(state: State) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start processes in the broker's place; the words after the code are ACL and CRL."""
    started: list[subprocess.Popen[str]] = []

    def start(on_hangup: str) -> subprocess.Popen[str]:
        code = f"import signal, sys\n{NAMED}\n{on_hangup}\nprint('runs', flush=True)\nwhile True: signal.pause()"
        words = [sys.executable, "-c", code, state.acl, state.crl]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "runs\n"
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


@pytest.fixture(params=["pid", "systemd"])
def way(request: pytest.FixtureRequest, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to a process whose number stands in ``tmp_path/pid``."""
    if request.param == "systemd":
        systemctl = tmp_path / "bin" / "systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text(SYSTEMCTL.format(folder=tmp_path))
        systemctl.chmod(0o755)
        monkeypatch.setenv("PATH", f"{systemctl.parent}{os.pathsep}{os.environ['PATH']}")
    target = f"pid:{tmp_path / 'pid'}" if request.param == "pid" else "systemd:mosquitto.service"
    state.run("config", "set", "broker.reload", target)
    return str(request.param)


def _asked(tmp_path: Path) -> list[str]:
    file = tmp_path / "asked"
    return file.read_text().splitlines() if file.exists() else []


def test_a_real_broker_has_reloaded_when_the_command_ends(state: State, start_broker, tmp_path: Path, way: str) -> None:
    one, two = (unpack(found, tmp_path) for found in state.register("press-1", "press-2"))
    broker = start_broker(state)
    (tmp_path / "pid").write_text(f"{broker._process.pid}\n")
    with connected(broker, one, two) as [revoked, other]:
        other.subscribe("devices/#")
        revoked.subscribe("devices/#")
        done = state.run("revoke", "press-1", "--reload")
        assert DONE.search(done.stderr)
        assert broker.log.count("Reloading config") == 1
        revoked.publish("devices/press-1/x", "still talking")
        other.publish("devices/press-2/x", "works on")
        assert (revoked.received(), other.received()) == ([], [("devices/press-2/x", "works on")])
    if way == "systemd":
        assert _asked(tmp_path) == ["show -p MainPID --value mosquitto.service", "reload mosquitto.service"]


def test_a_command_runs_and_its_outcome_is_told_as_far_as_it_is_known(state: State, start_broker) -> None:
    broker = start_broker(state)
    state.run("config", "set", "broker.reload", f"command:kill -HUP {broker._process.pid}")
    done = state.run("gen-crl", "--reload")
    assert re.search("the files were read|whether the broker has reloaded is not known", done.stderr)
    wait_for(lambda: "Reloading config" in broker.log, "the reload")
    state.run("config", "set", "broker.reload", "command:true")
    assert "whether the broker has reloaded is not known" in state.run("sync-acl", "--reload").stderr
    state.run("config", "set", "broker.reload", "command:/does/not/exist")
    assert "'/does/not/exist' did not run" in state.run("sync-acl", "--reload", expect=8).stderr


def test_a_real_broker_that_is_still_starting_is_waited_for(state: State, tmp_path: Path) -> None:
    state.acl.write_bytes(b"".join(b"user own-%d\ntopic read x\n" % number for number in range(USERS)))
    state.run("sync-acl")
    (tmp_path / "pid").write_text("")
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'pid'}")
    broker = Broker(state, tmp_path / "broker")
    starting = threading.Thread(target=broker.start)
    starting.start()
    try:
        wait_for(lambda: broker._process, "the process")
        (tmp_path / "pid").write_text(f"{broker._process.pid}\n")
        done = state.run("sync-acl", "--reload")
        assert DONE.search(done.stderr)
        assert broker.is_running()
        starts, reloads = re.search(r"version \S+ running", broker.log).start(), broker.log.index("Reloading config")
        assert starts < reloads
    finally:
        starting.join()
        broker.stop()


def test_a_signal_ends_a_broker_that_is_still_starting(state: State, tmp_path: Path) -> None:
    """The control of the test above: should Mosquitto take it one day, the waiting can go."""
    state.acl.write_bytes(b"".join(b"user own-%d\ntopic read x\n" % number for number in range(USERS)))
    broker = Broker(state, tmp_path / "broker")
    broker.conf.write_text(broker._adapted())
    process = subprocess.Popen([broker.mosquitto, "-c", broker.conf], stderr=subprocess.DEVNULL)
    program = Path(broker.mosquitto).resolve()
    wait_for(lambda: Path(f"/proc/{process.pid}/exe").resolve() == program, "the program")
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == -signal.SIGHUP


@pytest.mark.parametrize(
    ("on_hangup", "code", "words"),
    [
        (READS, 0, ""),
        (IGNORES, 8, "lives but did not read"),
        (STARTS, 8, "the broker is still starting; a SIGHUP would end it, none was sent"),
        (ENDS, 8, "ended at the reload"),
        (HANGS, 8, "the broker has not finished its reload"),
    ],
    ids=["reads", "ignores", "starts", "ends", "hangs"],
)
def test_the_outcome_is_seen_and_told(
    state: State, tmp_path: Path, stand_in, way: str, on_hangup: str, code: int, words: str
) -> None:
    broker = stand_in(on_hangup)
    (tmp_path / "pid").write_text(f"{broker.pid}\n")
    if on_hangup == IGNORES and os.statvfs(state.acl).f_flag & os.ST_NOATIME:
        pytest.skip("this disk does not record who read")
    patience = "1" if on_hangup in (STARTS, HANGS) else "60"
    done = state.run("sync-acl", "--reload", expect=code, env={"IOTONBOARD_BROKER_RELOAD_TIMEOUT_SECONDS": patience})
    assert words in done.stderr
    assert code or DONE.search(done.stderr)
    if on_hangup == STARTS:
        assert broker.poll() is None
        assert "reload mosquitto.service" not in _asked(tmp_path)


def test_a_stolen_ca_is_replaced_and_the_broker_told(state: State, tmp_path: Path, way: str, stand_in) -> None:
    """Also where it is not there any more: the CA is replaced all the same."""
    state.register("press-1")
    broker = stand_in(READS)
    (tmp_path / "pid").write_text(f"{broker.pid}\n")
    assert DONE.search(state.run("ca", "replace", "--compromised", "--reload").stderr)
    broker.kill()
    broker.wait()
    newest = state.json("ca", "status")["cas"][-1]["ca_fingerprint"]
    state.run("ca", "replace", newest[:16], "--compromised", "--reload", expect=(5, 8))
    assert state.json("ca", "status")["cas"][-1]["ca_fingerprint"] != newest


def test_a_broker_that_is_not_there_or_cannot_be_told_is_said(state: State, tmp_path: Path, way: str, stand_in) -> None:
    for text in ("0\n", "", "1\n", "4194305\n", "abc"):
        (tmp_path / "pid").write_text(text)
        assert "no broker runs behind" in state.run("sync-acl", "--reload", expect=8).stderr
    if way == "systemd":
        (tmp_path / "pid").write_text(f"{stand_in(READS).pid}\n")
        (tmp_path / "fails").touch()
        assert "Job for mosquitto.service failed." in state.run("sync-acl", "--reload", expect=8).stderr


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda s: s.acl.write_bytes(b"topic \tread x\n" + s.acl.read_bytes()), "line 1"),
        (lambda s: s.crl.write_bytes(s.crl.read_bytes()[:-40]), "admits revoked devices"),
        (lambda s: s.ca_cert.write_bytes(b""), "refuses every connection"),
    ],
    ids=["acl", "crl", "ca"],
)
def test_no_reload_of_files_that_somebody_spoiled(
    state: State, start_broker, tmp_path: Path, spoil: Callable[[State], object], reason: str
) -> None:
    """They are as they were published to all that the state knows, and the broker would let everybody in."""
    broker = start_broker(state)
    (tmp_path / "pid").write_text(f"{broker._process.pid}\n")
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'pid'}")
    state.register("press-1")
    state.run("revoke", "press-1")
    spoil(state)
    words = ("revoke", "press-1") if reason == "line 1" else ("sync-acl",)
    assert reason in state.run(*words, "--reload", expect=8).stderr
    assert reason != "line 1" or "was not reloaded" in state.run("gen-crl", "--reload", expect=8).stderr
    assert "Reloading config" not in broker.log


def test_nothing_is_sent_to_another_program_whose_number_the_file_holds(state: State, tmp_path: Path) -> None:
    """What a file that outlived its broker names after a restart; SIGHUP ends most programs."""
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'pid'}")
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            (tmp_path / "pid").write_text(f"{other.pid}\n")
            said = state.run("sync-acl", "--reload", expect=8).stderr
            assert f"process {other.pid}" in said
            assert "'sleep' and not mosquitto" in said
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense", "pid:", "pid: ", "pid:a\nb", "systemd:a b", "systemd:-Hhost", "systemd:--host=h", "systemd:a\n",
        "systemd:../x", "command:sh -c 'true", "command:", "command:''", "command:-x", "command:\x07",
    ],
)  # fmt: skip
def test_a_way_that_is_none_is_refused(state: State, tmp_path: Path, text: str) -> None:
    (tmp_path / "p").write_text("")
    assert "hint: " in state.run("sync-acl", "--reload", env={"IOTONBOARD_BROKER_RELOAD": text}, expect=None).stderr
    state.run("config", "set", "broker.reload", text, expect=6)
    assert state.run("config", "show", "--json").json["settings"]["broker.reload"]["value"] == ""
    words = ("--ca", state.ca_cert, "--dest", tmp_path, "--reload", text)
    assert "hint: " in state.run("apply", tmp_path / "p", *words, expect=2).stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes users: needs root")
@pytest.mark.parametrize("kind", ["link", "fifo", "of a stranger", "everybody's", "large"])
def test_a_pid_file_speaks_for_the_process_of_its_owner_only(state: State, tmp_path: Path, kind: str, stand_in) -> None:
    """Its folder is the broker's user's, and the signal is root's."""
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'pid'}")
    broker, pid = stand_in(READS), tmp_path / "pid"
    pid.write_text(f"{broker.pid}\n")
    if kind == "link":
        pid.rename(tmp_path / "elsewhere")
        pid.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        pid.unlink()
        os.mkfifo(pid)
    elif kind == "of a stranger":
        os.chown(pid, 12345, 12345)
    elif kind == "everybody's":
        pid.chmod(0o666)
    else:
        os.truncate(pid, 1 << 40)
    said = state.run("sync-acl", "--reload", expect=8).stderr
    assert "was not reloaded" in said
    assert str(pid) in said
    assert broker.poll() is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes users: needs root")
def test_nothing_is_sent_to_a_broker_that_could_not_read_the_files(state: State, tmp_path: Path, way: str) -> None:
    code = "echo mosquitto >/proc/$$/comm; trap 'echo told' HUP; echo runs; while :; do sleep 0.1; done"
    broker = subprocess.Popen(["/bin/sh", "-c", code], stdout=subprocess.PIPE, text=True, user="nobody", cwd="/")
    try:
        assert broker.stdout.readline() == "runs\n"
        (tmp_path / "pid").write_text(f"{broker.pid}\n")
        assert "it was not reloaded" in state.run("sync-acl", "--reload", expect=8).stderr
    finally:
        broker.kill()
    assert broker.communicate()[0] == ""
