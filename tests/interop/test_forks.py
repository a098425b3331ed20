"""Two copies of a state, or an older one, and one broker: no region of the ACL replaces another copy's in silence."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from iotonboard.broker.acl import parse_acl

from support.faults import KILLED, die_at
from support.program import State
from support.site import Site

DEVICES = ("press-1", "press-2", "press-3")
EXTRA = b"topic read plant/x\n"
IN_PLACE = "mosquitto.acl"


class Forked:
    """A broker's machine, and two copies of the state that served it last; the second one is ahead by its numbers."""

    def __init__(self, state: State, folder: Path) -> None:
        self.sites = []
        state.register(*DEVICES)
        state.run("topics", "add", "press-3", "read:plant/x")
        (folder / "site").mkdir()
        one = Site(state, folder / "site")
        one.apply(one.pack("first"))
        (folder / "copy").mkdir()
        two = object.__new__(Site)
        two.state, two.folder, two.dest, two.ca = state.copy_to(folder / "copy"), folder / "copy", one.dest, one.ca
        self.one, self.two = one, two
        for name in ("new-1", "new-2", "new-3"):
            two.state.register(name)
        for _ in range(3):
            two.state.run("gen-crl")

    def carry(self) -> None:
        """Carry the ACL of the first copy by hand."""
        shutil.copy(self.one.state.acl, self.one.dest / IN_PLACE)

    @property
    def acl(self) -> bytes:
        return (self.one.dest / IN_PLACE).read_bytes()

    def silent(self) -> set[str]:
        return {name for name in (*DEVICES, "new-1", "new-2", "new-3") if self.one.is_silent(name)}


@pytest.fixture(params=("per-device", "pattern"))
def forked(request: pytest.FixtureRequest, state: State, tmp_path: Path) -> Forked:
    state.run("config", "set", "acl.style", request.param)
    return Forked(state, tmp_path)


def test_a_copy_that_is_ahead_gives_no_right_back(forked: Forked) -> None:
    one, two = forked.one, forked.two
    one.state.run("topics", "remove", "press-3", "read:plant/x")
    one.apply(one.pack("second"))
    two.state.run("revoke", "press-2")
    package = two.pack("ahead")
    for _ in range(2):
        said = two.apply(package, expect=4)
        assert "is of another copy of the state" in said
        assert "iotonboard restore --crl" in said
        assert EXTRA not in forked.acl
        assert "press-2" in forked.silent()
    two.state.run("restore", "--crl", two.dest / "crl.pem")
    answer = json.loads(two.apply(two.pack("settled"), "--json"))
    assert answer["forked"] == answer["kept"] == []
    assert forked.silent() == {"press-2"}


def test_a_denial_that_was_carried_by_hand_outlives_whoever_settles_it(forked: Forked) -> None:
    """On no list, so that no list tells the other copy."""
    one, two = forked.one, forked.two
    one.state.run("revoke", "press-1", "--defer")
    forked.carry()
    two.state.run("revoke", "press-2")
    two.apply(two.pack("ahead"), expect=4)
    assert {"press-1", "press-2"} <= forked.silent()
    two.state.run("restore", "--crl", two.dest / "crl.pem")
    for name in ("settled", "next"):
        answer = json.loads(two.apply(two.pack(name), "--json"))
        assert "1 devices stay denied (press-1)" in answer["kept"][0]
        assert forked.silent() == {"press-1", "press-2"}
        two.state.run("gen-crl")
    two.apply(two.folder / "next", "--accept-older")
    assert forked.silent() == {"press-2"}
    two.state.run("revoke", "press-1")
    assert json.loads(two.apply(two.pack("last"), "--json"))["kept"] == []
    assert forked.silent() == {"press-1", "press-2"}


def test_a_denial_of_the_copy_that_is_behind_is_kept_too(forked: Forked) -> None:
    """Its list stays out, as the older one; whom it denies is denied all the same, also by the other's next package."""
    one, two = forked.one, forked.two
    two.apply(two.pack("ahead"))
    one.state.run("revoke", "press-1")
    said = one.apply(one.pack("behind"), expect=4)
    assert "is of another copy of the state" in said
    assert forked.silent() == {"press-1"}
    two.state.run("topics", "add", "new-1", "read:plant/x")
    assert "press-1" in json.loads(two.apply(two.pack("next"), "--json"))["kept"][0]
    assert forked.silent() == {"press-1"}
    assert forked.acl.count(EXTRA) == 2


def test_two_regions_of_one_number(state: State, tmp_path: Path) -> None:
    forked = Forked(state, tmp_path)
    one, two = forked.one, forked.two
    for name in ("other-1", "other-2"):
        one.state.register(name)
    one.state.run("revoke", "press-1", "--defer")
    forked.carry()
    first = {line for line in forked.acl.splitlines() if line.startswith(b"# BEGIN")}
    two.apply(two.pack("same"), expect=4)
    assert {line for line in forked.acl.splitlines() if line.startswith(b"# BEGIN")} == first
    assert "press-1" in forked.silent()


def test_a_state_that_met_the_other_region_writes_a_later_one(forked: Forked, tmp_path: Path) -> None:
    """Two copies that publish to one place: what the second one packs is made of what the first one wrote."""
    one, two = forked.one, forked.two
    one.state.run("topics", "remove", "press-3", "read:plant/x")
    one.apply(one.pack("second"))
    shutil.copy(one.state.acl, two.state.acl)
    two.state.run("revoke", "press-2")
    assert json.loads(two.apply(two.pack("ahead"), "--json"))["forked"] == []
    assert EXTRA not in forked.acl
    assert forked.silent() == {"press-2", "new-1", "new-2", "new-3"} - (
        set() if b"\nuser press-1\n" in forked.acl else {"new-1", "new-2", "new-3"}
    )


