"""Whatever stands in a package, a broker's folder, or a receipt: documented errors only, and no list gets shorter."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from support.changes import changed_zip
from support.program import State, snapshot
from support.site import FILES, Site

_RECORDS = ("generations/applied.json", "../mosquitto.applied.json")
_VALUES = (None, -1, 1 << 70, 1e300, "", "\udcff", [], {}, [[]], {"a": None}, True, "x" * 100_000)


@pytest.fixture
def site(state: State, tmp_path: Path) -> Site:
    """A broker's machine with one package applied; the next one revokes press-1."""
    state.register("press-1", "press-2")
    site = Site(state, tmp_path)
    site.apply(site.pack("first"))
    state.run("revoke", "press-1")
    site.pack("second")
    return site


@pytest.mark.parametrize("form", ["1", "2"])
def test_a_changed_package_is_a_documented_error(site: Site, form: str) -> None:
    dice = random.Random(f"package {form}")  # noqa: S311 - what is changed
    intact = site.pack("third", "--format", form).read_bytes()
    given, before = site.folder / "given", snapshot(site.dest)
    for _ in range(15):
        given.write_bytes(changed_zip(intact, dice))
        said = site.apply(given, expect=6) if given.read_bytes() != intact else ""
        assert "Traceback" not in said
        assert snapshot(site.dest) == before


def test_a_changed_folder_is_a_documented_error(site: Site) -> None:
    """What the broker's user makes of it: a package goes in, or nothing is touched; the revoked device stays out."""
    dice = random.Random("folder")  # noqa: S311 - what is changed
    intact = site.folder / "intact"
    shutil.copytree(site.dest, intact)
    beside = site.folder / "mosquitto.applied.json"
    record, applied = beside.read_bytes(), 0
    for number in range(25):
        shutil.rmtree(site.dest)
        shutil.copytree(intact, site.dest)
        beside.write_bytes(record)
        place = site.dest / (*FILES, *_RECORDS)[number % 5]
        change = _edited if place.suffix == ".json" and dice.randrange(2) else changed_zip
        place.write_bytes(change(place.read_bytes(), dice))
        words = ("--replace-rules",) if dice.randrange(2) else ()
        result = site.state.run(*site.words(site.folder / "second", *words), expect=(0, 4, 6))
        assert "hint: " in result.stderr or result.exit_code == 0
        if result.exit_code == 0:
            applied += 1
            assert len(site.revoked()) == 1
            assert site.is_silent("press-1")
    assert applied > 3


def test_a_changed_receipt_is_a_documented_error(site: Site) -> None:
    dice = random.Random("receipt")  # noqa: S311 - what is changed
    path = site.folder / "receipt"
    site.apply(site.folder / "second", "--receipt", str(path))
    intact = path.read_bytes()
    for _ in range(15):
        path.write_bytes(changed_zip(intact, dice))
        site.state.run("receipts", path, expect=6 if path.read_bytes() != intact else 0)


def _edited(content: bytes, dice: random.Random) -> bytes:
    """A record whose values are of another kind."""
    values = json.loads(content)
    for name in dice.sample(sorted(values), dice.randint(1, 2)):
        values[name] = dice.choice(_VALUES)
    return json.dumps(values).encode("ascii")
