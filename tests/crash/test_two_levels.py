"""A root and a station, killed at every step of what they do for each other: nothing is lost, or goes out early."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.faults import KILLED, die_at
from support.program import State, write_key_file
from support.stations import Works, make_station, make_works, names

_MOST_STEPS = 400
BOTH = ["CN=Works Root", "CN=Station 7"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, a station that issues by itself and has a device and a broker, its request, and its answer."""
    folder = tmp_path_factory.mktemp("kept")
    works = make_works(folder)
    station = make_station(folder / "station", "Station 7", "--key-type", "ec-p256")
    station.register("press-1")
    station.run("broker", "issue", "broker.test")
    shutil.copytree(folder / "root", folder / "signed")
    signed = Works(State(folder / "signed" / "state", folder / "signed" / "key-file"), works.stick)
    signed.sign(signed.request(station))
    return folder


def each_step(
    kept: Path, tmp_path: Path, words: Callable[[Path], list[str | Path]], state: str, stride: int
) -> list[Path]:
    """A copy for each step at which the command was killed."""
    found = []
    for step in range(1, _MOST_STEPS, stride):
        folder = tmp_path / str(step)
        shutil.copytree(kept, folder)
        there = State(folder / state / "state", folder / state / "key-file")
        result = there.run(*words(folder), before=die_at(step), expect=(0, KILLED))
        if result.exit_code == 0:
            shutil.rmtree(folder)
            break
        found.append(folder)
    assert len(found) >= 3
    return found


def state_in(folder: Path, name: str) -> State:
    return State(folder / name / "state", folder / name / "key-file")


def stride_of(request: pytest.FixtureRequest, stride: int) -> int:
    return 1 if request.config.getoption("--long") else stride


def test_signing_is_done_whole_or_done_by_the_same_call(
    kept: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def words(folder: Path) -> list[str | Path]:
        return ["ca", "sign", folder / "stick" / "request.csr", "--out", folder / "stick" / "new.answer"]

    for folder in each_step(kept, tmp_path, words, "root", stride_of(request, 5)):
        root, answer = state_in(folder, "root"), folder / "stick" / "new.answer"
        assert not answer.exists() or names(answer) == ["CN=Station 7", "CN=Works Root"]
        root.run(*words(folder))
        assert names(answer) == ["CN=Station 7", "CN=Works Root"]
        assert Path(f"{answer}.record.txt").exists()
        (shown,) = root.json("ca", "status")["tree"]
        assert [one["name"] for one in shown["below"]] == ["Station 7"], "signed twice"
        root.run("health", "--deep")
        assert root.json("gen-crl")["revoked"] == 0
        shutil.rmtree(folder)


def test_an_answer_is_installed_whole_or_not_at_all(kept: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    fingerprint = Works(state_in(kept, "root"), kept / "stick").fingerprint

    def words(folder: Path) -> list[str | Path]:
        return ["ca", "install", folder / "stick" / "request.answer", "--fingerprint", fingerprint]

    for folder in each_step(kept, tmp_path, words, "station", stride_of(request, 17)):
        station = state_in(folder, "station")
        before = names(station.ca_cert)
        assert before in (["CN=Station 7"], BOTH)
        status = station.json("ca", "status")["tree"]
        is_installed = bool(status[0]["below"])
        assert is_installed or before == ["CN=Station 7"], "out before it is recorded"
        station.register("press-2")
        assert names(station.ca_cert) == (BOTH if is_installed else ["CN=Station 7"])
        station.run(*words(folder))
        assert names(station.ca_cert) == BOTH
        certificate = station.certs / "brokers" / "broker.test" / "broker.crt"
        assert names(certificate)[1:] == ["CN=Station 7"]
        station.run("health", "--deep")
        shutil.rmtree(folder)


def test_a_station_that_was_taken_back_is_on_the_next_list(
    kept: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words: list[str | Path] = ["ca", "revoke", "Station 7", "--reason", "keyCompromise"]
    for folder in each_step(kept, tmp_path, lambda _: words, "signed", stride_of(request, 13)):
        root = state_in(folder, "signed")
        again = root.json(*words)
        assert again["reason"] == "keyCompromise"
        assert root.json("gen-crl")["revoked"] == 1
        root.run("health", "--deep")
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["--root", "--below-root"])
def test_an_interrupted_beginning_is_finished_by_the_same_call(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    killed = 0
    for step in range(1, _MOST_STEPS, stride_of(request, 61)):
        folder = tmp_path / str(step)
        folder.mkdir()
        state = State(folder / "state", folder / "key-file")
        write_key_file(state.passphrase_file)
        if state.run("init-ca", kind, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        state.run("init-ca", kind, expect=(0, 4))  # 4: it was whole
        state.run("gen-crl")
        state.run("health", "--deep")
        expected = "root" if kind == "--root" else "issuing"
        assert [one["role"] for one in state.json("ca", "status")["tree"]] == [expected]
        assert state.ca_cert.exists() is (kind == "--root")
        days = 400 if kind == "--root" else 30
        assert state.json("config", "show")["settings"]["crl_next_update_days"]["value"] == days
        if kind == "--root":
            assert "crl_next_update_days = 400" in (state.path / "iotonboard.toml").read_text()
    assert killed >= 3
