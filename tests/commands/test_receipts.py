"""Did it arrive? A broker's machine says what is in place there, and the workstation shows it."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from iotonboard.broker.receipt import LABEL

from support.clock import fake_time
from support.program import State, make_state
from support.site import Site

HERE = socket.gethostname()


@pytest.fixture
def site(state: State, tmp_path: Path) -> Site:
    state.register("press-1", "press-2")
    (tmp_path / "site").mkdir()
    return Site(state, tmp_path / "site")


def carry(site: Site, name: str = "receipt") -> Path:
    """A package to the broker and its receipt back."""
    site.apply(site.pack(f"{name}.iotpkg"), "--receipt", str(site.folder / name))
    return site.folder / name


def arrival(state: State, device_id: str) -> list[bool]:
    (certificate,) = state.json("show", device_id)["certificates"]
    return [one["in_place"] for one in certificate["arrivals"]]


def health(state: State) -> dict[str, str]:
    return state.json("health", "--check", "receipts")["checks"][0]


def read_at(receipt: Path, folder: Path, *, broker: str) -> Path:
    """The same receipt from another machine, where the broker was seen to read the files."""
    from dataclasses import replace

    from iotonboard.broker.receipt import read_receipt, render_receipt

    (folder / broker).write_bytes(render_receipt(replace(read_receipt(str(receipt)), broker=broker, is_read=True)))
    return folder / broker


def test_a_revocation_is_followed_to_each_broker(site: Site, tmp_path: Path) -> None:
    state = site.state
    assert health(state)["message"].startswith("not checked")
    state.run("receipts", read_at(carry(site), tmp_path, broker="broker-2"))
    assert health(state)["status"] == "ok"
    state.run("revoke", "press-1")
    assert arrival(state, "press-1") == [False]
    state.run("receipts", read_at(carry(site, "second"), tmp_path, broker="broker-1"))
    assert arrival(state, "press-1") == [True, False]
    assert arrival(state, "press-2") == []
    said = state.run("show", "press-1").stdout
    assert "in force at broker-1" in said
    assert "not known at broker-2" in said
    found = health(state)
    assert found["status"] == "warning"
    assert "'press-1', revoked 2" in found["message"]
    assert "in force at broker-1, not known at broker-2" in found["message"]
    assert "1 at broker-2" in found["message"]
    assert "receipt" in found["hint"]
    rows = [json.loads(line) for line in state.run("audit", "show", "--all", "--json").stdout.splitlines()]
    told = [row["subject"] for row in rows if "receipt" in str(row["detail"]) and row["subject"] != "rows"]
    assert told == ["broker-2", "broker-1"]


def test_what_no_list_has_is_in_force_nowhere(site: Site) -> None:
    """Deferred in the second of the list that is in place: by the clock they could not be told apart."""
    site.state.run("receipts", carry(site))
    site.state.run("revoke", "press-1", "--defer")
    assert arrival(site.state, "press-1") == [False]
    site.state.run("gen-crl")
    site.state.run("receipts", carry(site, "third"))
    assert arrival(site.state, "press-1") == [True]


def test_a_hold_that_was_released_and_came_back_is_a_new_one(site: Site) -> None:
    site.state.run("revoke", "press-1", "--reason", "certificateHold")
    site.state.run("receipts", carry(site))
    assert arrival(site.state, "press-1") == [True]
    site.state.run("release", "press-1")
    site.state.run("receipts", carry(site, "second"))
    site.state.run("revoke", "press-1")
    assert arrival(site.state, "press-1") == [False]


def test_a_calendar_counts_by_its_first_list(site: Site) -> None:
    site.state.run("gen-crl", "--calendar", "3", "--every", "7")
    site.state.run("receipts", carry(site))
    site.state.run("revoke", "press-1")
    assert arrival(site.state, "press-1") == [False]
    site.state.run("receipts", carry(site, "second"))
    assert arrival(site.state, "press-1") == [True]


def test_a_receipt_says_that_nobody_saw_the_broker_read(site: Site) -> None:
    site.state.run("revoke", "press-1")
    done = site.state.run("receipts", carry(site), "--json")
    assert done.json["is_read"] is False
    assert done.json["broker"] == HERE
    assert "--reload" in done.stderr
    assert f"in place at {HERE}, not seen read" in site.state.run("show", "press-1").stdout


def test_an_earlier_receipt_changes_nothing(site: Site) -> None:
    first = carry(site)
    site.state.run("revoke", "press-1")
    second = carry(site, "second")
    before = site.state.json("receipts", second)
    assert before["status"] == "taken"
    snapshot = site.state.snapshot()
    assert site.state.json("receipts", second)["status"] == "known"
    assert site.state.json("receipts", first)["status"] == "older"
    assert site.state.snapshot() == snapshot
    assert arrival(site.state, "press-1") == [True]


def test_a_broker_whose_clock_begins_in_1970_goes_forwards_all_the_same(site: Site) -> None:
    site.state.run("receipts", carry(site))
    site.state.run("revoke", "press-1")
    site.apply(site.pack("late.iotpkg"), "--receipt", str(site.folder / "late"), env=fake_time("-300d"))
    assert site.state.json("receipts", site.folder / "late")["status"] == "taken"
    assert arrival(site.state, "press-1") == [True]


def test_a_broker_that_went_back_is_told(site: Site) -> None:
    old = site.pack("old")
    site.state.run("revoke", "press-1")
    site.state.run("receipts", carry(site))
    words = ("--accept-older", "--receipt", str(site.folder / "back"))
    site.apply(old, *words, env=fake_time("+1h"))
    done = site.state.run("receipts", site.folder / "back")
    assert "went back" in done.stderr
    assert arrival(site.state, "press-1") == [False]


def test_a_receipt_of_another_ca_is_refused_and_harms_no_other(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    receipt = carry(site)
    assert "another CA" in other.run("receipts", receipt, expect=6).stderr
    done = site.state.run("receipts", tmp_path / "missing", site.folder, receipt, "--json", expect=5)
    assert [one["status"] for one in done.json_lines] == ["failed", "failed", "taken"]


def test_a_list_that_another_copy_signed_is_no_receipt_of_this_one(site: Site, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy = site.state.copy_to(tmp_path / "copy")
    site.state.run("revoke", "press-1")
    receipt = carry(site)
    before = copy.snapshot()
    said = copy.run("receipts", receipt, expect=4).stderr
    assert "another copy" in said
    assert "restore --crl" in said
    copy.run("gen-crl")  # the same number, other octets
    copy.run("receipts", receipt, expect=4)
    assert before != copy.snapshot()


def changed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old, new, 1)


@pytest.mark.parametrize(
    "spoil",
    [
        changed(b'"counter":1', b'"counter":2'),
        changed(b'"is_read":false', b'"is_read":true'),
        changed(b"\n{", b"\n {"),
        changed(b"receipt v1", b"receipt v9"),
        lambda content: content + b"\n",
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda _: b"",
        lambda _: b"\0" * 4096,
        lambda _: LABEL + b"\n" + b"[" * 60_000 + b"\n\n",
        lambda _: LABEL + b"\n[]\n\n",
        lambda _: LABEL + b'\n{"issuers":[{"this_update":1e999}]}\n\n',
        lambda content: content + b"x" * (1 << 17),
    ],
)
def test_a_damaged_receipt_is_refused(site: Site, spoil: Callable[[bytes], bytes]) -> None:
    receipt = carry(site)
    receipt.write_bytes(spoil(receipt.read_bytes()))
    before = site.state.snapshot()
    said = site.state.run("receipts", receipt, expect=6).stderr
    assert "hint: " in said
    assert site.state.snapshot() == before


def test_each_octet_of_a_receipt_counts(site: Site) -> None:
    from iotonboard.broker.receipt import read_receipt
    from iotonboard.errors import PolicyError

    receipt = carry(site)
    content = receipt.read_bytes()
    for position in range(len(content)):
        receipt.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(PolicyError):
            read_receipt(str(receipt))


def test_a_receipt_with_a_digest_made_to_fit_holds_no_strange_values(site: Site) -> None:
    from hashlib import sha256

    receipt = carry(site)
    line = json.loads(receipt.read_bytes().split(b"\n")[1])
    strange: dict[str, object] = {
        "broker": "\x1b[2J", "path": "\ud800", "counter": 1.5, "acl_change": True, "acl_key": "x" * 16, "is_read": 1,
        "time": 1 << 62, "issuers": line["issuers"] * 2, "more": 1,
    }  # fmt: skip
    for key, value in strange.items():
        text = json.dumps(line | {key: value}, sort_keys=True, separators=(",", ":")).encode()
        lines = LABEL + b"\n" + text + b"\n"
        receipt.write_bytes(lines + sha256(lines).hexdigest().encode() + b"\n")
        assert "damaged" in site.state.run("receipts", receipt, expect=6).stderr, key


def test_a_receipt_replaces_no_other_file_and_needs_its_folder(site: Site) -> None:
    package, other = site.pack(), site.folder / "notes"
    other.write_text("mine")
    site.refused(package, "--receipt", str(other), expect=4)
    site.refused(package, "--receipt", str(site.folder / "away" / "receipt"), expect=5)
    site.apply(package, "--receipt", str(site.folder / "receipt"))
    again = json.loads(site.apply(package, "--json", "--receipt", str(site.folder / "receipt")))
    assert again["changed"] is False
    assert other.read_text() == "mine"


def test_a_receipt_that_cannot_be_written_is_told_when_all_else_is_done(site: Site) -> None:
    if shutil.which("chattr") is None:
        pytest.skip("no chattr here")
    said = site.apply(site.pack(), "--receipt", "/proc/receipt", expect=8)
    assert "the package is in place, and there is no receipt" in said
    assert "crl.pem" in site.contents()


def test_an_older_acl_at_a_broker_is_told_too(site: Site) -> None:
    """A right that was taken away is on no list."""
    site.state.run("topics", "add", "press-1", "read:plant/x")
    site.state.run("receipts", carry(site))
    assert health(site.state)["status"] == "ok"
    site.state.run("topics", "remove", "press-1", "read:plant/x")
    found = health(site.state)
    assert (found["status"], f"of the ACL at {HERE}" in found["message"]) == ("warning", True)
    site.state.run("receipts", carry(site, "second"))
    assert health(site.state)["status"] == "ok"


def test_a_broker_that_never_reported_is_named(site: Site, tmp_path: Path) -> None:
    state = site.state
    state.run("broker", "issue", "broker-1.plant.example")
    state.run("broker", "issue", "broker-2")
    state.run("revoke", "press-1")
    assert health(state)["message"].startswith("not checked")
    done = state.run("receipts", read_at(carry(site), tmp_path, broker="broker-1"))
    assert "'broker-2' never reported" in done.stderr
    assert "'broker-1" not in done.stderr
    found = health(state)
    assert (found["status"], found["message"]) == ("warning", "broker-2 never reported")
    assert arrival(state, "press-1") == [True, None]
    assert "broker-2 never reported" in state.run("show", "press-1").stdout
    state.run("broker", "revoke", "broker-2")
    state.run("receipts", read_at(carry(site, "second"), tmp_path, broker="broker-1"))
    assert health(state)["status"] == "ok"
