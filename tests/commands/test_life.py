"""The years after registration: renewal with an overlap, holds, retirement."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from support.clock import fake_time
from support.program import State
from support.tools import need, run_tool


def statuses(state: State, device_id: str) -> dict[str, str | None]:
    """serial -> reason of each certificate."""
    return {each["serial"]: each["reason"] for each in state.json("show", device_id)["certificates"]}


def listed(state: State) -> str:
    """The CRL as openssl prints it."""
    return run_tool("openssl", "crl", "-in", state.crl, "-noout", "-text").stdout


AFTER_OVERLAPS = "+15d"  # one lasts for 14 days


def deep_kinds(state: State) -> set[str]:
    lines = state.run("health", "--deep", "--json", expect=None).json_lines
    return {one["kind"] for line in lines for one in line.get("differences", [])}


def test_a_renewed_certificate_lives_on_for_the_overlap_and_is_then_superseded(state: State) -> None:
    (old,) = state.register("press-17")
    new = state.json("renew", "press-17")
    assert new["renews"] == old["serial"]
    assert new["revoke_after"] is not None
    assert new["bundle_password"] != old["bundle_password"]
    assert statuses(state, "press-17") == {new["serial"]: None, old["serial"]: None}
    shown = {one["serial"]: one["revoke_after"] for one in state.json("show", "press-17")["certificates"]}
    assert shown == {new["serial"]: None, old["serial"]: new["revoke_after"]}
    assert f"revoke after {new['revoke_after']}\n" in state.run("show", "press-17").stdout
    assert "two-active" not in deep_kinds(state)
    state.run("gen-crl")
    assert statuses(state, "press-17")[old["serial"]] is None
    state.run("gen-crl", env=fake_time(AFTER_OVERLAPS))
    assert statuses(state, "press-17") == {new["serial"]: None, old["serial"]: "superseded"}
    assert old["serial"] in listed(state)
    assert new["serial"] not in listed(state)
    assert "user press-17\n" in state.acl.read_text()


def test_an_overlap_does_not_take_the_last_certificate_of_a_device(state: State) -> None:
    (old,) = state.register("press-17")
    new = state.json("renew", "press-17")
    state.run("revoke", "--serial", new["serial"])
    state.run("gen-crl", env=fake_time(AFTER_OVERLAPS))
    assert statuses(state, "press-17")[old["serial"]] is None


@pytest.mark.parametrize(("when", "reason"), [("now", "superseded"), ("never", None)])
def test_revoke_old(state: State, when: str, reason: str | None) -> None:
    (old,) = state.register("press-17")
    new = state.json("renew", "press-17", "--revoke-old", when)
    assert new["revoke_after"] is None
    assert statuses(state, "press-17")[old["serial"]] == reason
    assert (old["serial"] in listed(state)) == (when == "now")
    state.run("gen-crl", env=fake_time(AFTER_OVERLAPS))
    assert statuses(state, "press-17")[old["serial"]] == reason
    state.run("revoke", "press-17", "--reason", "keyCompromise")
    assert None not in statuses(state, "press-17").values()


def public_key(state: State, device_id: str) -> str:
    certificate = state.device(device_id) / "device.crt"
    return run_tool("openssl", "x509", "-in", certificate, "-noout", "-pubkey").stdout


def test_which_key_is_certified(state: State, tmp_path) -> None:
    state.register("press-17")
    first = public_key(state, "press-17")
    same = state.json("renew", "press-17", "--same-key")
    assert public_key(state, "press-17") == first
    key = state.device("press-17") / "device.key"
    opened = run_tool("openssl", "pkey", "-in", key, "-passin", f"pass:{same['bundle_password']}", "-pubout").stdout
    assert opened == first
    state.run("renew", "press-17")
    assert public_key(state, "press-17") != first

    need("openssl")
    csr = tmp_path / "own.csr"
    words = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "own.key")
    run_tool("openssl", "req", "-new", *words, "-subj", "/CN=own", "-out", csr)
    state.run("register", "own", "--csr", csr)
    own = public_key(state, "own")
    assert state.json("renew", "own")["bundle"] is None
    assert public_key(state, "own") == own
    assert state.json("renew", "own", "--rekey")["bundle"] is not None
    assert public_key(state, "own") != own


def test_a_list_is_renewed_on_all_cores_and_only_what_expires_soon(state: State, tmp_path) -> None:
    state.run("register", "--count", "30", "--validity-days", "10")
    state.register("fresh")
    renewed = state.run("renew", "--expiring-within", "30", "--json").json_lines
    assert {line["status"] for line in renewed} == {"renewed"}
    assert len(renewed) == 30
    assert state.run("renew", "--expiring-within", "30", "--json").json_lines == []
    batch = tmp_path / "list.csv"
    batch.write_text("device_id\nfresh\nnobody\n")
    result = state.run("renew", "--batch", batch, "--json", expect=6)
    assert [line["status"] for line in result.json_lines] == ["renewed", "failed"]
    assert "line 3" in result.stderr


def test_options_of_renew_that_would_be_ignored_are_refused(state: State, tmp_path) -> None:
    csr = tmp_path / "own.csr"
    words = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "own.key")
    run_tool(need("openssl"), "req", "-new", *words, "-subj", "/CN=own", "-out", csr)
    state.register("press-17")
    state.run("register", "own", "--csr", csr)
    before = state.snapshot()
    for words in (
        ("press-17", "--rekey", "--same-key"), ("press-17", "--rekey", "--csr", csr), ("press-17", "--batch", csr),
        ("press-17", "own", "--csr", csr), ("--csr", csr, "--expiring-within", "9"), ("press-17", "PRESS-17"),
        ("--old-ca", "press-17"), ("press-17", "--same-key", "--key-type", "rsa-2048"),
        ("press-17", "--csr", csr, "--key-type", "ec-p256"),
    ):  # fmt: skip
        assert "hint: " in state.run("renew", *words, expect=2).stderr, words
    assert "made its key itself" in state.run("renew", "own", "--key-type", "ec-p384", expect=4).stderr
    assert state.snapshot() == before
    state.run("renew", "own", "--key-type", "ec-p256")
    state.run("renew", "own", "--key-type", "ec-p384", "--rekey")


def test_many_renewals_end_with_their_number(state: State) -> None:
    state.run("register", "soon", "--validity-days", "5")
    state.register("late", "gone")
    state.run("revoke", "gone")
    done = state.run("renew", "soon", "late", "gone", "--expiring-within", "30", expect=4)
    assert "iotonboard: 1 renewed, 1 skipped, 1 failed; results in " in done.stderr
    assert "nothing to renew" in state.run("renew", "--expiring-within", "30").stderr


def test_a_revoked_held_or_retired_device_is_not_renewed(state: State) -> None:
    state.register("revoked", "held", "retired")
    state.run("revoke", "revoked")
    state.run("revoke", "held", "--reason", "certificateHold")
    state.run("retire", "retired")
    before = state.snapshot()
    for device_id, hint in (("revoked", "reissue"), ("held", "release held"), ("retired", "another id")):
        assert hint in state.run("renew", device_id, expect=4).stderr
    state.run("renew", "nobody", expect=5)
    state.run("renew", expect=2)
    assert state.snapshot() == before


def test_a_device_is_revoked_also_when_an_earlier_certificate_expired_unrevoked(state: State) -> None:
    """A renewal leaves the old certificate valid; with less time left than the overlap it just expires."""
    state.register("stolen", "held", "old")
    for name in ("stolen", "held", "old"):
        state.run("renew", name)
    state.run("revoke", "stolen", "--reason", "keyCompromise")
    state.run("revoke", "held", "--reason", "certificateHold")
    edit(state, "DELETE FROM revocation WHERE certificate IN (SELECT min(id) FROM certificate GROUP BY device)")
    edit(state, "UPDATE certificate SET not_before = 1, not_after = 2 WHERE id IN"
                " (SELECT min(id) FROM certificate GROUP BY device)")  # fmt: skip
    edit(state, "UPDATE certificate SET not_before = 1, not_after = 2 WHERE device ="
                " (SELECT id FROM device WHERE device_id = 'old')")  # fmt: skip
    for name, status, code in (("stolen", "revoked", 4), ("held", "on-hold", 4), ("old", "expired", 0)):
        assert state.json("show", name)["status"] == status
        assert [one["device_id"] for one in state.run("list", "--status", status, "--json").json_lines] == [name]
        assert {one["label"]: one["number"] for one in state.json("report")["statuses"]}[status] == 1
        state.run("renew", name, expect=code)


def test_a_hold_ends_on_crl_and_acl_and_the_trail_keeps_both(state: State) -> None:
    (device,) = state.register("press-17")
    state.run("revoke", "press-17", "--reason", "certificateHold")
    assert "Certificate Hold" in listed(state)
    assert "user press-17\n" not in state.acl.read_text()
    for answer in (state.json("show", "press-17"), state.json("list", "--status", "on-hold")):
        assert answer["status"] == "on-hold"
    assert state.run("list", "--status", "revoked").stdout == ""
    assert "revoked (certificateHold)" in state.run("show", "press-17").stdout
    released = state.json("release", "press-17")
    assert released["serials"] == [device["serial"]]
    assert device["serial"] not in listed(state)
    assert "user press-17\n" in state.acl.read_text()
    details = [row["detail"] for row in state.run("audit", "show", "--all", "--json").json_lines]
    assert "certificateHold" in [detail.get("revoked") for detail in details]
    assert {"released": True} in details
    assert "un-revoked" not in deep_kinds(state)
    before = state.snapshot()
    assert "not on hold" in state.run("release", "press-17", expect=4).stderr
    state.run("release", "nobody", expect=5)
    assert state.snapshot() == before
    state.run("revoke", "press-17", "--reason", "certificateHold")
    assert len(state.run("release", "press-17", "press-17", "--json").json_lines) == 1


def test_release_and_retire_reload_the_broker_or_say_so(state: State, tmp_path) -> None:
    state.register("press-17")
    state.run("revoke", "press-17", "--reason", "certificateHold")
    assert "then reload it" in state.run("release", "press-17").stderr
    assert "then reload it" in state.run("renew", "press-17", "--revoke-old", "now").stderr
    reload = f"cat {state.acl} {state.crl} >{tmp_path / 'reloaded'}"  # as a broker does, else it is waited for
    state.run("config", "set", "broker.reload", f'command:sh -c "{reload}"')
    state.run("revoke", "press-17", "--reason", "certificateHold")
    for verb in ("release", "retire", "retire"):
        assert "then reload it" not in state.run(verb, "press-17", "--reload").stderr
        (tmp_path / "reloaded").unlink()


def test_a_held_certificate_can_be_revoked_for_good(state: State) -> None:
    (device,) = state.register("press-17")
    state.run("revoke", "press-17", "--reason", "certificateHold")
    state.run("revoke", "press-17", "--reason", "keyCompromise")
    assert statuses(state, "press-17") == {device["serial"]: "keyCompromise"}
    assert "Key Compromise" in listed(state)
    assert state.json("show", "press-17")["status"] == "revoked"
    assert state.run("list", "--status", "on-hold").stdout == ""
    state.run("release", "press-17", expect=4)
    state.run("revoke", "press-17", "--reason", "certificateHold")
    assert statuses(state, "press-17") == {device["serial"]: "keyCompromise"}


def test_a_retired_id_is_never_given_again(state: State) -> None:
    (device,) = state.register("press-17")
    state.register("press-18")
    assert state.json("retire", "press-17")["serials"] == [device["serial"]]
    assert "Cessation Of Operation" in listed(state)
    assert "user press-17\n" not in state.acl.read_text()
    assert [row["device_id"] for row in state.run("list", "--status", "retired", "--json").json_lines] == ["press-17"]
    assert [row["device_id"] for row in state.run("list", "--status", "revoked", "--json").json_lines] == []
    assert state.json("show", "press-17")["status"] == "retired"
    before = state.snapshot()
    for answer in ("fail", "skip", "reissue"):
        assert "retired" in state.run("register", "press-17", "--if-exists", answer, expect=4).stderr
        state.run("register", "PRESS-17", "--if-exists", answer, expect=4)
    assert state.json("retire", "press-17")["changed"] is False
    assert state.snapshot() == before


# -- what health says of it ------------------------------------------------------------------------------------------


def check(state: State, name: str, env: dict[str, str] | None = None) -> dict[str, str]:
    (found,) = state.run("health", "--check", name, "--json", env=env).json["checks"]
    return found


def edit(state: State, statement: str) -> None:
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def test_an_overlap_that_is_over_is_named_until_a_crl_ends_it(state: State) -> None:
    state.register("press-17")
    state.run("renew", "press-17")
    assert check(state, "overlaps")["status"] == "ok"
    later = fake_time(AFTER_OVERLAPS)
    found = check(state, "overlaps", env=later)
    assert (found["status"], found["hint"]) == ("warning", "type: iotonboard gen-crl")
    assert "press-17" in found["message"]
    state.run("gen-crl", env=later)
    assert check(state, "overlaps", env=later)["status"] == "ok"


def test_a_delivery_that_nobody_fetched_is_named_until_it_is_made_again(state: State) -> None:
    state.register("press-17", "press-18")
    state.run("deliver", "press-17", "press-18")
    assert check(state, "deliveries")["message"].startswith("2 ")
    edit(state, "UPDATE delivery SET expires_at = 1")
    state.run("confirm", "press-18")
    found = check(state, "deliveries")
    assert (found["status"], found["message"][:1]) == ("warning", "1")
    assert "deliver press-17" in found["hint"]
    state.run("deliver", "press-17")
    assert check(state, "deliveries")["status"] == "ok"


def test_a_key_that_outlived_its_device_is_named_until_it_is_purged(state: State) -> None:
    state.register("press-17", "press-18", "press-19", "press-20")
    state.run("revoke", "press-17")
    state.run("revoke", "press-18", "--reason", "certificateHold")
    state.run("renew", "press-19", "--revoke-old", "now")
    assert check(state, "kept-keys")["status"] == "ok"
    edit(state, "UPDATE revocation SET revocation_date = 1")
    found = check(state, "kept-keys")
    assert (found["status"], found["message"][:1]) == ("warning", "1")
    assert "purge press-17" in found["hint"]
    state.run("purge", "press-17")
    assert check(state, "kept-keys")["status"] == "ok"
    edit(state, "UPDATE certificate SET not_before = 1, not_after = 2 WHERE device = (SELECT max(id) FROM device)")
    assert "purge press-20" in check(state, "kept-keys")["hint"]


def test_a_retired_device_is_not_offered_a_new_certificate(state: State) -> None:
    state.register("press-17")
    state.run("retire", "press-17")
    for words in (("export", "press-17", "--out", "-"), ("deliver", "press-17")):
        said = state.run(*words, expect=5).stderr
        assert "retired" in said
        assert "reissue" not in said


def test_a_revoked_device_that_gets_a_new_certificate_is_let_in_in_either_style(state: State) -> None:
    for style in ("pattern", "per-device"):
        state.run("config", "set", "acl.style", style)
        state.register(style)
        allowed = state.acl.read_text()
        state.run("revoke", style)
        assert state.acl.read_text() != allowed
        state.register(style, "--if-exists", "reissue")
        rules = [line for line in state.acl.read_text().splitlines() if not line.startswith("#")]
        assert rules == [line for line in allowed.splitlines() if not line.startswith("#")]
