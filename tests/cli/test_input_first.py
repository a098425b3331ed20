"""What is wrong in the words of a call is said before anybody is asked for a passphrase: for every verb with a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import State, run_cli
from support.terminal import on_terminal

NO_FILE = {"IOTONBOARD_PASSPHRASE_FILE": None}
# '@' is the folder of the files below; press-2 was revoked, press-3 retired, and press-4 is on hold.
WRONG = """
register bad/id: 6
register press-1: 4
register PRESS-1: 4
register press-1 press-2: 4
register press-3: 4
register bad/1 bad/2: 6
register --batch @/none: 5
register --batch @/dup.txt: 6
register --csr-dir @/csrs: 6
register x --topic nowhere: 6
register --count 2 --topic nowhere: 6
register x --set nothing: 2
register x --csr @/none: 5
register x --csr @/text: 6
register x --validity-days 36500: 6
register x --format nothing --out @/d: 2
register x --passwords /nowhere/p.csv: 8
register x --results /nowhere/r.csv: 8
register x --results @/text: 4
renew nope: 5
renew nope nope-2: 5
renew press-2: 4
renew press-2 press-3: 4
renew press-4: 4
renew --batch @/bad.txt: 6
renew --batch @/none: 5
renew press-1 --csr @/none: 5
renew press-1 --csr @/text: 6
renew press-1 --validity-days 36500: 6
renew press-1 --results /nowhere/r.csv: 8
revoke nope: 5
revoke nope nope-2: 5
revoke --batch @/bad.txt: 6
revoke press-1 --reason nonsense: 2
revoke --cert @/text: 6
release nope: 5
release press-1: 4
release press-1 press-4: 4
release press-2 press-3: 4
release --batch @/bad.txt: 6
retire nope: 5
retire --batch @/bad.txt: 6
topics add nope read:x: 5
topics add press-1 nowhere: 6
export nope: 5
export press-2: 5
export press-1 --out @/text: 4
export press-1 --out /nowhere/x: 5
export press-1 --format pem --out @/text: 4
export press-1 --format esp-nvs --attributes colour --out @/o: 6
export press-1 --format esp-nvs --image 5 --out @/o: 2
export press-1 --legacy: 2
export --batch @/bad.txt --out @/o: 6
deliver nope: 5
deliver --batch @/bad.txt: 6
deliver press-1 --to /nowhere: 5
confirm nope: 5
confirm press-1 --fingerprint zz: 6
bundle password press-2: 5
bundle password --batch @/bad.txt: 6
bundle open @/text --out @/o: 6
bundle open @/none --out @/o: 5
broker issue bad/host: 6
broker issue host --csr @/text: 6
broker issue host --validity-days 36500: 6
broker revoke nohost: 5
gen-crl --reload: 2
register x --reload: 2
release press-4 --reload: 2
topics add press-1 read:plant/config --reload: 2
pack --out /nowhere/x: 8
pack --out @/text: 4
ca rollover begin --validity-days 5: 6
ca rollover begin --name Too-long-for-the-common-name-of-a-CA-which-has-64-octets-at-the-most: 6
ca rollover --retire: 4
ca rollover --cancel: 4
ca replace --compromised --until 2001-01-01: 2
ca replace zz --compromised: 6
ca replace --compromised --cert @/text: 6
ca replace --compromised --generate-key-file /nowhere/key: 8
ca passwd --generate-key-file /nowhere/key: 8
ca passwd --generate-key-file @/text: 4
ca trust add @/text: 6
ca trust remove zz: 6
backup /dev/null/x: 8
backup @/text: 4
restore @/none --no-crl --state @/new: 5
restore @/text --no-crl --state @/new: 6
restore @/text --check: 6
restore --crl @/text: 6
config set acl.style round: 6
config set nothing 5: 2
config set broker.reload nonsense: 6
config accept: 5
init-ca --state @/new --validity-days 5: 6
init-ca: 4
"""
CALLS = [line.rsplit(": ", 1) for line in WRONG.strip().splitlines()]


@pytest.fixture(scope="module")
def plant(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    state = pristine.copy_to(tmp_path_factory.mktemp("plant"))
    state.register("press-1", "press-2", "press-3", "press-4")
    state.run("revoke", "press-2")
    state.run("retire", "press-3")
    state.run("revoke", "press-4", "--reason", "hold")
    folder = state.path.parent
    (folder / "bad.txt").write_text("nope-1\nnope-2\n")
    (folder / "dup.txt").write_text("press-1\npress-1\n")
    (folder / "text").write_text("this is none of what is looked for here\n")
    (folder / "csrs").mkdir()
    (folder / "csrs" / "bad id.csr").write_text("x")
    return state


def test_wrong_input_is_told_before_a_passphrase_is_asked_for(plant: State) -> None:
    wrong = []
    for number, (call, code) in enumerate(CALLS):
        words = call.replace("@", str(plant.path.parent)).split()
        done = plant.run(*words, *["--json"][: number % 2], env=NO_FILE, expect=None)
        if done.exit_code != int(code) or "passphrase is needed" in done.stderr:
            wrong.append(f"expected {code}, {done}")
    assert not wrong, "\n".join(wrong)
    assert not Path("/nowhere").exists()


@pytest.mark.parametrize("call", ["renew nope nope-2", "release press-2 press-3", "register press-1 press-2"])
def test_nobody_is_asked_on_a_terminal_either(plant: State, call: str) -> None:
    raw, _, code = on_terminal(plant, *call.split(), answers=["long enough words"], env=NO_FILE)
    assert (code in {4, 5}, "passphrase:" in raw) == (True, False), raw


def test_a_list_with_one_good_row_needs_the_passphrase(plant: State) -> None:
    done = plant.run("renew", "--batch", "-", input="nope-1\npress-1\nnope-2\n", env=NO_FILE, expect=7)
    assert "line 1: there is no device 'nope-1'" in done.stderr
    assert plant.json("show", "press-1")["certificates"][1:] == []


def test_what_was_refused_stands_in_the_results_and_needs_no_signature(state: State, tmp_path: Path) -> None:
    words = ("renew", "--batch", "-", "--results", tmp_path / "r.csv")
    state.run(*words, input="nope-1\nnope-2\n", env=NO_FILE, expect=6)
    assert (tmp_path / "r.csv").read_text().count(",failed,") == 2
    assert not (tmp_path / "r.csv.manifest").exists()
    state.register("nope-1")
    state.run(*words, input="nope-1\nnope-2\n", expect=6)
    assert sorted(path.name for path in tmp_path.glob("r.csv*")) == ["r.csv", "r.csv.manifest", "r.csv.manifest.sig"]


def test_a_ca_that_was_given_up_leaves_no_folder(tmp_path: Path) -> None:
    run_cli("init-ca", "--state", tmp_path / "deep" / "below" / "s", env=NO_FILE, expect=7)
    assert not (tmp_path / "deep").exists()
