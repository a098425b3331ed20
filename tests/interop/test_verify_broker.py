"""What ``verify`` says, held against a real Mosquitto: at other times, under another user, and message by message."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.broker.check import BrokerFiles, judge_files, judge_message

from support.broker import BROKER_NAMES, Broker, release, wait_for
from support.client import connect_answer, connected, unpack
from support.program import State

# An offset of the broker's clock in hours, and the devices that it takes then.
HOURS = {
    -72: (),
    -2: (),
    -0.5: ("good", "short"),
    0: ("good", "short"),
    24 * 4: ("good", "short"),
    24 * 6: ("good",),
    24 * 40: ("good",),
    24 * 54: ("good",),
    24 * 57: (),
    24 * 400: (),
    24 * 4000: (),
}


def test_verify_at_a_time_says_what_the_broker_does_then(state: State, start_broker, tmp_path: Path) -> None:
    devices = [unpack(one, tmp_path) for one in state.register("good", "gone")]
    devices.append(unpack(state.register("short", "--validity-days", "5")[0], tmp_path))
    state.run("revoke", "gone")
    state.run("gen-crl", "--calendar", "8", "--every", "7")
    broker = start_broker(state, clock=True)
    for hours, taken in HOURS.items():
        moment = datetime.now(UTC) + timedelta(hours=hours)
        answer = state.json("verify", "good", "gone", "short", "--at", moment.isoformat(timespec="seconds"), expect=9)
        said = {one["device_id"]: one["at_start"]["accepted"] for one in answer["devices"]}
        broker.set_clock(f"{hours * 3600:+.0f}")
        done = {one.device_id: connect_answer(broker, one) == "Success" for one in devices}
        assert said == done == {one.device_id: one.device_id in taken for one in devices}, f"{hours} h: {answer}"


# Mode of the folder, the ACL and the CRL; all belong to root, the broker's certificates to its user.
RIGHTS = {
    "all may read": (0o755, 0o644, 0o644),
    "the folder is private": (0o700, 0o644, 0o644),
    "the ACL is private": (0o755, 0o600, 0o644),
    "the CRL is private": (0o755, 0o644, 0o600),
    "others may not": (0o755, 0o640, 0o640),
}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes users: needs root")
@pytest.mark.parametrize("event", ["start", "reload"])
@pytest.mark.parametrize("rights", RIGHTS)
def test_verify_tells_what_the_brokers_user_makes_of_the_rights(
    state: State, tmp_path: Path, rights: str, event: str
) -> None:
    one, gone = (unpack(found, tmp_path) for found in state.register("one", "gone"))
    state.run("revoke", "gone")
    state.run("broker", "issue", *BROKER_NAMES, "--plain-key")
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        shutil.chown(root, "nobody")  # who writes its pid there
        files = Path(root, "published")
        files.mkdir(mode=0o755)
        acl, crl = Path(shutil.copy(state.acl, files)), Path(shutil.copy(state.crl, files))
        own = {path: shutil.copy(path, root) for path in (state.ca_cert, *_broker_files(state))}
        for path in own.values():
            shutil.chown(path, "nobody")
        moved = {str(path): str(place) for path, place in (*own.items(), (state.acl, acl), (state.crl, crl))}
        pid = "mosquitto.pid"
        moved[str(state.certs / "brokers" / BROKER_NAMES[0] / pid)] = str(Path(root, pid))
        broker = Broker(state, tmp_path / "broker", replace=moved, user="nobody")
        try:
            if event == "reload":
                broker.start()
            for path, mode in zip((files, acl, crl), RIGHTS[rights], strict=True):
                path.chmod(mode)
            words = ("--user", "nobody", "--acl", acl, "--crl", crl, "--ca", own[state.ca_cert],
                     "--broker", f"mosquitto-{release()}")  # fmt: skip
            answer = state.json("verify", "one", "gone", "--topic", "elsewhere", *words, expect=None)
            if event == "start":
                try:
                    broker.start()
                except pytest.fail.Exception:
                    assert "the broker does not start" in {one["at_start"] for one in answer["problems"]}
                    return
                assert "the broker does not start" not in {one["at_start"] for one in answer["problems"]}
            elif any(one["at_reload"] == "the broker ends" for one in answer["problems"]):
                with contextlib.suppress(AssertionError):  # it may live a moment longer
                    broker.reload()
                wait_for(lambda: not broker.is_running(), lambda: f"the broker's end:\n{broker.log}")
                return
            else:
                broker.reload()
            said = [device[f"at_{event}"]["accepted"] for device in answer["devices"]]
            assert said == [connect_answer(broker, device) == "Success" for device in (one, gone)]
            is_open = any(one["at_reload"] == "every client may do everything" for one in answer["problems"])
            with connected(broker, one) as [client]:
                client.subscribe("elsewhere")
                client.publish("elsewhere", "x")
                assert client.received() == ([("elsewhere", "x")] if is_open else [])
        finally:
            broker.stop()


def _broker_files(state: State) -> list[Path]:
    folder = state.certs / "brokers" / BROKER_NAMES[0]
    return [folder / "broker.crt", folder / "broker-plain.key"]


OPERATORS_RULES = b"""\
pattern read plant/%u/command
pattern deny devices/%u/locked/#
pattern readwrite $iot/%u/#
user station
topic readwrite #
topic readwrite $SYS/#
topic readwrite $iot/#
user press-1
topic deny devices/press-1/secret
topic read line/+/status
topic write line/#
topic read $SYS/broker/version
user press-2
topic read #
topic deny +/press-1
"""
TOPICS = (
    "devices/press-1", "devices/press-1/a/b", "devices/press-1/secret", "devices/press-1/locked/x", "devices/press-2/x",
    "devices/gone/x", "plant/press-1/command", "plant/press-2/command", "plant/config", "line/7/status",
    "line/7/8/status", "$SYS/broker/version", "$iot/press-1/x", "$iot/gone/x", "elsewhere",
)  # fmt: skip


@pytest.mark.parametrize("style", ["per-device", "pattern"])
def test_verify_of_a_message_says_what_the_broker_delivers(
    state: State, start_broker, tmp_path: Path, style: str
) -> None:
    state.run("config", "set", "acl.style", style)
    state.acl.write_bytes(OPERATORS_RULES + state.acl.read_bytes())
    registered = state.register("station", "press-1", "press-2", "gone", "--own-rules")
    credentials = [unpack(one, tmp_path) for one in registered]
    state.run("topics", "add", "press-1", "read:plant/config")
    broker = start_broker(state)
    with connected(broker, *credentials) as [station, *devices]:
        state.run("revoke", "gone")  # it stays connected
        broker.reload()
        judged = judge_files(BrokerFiles(str(state.acl), str(state.crl), str(state.ca_cert), datetime.now(UTC)))
        for client in (station, *devices):
            client.subscribe(*TOPICS)
        for device in devices:
            for topic in TOPICS:
                device.publish(topic, device.device_id)
            done = {("write", topic) for topic, sender in station.received() if sender == device.device_id}
            for topic in TOPICS:
                station.publish(topic, "from the station")
            # What the broker itself and other devices sent counts too.
            done |= {("read", topic) for topic, sender in device.received() if sender != device.device_id}
            said = {
                (access, topic)
                for access in ("read", "write")
                for topic in TOPICS
                if judge_message(judged, device.device_id, access, topic).accepted
            }
            assert said == done, device.device_id
            assert bool(done) == (device.device_id != "gone")
            for access, topic in (("read", "line/7/status"), ("write", "devices/press-1/a/b")):
                assert _says_delivered(state, device.device_id, access, topic) == ((access, topic) in done)


def _says_delivered(state: State, device_id: str, access: str, topic: str) -> bool:
    done = state.run("verify", device_id, "--topic", topic, "--access", access, "--json", expect=(0, 9))
    (device,) = done.json["devices"]
    return bool(device["message"]["accepted"])
