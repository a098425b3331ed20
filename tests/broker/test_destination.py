"""The folder on a broker's machine: what was applied is remembered twice, and the files of before are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from iotonboard.broker.applied import Applied, Station
from iotonboard.broker.destination import Destination, digests, open_destination
from iotonboard.broker.rules_there import check_own_rules
from iotonboard.disk.entries import STAGING_PREFIX, STAGING_SUFFIX
from iotonboard.errors import ConflictError, NotFoundError, PolicyError

OLD = {"crl.pem": b"old list\n", "mosquitto.acl": b"user a\n", "ca.crt": b"ca\n"}
NEW = OLD | {"crl.pem": b"new list\n"}
REGION = b"# BEGIN iotonboard: x\nuser dev\ntopic read devices/dev\n# END iotonboard\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Destination]:
    (tmp_path / "dest").mkdir()
    with open_destination(str(tmp_path / "dest")) as destination:
        yield destination


def kept(place: Destination, counter: int) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(place.generation(counter)).iterdir()}


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder") as caught, open_destination(str(tmp_path / "dest")):
        pass
    assert "mkdir" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_written_is_swept(tmp_path: Path) -> None:
    left = tmp_path / f"{STAGING_PREFIX}crl.pem{STAGING_SUFFIX}"
    left.write_text("half")
    with open_destination(str(tmp_path)) as place:
        assert not left.exists()
        place.keep(1, OLD)
        (Path(place.generation(1)) / left.name).write_text("half")
        place.forget(1)
        assert place.counters() == []


def test_what_was_applied_is_remembered_beside_the_folder_too(place: Destination) -> None:
    assert place.applied() is None
    applied = Applied(7, "d1", digests(OLD))
    place.record(applied)
    assert place.applied() == applied
    (beside,) = Path(place.path).parent.glob("dest.*")
    inside = Path(place.generation(0)).parent / "applied.json"
    assert beside.read_text() == inside.read_text()
    inside.unlink()
    assert place.applied() == applied
    place.record(Applied(8, "d2", {}))
    beside.write_text(json.dumps({"counter": 7, "digest": "d1", "files": {}}))
    assert place.applied() == Applied(8, "d2", {}), "the newer of the two counts"


def test_a_record_of_an_earlier_version_is_read(place: Destination) -> None:
    Path(f"{place.path}.applied.json").write_text('{"counter": 7, "digest": "d1", "files": {"crl.pem": "d2"}}')
    assert place.applied() == Applied(7, "d1", {"crl.pem": "d2"})
    stations = {"other": Station(9, "d9", ("press-1",), ("ab" * 32,))}
    newest = Applied(3, "d3", {}, "key", ("old key",), {"acl key": 5}, ("lost",), stations, ("gone",), ("cd" * 32,))
    place.record(newest)
    assert place.applied() == newest, "counters of two CAs are not compared"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"counter": "x", "digest": "", "files": {}}', "\udcff"])
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_a_record_that_cannot_be_read_is_not_taken_for_none(place: Destination, where: str, text: str) -> None:
    place.record(Applied(7, "d1", {}))
    beside = Path(f"{place.path}.applied.json")
    path = beside if where == "beside" else Path(place.generation(0)).parent / "applied.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PolicyError, match=r"applied\.json") as caught:
        place.applied()
    assert "--accept-older" in caught.value.hint


def test_files_are_put_in_place_as_they_were_there(place: Destination) -> None:
    assert place.current() == {}
    place.replace({"crl.pem": OLD["crl.pem"]})
    assert place.current() == {"crl.pem": OLD["crl.pem"]}
    Path(place.file("crl.pem")).chmod(0o640)
    place.replace(NEW)
    assert place.current() == NEW
    assert Path(place.file("crl.pem")).stat().st_mode & 0o777 == 0o640
    assert Path(place.file("ca.crt")).stat().st_mode & 0o777 == 0o644


def test_a_broker_in_between_meets_a_newer_list_beside_an_older_acl(
    place: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And on the way back the other way round: the CA file goes first."""
    order: list[str] = []
    rename = os.replace

    def noted(source: str, target: str, **options: int) -> None:
        rename(source, target, **options)
        order.append(os.path.basename(target))

    monkeypatch.setattr(os, "replace", noted)
    place.replace(NEW)
    place.replace(OLD, backwards=True)
    assert order == ["crl.pem", "mosquitto.acl", "ca.crt", "ca.crt", "mosquitto.acl", "crl.pem"]


def test_generations_are_found_by_what_they_brought(place: Destination) -> None:
    for counter, files in ((3, OLD), (10, NEW), (9, OLD), (0, OLD)):
        assert place.keep(counter, files) == place.generation(counter)
    assert kept(place, 10) == NEW
    for folder in (place.generation(10), os.path.dirname(place.generation(10))):
        assert os.stat(folder).st_mode & 0o777 == 0o755  # for whoever inspects them
    (Path(place.generation(0)).parent / "notes").mkdir()
    (Path(place.generation(0)).parent / "11").write_text("no folder")
    assert place.counters() == [0, 3, 9, 10]
    assert (place.generation_of(NEW), place.generation_of(OLD)) == (10, 9)
    assert place.generation_of({"mosquitto.acl": OLD["mosquitto.acl"]}) == 10
    assert place.generation_of(OLD | {"ca.crt": b"another\n"}) == 0
    Path(place.generation(9), "ca.crt").unlink()
    assert place.generation_of(OLD) == 3


def test_a_generation_that_no_package_brought_is_not_found(place: Destination) -> None:
    place.keep(0, OLD)
    assert place.generation_of(OLD) == 0
    place.keep(1, OLD)
    assert place.generation_of(OLD) == 1


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, [4]), (2, [3, 4]), (4, [1, 2, 3, 4]), (9, [1, 2, 3, 4])])
def test_the_newest_generations_stay(place: Destination, keep: int, left: list[int]) -> None:
    for counter in (1, 2, 3, 4):
        place.keep(counter, OLD)
    place.thin(keep)
    assert place.counters() == left
    assert all(kept(place, counter) == OLD for counter in left)


def test_what_somebody_laid_into_a_generation_stays(place: Destination) -> None:
    place.keep(1, OLD)
    Path(place.generation(1), "notes.txt").write_text("mine")
    place.forget(1)
    assert kept(place, 1) == {"notes.txt": b"mine"}


@pytest.mark.parametrize(
    ("there", "coming", "lost"),
    [
        (b"topic read x\n", b"topic read x\n", ""),
        (b"topic read x\n", b"", "topic read x"),
        (b"user op\ntopic read x\n", b"user op2\ntopic read x\n", "user op: topic read x"),
        (b"user op\ntopic read x\n", b"# note\nuser op\ntopic  read x\n", ""),
        (b"user op\npattern read x/%u\n", b"pattern read x/%u\nuser op\n", ""),
        (b"pattern read x/%u\n", REGION, "pattern read x/%u"),
        (REGION, b"", ""),
        (b"user op\ntopic read x\n" + REGION, REGION + b"user op\ntopic read x\n", ""),
        (REGION + b"user op\ntopic read x", REGION, "user op: topic read x"),
        (REGION.replace(b"# END", b"#END"), REGION, "user dev: topic read devices/dev"),  # no region that can be told
    ],
)
def test_rules_that_somebody_wrote_there_are_not_lost(there: bytes, coming: bytes, lost: str) -> None:
    if not lost:
        check_own_rules(there, coming)
        return
    with pytest.raises(ConflictError, match="rule of its own") as caught:
        check_own_rules(there, coming)
    assert repr(lost) in caught.value.message
    assert "--replace-rules" in caught.value.hint
