"""Hand edits of the database, and that the deep inspection finds each."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import State
from support.tampering import EDITS, edit, found


def test_the_plant_has_a_row_in_every_table_and_no_difference(plant: State) -> None:
    assert found(plant) == []


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_found(plant: State, name: str) -> None:
    change, words = EDITS[name]
    edit(plant, change)
    differences = found(plant)
    assert any(words in one for one in differences), differences


# What each command tells in words, beside the digests of the rows that it changed.
TOLD = {
    ("init-ca", "ca"): {"fingerprint"},
    ("init-ca", "crl"): {"crl_number", "next_update", "revoked"},
    ("init-ca", "settings"): {"sealed", "values"},
    ("register", "a"): {"fingerprint", "bundle", "key", "not_after"},
    ("broker issue", "broker.test"): {"fingerprint", "port", "folder"},
    ("topics add", "b"): {"topics"},
    ("config set", "cert_validity_days"): {"old", "new"},
    ("confirm", "c"): {"confirmed", "proved"},
    ("purge", "bare"): {"purged"},
    ("deliver", "b"): {"delivery", "sha256"},
    ("renew", "old"): {"renews", "revoke_after"},
    ("revoke", "held"): {"revoked", "dated"},
    ("revoke", "foreign"): {"foreign", "dated"},
    ("retire", "gone"): {"retired"},
    ("release", "held"): {"released"},
    ("register", "new"): {"name", "attributes", "topics"},
    ("gen-crl", "crl"): {"calendar", "every_days"},
    ("pack", "package"): {"counter", "crl_number"},
    ("receipts", "broker-1"): {"receipt"},
    ("backup", "backup"): {"path"},
    ("ca rollover", "ca"): {"fingerprint"},
}


def test_every_change_that_matters_is_told_with_its_content(plant: State, tmp_path: Path) -> None:
    plant.run("release", "held")
    (tmp_path / "list.csv").write_text("device_id,name,site,topics\nnew,Press 9,hall 2,read:line/2\n")
    plant.run("register", "--batch", tmp_path / "list.csv", "--no-bundle")
    plant.run("gen-crl", "--calendar", "3", "--every", "7")
    plant.run("backup", tmp_path / "backup.zip")
    plant.run("ca", "rollover", "begin")
    rows = plant.run("audit", "show", "--all", "--json").json_lines
    told = {
        place: {key for row in rows if (row["verb"], row["subject"]) == place for key in row["detail"]}
        for place in TOLD
    }
    assert {place: left for place, keys in TOLD.items() if (left := keys - told.get(place, set()))} == {}