def test_a_broker_that_nobody_visited_for_long_gets_the_newest_region(state: State, tmp_path: Path) -> None:
    forked = Forked(state, tmp_path)
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        rows = [(1000 + number, 1, "0" * 16) for number in range(600)]
        database.executemany("INSERT INTO region_change VALUES (?, ?, ?, 0)", rows)
        database.execute("UPDATE meta SET value = 2000 WHERE key = 'acl_changes'")
    state.register("late")
    state.run("revoke", "press-1")
    assert json.loads(forked.one.apply(forked.one.pack("late"), "--json"))["forked"] == []
    assert forked.silent() >= {"press-1"}
    assert not forked.one.is_silent("late")


DAMAGES = {
    "gone": lambda _: None,
    "empty": lambda _: b"",
    "zeros": lambda acl: bytes(len(acl)),
    "cut": lambda acl: acl[: len(acl) // 2],
    "garbage": lambda acl: acl.replace(b"user press", b"usr press").replace(b"pattern ", b"patern "),
    "without BEGIN": lambda acl: b"\n".join(acl.split(b"\n")[1:]),
    "without markers": lambda acl: b"".join(x for x in acl.splitlines(keepends=True) if not x.startswith(b"#")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_makes_no_older_region_fresh(state: State, tmp_path: Path, damage: str) -> None:
    state.register(*DEVICES)
    site = Site(state, tmp_path)
    old = site.pack("old")
    state.run("revoke", "press-1")
    site.apply(site.pack("new"))
    whole = (site.dest / IN_PLACE).read_bytes()
    put_in_place(site.dest / IN_PLACE, DAMAGES[damage](whole))
    answer = json.loads(site.apply(old, "--json"))
    assert any("older" in one for one in answer["older"])
    assert (site.dest / IN_PLACE).read_bytes() == whole
    put_in_place(site.dest / IN_PLACE, DAMAGES[damage](whole))
    state.run("revoke", "press-2")
    answer = json.loads(site.apply(site.pack("newest"), "--json"))
    assert any("damaged or gone" in one for one in answer["dropped"]) or damage == "garbage"
    assert site.is_silent("press-1")
    assert site.is_silent("press-2")
    assert not site.is_silent("press-3")


def put_in_place(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def test_damage_hides_no_rule_that_somebody_wrote_there(state: State, tmp_path: Path) -> None:
    state.register(*DEVICES)
    site = Site(state, tmp_path)
    site.apply(site.pack("first"))
    path = site.dest / IN_PLACE
    path.write_bytes(b"user scada\ntopic read #\n" + path.read_bytes()[:-30])
    state.run("revoke", "press-1")
    package = site.pack("second")
    assert "user scada: topic read #" in site.refused(package, expect=4)
    site.apply(package, "--replace-rules")
    assert site.is_silent("press-1")


def test_a_fork_killed_at_every_step(state: State, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    forked = Forked(state, tmp_path)
    one, two = forked.one, forked.two
    one.state.run("topics", "remove", "press-3", "read:plant/x")
    one.state.run("revoke", "press-1", "--defer")
    forked.carry()
    two.state.run("revoke", "press-2")
    package = two.pack("ahead")
    shutil.copytree(one.folder, tmp_path / "home")
    for step in range(1, 300, 1 if request.config.getoption("--long") else 6):
        result = two.state.run(*two.words(package), before=die_at(step), expect=(4, KILLED))
        for again in (False, True):
            if again:
                two.apply(package, expect=4)
            assert EXTRA not in forked.acl, step
            assert forked.silent() >= ({"press-1", "press-2"} if again else {"press-1"}), step
        shutil.rmtree(one.folder)
        shutil.copytree(tmp_path / "home", one.folder)
        if result.exit_code == 4:
            break
    assert step > 10


def test_damage_hides_no_fork(forked: Forked) -> None:
    one, two = forked.one, forked.two
    one.state.run("topics", "remove", "press-3", "read:plant/x")
    one.apply(one.pack("second"))
    (one.dest / IN_PLACE).write_bytes(forked.acl[:-20])
    two.state.run("revoke", "press-2")
    two.apply(two.pack("ahead"), expect=4)
    assert EXTRA not in forked.acl
    assert "press-2" in forked.silent()


WORDS = ("revoke press-1", "revoke press-2 --defer", "gen-crl", "topics remove press-3 read:plant/x", "restore")
WORDS += ("pack", "pack", "carry")


@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_two_copies_gives_anything_back(state: State, tmp_path: Path, seed: int) -> None:
    """Whatever the broker denied once, it denies until the end: nobody released anything."""
    if seed % 2:
        state.run("config", "set", "acl.style", "pattern")
    forked = Forked(state, tmp_path)
    draw, denied = random.Random(seed), set()  # noqa: S311 - a sample, and always the same
    for step in range(16):
        site, words = draw.choice((forked.one, forked.two)), draw.choice(WORDS)
        if words == "carry":
            if denied <= silent_in(site.state.acl):  # by hand, nobody puts an older one there
                shutil.copy(site.state.acl, site.dest / IN_PLACE)
        elif words == "pack":
            site.apply(site.pack(f"p{step}"), expect=(0, 4, 6))
        elif words == "restore":
            site.state.run("restore", "--crl", site.dest / "crl.pem", expect=(0, 4, 6))
        else:
            site.state.run(*words.split(), expect=(0, 4, 5, 8))
        now = forked.silent() & set(DEVICES)
        assert denied <= now, (step, words, denied, now)
        denied = now
    assert denied


def silent_in(path: Path) -> set[str]:
    acl = parse_acl(path.read_bytes())
    return {name for name in DEVICES if not acl.allows(name, name, "write", f"devices/{name}/x")}
