"""A CA whose key lies in a token: what works as with a file, and what a PIN, a module and a token can do wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.faults import KILLED, die_at
from support.program import PROJECT, State
from support.terminal import on_terminal
from support.tokens import PIN, TokenState, blank, found, unplug_after

COUNT_LOW, FINAL_TRY, LOCKED = 0x10000, 0x20000, 0x40000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TokenState:
    """Read only: copy it, or use ``state``."""
    state = blank(tmp_path_factory.mktemp("token"))
    found(state)
    state.register("d-1")
    return state


@pytest.fixture
def state(made: TokenState, tmp_path: Path) -> TokenState:
    return made.copy_to(tmp_path)


def test_the_file_of_the_key_names_it_and_holds_nothing_secret(made: TokenState) -> None:
    assert (made.certs / "ca.key").read_text() == f"{made.uri()}\n"
    assert not any(b"PRIVATE" in path.read_bytes() for path in made.certs.glob("*.key"))


def test_a_life_with_a_token(state: TokenState) -> None:
    state.register("d-2", "d-3")
    state.run("revoke", "d-1")
    state.run("broker", "issue", "broker.example")
    state.run("renew", "d-2")
    assert state.json("bundle", "password", "d-3")["bundle_password"]
    assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")
    state.run("audit", "verify")


def test_a_batch_on_all_cores(state: TokenState) -> None:
    lines = state.run("register", "--count", "40", "--jobs", "2", "--json").json_lines
    assert len({line["serial"] for line in lines if "serial" in line}) == 40
    state.run("health", "--deep")


@pytest.mark.parametrize("key_type", ["ec-p384", "rsa-2048"])
def test_other_types_of_keys(tmp_path: Path, key_type: str) -> None:
    state = blank(tmp_path)
    found(state, "--key-type", key_type)
    state.register("d-1")
    assert state.json("bundle", "password", "d-1")["bundle_password"]
    state.run("health", "--deep")


def test_a_vault_key_that_decrypts_where_the_token_derives_nothing(tmp_path: Path) -> None:
    state = blank(tmp_path)
    state.make_keys()
    state.run("init-ca", "--key", state.uri(), "--recovery-passphrase-file", state.recovery)
    state.register("d-1")
    assert state.json("bundle", "password", "d-1")["bundle_password"]
    state.run("backup", tmp_path / "b.zip")
    state.run("restore", "--check", tmp_path / "b.zip", "--key", state.uri())
    assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")


def test_keys_that_are_there_already(state: TokenState, tmp_path: Path) -> None:
    other = TokenState(tmp_path / "other", state.passphrase_file, state.softhsm, state.module)
    refused = found(other, expect=4)
    assert "there is a key 'ca' in the token 'station7' already" in refused.stderr
    assert not other.path.exists()
    words = ("init-ca", "--key", state.uri(), "--recovery-passphrase-file", state.recovery)
    other.run(*words)
    other.register("d-1")
    missing = other.run("init-ca", "--state", tmp_path / "third", "--key", state.uri("none"), *words[3:], expect=7)
    assert "has no private key 'none'" in missing.stderr
    nobody = other.run("init-ca", "--state", tmp_path / "third", "--key", state.uri(), expect=7)
    assert "the recovery passphrase of the new CA is needed" in nobody.stderr
    no_module = tmp_path / "no-module.so"
    no_module.write_text("text")
    for module, told in ((no_module, "is no module for PKCS #11"), (tmp_path / "away.so", "is not there")):
        uri = state.uri().replace(state.module, str(module))
        refused = other.run("init-ca", "--state", tmp_path / "third", "--key", uri, *words[3:], expect=7)
        assert f"{str(module)!r} {told}" in refused.stderr


@pytest.mark.parametrize("step", [120, 128, 140])  # before and behind the note of where the key is
def test_an_interrupted_beginning_is_finished_with_the_same_key(tmp_path: Path, step: int) -> None:
    state = blank(tmp_path)
    found(state, before=die_at(step), expect=(KILLED, 0, 4))
    found(state, expect=(0, 4))  # 4: it was finished
    state.register("d-1")
    assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")


# -- the PIN -------------------------------------------------------------------------------------------------------


def test_a_wrong_pin_is_tried_once(state: TokenState) -> None:
    wrong = state.write("wrong", "999999")
    refused = state.run("register", "d-2", "--passphrase-file", wrong, expect=7)
    assert "the PIN of the token 'station7' is wrong" in refused.stderr
    assert "attempts are left" in refused.stderr
    assert "warning\tin the token 'station7'" in state.run("health", "--check", "ca-key").stdout
    assert "a wrong PIN was given since the last right one" in state.run("register", "d-2").stderr
    state.run("health", "--check", "ca-key")


def test_the_last_attempt_is_taken_when_it_is_asked_for_by_name(state: TokenState) -> None:
    state.set_flags(COUNT_LOW | FINAL_TRY)
    refused = state.run("register", "d-2", expect=7)
    assert "one attempt left" in refused.stderr
    assert "nothing was tried" in refused.stderr
    assert "iotonboard ca token --last-try" in refused.stderr
    assert "one attempt is left" in state.run("health", "--check", "ca-key").stdout
    state.run("ca", "token", "--last-try")


def test_a_blocked_pin(state: TokenState) -> None:
    state.set_flags(LOCKED)
    for words in (("register", "d-2"), ("ca", "token", "--last-try")):
        refused = state.run(*words, expect=7)
        assert "the PIN of the token 'station7' is blocked; nothing was tried" in refused.stderr
        assert "SO PIN" in refused.stderr
    assert "its PIN is blocked" in state.run("health", "--check", "ca-key", expect=9).stdout


def test_a_revocation_is_recorded_whatever_the_token_says(state: TokenState) -> None:
    state.set_flags(LOCKED)
    state.run("revoke", "d-1", expect=8)
    assert state.json("show", "d-1")["status"] == "revoked"
    assert "d-1" not in state.acl.read_text()


def test_what_cannot_be_the_pin_is_not_tried(state: TokenState) -> None:
    refused = state.run("register", "d-2", "--passphrase-file", state.recovery, expect=7)
    assert "not the PIN of the token 'station7'; nothing was tried" in refused.stderr
    none = {"IOTONBOARD_PASSPHRASE_FILE": None}
    refused = state.run("register", "d-2", env={**none, "IOTONBOARD_PASSPHRASE": "482915"}, expect=7)
    assert "not taken from IOTONBOARD_PASSPHRASE" in refused.stderr
    assert "PIN of the token 'station7'" in state.run("register", "d-2", env=none, expect=7).stderr
    state.run("health", "--check", "ca-key")


def test_the_pin_is_changed_with_the_tools_of_the_token(state: TokenState) -> None:
    refused = state.run("ca", "passwd", "--generate-key-file", state.path.parent / "new", expect=4)
    assert "lies in a token" in refused.stderr
    assert not (state.path.parent / "new").exists()


def test_a_person_types_the_pin(state: TokenState) -> None:
    env = {"IOTONBOARD_PASSPHRASE_FILE": None, "SOFTHSM2_CONF": str(state.softhsm / "softhsm2.conf")}
    raw, _, code = on_terminal(state, "register", "d-2", answers=[PIN], env=env)
    assert (code, "PIN of the token 'station7':" in raw, PIN in raw) == (0, True, False), raw
    raw, _, code = on_terminal(state, "register", "d-3", answers=["000000"], env=env)
    assert (code, raw.count("PIN of the token 'station7':")) == (7, 1), raw


# -- the token and its module --------------------------------------------------------------------------------------


def test_a_token_that_is_not_there(state: TokenState) -> None:
    state.unplug()
    assert "the token 'station7' is not there" in state.run("register", "d-2", expect=7).stderr
    assert "is not there" in state.run("health", "--check", "ca-key").stdout
    assert "is not there" in state.run("ca", "token").stdout
    state.plug_in()
    state.register("d-2")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_token_that_is_pulled_out_in_the_middle_of_a_batch(state: TokenState, jobs: str) -> None:
    devices = state.path.parent / "devices.csv"
    devices.write_text("device_id\n" + "".join(f"m-{number}\n" for number in range(130)))
    batch = ("register", "--batch", devices, "--jobs", jobs, "--json")
    broken = state.run(*batch, before=unplug_after(state.softhsm, 50), expect=7)
    answered = [line["device_id"] for line in broken.json_lines if "serial" in line]
    assert 0 < len(answered) < 130
    assert f"{len(answered)} created before it broke off" in broken.stderr
    assert "the token 'station7' does not answer" in broken.stderr or "is not there" in broken.stderr
    listed = [one["device_id"] for one in state.run("list", "--json").json_lines]
    assert {*answered, "d-1"} <= set(listed)
    state.plug_in()
    assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")
    done = state.run(*batch)
    assert len(state.run("list", "--json").json_lines) == 131, done.stderr


def test_without_the_extra(state: TokenState, tmp_path: Path) -> None:
    (tmp_path / "lacks").mkdir()
    (tmp_path / "lacks" / "pkcs11.py").write_text("raise ImportError(name='pkcs11')\n")
    path = {"PYTHONPATH": f"{tmp_path / 'lacks'}:{PROJECT}"}
    assert "pip install 'iotonboard[pkcs11]'" in state.run("register", "d-2", env=path, expect=7).stderr
    state.run("show", "d-1", env=path)
    assert "pip install" in state.run("health", "--check", "ca-key", env=path).stdout


def test_another_module_than_the_sealed_one_is_not_loaded(state: TokenState, tmp_path: Path) -> None:
    key = state.certs / "ca.key"
    planted = tmp_path / "planted.so"
    planted.write_bytes(b"no library at all")
    key.write_text(state.uri().replace(state.module, str(planted)) + "\n")
    refused = state.run("register", "d-2", expect=7)
    assert "names another token or module than the one that the CA sealed; nothing was loaded" in refused.stderr
    assert "names another token or module" in state.run("health", "--check", "ca-key", expect=9).stdout
    state.run("ca", "token", state.uri())
    state.register("d-2")


def test_a_module_that_others_may_write(tmp_path: Path) -> None:
    state = blank(tmp_path)
    open_folder = tmp_path / "lib"
    open_folder.mkdir()
    module = open_folder / "softhsm.so"
    module.write_bytes(Path(state.module).read_bytes())
    module.chmod(0o755)
    own = TokenState(state.path, state.passphrase_file, state.softhsm, str(module))
    found(own)
    for place, mode in ((module, 0o777), (open_folder, 0o777)):
        place.chmod(mode)
        refused = own.run("register", "d-1", expect=7)
        assert "others may put something else in the place of the module" in refused.stderr
        assert "others may put something else" in own.run("health", "--check", "ca-key", expect=9).stdout
        place.chmod(0o755)
    own.register("d-1")


def test_health_names_the_token(state: TokenState) -> None:
    (one,) = state.json("ca", "token")["tokens"]
    (check,) = state.json("health", "--check", "ca-key")["checks"]
    assert f"in the token 'station7', serial {one['token_serial']}" in check["message"]
    assert "cannot be copied out, and never could" in check["message"]
    assert (one["extractable"], one["was_extractable"]) == (False, False)
    told = json.loads(state.run("audit", "show", "--all", "--json").stdout.splitlines()[0])
    assert told["detail"]["token"]["uri"] == state.uri()


def test_another_key_of_the_token_is_none_of_this_ca(state: TokenState) -> None:
    refused = state.run("ca", "token", state.uri("ca-vault"), expect=7)
    assert "has no" in refused.stderr or "does not belong to the CA" in refused.stderr
    state.register("d-2")


# -- making one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--no-passphrase",), "has a PIN, and no passphrase"),
        (("--key-type", "ec-p384"), "--key-type is for a key that is made"),
        (("--generate", "--key-type", "ed25519", "--passphrase-file", "PIN"), "'ed25519' is not made in a token"),
        (("--print-recovery-passphrase", "--generate-recovery-file", "x"), "more than one way to the recovery"),
    ],
)
def test_options_that_do_not_go_together(made: TokenState, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    given = (made.passphrase_file if word == "PIN" else word for word in options)
    recovery = () if "recovery" in "".join(options) else ("--recovery-passphrase-file", made.recovery)
    words = ("init-ca", "--state", tmp_path / "s", "--key", made.uri("new"), *given, *recovery)
    assert said in made.run(*words, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=2).stderr
    assert not (tmp_path / "s").exists()


def test_the_recovery_passphrase_is_shown_once(tmp_path: Path) -> None:
    state = blank(tmp_path)
    words = ("init-ca", "--key", state.uri(), "--generate")
    state.write("weak", "password1234")
    state.run(*words, "--recovery-passphrase-file", tmp_path / "weak", expect=6)
    shown = state.json(*words, "--print-recovery-passphrase")["recovery_passphrase"]
    assert len(shown) == 30
    assert shown not in state.run("audit", "show", "--all").stdout
    state.write("words", "correct horse battery staple")
    assert (
        state.json("ca", "recovery-passphrase", "--recovery-passphrase-file", tmp_path / "words")["status"]
        == "replaced"
    )
    assert "horse" not in state.run("audit", "show", "--all").stdout
    state.run("health", "--deep")


# -- rollovers -----------------------------------------------------------------------------------------------------


def test_from_a_file_to_a_token_and_back(tmp_path: Path) -> None:
    state = blank(tmp_path)
    pin, words = state.passphrase_file, tmp_path / "words"
    in_file = {"IOTONBOARD_PASSPHRASE_FILE": str(words)}
    state.run("init-ca", "--generate-key-file", words, env={"IOTONBOARD_PASSPHRASE_FILE": None})
    state.register("d-1", env=in_file)
    begin = ("ca", "rollover", "begin", "--key", state.uri(), "--generate")
    lacking = state.run(*begin, "--recovery-passphrase-file", state.recovery, env=in_file, expect=7)
    assert "PIN of the token 'station7'" in lacking.stderr
    assert "--new-passphrase-file" in lacking.stderr
    given = ("--new-passphrase-file", pin, "--recovery-passphrase-file", state.recovery)
    begun = state.run(*begin, *given, env=in_file)
    assert "in this order: PIN of the token 'station7', CA passphrase" in begun.stderr
    assert (
        "under-way"
        in state.run(*begin, *given, env={"IOTONBOARD_PASSPHRASE_FILE": str(_two(state, pin, words))}).stdout
    )

    # Neither secret alone is tried where the other one belongs.
    for alone in (pin, words):
        refused = state.run("register", "d-2", "--passphrase-file", alone, expect=7)
        assert "2 secrets would open this state, and 1 given; nothing was tried" in refused.stderr
    state.run("health", "--check", "ca-key")
    both = {"IOTONBOARD_PASSPHRASE_FILE": str(_two(state, pin, words))}
    state.register("d-2", env=both)
    state.run("revoke", "d-1", env=both)
    state.run("ca", "rollover", "--retire", env=both)
    refused = state.run("register", "d-3", env=both, expect=7)
    assert "1 secret would open this state, and 2 given; nothing was tried" in refused.stderr
    state.register("d-3")
    assert state.json("bundle", "password", "d-2")["bundle_password"]

    back = ("ca", "rollover", "begin")
    assert "would lie in a file" in state.run(*back, expect=2).stderr
    state.run(*back, "--generate-key-file", tmp_path / "new", "--key-type", "ec-p384")
    both = {"IOTONBOARD_PASSPHRASE_FILE": str(_two(state, tmp_path / "new", pin))}
    assert state.json("bundle", "password", "d-2", env=both)["bundle_password"]
    state.run("revoke", "d-2", "d-3", env=both)
    state.run("ca", "rollover", "--retire", env=both)
    in_file = {"IOTONBOARD_PASSPHRASE_FILE": str(tmp_path / "new")}
    state.register("d-4", env=in_file)
    assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")


def _two(state: TokenState, first: Path, second: Path) -> Path:
    return state.write("both", first.read_text().strip() + "\n" + second.read_text().strip())


def test_from_a_token_to_another_and_back_again(state: TokenState) -> None:
    state.add_token("station8", "991177")
    new = state.write("new-pin", "991177")
    state.run(
        "ca", "rollover", "begin", "--key", state.uri("ca", "station8"), "--generate", "--new-passphrase-file", new
    )
    both = {"IOTONBOARD_PASSPHRASE_FILE": str(_two(state, new, state.passphrase_file))}
    state.run("gen-crl", env=both)
    left = state.json("ca", "rollover", "--cancel", env=both)["keys_left_in_tokens"]
    assert left == [state.uri("ca", "station8")]
    state.register("d-2")
    assert state.json("bundle", "password", "d-1")["bundle_password"]


def test_to_a_new_key_of_the_same_token(state: TokenState) -> None:
    state.run("ca", "rollover", "begin", "--key", state.uri("ca2"), "--generate")
    state.register("d-2")
    state.run("revoke", "d-1")
    assert len(state.json("ca", "token")["tokens"]) == 2
    told = state.run("ca", "rollover", "--retire").stderr
    assert f"is still in its token ({state.uri()}): delete it with the token's own tool" in told
    state.register("d-3")
    assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")


def test_a_stolen_key_is_followed_by_one_in_the_token(state: TokenState) -> None:
    words = ("ca", "replace", "--compromised")
    assert "would lie in a file" in state.run(*words, expect=2).stderr
    state.run(*words, "--key", state.uri("ca2"), "--generate")
    state.register("d-2")
    assert "ca2" in (state.certs / "ca-2.key").read_text()
    assert not (state.certs / "ca.key").exists()


# -- backups -------------------------------------------------------------------------------------------------------


def test_a_backup_is_restored_on_another_machine_with_the_same_token(state: TokenState, tmp_path: Path) -> None:
    made = state.run("backup", tmp_path / "b.zip", "--json")
    assert made.json["holds_ca_key"] is False
    assert "the CA key is not in it" in made.stderr
    # Neither the PIN nor the recovery passphrase is the archive's: the PIN alone opens nothing.
    other = TokenState(tmp_path / "other" / "state", state.passphrase_file, state.softhsm, state.module)
    other.path.parent.mkdir()
    restore = ("restore", tmp_path / "b.zip", "--no-crl")
    refused = other.run(*restore, expect=2)
    assert f"the backup says of itself: {state.uri()}" in refused.stderr
    assert "--key" in refused.stderr
    wrong = state.write("wrong", "000000")
    other.run(*restore, "--key", state.uri(), "--passphrase-file", wrong, expect=7)
    checked = other.run("restore", "--check", tmp_path / "b.zip", "--key", state.uri())
    assert "certs/ca.key" in checked.stdout or "ca.key" in checked.stdout

    moved = tmp_path / "other" / "lib.so"
    moved.write_bytes(Path(state.module).read_bytes())
    moved.chmod(0o755)
    there = TokenState(other.path, other.passphrase_file, other.softhsm, str(moved))
    there.run(*restore, "--key", there.uri())
    assert (there.certs / "ca.key").read_text().strip() == there.uri()
    there.register("d-2")
    password = there.json("bundle", "password", "d-1")["bundle_password"]
    assert password == state.json("bundle", "password", "d-1")["bundle_password"]
    there.run("health", "--repair")
    assert there.run("health", "--deep").stdout.startswith("everything is as it was recorded")


def test_a_backup_opens_with_no_other_token(state: TokenState, tmp_path: Path) -> None:
    state.run("backup", tmp_path / "b.zip")
    state.add_token("station8")
    state.run(
        "init-ca", "--state", tmp_path / "s8", "--key", state.uri("ca", "station8"), "--generate",
        "--recovery-passphrase-file", state.recovery,
    )  # fmt: skip
    restore = ("restore", tmp_path / "b.zip", "--no-crl", "--state", tmp_path / "new")
    refused = state.run(*restore, "--key", state.uri("ca", "station8"), expect=7)
    assert "does not open this state's vault" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_a_backup_of_a_key_in_a_file_needs_no_token(state: TokenState, pristine: State, tmp_path: Path) -> None:
    pristine.copy_to(_made(tmp_path / "file")).run("backup", tmp_path / "b.zip")
    words = ("restore", tmp_path / "b.zip", "--no-crl", "--state", tmp_path / "new", "--key", state.uri())
    assert "lies in a file" in state.run(*words, expect=2).stderr


def test_a_root_and_its_station_with_their_keys_in_a_token(tmp_path: Path) -> None:
    root = blank(tmp_path)
    station = TokenState(tmp_path / "station", root.passphrase_file, root.softhsm, root.module)
    made = ("--generate", "--recovery-passphrase-file", root.recovery)
    root.run("init-ca", "--root", "--common-name", "Works Root", "--key", root.uri("root"), *made)
    station.run("init-ca", "--below-root", "--common-name", "Line 4", "--key", root.uri("line4"), *made)
    station.run("ca", "request", "--out", tmp_path / "request.pem")
    root.run("ca", "sign", tmp_path / "request.pem", "--out", tmp_path / "answer.pem", "--yes")
    fingerprint = root.json("ca", "status")["ca_fingerprint"]
    station.run("ca", "install", tmp_path / "answer.pem", "--fingerprint", fingerprint)
    station.register("d-1")
    for each in (root, station):
        assert each.run("health", "--deep").stdout.startswith("everything is as it was recorded")


# -- a token that is lost ------------------------------------------------------------------------------------------


def test_a_lost_token_loses_no_bundle_password(state: TokenState) -> None:
    state.run("broker", "issue", "broker.example")
    password = state.json("bundle", "password", "d-1")["bundle_password"]
    state.unplug()
    state.add_token("station8")
    words = ("ca", "recover", "--key", state.uri("ca", "station8"), "--generate")
    wrong = state.write("wrong", "some other words again")
    refused = state.run(*words, "--recovery-passphrase-file", wrong, expect=7)
    assert "the recovery passphrase is wrong" in refused.stderr
    done = state.run(*words, "--recovery-passphrase-file", state.recovery, "--json")
    assert (done.json["waiting_devices"], done.json["waiting_brokers"]) == (1, ["broker.example"])
    assert "iotonboard renew --batch" in done.stderr

    assert state.json("bundle", "password", "d-1")["bundle_password"] == password
    state.run("broker", "issue", "broker.example")
    state.run("renew", "--batch", Path(done.json["path"]) / "devices.csv")
    assert state.json("show", "d-1")["status"] == "active"
    state.register("d-2")
    state.run("backup", state.path.parent / "b.zip")
    assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")
    state.run("audit", "verify")
    assert state.json("ca", "status")["status"] == "none"


def test_a_lost_token_is_followed_by_a_key_in_a_file(state: TokenState) -> None:
    state.unplug()
    words = ("ca", "recover", "--recovery-passphrase-file", state.recovery, "--generate-key-file")
    new = state.path.parent / "new"
    state.run(*words, new, env={"IOTONBOARD_PASSPHRASE_FILE": None})
    in_file = TokenState(state.path, new, state.softhsm, state.module)
    in_file.register("d-2")
    assert in_file.json("bundle", "password", "d-1")["bundle_password"]
    in_file.run("ca", "passwd", "--generate-key-file", state.path.parent / "newer")
    assert in_file.json("revoke", "d-1", "--passphrase-file", state.path.parent / "newer")["crl_number"] == 2
    assert in_file.run("health", "--deep").stdout.startswith("everything is as it was recorded")


def test_the_recovery_passphrase_of_before_names_no_ca(state: TokenState, tmp_path: Path) -> None:
    state.run("ca", "recovery-passphrase", "--generate-recovery-file", tmp_path / "newer")
    state.unplug()
    words = ("ca", "recover", "--generate-key-file", tmp_path / "k", "--recovery-passphrase-file")
    env = {"IOTONBOARD_PASSPHRASE_FILE": None}
    assert "the recovery passphrase is wrong" in state.run(*words, state.recovery, env=env, expect=7).stderr
    state.run(*words, tmp_path / "newer", env=env)


def test_workstation_and_token_are_lost_and_a_backup_is_left(state: TokenState, tmp_path: Path) -> None:
    password = state.json("bundle", "password", "d-1")["bundle_password"]
    state.run("backup", tmp_path / "b.zip")
    state.unplug()
    new = tmp_path / "new-key"
    words = ("restore", tmp_path / "b.zip", "--no-crl", "--generate-key-file", new, "--recovery-passphrase-file")
    other = TokenState(_made(tmp_path / "other") / "state", new, state.softhsm, state.module)
    env = {"IOTONBOARD_PASSPHRASE_FILE": None}
    wrong = state.write("wrong", "some other words again")
    assert "the recovery passphrase is wrong" in other.run(*words, wrong, env=env, expect=7).stderr
    assert not other.path.exists()
    other.run(*words, state.recovery, env=env)
    assert other.json("bundle", "password", "d-1")["bundle_password"] == password
    assert other.json("ca", "status")["waiting_devices"] == 1
    other.run("renew", "d-1")
    other.run("health", "--repair")
    assert other.run("health", "--deep").stdout.startswith("everything is as it was recorded")


def test_the_recovery_passphrase_in_shares(state: TokenState, tmp_path: Path) -> None:
    refused = state.run("ca", "split", "--out", tmp_path / "no", expect=4)
    assert "its PIN is too short to be split" in refused.stderr
    words = ("ca", "split", "--shares", "3", "--threshold", "2", "--out", tmp_path / "shares")
    state.run(*words, "--recovery-passphrase-file", state.passphrase_file, expect=7)
    state.run(*words, "--recovery-passphrase-file", state.recovery)
    assert "# of the recovery passphrase of the CA" in (tmp_path / "shares" / "share-1.txt").read_text()
    state.add_token("station8", "991177")
    state.write("new-pin", "991177")
    shares = [word for number in (3, 1) for word in ("--share-file", tmp_path / "shares" / f"share-{number}.txt")]
    new = ("--key", state.uri("ca", "station8"), "--generate", "--passphrase-file", tmp_path / "new-pin")
    state.run("ca", "recover", *shares, *new)
    state.register("d-2", env={"IOTONBOARD_PASSPHRASE_FILE": str(tmp_path / "new-pin")})


def test_what_has_no_recovery_passphrase(pristine: State, tmp_path: Path) -> None:
    state = pristine.copy_to(tmp_path)
    (tmp_path / "r").write_text("correct horse battery staple\n")
    words = ("ca", "recover", "--generate-key-file", tmp_path / "k", "--recovery-passphrase-file", tmp_path / "r")
    refused = state.run(*words, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=5)
    assert "this state has no recovery passphrase" in refused.stderr


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
