"""``pack`` and ``apply``: from the workstation to a real broker elsewhere, forwards only, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from iotonboard.broker.render import style_warning

from support.broker import Broker
from support.client import connect_answer, connected, unpack
from support.clock import fake_time
from support.faults import KILLED, die_at
from support.program import State, make_state, program_environment, run_cli
from support.site import FILES, Site


@pytest.fixture
def site(state: State, tmp_path: Path) -> Site:
    state.register("press-1", "press-2")
    (tmp_path / "site").mkdir()
    return Site(state, tmp_path / "site")


def write_own_rule(state: State, topic: str, *, before: str = "") -> str:
    """Write a rule of the officer's own into the workstation's ACL, in the place of another one; returns it."""
    rule = f"user bridge\ntopic read {topic}\n"
    state.acl.write_text(rule + state.acl.read_text().removeprefix(before))
    return rule


def start(site: Site, tmp_path: Path, **replace: str) -> tuple[Broker, str]:
    """A broker that reads the site's files; and how to reload it."""
    names = {str(site.state.acl): site.dest / "mosquitto.acl", str(site.state.crl): site.dest / "crl.pem"}
    broker = Broker(site.state, tmp_path / "broker", replace={old: str(new) for old, new in names.items()} | replace)
    broker.start()
    pid_file = tmp_path / "mosquitto.pid"
    pid_file.write_text(f"{broker._process.pid}\n")
    return broker, f"pid:{pid_file}"


def test_a_revocation_reaches_a_broker_on_another_machine(state: State, site: Site, tmp_path: Path) -> None:
    one, two = (unpack(found, tmp_path) for found in state.register("saw-1", "saw-2"))
    site.apply(site.pack("first"))
    broker, how = start(site, tmp_path)
    try:
        with connected(broker, one, two) as (session, other):
            session.subscribe("devices/saw-1/#")
            other.subscribe("devices/saw-2/#")
            state.run("revoke", "saw-1")
            said = site.apply(site.pack("second"), "--reload", how)
            assert "applied" in said
            for client in (session, other):
                client.publish(f"devices/{client.device_id}/x", "after the reload")
            assert other.received() == [("devices/saw-2/x", "after the reload")]
            assert session.received() == []  # connected still, and mute
        assert connect_answer(broker, one) != "Success"
        assert connect_answer(broker, two) == "Success"
        assert "was in place already" in site.apply(site.folder / "second", "--reload", how)
    finally:
        broker.stop()


def test_a_broker_that_reads_other_files_gets_those_of_before_back(state: State, site: Site, tmp_path: Path) -> None:
    """Its configuration still names the state's files: it lives, but does not enforce what was applied."""
    first = write_own_rule(state, "first")
    site.apply(site.pack("first"))
    before = site.contents()
    broker = Broker(state, tmp_path / "broker")
    broker.start()
    (tmp_path / "pid").write_text(f"{broker._process.pid}\n")
    try:
        state.run("revoke", "press-1")
        write_own_rule(state, "second", before=first)
        said = site.apply(site.pack("second"), "--reload", f"pid:{tmp_path / 'pid'}", expect=8)
        assert "did not read" in said
        assert "files of before are back" in said
        assert site.contents() == before
        site.refused(site.folder / "first")  # what was applied last still counts
    finally:
        broker.stop()
    third = site.pack("third")
    applied = [json.loads(site.apply(package, "--json")) for package in (site.folder / "second", third)]
    kept = [site.dest / "generations" / str(one["previous"]) / "mosquitto.acl" for one in applied]
    assert [path.read_bytes().split(b"\n")[1] for path in kept] == [b"topic read first", b"topic read second"]


_DIES = """
import os, signal, time
open("/proc/self/comm", "w").write("mosquitto")
signal.signal(signal.SIGHUP, lambda *_: os._exit(3))
print(flush=True)
time.sleep(60)
"""


