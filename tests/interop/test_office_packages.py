"""A broker that stations supply, and then their office: whatever comes in whatever order, no revocation is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.broker.acl import parse_acl
from iotonboard.ca.ca_key import load_ca_key
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.pki.pem import pem_blocks, pem_encode

from support.clock import fake_time
from support.made_packages import MadeOffice
from support.program import State, make_state
from support.site import Site


@pytest.fixture(scope="module")
def pristine_stations(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """Two stations that no root stands above, with two devices each; read only: use ``a`` and ``b``."""
    made = []
    for name in "ab":
        state = make_state(tmp_path_factory.mktemp(name), "--common-name", f"Station {name.upper()}")
        state.register(f"{name}-1", f"{name}-2")
        made.append(state)
    return made


@pytest.fixture
def a(pristine_stations: list[State], tmp_path: Path) -> State:
    (tmp_path / "a").mkdir()
    return pristine_stations[0].copy_to(tmp_path / "a")


@pytest.fixture
def b(pristine_stations: list[State], tmp_path: Path) -> State:
    (tmp_path / "b").mkdir()
    return pristine_stations[1].copy_to(tmp_path / "b")


@pytest.fixture
def office(a: State, b: State, tmp_path: Path) -> MadeOffice:
    made = MadeOffice(tmp_path / "office")
    made.take("a", a)
    made.take("b", b)
    return made


@pytest.fixture
def site(a: State, office: MadeOffice, tmp_path: Path) -> Site:
    """A broker's machine that pins the office."""
    (tmp_path / "site").mkdir()
    made = Site(a, tmp_path / "site")
    made.ca = office.crt
    return made


def pin(site: Site, *certificates: Path) -> None:
    site.ca = site.folder / "pinned.pem"
    site.ca.write_bytes(b"".join(one.read_bytes() for one in certificates))


def pack(state: State, site: Site, name: str) -> Path:
    state.run("pack", "--out", site.folder / name)
    return site.folder / name


def told(site: Site, package: Path, *words: str, expect: int = 0) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(site.apply(package, *words, "--json", expect=expect))
    return found


def let_in(site: Site, *more: str) -> set[str]:
    """The devices that the ACL here gives their topic."""
    acl = parse_acl((site.dest / "mosquitto.acl").read_bytes())
    names = ("a-1", "a-2", "b-1", "b-2", *more)
    return {name for name in names if acl.allows(name, name, "write", f"devices/{name}/x")}


def cas(site: Site) -> list[str]:
    found = x509.load_pem_x509_certificates((site.dest / "ca.crt").read_bytes())
    return sorted(one.subject.rfc4514_string().removeprefix("CN=") for one in found)


def test_an_office_brings_what_all_of_its_stations_have(site: Site, office: MadeOffice, b: State) -> None:
    b.run("revoke", "b-2")
    office.take("b", b)
    said = told(site, office.pack("one"))
    assert (said["older"], said["kept"], said["dropped"], said["forked"]) == ([], [], [], [])
    assert let_in(site) == {"a-1", "a-2", "b-1"}
    assert cas(site) == ["Station A", "Station B"]
    assert len(site.revoked_by_name("Station B")) == 1
    assert told(site, site.folder.parent / "office" / "one")["changed"] is False


def test_who_is_no_office_or_another_one_is_refused(site: Site, office: MadeOffice, a: State, tmp_path: Path) -> None:
    stranger = MadeOffice(tmp_path / "stranger")
    stranger.take("a", a)
    assert "was not signed by the CA that is trusted here" in site.refused(stranger.pack("one"))
    pin(site, a.ca_cert)
    assert "was not signed" in site.refused(office.pack("two"))


def test_older_packages_of_an_office_bring_nothing_back(site: Site, office: MadeOffice, a: State) -> None:
    first = office.pack("one")
    a.run("revoke", "a-1")
    office.take("a", a)
    site.apply(office.pack("two", ordered=("b-1",)))
    assert let_in(site) == {"a-2", "b-2"}
    assert "older" in site.refused(first)
    (site.dest / "mosquitto.acl").unlink()
    site.apply(first)
    assert let_in(site) == {"a-2", "b-2"}
    assert len(site.revoked_by_name("Station A")) == 1


