"""What an office orders a station: whom to revoke, how many devices it may make, where its next journal begins."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from iotonboard.exchange.journal import TrailPoint
from iotonboard.pki import pem
from iotonboard.pki.key_id import key_id

from support.invariants import read_crls
from support.journals import read_journal
from support.orders import NOTHING, Signing, make_signing, newest_point, production, revocation
from support.program import State
from support.stations import make_works
from support.terminal import on_terminal


@pytest.fixture(scope="module")
def office() -> Signing:
    return make_signing()


@pytest.fixture
def station(state: State, office: Signing, tmp_path: Path) -> State:
    office.trusted_by(state, tmp_path)
    return state


def listed(state: State) -> set[int]:
    (crl,) = read_crls(state.crl)
    return {one.serial_number for one in crl}


def test_an_office_is_trusted_by_its_fingerprint_alone(state: State, office: Signing, tmp_path: Path) -> None:
    file = office.write_certificate(tmp_path)
    assert "nothing says whose office" in state.run("order", "trust", file, expect=2).stderr
    assert "another fingerprint" in state.run("order", "trust", file, "--fingerprint", "ab" * 32, expect=6).stderr
    assert state.json("order", "list")["office"] is None
    orders = office.write(tmp_path / "a.orders", office.orders(state, 1))
    assert "trusts no office" in state.run("order", "take", orders, expect=6).stderr
    trusted = state.json("order", "trust", file, "--fingerprint", office.fingerprint.upper())
    assert (trusted["status"], trusted["office"]) == ("trusted", office.fingerprint)
    again = state.json("order", "trust", file, env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert again["status"] == "unchanged"
    assert state.json("order", "take", orders)["status"] == "taken"
    other = make_signing()
    replaced = state.json("order", "trust", other.write_certificate(tmp_path), "--fingerprint", other.fingerprint)
    assert replaced["before"] == office.fingerprint
    assert "does not trust" in state.run("order", "take", orders, expect=6).stderr
    assert state.json("order", "list")["orders"] is None
    state.run("health", "--deep")


def test_a_person_is_shown_the_office_and_types_its_digits(state: State, office: Signing, tmp_path: Path) -> None:
    file = str(office.write_certificate(tmp_path))
    raw, _, code = on_terminal(state, "order", "trust", file, answers=["yes"], columns=200)
    assert (code, office.fingerprint[:8] in raw) == (2, True), raw
    raw, _, code = on_terminal(state, "order", "trust", file, answers=[office.fingerprint[-8:]], columns=200)
    assert code == 0, raw
    other = make_signing()
    (tmp_path / "other").mkdir()
    file = str(other.write_certificate(tmp_path / "other"))
    raw, _, code = on_terminal(state, "order", "trust", file, answers=[other.fingerprint[-8:]], columns=200)
    assert (code, f"takes the place of the office {office.fingerprint[:8]}" in raw) == (0, True), raw


def test_what_is_no_office_is_not_trusted(state: State, tmp_path: Path) -> None:
    state.register("press-17")
    (tmp_path / "empty").write_text("")
    for path, code in (
        (state.device("press-17") / "device.crt", 6), (tmp_path / "empty", 6), (tmp_path / "none", 5), (tmp_path, 5),
    ):  # fmt: skip
        state.run("order", "trust", path, "--fingerprint", "ab" * 32, expect=code)


def test_what_the_office_revokes_is_on_the_list_and_out_of_the_acl(
    station: State, office: Signing, tmp_path: Path
) -> None:
    one, two, _ = station.register("press-17", "press-18", "press-19")
    forgotten = "0A" * 20
    ordered = (
        revocation(1, one["serial"], "press-17"),
        revocation(2, two["serial"], "press-18", "certificateHold"),
        revocation(3, forgotten, "press-99"),
        revocation(4, "0B" * 20, "press-19"),
    )
    orders = office.write(tmp_path / "a.orders", office.orders(station, 5, revocations=ordered))
    taken = station.json("order", "take", orders)
    assert taken["status"] == "taken"
    assert sorted(one["device_id"] for one in taken["revocations"] if one["serials"]) == [
        "", "press-17", "press-18", "press-99",
    ]  # fmt: skip
    assert listed(station) == {int(serial, 16) for serial in (one["serial"], two["serial"], forgotten, "0B" * 20)}
    station.run("config", "set", "acl.style", "pattern")
    station.run("sync-acl")
    assert "press-99" in station.acl.read_text()  # who has a certificate that nobody knows here
    assert "press-19" not in station.acl.read_text()  # it is here with another one
    assert {one["status"] for one in station.json("order", "list")["revocations"]} == {"recorded"}
    again = station.json("order", "take", orders, env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert again["status"] == "unchanged"
    # A hold that was ended here is not begun again by the same order.
    station.run("release", "press-18")
    newer = office.write(tmp_path / "b.orders", office.orders(station, 6, revocations=ordered))
    station.run("order", "take", newer)
    assert int(two["serial"], 16) not in listed(station)
    station.run("health", "--deep")
    station.run("audit", "verify")


def test_a_revocation_is_recorded_without_the_passphrase_and_signed_with_it(
    station: State, office: Signing, tmp_path: Path
) -> None:
    (one,) = station.register("press-17")
    ordered = (revocation(1, one["serial"], "press-17"),)
    orders = office.write(tmp_path / "a.orders", office.orders(station, 5, revocations=ordered))
    without = station.run("order", "take", orders, "--json", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=8)
    assert without.json["unpublished"][0]["what"] == "crl"
    assert "user press-17" not in station.acl.read_text()
    assert station.json("order", "take", orders)["status"] == "unchanged"
    assert listed(station) == {int(one["serial"], 16)}


def test_orders_of_others_older_ones_and_damaged_ones_are_refused(
    station: State, office: Signing, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    (stick / "plant").mkdir(parents=True)
    foreign, stranger = make_signing(), make_signing()
    mine = office.write(stick / "plant" / "mine.orders", office.orders(station, 7))
    theirs = office.write(stick / "theirs.ORDERS", office.orders(station, 9, station="0123456789abcdef"))
    other = foreign.write(stick / "other.orders", foreign.orders(station, 99))
    (stick / ".mac.orders").write_bytes(b"\0")
    (stick / "cut.orders").write_bytes(mine.read_bytes()[:100])
    mixed = tmp_path / "mixed.orders"
    mixed.write_bytes(mine.read_bytes().replace(b'"number":7', b'"number":8'))
    forged = Signing(stranger.signer, office.chain).write(tmp_path / "forged.orders", office.orders(station, 8))
    for path, said in (
        (theirs, "for the station whose CA has the key 0123456789abcdef"),
        (other, "does not trust"), (mixed, "does not hold"), (forged, "does not hold"),
        (stick / "cut.orders", "damaged"), (station.ca_cert, "no file of orders"),
    ):  # fmt: skip
        assert said in station.run("order", "take", path, expect=6).stderr
    assert station.json("order", "take", stick)["path"] == str(mine)
    older = office.write(tmp_path / "older.orders", office.orders(station, 6))
    assert "orders 7 were taken before" in station.run("order", "take", older, expect=4).stderr
    (tmp_path / "empty").mkdir()
    assert "no orders for this station" in station.run("order", "take", tmp_path / "empty", expect=5).stderr
    station.run("order", "take", tmp_path / "none", expect=5)
    assert station.json("order", "list")["orders"] == 7


def test_a_machine_below_the_first_signs_and_one_that_was_removed_does_not(
    station: State, office: Signing, tmp_path: Path
) -> None:
    second, third = office.machine(), office.machine()
    station.run("order", "take", second.write(tmp_path / "a.orders", office.orders(station, 1)))
    removed = (key_id(third.chain[0]),)
    station.run("order", "take", second.write(tmp_path / "b.orders", office.orders(station, 2, removed=removed)))
    late = third.write(tmp_path / "c.orders", office.orders(station, 3))
    assert "does not trust" in station.run("order", "take", late, expect=6).stderr


def test_the_next_journal_begins_where_the_office_stands(station: State, office: Signing, tmp_path: Path) -> None:
    station.register("press-17")
    first = station.json("journal", "--out", tmp_path)
    assert first["full"]
    point = newest_point(station)
    orders = office.orders(station, 3, acknowledged=TrailPoint(first["until"], point.hash))
    assert orders.acknowledged == point
    station.run("order", "take", office.write(tmp_path / "a.orders", orders))
    second = station.json("journal", "--out", tmp_path)
    assert (second["since"], second["full"]) == (first["until"], False)
    assert second["rows"]["trail"] == second["until"] - first["until"]
    head = read_journal(Path(second["path"]), station.ca_cert).head
    assert (head.office, head.order, head.since) == ("plant", 3, point)
    assert station.json("journal", "--out", tmp_path)["since"] == first["until"]  # until the office took it
    assert station.json("journal", "--out", tmp_path, "--full")["since"] == 0


def test_a_station_that_was_put_back_from_an_older_copy_says_so(
    station: State, office: Signing, tmp_path: Path
) -> None:
    station.register("press-17")
    orders = office.orders(station, 3, acknowledged=TrailPoint(900, bytes(range(32))))
    taken = station.run("order", "take", office.write(tmp_path / "a.orders", orders))
    assert "put back from an older copy" in taken.stderr
    assert station.json("journal", "--out", tmp_path)["full"]


def test_an_office_says_how_ids_begin(station: State, office: Signing, tmp_path: Path) -> None:
    station.register("press-17")
    station.run("order", "take", office.write(tmp_path / "a.orders", office.orders(station, 1, prefix="line7-")))
    assert "begin with 'line7-'" in station.run("register", "press-18", expect=6).stderr
    station.register("line7-press-18")
    (unnamed,) = station.run("register", "--uuid", "--json").json_lines
    assert unnamed["device_id"].startswith("line7-")
    station.run("register", "press-17", "--if-exists", "reissue")
    station.run("renew", "press-17")
    station.run("order", "take", office.write(tmp_path / "b.orders", office.orders(station, 2)))
    station.register("press-18")


def test_devices_are_made_under_open_orders_and_counted(station: State, office: Signing, tmp_path: Path) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    assert station.run("config", "set", "orders", "required", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert "none was taken" in station.run("register", "press-1", expect=6).stderr
    ordered = (production(4, 1), production(5, 2, "server"), production(6, 9, until=past), production(7, 2))
    orders = office.orders(station, 1, production=ordered)
    station.run("order", "take", office.write(tmp_path / "a.orders", orders))
    many = station.run("register", "press-1", "press-2", "press-3", "press-4", "--json", expect=6)
    assert [one["device_id"] for one in many.json_lines if one["status"] != "failed"] == [
        "press-1",
        "press-2",
        "press-3",
    ]
    assert "order 7 is used up (2 of 2)" in many.stderr
    assert "order 6 ended on 2026-01-01" in many.stderr
    assert "order 5 is for profile 'server'" in many.stderr
    # Another certificate of a device that was counted, and a renewal, are no further devices.
    station.run("register", "press-3", "--if-exists", "reissue")
    station.run("renew", "press-3")
    told = {one["order"]: (one["made"], one["status"]) for one in station.json("order", "list")["production"]}
    assert told == {4: (1, "used-up"), 5: (0, "open"), 6: (0, "ended"), 7: (2, "used-up")}
    trail = station.run("audit", "show", "--subject", "press-2", "--json").json_lines
    assert [row["detail"]["order"] for row in trail if "fingerprint" in row["detail"]] == [7]
    journal = read_journal(Path(station.json("journal", "--out", tmp_path)["path"]), station.ca_cert)
    assert [row["production_order"] for row in journal.rows("production")] == [4, 7, 7, 7]
    withdrawn = (production(8, 5, is_withdrawn=True),)
    station.run("order", "take", office.write(tmp_path / "b.orders", office.orders(station, 2, production=withdrawn)))
    assert "order 8 was withdrawn" in station.run("register", "press-9", expect=6).stderr
    station.run("config", "set", "orders", "", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=7)
    station.run("config", "set", "orders", "")
    station.register("press-9")
    station.run("health", "--deep")


def test_a_ca_that_was_added_has_orders_of_its_own(station: State, office: Signing, tmp_path: Path) -> None:
    station.run("ca", "add", "servers", "--key-type", "ec-p256")
    station.run("config", "set", "orders", "required")
    (der,) = pem.pem_blocks("CERTIFICATE", (station.certs / "cas" / "servers" / "ca.crt").read_bytes())
    ordered = (production(4, 1),)
    office.write(tmp_path / "main.orders", office.orders(station, 1, production=ordered))
    own = office.orders(station, 1, production=ordered, station=key_id(der), prefix="s-")
    office.write(tmp_path / "own.orders", own)
    station.run("order", "take", tmp_path)
    words = ("--profile", "server", "--set", "host=s1.plant.example")
    assert "none was taken" in station.run("register", "s-1", *words, expect=6).stderr
    station.run("order", "take", tmp_path, "--ca", "servers")
    assert "begin with 's-'" in station.run("register", "t-1", *words, expect=6).stderr
    station.run("register", "s-1", *words)
    assert "used up (1 of 1)" in station.run("register", "s-2", *words, expect=6).stderr
    station.register("press")
    assert [one["made"] for one in station.json("order", "list")["production"]] == [1]
    assert station.json("journal", "--out", tmp_path, "--ca", "servers")["rows"]["production"] == 1


def test_orders_that_somebody_wrote_into_the_database_open_nothing(
    station: State, office: Signing, tmp_path: Path
) -> None:
    station.run("config", "set", "orders", "required")
    orders = office.orders(station, 1, production=(production(4, 1),))
    station.run("order", "take", office.write(tmp_path / "a.orders", orders))
    forged = make_signing().write(tmp_path / "f", office.orders(station, 1, production=(production(4, 900),)))
    with sqlite3.connect(station.path / "devices.db") as database:
        database.execute("UPDATE office_orders SET content = ?", (forged.read_bytes(),))
    assert "none was taken" in station.run("register", "press-1", expect=6).stderr
    assert "office" in station.run("health", "--deep", expect=9).stdout


def test_health_names_what_the_office_lacks_and_what_is_not_done(state: State, office: Signing, tmp_path: Path) -> None:
    def look() -> tuple[str, str]:
        (found,) = state.run("health", "--check", "office", "--json", expect=(0, 9)).json["checks"]
        return found["status"], found["message"]

    assert look() == ("ok", "this station follows no office")
    state.run("config", "set", "orders", "required")
    assert look()[0] == "warning"
    state.run("config", "set", "orders", "")
    (one,) = state.register("press-17")
    office.trusted_by(state, tmp_path)
    assert "was not written yet" in look()[1]
    state.run("journal", "--out", tmp_path)
    assert look() == ("ok", "no orders were taken of the office yet")
    ordered = (revocation(1, one["serial"], "press-17"),)
    orders = office.write(tmp_path / "a.orders", office.orders(state, 1, revocations=ordered))
    state.run("order", "take", orders)
    assert look()[0] == "ok"
    with sqlite3.connect(state.path / "devices.db") as database:
        database.execute("UPDATE meta SET value = value - 20 * 86400 WHERE key = 'journal_written'")
    assert "the office lacks" in look()[1]
    state.run("journal", "--out", tmp_path)
    with sqlite3.connect(state.path / "devices.db") as database:
        database.execute("DELETE FROM revocation")
    assert look() == ("failed", "the office ordered to revoke 'press-17', and that is not recorded here")
    state.run("order", "take", orders)
    assert look()[0] == "ok"
    point = TrailPoint(900, bytes(range(32)))
    state.run("order", "take", office.write(tmp_path / "b.orders", office.orders(state, 2, acknowledged=point)))
    assert look() == ("failed", "the office took row 900 of a trail that is not in this state")


def test_a_root_follows_no_office(office: Signing, tmp_path: Path) -> None:
    works = make_works(tmp_path)
    for words in (("trust", office.write_certificate(tmp_path)), ("take", tmp_path), ("list",)):
        assert "this is a root" in works.root.run("order", *words, expect=6).stderr
    assert NOTHING.row == 0
