"""``ca split``: shares open the CA in every verb, are told in the trail, and end with the passphrase."""

from __future__ import annotations

from pathlib import Path

from support.program import State

_NOTHING = {"IOTONBOARD_PASSPHRASE_FILE": None}


def _given(folder: Path, *numbers: int) -> list[str]:
    return [word for number in numbers for word in ("--share-file", str(folder / f"share-{number}.txt"))]


def test_three_of_five_people_open_the_ca(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "shares"
    answer = state.json("ca", "split", "--shares", "5", "--threshold", "3", "--out", folder)
    assert answer["paths"] == [str(folder / f"share-{number}.txt") for number in range(1, 6)]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    secret = Path(state.passphrase_file).read_text().strip()
    assert not any(secret[:8] in path.read_text() for path in folder.iterdir())
    state.run("register", "press-1", *_given(folder, 5, 1, 3), env=_NOTHING)
    told = state.run("register", "press-2", *_given(folder, 5, 1), env=_NOTHING, expect=7)
    assert "2 of 3" in told.stderr
    shown = state.run("audit", "show", "--command", "ca split", "--json").json_lines[0]
    assert shown["detail"] == {"set": answer["set"], "shares": 5, "threshold": 3}
    assert state.json("health", "--deep")["status"] == "ok"


def test_shares_take_the_place_of_a_file_that_the_environment_names_and_of_none_that_was_typed(
    state: State, tmp_path: Path
) -> None:
    folder = tmp_path / "shares"
    state.run("ca", "split", "--shares", "2", "--threshold", "2", "--out", folder)
    told = state.run("gen-crl", *_given(folder, 1, 2), "--passphrase-file", state.passphrase_file, expect=2).stderr
    assert "--share-file and --passphrase-file exclude each other" in told
    state.run("gen-crl", *_given(folder, 1, 2), env={"IOTONBOARD_PASSPHRASE_FILE": "nowhere"})


def test_a_wrong_word_is_named_with_its_file(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "shares"
    state.run("ca", "split", "--shares", "2", "--threshold", "2", "--out", folder)
    sheet = folder / "share-2.txt"
    sheet.write_text(sheet.read_text().replace(" 7 ", " 7 xylophone "))
    told = state.run("gen-crl", *_given(folder, 1, 2), env=_NOTHING, expect=7).stderr
    assert str(sheet) in told
    assert "'xylophone'" in told


def test_nothing_is_written_that_cannot_be_used(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "shares"
    for words, code in ((("--shares", "3", "--threshold", "4"), 6), (("--shares", "17", "--threshold", "2"), 6)):
        state.run("ca", "split", *words, "--out", folder, env=_NOTHING, expect=code)
    (wrong := tmp_path / "wrong").write_text("another passphrase\n")
    state.run("ca", "split", "--out", folder, "--passphrase-file", wrong, expect=7)
    assert not folder.exists()
    folder.mkdir()
    (folder / "share-4.txt").write_text("of others")
    before = state.snapshot()
    state.run("ca", "split", "--out", folder, expect=4)
    assert [path.name for path in folder.iterdir()] == ["share-4.txt"]
    assert state.snapshot() == before


def test_a_new_passphrase_ends_the_shares_and_shares_may_be_the_old_one(state: State, tmp_path: Path) -> None:
    folder, new = tmp_path / "shares", tmp_path / "new"
    state.run("ca", "split", "--shares", "3", "--threshold", "2", "--out", folder)
    told = state.run("ca", "passwd", *_given(folder, 2, 3), "--generate-key-file", new, env=_NOTHING).stderr
    assert "ca split" in told
    state.run("gen-crl", *_given(folder, 2, 3), env=_NOTHING, expect=7)
    state.run("gen-crl", "--passphrase-file", new)
    assert (
        "ca split"
        not in state.run("ca", "passwd", "--passphrase-file", new, "--generate-key-file", tmp_path / "n2").stderr
    )


def test_a_ca_without_a_passphrase_has_nothing_to_split(tmp_path: Path) -> None:
    state = State(tmp_path / "open", "")
    state.run("init-ca", "--no-passphrase", env=_NOTHING)
    assert "ca passwd" in state.run("ca", "split", "--out", tmp_path / "shares", env=_NOTHING, expect=4).stderr