def test_a_broker_that_ends_at_the_reload_gets_the_files_of_before_back(
    state: State, site: Site, tmp_path: Path
) -> None:
    site.apply(site.pack("first"))
    before = site.contents()
    state.run("revoke", "press-1")
    with subprocess.Popen([sys.executable, "-c", _DIES], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        (tmp_path / "pid").write_text(f"{process.pid}\n")
        said = site.apply(site.pack("second"), "--reload", f"pid:{tmp_path / 'pid'}", expect=8)
    assert "ended at the reload" in said
    assert site.contents() == before


def test_a_command_that_does_not_reach_the_broker_gets_the_files_of_before_back(state: State, site: Site) -> None:
    site.apply(site.pack("first"))
    before = site.contents()
    if os.statvfs(site.dest).f_flag & os.ST_NOATIME:
        pytest.skip("this disk does not record who read")
    state.run("revoke", "press-1")
    said = site.apply(site.pack("second"), "--reload", "command:true", "--timeout", "1", expect=8)
    assert "nobody has read" in said
    assert "files of before are back" in said
    assert site.contents() == before
    reads = f"command:cat {site.dest / 'mosquitto.acl'} {site.dest / 'crl.pem'}"
    site.apply(site.folder / "second", "--reload", reads)
    assert site.contents() != before


def test_apply_judges_by_the_release_that_the_package_names(state: State, site: Site) -> None:
    """What is said on the broker's machine counts more."""
    odd = "\nuser gateway\ntopic read x\npattern read a%u/x\n"  # 2.1 expands no part of a level
    state.acl.write_text(state.acl.read_text() + odd)
    warns = "expanded only where they are a whole level"
    assert warns not in str(json.loads(site.apply(site.pack("old"), "--json"))["warnings"])
    state.run("config", "set", "broker.version", "2.1")
    package = site.pack("new")
    assert warns in str(json.loads(site.apply(package, "--json"))["warnings"])
    told = json.loads(site.apply(package, "--json", "--broker", "mosquitto-2.0"))["warnings"]
    assert warns not in str(told)


def test_the_warning_about_many_devices_is_for_mosquitto_2_0() -> None:
    assert "slow the broker down" in style_warning(60_000, "2.0")
    assert style_warning(60_000, "2.1") == ""


def test_without_a_broker_nothing_is_touched(site: Site, tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("999999\n")
    site.refused(site.pack(), "--reload", f"pid:{tmp_path / 'pid'}", expect=5)
    site.refused(site.folder / "package", "--reload", "nonsense", expect=2)
    site.refused(site.folder / "nothing", expect=5)
    site.refused(site.folder / "package", "--dest", str(tmp_path / "nowhere"), expect=5)
    site.refused(site.folder / "package", "--ca", str(site.state.acl))


def test_what_is_damaged_foreign_or_replayed_touches_nothing(state: State, site: Site, tmp_path: Path) -> None:
    first = site.pack("first")
    octets = first.read_bytes()
    bad = {
        "cut": octets[:-1],
        "long": octets + b"\n",
        "acl": octets.replace(b"topic readwrite", b"topic readwritE"),
        "manifest": octets.replace(b'"counter":1', b'"counter":2', 1),
        "none": b"hello\n",
    }
    for name, content in bad.items():
        (site.folder / name).write_bytes(content)
        site.refused(site.folder / name)
    (tmp_path / "foreign").mkdir()
    foreign = Site(make_state(tmp_path / "foreign"), tmp_path / "foreign")
    assert "not signed by the CA" in site.refused(foreign.pack())
    state.run("revoke", "press-1")
    second = site.pack("second")
    site.apply(second)
    assert "older" in site.refused(first)
    for path in sorted(site.dest.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert "older" in site.refused(first)
    site.apply(second)
    Path(f"{site.dest}.applied.json").unlink()
    assert "older" in site.refused(first)
    site.apply(first, "--accept-older")
    assert "older" not in site.apply(second)
    (site.dest / "generations" / "applied.json").write_text("{")
    assert "cannot be read" in site.refused(second)


def test_a_package_out_of_its_time_is_told(site: Site) -> None:
    """The clock of the broker's machine may be the one that is wrong; what its broker would refuse is refused."""
    package = site.pack("package", "--valid-days", "3")
    assert "the broker would stumble" in run_cli(*site.words(package), env=fake_time("-3h"), expect=6).stderr
    assert not site.contents()
    done = run_cli(*site.words(package), env=fake_time("+4d"))
    assert "warning: this package is meant to be applied from" in done.stderr
    assert "warning" not in run_cli(*site.words(package)).stderr
    site.state.run("revoke", "press-1")
    late = run_cli(*site.words(site.pack("second")), env=fake_time("+400d"))
    assert "warning: this package is meant" in late.stderr, "its lists have ended, and so had those of before"


def test_rules_that_were_written_on_the_brokers_machine_are_not_lost(state: State, site: Site) -> None:
    acl = site.dest / "mosquitto.acl"
    acl.write_text("# by hand\nuser bridge\ntopic read plant/#\n")
    said = site.refused(site.pack("first"), expect=4)
    assert "user bridge: topic read plant/#" in said
    state.acl.write_text("user bridge\ntopic read plant/#\n" + state.acl.read_text())
    second = site.pack("second")
    site.apply(second)
    assert b"user bridge\ntopic read plant/#\n" in acl.read_bytes()
    # Changed on the workstation, untouched here: the workstation's word counts.
    state.acl.write_text(state.acl.read_text().replace("plant", "works"))
    site.apply(site.pack("third"))
    assert b"topic read works/#" in acl.read_bytes()
    acl.write_text("pattern read all/%u\n" + acl.read_text())
    fourth = site.pack("fourth")
    site.refused(fourth, expect=4)
    site.apply(fourth, "--replace-rules")
    assert b"pattern" not in acl.read_bytes()


def test_files_that_the_brokers_user_cannot_read_are_refused(site: Site) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else's folder")
    package = site.pack()
    site.dest.chmod(0o700)
    assert "cannot read" in site.refused(package, "--user", "nobody")


def test_owner_and_mode_of_the_files_stay(site: Site) -> None:
    site.apply(site.pack("first"))
    (site.dest / "mosquitto.acl").chmod(0o640)
    site.state.run("revoke", "press-1")
    site.apply(site.pack("second"))
    assert (site.dest / "mosquitto.acl").stat().st_mode & 0o777 == 0o640
    assert (site.dest / "crl.pem").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "broken link", "folder"])
def test_what_a_rename_would_not_reach_is_refused(site: Site, tmp_path: Path, kind: str, name: str) -> None:
    """The broker may read what a link leads to: replacing the link would leave it with the old file."""
    package = site.pack()
    target = tmp_path / "elsewhere"
    if kind == "link":
        target.write_text("user bridge\n")
    place = site.dest / name
    if kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(target)
    said = site.refused(package, expect=4)
    assert f"{str(place)!r} is " in said
    assert ("symbolic link" in said) is ("link" in kind)


def test_the_last_generations_stay(site: Site) -> None:
    (site.dest / "generations").mkdir()
    (site.dest / "generations" / "17").write_text("somebody's note")
    for number in range(4):
        site.apply(site.pack(f"p{number}"), "--keep", "2")
    kept = sorted(path.name for path in (site.dest / "generations").iterdir() if path.is_dir())
    assert len(kept) == 2
    newest = {path.name: path.read_bytes() for path in (site.dest / "generations" / kept[-1]).iterdir()}
    assert newest == site.contents()


def test_files_of_before_are_kept_under_the_package_that_brought_them(site: Site) -> None:
    def apply(package: Path) -> dict[str, Any]:
        return json.loads(site.apply(package, "--json"))

    by_hand = {"crl.pem": b"a list of somebody's\n", "mosquitto.acl": b"# nobody\n"}
    for name, content in by_hand.items():
        (site.dest / name).write_bytes(content)
    first, second = apply(site.pack("first")), apply(site.pack("second"))
    kept = site.dest / "generations" / "0"
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == by_hand
    assert (first["previous"], second["previous"]) == (0, first["counter"])
    again = apply(site.folder / "second")
    assert (again["changed"], again["previous"], again["ca_changed"]) == (False, None, False)


def test_apply_killed_at_every_step_goes_on_with_the_same_command(
    site: Site, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    rule = write_own_rule(site.state, "first")
    site.apply(site.pack("first"))
    first = site.contents()
    site.state.run("revoke", "press-1")
    write_own_rule(site.state, "second", before=rule)
    site.pack("second")
    home = tmp_path / "home"
    site.folder.rename(home)
    second: dict[str, bytes] = {}
    for step in range(1, 200, 1 if pytestconfig.getoption("--long") else 4):
        shutil.copytree(home, site.folder)
        result = site.state.run(*site.words(site.folder / "second"), before=die_at(step), expect=(0, KILLED))
        for name, content in site.contents().items():
            assert content == first[name] or not second or content == second[name]
        if result.exit_code == KILLED:
            site.state.run(*site.words(site.folder / "second"))
        second = second or site.contents()
        assert site.contents() == second != first
        assert not list(site.dest.glob(".iotonboard*"))
        site.refused(site.folder / "first")
        shutil.rmtree(site.folder)
        if result.exit_code == 0:
            break
    assert step > 15


def test_two_at_once_end_with_the_newer_one(site: Site) -> None:
    packages = [site.pack("first")]
    for device in ("press-1", "press-2"):
        site.state.run("revoke", device)
        packages.append(site.pack(f"without-{device}"))
    argv = [[sys.executable, "-m", "iotonboard", *site.words(package)] for package in packages * 2]
    running = [subprocess.Popen(words, env=program_environment(), stderr=subprocess.PIPE) for words in argv]
    codes = [(process.communicate()[1], process.returncode)[1] for process in running]
    assert {0} <= set(codes) <= {0, 6}
    site.apply(packages[-1])
    assert "was in place already" in site.apply(packages[-1])


def test_what_pack_and_apply_answer_to_scripts(state: State, site: Site) -> None:
    packed = state.json("pack", "--out", site.folder / "package", "--valid-days", "2")
    assert set(packed) >= {"path", "counter", "created", "expires", "crl_number", "size", "files"}
    assert packed["size"] == (site.folder / "package").stat().st_size
    applied = json.loads(site.apply(site.folder / "package", "--json"))
    assert applied["changed"] is True
    assert {key: applied[key] for key in ("counter", "expires", "crl_number")} == {
        key: packed[key] for key in ("counter", "expires", "crl_number")
    }
    assert [row["subject"] for row in state.run("audit", "show", "--all", "--json").json_lines].count("package") == 1


def test_pack_refuses_and_changes_nothing(state: State, site: Site, tmp_path: Path) -> None:
    site.pack()
    before = state.snapshot()
    state.run("pack", "--out", site.folder / "package", expect=4)
    state.run("pack", expect=2)
    wrong = tmp_path / "wrong"
    wrong.write_text("not the passphrase of this CA, but long enough\n")
    state.run("pack", "--out", site.folder / "other", "--passphrase-file", wrong, expect=7)
    assert state.snapshot() == before
    assert not (site.folder / "other").exists()
    assert "/nowhere/" in state.run("pack", "--out", "/nowhere/package", expect=8).stderr


def test_a_pinned_old_ca_accepts_packages_during_the_change_of_a_ca(state: State, site: Site) -> None:
    site.apply(site.pack("first"))
    state.run("ca", "rollover", "begin")
    assert "the CA file changed" in state.run(*site.words(site.pack("second"))).stderr
    assert (site.dest / "ca.crt").read_bytes() == state.ca_cert.read_bytes() != site.ca.read_bytes()
    state.run("renew", "press-1", "press-2", "--revoke-old", "now")
    state.run("ca", "rollover", "--retire")
    third = site.pack("third")
    site.refused(third)
    # What the last package brought holds both CAs.
    state.run(*site.words(third), "--ca", site.dest / "ca.crt")


def test_a_calendar_travels_whole(site: Site) -> None:
    site.state.run("gen-crl", "--calendar", "4", "--every", "7")
    site.apply(site.pack("package", "--valid-days", "3000"))
    assert (site.dest / "crl.pem").read_bytes().count(b"BEGIN X509 CRL") == 4


def test_generations_name_the_lists_of_each_ca(state: State) -> None:
    state.run("gen-crl", "--calendar", "3")
    assert state.run("generations").stdout.splitlines()[0].split("\t")[2] == "2-4"
    state.run("ca", "rollover", "begin")
    assert state.run("generations").stdout.splitlines()[0].split("\t")[2] == "1-3 5-7"


def test_generations_stay_for_inspection_and_never_come_back(state: State) -> None:
    state.register("press-1")
    state.run("config", "set", "generations_kept", "3")
    for _ in range(3):
        state.run("gen-crl")
    old = state.crl.read_bytes()
    (serial,) = state.json("revoke", "press-1")["serials"]
    listed = state.run("generations", "--json").json_lines
    assert [one["revoked"] for one in listed] == [1, 0, 0]
    assert sorted(path.name for path in (state.path / "generations").iterdir()) == [
        f"{one['generation']:08d}" for one in reversed(listed)
    ]
    assert Path(listed[1]["path"], "crl.pem").read_bytes() == old
    assert b"user press-1" in Path(listed[1]["path"], "mosquitto.acl").read_bytes()
    # Somebody puts the old list back: it is noticed, and whatever is published next holds every revocation.
    state.crl.write_bytes(old)
    state.run("health", expect=9)
    state.run("gen-crl")
    assert serial in _revoked(state)
    state.run("config", "set", "generations_kept", "0")
    state.run("gen-crl")
    assert not list((state.path / "generations").iterdir())


def _revoked(state: State) -> list[str]:
    from iotonboard.pki.crl import revoked_entries
    from iotonboard.pki.pem import pem_decode_all

    return [
        entry[0].hex for der in pem_decode_all("X509 CRL", state.crl.read_bytes()) for entry in revoked_entries(der)
    ]