def test_an_office_that_was_put_back_is_named_and_takes_nothing_back(site: Site, office: MadeOffice) -> None:
    copy = MadeOffice(office.folder)
    copy.signer, copy.der, copy.known = office.signer, office.der, dict(office.known)
    office.crt.write_bytes(pem_encode("CERTIFICATE", office.der))
    office.pack("one")
    site.apply(office.pack("two", ordered=("b-1",)))
    copy.change = 4  # a later number, and not of those of before
    said = told(site, copy.pack("three", ordered=("a-1",)), expect=4)
    assert said["forked"]
    assert let_in(site) == {"a-2", "b-2"}


def test_a_broker_goes_over_to_the_office_whatever_number_the_stations_region_has(
    site: Site, office: MadeOffice, a: State
) -> None:
    for name in ("a-3", "a-4"):
        a.register(name)
    pin(site, a.ca_cert)
    site.apply(pack(a, site, "own"))
    office.take("a", a)
    pin(site, office.crt)
    said = told(site, office.pack("one"))
    assert (said["older"], said["forked"]) == ([], [])
    assert let_in(site, "a-3", "a-4") == {"a-1", "a-2", "a-3", "a-4", "b-1", "b-2"}


def test_what_a_station_revoked_behind_its_last_journal_stays_denied_until_the_next(
    site: Site, office: MadeOffice, a: State
) -> None:
    pin(site, a.ca_cert)
    site.apply(pack(a, site, "first"))
    a.run("revoke", "a-1")
    site.apply(pack(a, site, "second"))
    pin(site, office.crt)
    for name in ("one", "two"):
        said = told(site, office.pack(name))
        assert any("a-1" in one for one in said["kept"])
        assert let_in(site) == {"a-2", "b-1", "b-2"}
        assert len(site.revoked_by_name("Station A")) == 1
    office.take("a", a)
    assert told(site, office.pack("three"))["kept"] == []
    assert let_in(site) == {"a-2", "b-1", "b-2"}


def test_a_device_that_was_made_anew_since_is_let_in_once_the_office_knows(
    site: Site, office: MadeOffice, a: State
) -> None:
    pin(site, a.ca_cert)
    site.apply(pack(a, site, "first"))
    a.run("revoke", "a-1", "--reason", "hold")
    site.apply(pack(a, site, "second"))
    pin(site, office.crt)
    site.apply(office.pack("one"))
    assert let_in(site) == {"a-2", "b-1", "b-2"}
    a.run("release", "a-1")
    office.take("a", a)
    assert told(site, office.pack("two"))["kept"] == []
    assert let_in(site) == {"a-1", "a-2", "b-1", "b-2"}
    assert not site.revoked_by_name("Station A")


def test_a_stations_own_package_takes_away_and_gives_nothing_where_its_office_is(
    site: Site, office: MadeOffice, a: State
) -> None:
    pin(site, office.crt, a.ca_cert)
    site.apply(office.pack("one"))
    a.run("revoke", "a-1")
    a.register("a-3")
    said = told(site, pack(a, site, "own"))
    assert any("it is the office's here" in one for one in said["older"])
    assert let_in(site, "a-3") == {"a-2", "b-1", "b-2"}
    assert len(site.revoked_by_name("Station A")) == 1
    site.apply(office.pack("two"))  # which knows nothing of it yet
    assert let_in(site, "a-3") == {"a-2", "b-1", "b-2"}
    office.take("a", a)
    assert told(site, office.pack("three"))["kept"] == []
    assert let_in(site, "a-3") == {"a-2", "a-3", "b-1", "b-2"}


