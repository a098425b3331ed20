"""Without OpenSSL, or with one that does not answer: certain is certain, the rest is said, and nothing is held up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.client import connect_answer, unpack
from support.faults import look_for_openssl_in
from support.program import State, run_cli
from support.site import Site
from support.strange import make_ca, make_crl, make_device

WHY = {"missing": "install openssl", "slow": "openssl did not answer within"}


@pytest.fixture(params=WHY)
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def without(how: str, tmp_path: Path) -> Callable[[], None]:
    """Done first in the process of a call."""
    place = tmp_path / "programs"
    place.mkdir()
    if how == "slow":
        program = place / "openssl"
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
    return look_for_openssl_in(place)


def test_files_of_its_own_are_judged_all_the_same(state: State, without: Callable[[], None]) -> None:
    state.register("good", "gone")
    state.run("revoke", "gone")
    with_it = state.json("verify", "good", "gone", expect=9)
    assert [one["at_start"]["cause"] for one in with_it["devices"]] == ["ok", "revoked"]
    assert state.json("verify", "good", "gone", expect=9, before=without) | {"at": ""} == with_it | {"at": ""}
    assert state.json("verify", "good", before=without)["problems"] == []


def test_files_of_others_are_not_judged_and_it_says_why(how: str, without: Callable[[], None], tmp_path: Path) -> None:
    ca = make_ca("CA")
    files = {"acl": b"", "crl": make_crl(ca), "ca": ca.pem, "cert": make_device(ca, "one").pem}
    words = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(b"# of the plant\n" + content if name in {"crl", "ca"} else content)
        words += [f"--{name}", tmp_path / name]
    answer = run_cli("verify", *words, "--json", expect=9, before=without).json
    (device,) = answer["devices"]
    assert (device["at_start"]["accepted"], device["at_start"]["cause"]) == (None, "not-judged")
    assert f"not judged here: {WHY[how]}" in device["at_start"]["reason"]
    assert [(one["code"], one["status"]) for one in answer["problems"]] == [("not-judged", "warning")]
    assert run_cli("verify", *words[:-2], "--json", before=without).json["status"] == "ok"


def test_a_revocation_reaches_the_broker(
    state: State, start_broker, without: Callable[[], None], tmp_path: Path
) -> None:
    """Also where the CA file holds what is not of this program."""
    device = unpack(state.register("gone")[0], tmp_path)
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'pid'}")
    state.ca_cert.write_bytes(b"# of the plant\n" + state.ca_cert.read_bytes())
    broker = start_broker(state)
    (tmp_path / "pid").write_text(str(broker._process.pid))
    assert connect_answer(broker, device) == "Success"
    state.run("revoke", "gone", "--reload", before=without)
    assert connect_answer(broker, device) != "Success"
    state.run("sync-acl", "--reload", before=without)


def test_a_package_is_applied(state: State, without: Callable[[], None], folder: Path) -> None:
    state.register("one")
    site = Site(state, folder)
    nothing = {"IOTONBOARD_STATE": None, "IOTONBOARD_PASSPHRASE_FILE": None}
    state.run(*site.words(site.pack("first")), env=nothing, before=without)
    state.run("revoke", "one")
    state.run(*site.words(site.pack("second")), env=nothing, before=without)
    assert (site.dest / "crl.pem").read_bytes() == state.crl.read_bytes()


def test_a_damaged_list_is_certain(state: State, without: Callable[[], None]) -> None:
    """No list at all is what nobody needs OpenSSL for: the broker would not be reloaded with it."""
    state.crl.write_bytes(b"")
    first, *_ = state.json("verify", expect=9, before=without)["problems"]
    assert first["code"] == "crl-unreadable"
