"""``apply`` as root in a folder of the broker's user: whatever that user plants leads root nowhere.

Each line of the table is planted as that user could, and afterwards nothing outside of the folder has changed, nothing
that is root's alone stands in it, and where something is refused the error says what to remove.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support.faults import become
from support.program import State, snapshot
from support.site import FILES, Site

BROKER = 12346
SECRET = "# a secret of root's\nuser admin\ntopic read #\n"
pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="works as other users: needs root"
)


@pytest.fixture
def site(pristine: State, folder: Path, tmp_path: Path) -> Site:
    """A broker's machine; DEST and what lies in it are the broker's user's, what lies beside it is root's."""
    state = pristine.copy_to(tmp_path)
    state.register("press-1", "press-2")
    site = Site(state, folder)
    private = folder / "private"
    private.mkdir(0o700)
    (private / "secret").write_text(SECRET)
    for name in FILES:
        (private / name).write_text(SECRET)
    os.chown(site.dest, BROKER, BROKER)
    return site


def outside(site: Site) -> dict[str, str]:
    """What lies beside DEST; the record of what was applied belongs there."""
    places = (site.folder / "private", site.folder / "pinned.crt")
    return {str(place): str(snapshot(place) if place.is_dir() else place.read_bytes()) for place in places}


Plant = Callable[[Site], Path]


def planted(place: str, what: Callable[[Path, Site], object]) -> Plant:
    def plant(site: Site) -> Path:
        path = site.dest / place
        path.parent.mkdir(exist_ok=True, parents=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        what(path, site)
        return path

    return plant


def link(path: Path, site: Site) -> None:
    path.symlink_to(site.folder / "private" / (path.name if path.name in FILES else "secret"))


def link_to_folder(path: Path, site: Site) -> None:
    path.symlink_to(site.folder / "private")


def fifo(path: Path, site: Site) -> None:
    os.mkfifo(path)


def folder_there(path: Path, site: Site) -> None:
    (path / "deep" / "deeper").mkdir(parents=True)


def hard_link(path: Path, site: Site) -> None:
    os.link(site.folder / "private" / "secret", path)


def large(path: Path, site: Site) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def device(path: Path, site: Site) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def crowded(path: Path, site: Site) -> None:
    path.mkdir()
    for number in range(10_001):
        (path / f"{number}").touch()


REFUSED = {
    f"{what.__name__} {name}": planted(name, what)
    for name in FILES
    for what in (link, fifo, folder_there, hard_link, large, device)
}
REFUSED |= {
    f"{what.__name__} {name}": planted(name, what)
    for name in ("generations", "generations/{counter}")
    for what in (link, link_to_folder, fifo)
}
REFUSED |= {
    f"{what.__name__} record": planted("generations/applied.json", what)
    for what in (link, fifo, folder_there, hard_link, large)
}
REFUSED["crowded generations"] = planted("generations", crowded)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_touches_nothing_and_is_named(site: Site, kind: str) -> None:
    site.apply(site.pack("first"))
    site.state.run("revoke", "press-1")
    package = site.pack()
    counter = site.state.run("audit", "show", "--all", "--json").json_lines[-1]["detail"].get("counter", 0)
    (site.folder / "first").unlink()
    plant = REFUSED[kind]
    before = outside(site)
    if "{counter}" in kind:
        _counter(site, package, kind)
        return
    path = plant(site)
    said = site.apply(package, expect=4)
    assert outside(site) == before
    assert f"'{path}" in said
    assert f"rm {path}" in said or f"delete what does not belong in {path}" in said
    assert counter >= 0


def _counter(site: Site, package: Path, kind: str) -> None:
    """The folder of the very generation that comes."""
    import json

    counter = json.loads(package.read_bytes().split(b"\n", 2)[1])["counter"]
    what = {"link": link, "link_to_folder": link_to_folder, "fifo": fifo}[kind.split(maxsplit=1)[0]]
    before = outside(site)
    path = planted(f"generations/{counter}", what)(site)
    said = site.apply(package, expect=4)
    assert outside(site) == before
    assert f"rm {path}" in said


def lock(path: Path, site: Site) -> None:
    link(path, site)


HARMLESS = {
    "a lock file of earlier versions": planted("generations/lock.db", link),
    "half a file": planted(".iotonboard-x.tmp", link),
    "half a file that is a folder": planted(".iotonboard-x.tmp", folder_there),
    "a generation that is a link": planted("generations/99999999999", link_to_folder),
    "a generation with links": planted("generations/7/crl.pem", link),
    "a generation with FIFOs": planted("generations/7/mosquitto.acl", fifo),
    "a deep generation": planted("generations/1", folder_there),
    "a crowded generation": planted("generations/1", crowded),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_stands_in_nobody_s_way_is_not_followed(site: Site, kind: str) -> None:
    site.apply(site.pack("first"), "--keep", "1")
    site.state.run("revoke", "press-1")
    package = site.pack()
    before = outside(site)
    HARMLESS[kind](site)
    site.apply(package, "--keep", "1")
    assert outside(site) == before
    assert site.is_silent("press-1")
    for path in site.dest.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert "secret" not in path.read_text()


def test_no_mode_that_was_planted_is_copied(site: Site) -> None:
    site.apply(site.pack("first"))
    for name in FILES:
        os.chown(site.dest / name, BROKER, BROKER)
        (site.dest / name).chmod(0o7777)
    site.state.run("revoke", "press-1")
    site.apply(site.pack())
    for path in site.dest.rglob("*"):
        mode = path.stat().st_mode
        assert path.is_dir() or stat.S_IMODE(mode) in {0o644, 0o664}, path
        assert not mode & 0o002, path
    assert (site.dest / "crl.pem").stat().st_uid == BROKER


@pytest.mark.parametrize("where", ["dest", "on the way"])
def test_a_link_of_the_broker_s_user_leads_root_to_no_folder(site: Site, where: str) -> None:
    package, before = site.pack(), outside(site)
    home = site.dest
    link_at = home / "sub" if where == "dest" else home / "link"
    link_at.symlink_to(site.folder / "private" if where == "dest" else site.folder)
    os.lchown(link_at, BROKER, BROKER)
    site.dest = link_at if where == "dest" else link_at / "private"
    said = site.apply(package, expect=4)
    assert f"rm {link_at}" in said
    assert outside(site) == before


def test_a_link_of_root_s_own_is_the_folder(site: Site) -> None:
    real = site.dest
    (site.folder / "link").symlink_to(real)
    site.dest = site.folder / "link"
    site.apply(site.pack())
    assert sorted(path.name for path in real.iterdir()) == ["ca.crt", "crl.pem", "generations", "mosquitto.acl"]
    assert (site.folder / "mosquitto.applied.json").exists()


@pytest.mark.parametrize("what", [link, fifo, folder_there, hard_link, large])
def test_the_record_beside_is_as_safe_where_the_folder_around_is_the_broker_s_user_s(
    site: Site, what: Callable[[Path, Site], object]
) -> None:
    package = site.pack()
    beside = site.folder / "mosquitto.applied.json"
    what(beside, site)
    before = outside(site)
    assert f"rm {beside}" in site.apply(package, expect=4)
    assert outside(site) == before


def test_a_folder_that_changes_all_the_time(site: Site) -> None:
    """Between look and use: another process puts links in the place of everything, as fast as it can."""
    packages = [site.pack("first")]
    for number in range(6):
        site.state.run("topics", "add", "press-1", f"read:plant/{number}")
        packages.append(site.pack(f"p{number}"))
    for path in (site.dest, *site.dest.rglob("*")):
        os.chown(path, BROKER, BROKER)
    private = site.folder / "private"
    secrets = {path.name: path.read_bytes() for path in private.iterdir()}
    swapping = os.fork()
    if swapping == 0:
        become(BROKER)
        while True:
            _swap(site.dest, private)
    try:
        for package in packages:
            site.apply(package, expect=None)
    finally:
        os.kill(swapping, signal.SIGKILL)
        os.waitpid(swapping, 0)
    assert {path.name: path.read_bytes() for path in private.iterdir()} == secrets
    for path in site.dest.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"secret" not in path.read_bytes()


def _swap(dest: Path, private: Path) -> None:
    for name in ("crl.pem", "mosquitto.acl", "ca.crt", "generations", "generations/applied.json"):
        path = dest / name
        new = path.with_name(path.name + ".new")
        with contextlib.suppress(OSError):
            new.symlink_to(private / path.name)
        with contextlib.suppress(OSError):
            new.rename(path)
        with contextlib.suppress(OSError):
            path.unlink()