def test_a_broker_goes_back_to_its_station_with_all_that_the_office_denied(
    site: Site, office: MadeOffice, a: State, b: State
) -> None:
    pin(site, a.ca_cert)
    before = pack(a, site, "before")
    site.apply(before)
    a.run("revoke", "a-1")
    office.take("a", a)
    pin(site, office.crt)
    site.apply(office.pack("one", ordered=("a-2",)))
    assert let_in(site) == {"b-1", "b-2"}
    pin(site, a.ca_cert)
    assert "older" in site.refused(before)
    a.register("a-3")
    said = told(site, pack(a, site, "after"))
    assert any("a-2" in one for one in said["kept"])
    assert let_in(site, "a-3") == {"a-3"}
    a.run("revoke", "a-2")
    assert not any("denied" in one for one in told(site, pack(a, site, "later"))["kept"])
    pin(site, office.crt)
    office.take("a", a)
    site.apply(office.pack("two"))
    assert let_in(site, "a-3") == {"a-3", "b-1", "b-2"}


def test_one_stations_older_list_holds_no_other_station_back(
    site: Site, office: MadeOffice, a: State, b: State
) -> None:
    pin(site, office.crt, a.ca_cert)
    site.apply(office.pack("one"))
    a.run("revoke", "a-1")
    site.apply(pack(a, site, "own"))
    b.run("revoke", "b-1")
    office.take("b", b)
    said = told(site, office.pack("two"))
    assert said["forked"] == []
    assert let_in(site) == {"a-2", "b-2"}
    assert (len(site.revoked_by_name("Station A")), len(site.revoked_by_name("Station B"))) == (1, 1)


