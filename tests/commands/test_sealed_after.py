"""Whatever a command does that opened the CA's key, no row of it waits for the next one to be sealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.in_process import call
from support.old_fleet import OldFleet
from support.program import State
from support.tampering import request

# FOLDER stands for one that is the test's own.
KEYED = [
    "register new", "register new --no-bundle", "register new --format p12 --out FOLDER/out", "register --count 2",
    "register b --if-exists reissue", "register mine --csr FOLDER/mine.csr", "renew b", "release held", "revoke b",
    "revoke b --reason certificateHold", "revoke --unknown --serial 7B7B", "retire b", "broker issue other.test",
    "broker issue broker.test --csr FOLDER/mine.csr", "broker revoke broker.test",
    "export b --format zip --out FOLDER/b.zip",
    "export b --format pem --out FOLDER/b", "export b --format json --out -",
    "export --batch FOLDER/list --format pem --out FOLDER/all",
    "bundle password b", "gen-crl", "gen-crl --calendar 3 --every 7", "pack --out FOLDER/package",
    "pack --format 1 --out FOLDER/package", "backup FOLDER/backup.zip", "config set cert_validity_days 400",
    "config set broker.reload command:true", "config accept", "ca rollover begin", "ca replace --compromised --yes",
    "ca passwd --generate-key-file FOLDER/new", "ca trust add FOLDER/others/ca.pem --crl FOLDER/others/crl.pem",
    "accept-clock", "health --repair",
]  # fmt: skip


@pytest.mark.parametrize("line", KEYED)
def test_nothing_waits_for_the_next_seal(lived: State, tmp_path: Path, line: str) -> None:
    state = lived.copy_to(tmp_path)
    request(tmp_path / "mine.csr")
    (tmp_path / "list").write_text("b\nc\n")
    if "trust" in line:
        others = OldFleet(tmp_path / "others")
        line = line.replace("FOLDER/others/ca.pem", str(others.ca)).replace("FOLDER/others/crl.pem", str(others.crl()))
    if line == "config accept":
        (state.path / "iotonboard.toml").write_text("renewal_overlap_days = 20\n")
    done = call(state, *line.replace("FOLDER", str(tmp_path)).split())
    assert done.exit_code == 0, done
    assert call(state, "audit", "show", "--unsealed", "--json").stdout == ""


def test_nor_when_an_old_ca_goes(lived: State, tmp_path: Path) -> None:
    state = lived.copy_to(tmp_path)
    call(state, "ca", "rollover", "begin")
    for line in ("revoke b c held", "broker issue broker.test", "ca rollover --retire"):
        done = call(state, *line.split())
        assert done.exit_code == 0, done
        assert call(state, "audit", "show", "--unsealed", "--json").stdout == ""


@pytest.fixture(scope="module")
def lived(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Read only: three devices, one of them on hold, and a broker."""
    state = pristine.copy_to(tmp_path_factory.mktemp("lived"))
    state.register("b", "c", "held")
    state.run("broker", "issue", "broker.test")
    state.run("revoke", "held", "--reason", "certificateHold")
    return state
