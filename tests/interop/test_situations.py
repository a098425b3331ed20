"""Some 230 situations of certificates, CAs, chains and lists: what ``verify`` says, and what Mosquitto does.

Each situation has a listener of its own in one broker, which starts with good files, reloads what is tried, and starts
with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.broker import release
from support.listeners import Listeners
from support.program import run_cli
from support.situations import Making, Situation
from support.situations.authorities import AUTHORITIES
from support.situations.devices import DEVICES
from support.situations.lists import LISTS

TABLES = {"devices": DEVICES, "authorities": AUTHORITIES, "lists": LISTS}
DECIDES_FOR_ALL = {
    "the broker does not start",
    "the broker ends",
    "the broker refuses every connection",
    "the broker refuses every device of this CA",
}


@pytest.fixture
def listeners(server: Mapping[str, bytes], tmp_path: Path):
    made = Listeners(tmp_path / "broker", files=server)
    yield made
    made.stop()


def ask_broker(listeners: Listeners, situations: Mapping[str, Situation], folder: Path) -> dict[str, bool]:
    """Say who gets in; certificates and keys stay in the folder under the listener's number."""
    done = {}
    for number, (title, one) in enumerate(situations.items()):
        cert, key = folder / f"{number:03}.crt", folder / f"{number:03}.key"
        cert.write_bytes(one.client_pem)
        key.write_bytes(one.device.key_pem)
        done[title] = listeners.lets_in(title, cert, key)
    return done


def ask_verify(listeners: Listeners, title: str, cert: Path) -> dict[str, Any]:
    place = listeners.place(title)
    words = ("--acl", listeners.acl, "--crl", place / "crl.pem", "--ca", place / "ca.crt", "--cert", cert)
    return run_cli("verify", *words, "--broker", f"mosquitto-{release()}", "--json", expect=(0, 9)).json


def test_there_are_two_hundred_of_them() -> None:
    assert sum(map(len, TABLES.values())) > 200


@pytest.mark.parametrize("table", TABLES)
def test_every_device_meets_the_fate_that_verify_tells(listeners: Listeners, tmp_path: Path, table: str) -> None:
    makings: dict[str, Making] = TABLES[table]
    situations = {title: make(title) for title, make in makings.items()}
    good = DEVICES["as usual"]("as usual")
    for title in situations:
        listeners.put(title, {"ca.crt": good.ca_pem, "crl.pem": good.crl_pem})
    assert listeners.start(), listeners.log
    for title, one in situations.items():
        listeners.put(title, {"ca.crt": one.ca_pem, "crl.pem": one.crl_pem})
    listeners.reload()
    at_reload = ask_broker(listeners, situations, tmp_path)
    listeners.stop()
    assert listeners.start(), listeners.log
    at_start = ask_broker(listeners, situations, tmp_path)

    causes, said, contradicted = {}, {}, {}
    for number, title in enumerate(situations):
        answer = ask_verify(listeners, title, tmp_path / f"{number:03}.crt")
        (device,) = answer["devices"]
        causes[title] = device["at_start"]["cause"]
        said[title] = (device["at_start"]["accepted"], device["at_reload"]["accepted"])
        failed = [one for one in answer["problems"] if one["status"] == "failed"]
        if device["at_start"]["accepted"] and DECIDES_FOR_ALL & {one["at_start"] for one in failed}:
            contradicted[title] = failed
    # 2.1 asks the commonName to be a text for MQTT.
    beyond = {title for title, cause in causes.items() if release() == "2.1" and cause == "no-common-name"}
    expected = {title: one.cause or "ok" for title, one in situations.items()}
    assert causes == expected | dict.fromkeys(beyond, "no-common-name")
    assert contradicted == {}
    open_ends = {title for title, one in situations.items() if one.cause == "crl-delta"}
    assert {title for title, told in said.items() if None in told} == open_ends
    done = {title: (at_start[title], at_reload[title]) for title in situations}
    assert {title: told for title, told in said.items() if title not in open_ends and told != done[title]} == {}