def test_a_station_that_lost_a_revocation_is_named_and_holds_no_other_one_back(
    site: Site, office: MadeOffice, a: State, b: State, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    copy = a.copy_to(tmp_path / "copy")
    a.run("revoke", "a-1")
    office.take("a", a)
    site.apply(office.pack("one"))
    for _ in range(3):
        copy.run("gen-crl")
    b.run("revoke", "b-1")
    office.take("a", copy)
    office.take("b", b)
    said = told(site, office.pack("two"), expect=4)
    assert "lacks 1 serials" in said["forked"][0]
    assert (len(site.revoked_by_name("Station A")), len(site.revoked_by_name("Station B"))) == (1, 1)


def test_a_station_that_the_office_removed_goes_and_comes_back_when_it_is_trusted_again(
    site: Site, office: MadeOffice, a: State, b: State
) -> None:
    pin(site, office.crt, b.ca_cert)
    first = office.pack("one")
    site.apply(first)
    known = office.known.pop("b")
    office.gone = (known.key,)
    site.apply(office.pack("two"))
    assert cas(site) == ["Station A"]
    assert let_in(site) == {"a-1", "a-2"}
    assert "removed this station" in site.refused(pack(b, site, "own"))
    assert "older" in site.refused(first)
    office.gone, office.known["b"] = (), known
    site.apply(office.pack("three"))
    assert cas(site) == ["Station A", "Station B"]
    assert let_in(site) == {"a-1", "a-2", "b-1", "b-2"}


def test_two_offices_at_one_broker(site: Site, office: MadeOffice, a: State, b: State, tmp_path: Path) -> None:
    """Each with stations of its own stand beside each other; two that speak for one station are refused."""
    other = MadeOffice(tmp_path / "other")
    other.take("b", b)
    both = other.pack("both")
    pin(site, office.crt, other.crt)
    site.apply(office.pack("one"))
    assert "speaks for a station of this package" in site.refused(both, expect=4)
    pin(site, other.crt)  # the first one is trusted no more
    site.apply(office.folder / "one", expect=6)
    b.run("revoke", "b-1")
    other.take("b", b)
    site.apply(other.pack("two"))
    assert let_in(site) == {"b-2"}
    alone = MadeOffice(tmp_path / "alone")
    alone.take("a", a)
    pin(site, other.crt, alone.crt)
    site.apply(alone.pack("three"))
    assert let_in(site) == {"a-1", "a-2", "b-2"}
    site.apply(other.pack("four", ordered=("b-2",)))
    assert let_in(site) == {"a-1", "a-2"}


def test_a_station_that_no_office_speaks_for_stands_beside(
    site: Site, office: MadeOffice, b: State, tmp_path: Path
) -> None:
    del office.known["b"]
    pin(site, office.crt, b.ca_cert)
    site.apply(office.pack("one"))
    site.apply(pack(b, site, "own"))
    assert let_in(site) == {"a-1", "a-2", "b-1", "b-2"}
    site.apply(office.pack("two", ordered=("a-1",)))
    assert let_in(site) == {"a-2", "b-1", "b-2"}
    office.take("b", b)
    site.apply(office.pack("three"))
    assert let_in(site) == {"a-1", "a-2", "b-1", "b-2"}
    assert (site.dest / "mosquitto.acl").read_bytes().count(b"user b-1\n") == 1


def test_a_stolen_station_poses_as_no_office(site: Site, office: MadeOffice, a: State, b: State) -> None:
    site.apply(office.pack("one"))
    thief = MadeOffice(site.folder / "thief")
    key = load_ca_key((a.certs / "ca.key").read_bytes(), parse_passphrase_file(a.passphrase_file.read_bytes()))
    thief.signer, thief.der = key.signer, pem_blocks("CERTIFICATE", a.ca_cert.read_bytes())[0]
    thief.take("b", b)
    package = thief.pack("posed")
    pin(site, office.crt, a.ca_cert)
    assert "a CA is no office" in site.refused(package)


def test_a_station_whose_list_ended_holds_no_other_one_back(site: Site, office: MadeOffice, a: State, b: State) -> None:
    a.run("gen-crl", "--next-update-days", "5")
    office.take("a", a)
    b.run("revoke", "b-1")
    office.take("b", b)
    said = json.loads(site.apply(office.pack("one"), "--json", env=fake_time("+10d")))
    assert any("CRL" in one for one in said["warnings"])
    assert let_in(site) == {"a-1", "a-2", "b-2"}


@pytest.mark.parametrize("seed", [1, 8])
def test_no_order_in_which_packages_come_gives_a_right_back(
    site: Site, office: MadeOffice, a: State, b: State, seed: int
) -> None:
    """Stations and office pack, packages of all ages come, pins change: what was once taken away here stays away."""
    chance, stations = random.Random(seed), {"a": a, "b": b}  # noqa: S311 - the same steps in every run
    live = {"a": ["a-1", "a-2", *a_few(a, "a")], "b": ["b-1", "b-2", *a_few(b, "b")]}
    every = {name for names in live.values() for name in names}
    revoked: dict[str, set[str]] = {"a": set(), "b": set()}
    ordered: set[str] = set()
    packages: list[tuple[Path, set[str]]] = []
    away: set[str] = set()
    for step in range(14):
        name = chance.choice("ab")
        if chance.random() < 0.5 and len(live[name]) > 1:
            gone = live[name].pop()
            stations[name].run("revoke", gone)
            revoked[name].add(gone)
        if chance.random() < 0.4:
            office.take(name, stations[name])
        if chance.random() < 0.2:
            ordered.add(chance.choice(live[name]))
        if chance.random() < 0.5:
            told_of = {one for each in office.known.values() for one in each.denied}
            packages.append((office.pack(f"p-{step}", ordered=tuple(ordered)), told_of | ordered))
        else:
            packages.append((pack(stations[name], site, f"p-{step}"), set(revoked[name])))
        pin(site, *chance.choice([(office.crt,), (office.crt, a.ca_cert, b.ca_cert), (stations[name].ca_cert,)]))
        package, denied = chance.choice(packages[-3:])
        result = a.run(*site.words(package, "--json"), expect=(0, 4, 6), env={"IOTONBOARD_STATE": None})
        if result.exit_code == 0:
            away |= denied
        if (site.dest / "mosquitto.acl").exists():
            assert not let_in(site, *every) & away, step
    for name, state in stations.items():
        office.take(name, state)
    pin(site, office.crt)
    site.apply(office.pack("last", ordered=tuple(ordered)))
    assert let_in(site, *every) == {name for names in live.values() for name in names} - ordered


def a_few(state: State, prefix: str) -> list[str]:
    names = [f"{prefix}-{number}" for number in (3, 4, 5)]
    state.register(*names)
    return names
