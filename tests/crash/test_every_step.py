"""Every writing command, killed at every one of its steps: the next command works and nothing is lost."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from support.faults import KILLED, die_at, refuse_at
from support.invariants import check_invariants, check_published, read_crls
from support.old_fleet import OldFleet
from support.program import State, write_key_file
from support.site import Site
from support.tampering import edit

_MOST_STEPS = 2000


@dataclass(frozen=True)
class Case:
    """A command, what is there before it, and how it is repeated (by default: as it was)."""

    words: tuple[str, ...]
    prepare: Callable[[State], object] = lambda _: None
    again: tuple[str, ...] = ()
    stride: int = 1  # CI tries every n-th step, the long version all of them


def _touch_acl(state: State) -> None:
    state.acl.write_text("user nobody\ntopic read x\n")


def _edit_settings(state: State) -> None:
    path = state.path / "iotonboard.toml"
    path.write_text("cert_validity_days = 40\n" + (path.read_text() if path.exists() else ""))


def _issue_broker(state: State) -> None:
    state.run("broker", "issue", "broker.test")


def _rename(state: State) -> None:
    edit(state, "UPDATE device SET device_id = 'evil' WHERE device_id = 'b'")


def _begin_rollover(state: State) -> None:
    state.run("broker", "issue", "broker.test")
    state.run("ca", "rollover", "begin")


def _trust_others(state: State) -> None:
    fleet = OldFleet(state.path.parent / "others")
    state.run("ca", "trust", "add", fleet.ca, "--crl", fleet.crl())


def _leave_certificates(state: State) -> None:
    """Certificates of this CA that the state knows nothing of, and rules that somebody wrote for them."""
    others = state.path.parent / "others"
    others.mkdir()
    other = state.copy_to(others)
    other.register("old-1", "old-2")
    (others / "hand.acl").write_text("user old-1\ntopic read plant/config\nuser bridge\ntopic read x\n")


def _bring_receipt(state: State) -> None:
    """What a broker's machine says of a package that it has in place."""
    others = state.path.parent / "others"
    others.mkdir()
    site = Site(state, others)
    site.apply(site.pack(), "--receipt", str(others / "receipt"))


def _use_new_ca_only(state: State) -> None:
    _begin_rollover(state)
    state.run("renew", "--old-ca", "--revoke-old", "now")
    state.run("broker", "issue", "broker.test")


def _hold(state: State) -> None:
    state.run("revoke", "a", "--reason", "certificateHold")


_MENDING = ("config accept", "health --repair")  # before them health finds what they put right
_BATCH = ("register", "--count", "30", "--jobs", "2")
_EXPORT_PEM = ("export", "a", "--format", "pem", "--out", "OUT")
CASES = {
    "broker issue": Case(("broker", "issue", "broker.test", "10.0.0.1"), stride=3),
    "register": Case(("register", "c"), again=("register", "c", "--if-exists", "skip"), stride=4),
    "reissue": Case(("register", "a", "--if-exists", "reissue"), stride=7),
    "batch": Case(_BATCH, stride=47),
    "revoke": Case(("revoke", "a"), stride=5),
    "revoke deferred": Case(("revoke", "a", "--defer"), stride=3),
    "gen-crl": Case(("gen-crl",), prepare=lambda state: state.run("revoke", "a", "--defer"), stride=3),
    "sync-acl": Case(("sync-acl",), prepare=_touch_acl),
    "config set": Case(("config", "set", "acl.style", "pattern")),
    "config accept": Case(("config", "accept"), prepare=_edit_settings, stride=3),
    "topics add": Case(("topics", "add", "a", "read:line/1"), stride=3),
    "broker revoke": Case(("broker", "revoke", "broker.test"), prepare=_issue_broker, again=("gen-crl",), stride=13),
    "health --repair": Case(("health", "--repair"), prepare=_rename, stride=59),
    "accept-clock": Case(("accept-clock",)),
    "ca passwd": Case(("ca", "passwd", "--new-passphrase-file", "NEW")),
    "deliver": Case(("deliver", "a"), stride=3),
    "confirm": Case(("confirm", "a"), prepare=lambda state: state.run("deliver", "a"), stride=2),
    "purge": Case(("purge", "a"), prepare=lambda state: state.run("deliver", "a"), stride=5),
    "export": Case(("export", "a", "--out", "OUT"), again=("export", "a", "--out", "OUT", "--force"), stride=2),
    "export pem": Case(_EXPORT_PEM, again=(*_EXPORT_PEM, "--force"), stride=3),
    "renew": Case(("renew", "a"), stride=4),
    "renew now": Case(("renew", "a", "--revoke-old", "now"), stride=9),
    "release": Case(("release", "a"), prepare=_hold, again=("gen-crl",), stride=6),
    "retire": Case(("retire", "a"), stride=7),
    "ca rollover begin": Case(("ca", "rollover", "begin"), stride=7),
    "renew in a rollover": Case(("renew", "--old-ca"), prepare=_begin_rollover, stride=7),
    "revoke in a rollover": Case(("revoke", "a"), prepare=_begin_rollover, stride=7),
    "ca passwd in a rollover": Case(
        ("ca", "passwd", "--new-passphrase-file", "NEW"),
        prepare=lambda state: state.run("ca", "rollover", "begin"),
        stride=2,
    ),
    "ca rollover --retire": Case(("ca", "rollover", "--retire"), prepare=_use_new_ca_only, stride=7),
    "ca replace": Case(("ca", "replace", "--compromised"), stride=11),
    "adopt": Case(("adopt", "--certs", "CERTS", "--acl", "HAND"), prepare=_leave_certificates, stride=13),
    "ca trust add": Case(("ca", "trust", "add", "OLD", "--crl", "LIST"), stride=6),
    "ca trust remove": Case(("ca", "trust", "remove", "OLD"), prepare=_trust_others, again=("sync-acl",), stride=3),
    "receipts": Case(("receipts", "RECEIPT"), prepare=_bring_receipt),
    "pack": Case(("pack", "--out", "OUT"), again=("pack", "--out", "OUT", "--force"), stride=6),
    "backup": Case(("backup", "OUT"), again=("backup", "AGAIN"), stride=4),
}


@pytest.fixture(scope="session")
def fleet(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Two devices, one of them revoked."""
    state = pristine.copy_to(tmp_path_factory.mktemp("fleet"))
    state.register("a", "b")
    state.run("revoke", "b")
    return state


@pytest.mark.parametrize("name", CASES)
def test_killed_at_every_step(fleet: State, tmp_path: Path, request: pytest.FixtureRequest, name: str) -> None:
    case = CASES[name]
    stride = 1 if request.config.getoption("--long") else case.stride
    fresh = tmp_path / "new-pass"
    write_key_file(fresh)
    killed = 0
    prepared = _copy(fleet, tmp_path / "prepared")
    case.prepare(prepared)
    old = prepared.path.parent / "others"
    if name == "ca trust add":
        OldFleet(old).crl()
    for step in range(1, _MOST_STEPS, stride):
        state = _copy(prepared, tmp_path / str(step))
        out = state.path.parent / "out"
        places = {"NEW": str(fresh), "OUT": str(out), "AGAIN": str(out) + "-2"}
        places |= {"OLD": str(old / "ca.crt"), "LIST": str(old / "crl-1.pem")}
        places |= {"CERTS": str(old / "state/certs/devices"), "HAND": str(old / "hand.acl")}
        places |= {"RECEIPT": str(old / "receipt")}
        words, again = ([places.get(word, word) for word in part] for part in (case.words, case.again or case.words))
        result = state.run(*words, before=die_at(step), expect=(0, 8, KILLED) if name == "batch" else (0, KILLED))
        if result.exit_code == 0:
            break
        if result.exit_code == 8:  # the step was one of a worker process
            assert "killed a worker" in result.stderr
        killed += 1
        if name not in ("ca rollover --retire", "ca replace", "ca trust remove"):  # whose old CA is to be refused
            _check_every_ca_has_its_crl(state)
        answered = () if name != "batch" else tuple(_serials(result.stdout))
        if name.startswith("ca passwd"):
            state.run(*words)
            state = State(state.path, fresh)
        elif name in _MENDING:
            state.run(*words)
        check_invariants(state, answered=answered, with_openssl=killed == 1)
        if not name.startswith("ca passwd"):
            state.run(*again)
            check_invariants(state, answered=answered)
        if name == "adopt":
            assert "user bridge" in state.acl.read_text()
            assert {one["device_id"] for one in state.run("list", "--json").json_lines} == {"a", "b", "old-1", "old-2"}
        if name == "receipts":
            assert state.json("receipts", places["RECEIPT"])["status"] == "known"
        if name.startswith("export"):
            assert not list(out.parent.rglob("*.tmp")), "staging is left beside the export"
        if name == "backup":
            _check_backups(state, out)
        shutil.rmtree(state.path.parent)
    assert killed >= 3


@pytest.mark.parametrize("name", ["revoke", "release", "retire"])
def test_what_was_killed_is_published_by_the_same_command(
    fleet: State, tmp_path: Path, request: pytest.FixtureRequest, name: str
) -> None:
    """Also when the kill came after COMMIT, so that the repetition finds nothing to change."""
    case = CASES[name]
    prepared = _copy(fleet, tmp_path / "prepared")
    case.prepare(prepared)
    killed = 0
    for step in range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else 4):
        state = _copy(prepared, tmp_path / str(step))
        if state.run(*case.words, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        state.run(*case.words, expect=(0, 4 if name == "release" else 0))  # it is on hold no more
        check_published(state)
    assert killed >= 3


def _check_every_ca_has_its_crl(state: State) -> None:
    """At every moment: a broker refuses every device of a CA in its cafile that has no CRL."""
    crls = read_crls(state.crl)
    for anchor in x509.load_pem_x509_certificates(state.ca_cert.read_bytes()):
        assert any(crl.is_signature_valid(anchor.public_key()) for crl in crls), "a CA without its CRL"


def _check_backups(state: State, out: Path) -> None:
    """A backup is whole or not there; the one that was made again brings the state back."""
    for backup in [path for path in (out, Path(f"{out}-2")) if path.exists()]:
        restored = State(backup.with_suffix(".restored"), state.passphrase_file)
        restored.run("restore", str(backup), "--crl", str(state.crl))
        restored.run("show", "a")
    assert backup.name == "out-2"


def _copy(fleet: State, folder: Path) -> State:
    folder.mkdir()
    return fleet.copy_to(folder)


def _serials(stdout: str) -> list[str]:
    return [line.split("serial ")[1].split("\t")[0] for line in stdout.splitlines() if line.count("\t") >= 3]


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_init_ca_killed_at_every_step(tmp_path: Path, request: pytest.FixtureRequest, is_taken_over: bool) -> None:
    """The same command finishes what was begun: with the key that was made, never with a second one."""
    old = OldFleet(tmp_path / "old").folder
    for step in range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else 17 if is_taken_over else 5):
        folder = tmp_path / str(step)
        folder.mkdir()
        state = State(folder / "state", folder / "key-file")
        source = ("--import-key", str(old / "ca.key"), "--import-cert", str(old / "ca.crt"))
        how = source if is_taken_over else ("--common-name", "Crash CA")
        words = ("init-ca", "--generate-key-file", str(state.passphrase_file), *how)
        without = {"IOTONBOARD_PASSPHRASE_FILE": None}
        if state.run(*words, env=without, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        kept = [path.read_bytes() if path.exists() else b"" for path in (state.certs / "ca.key", state.passphrase_file)]
        again = state.run(*words, env=without, expect=(0, 4))
        # Once its COMMIT is done the state exists; the next command publishes what is missing.
        if again.exit_code == 4:
            assert "there is a state in" in again.stderr, again
        made = [(state.certs / "ca.key").read_bytes(), state.passphrase_file.read_bytes()]
        assert all(before in (b"", after) for before, after in zip(kept, made, strict=True)), "a second key"
        check_invariants(state, with_openssl=step % 10 == 0)
        shutil.rmtree(folder)
    assert step > 20


_REFUSALS = {"ENOSPC": errno.ENOSPC, "EACCES": errno.EACCES, "EROFS": errno.EROFS, "EIO": errno.EIO}


@pytest.mark.parametrize(
    "name",
    ["register", "revoke", "broker issue", "sync-acl", "gen-crl", "ca passwd", "config set", "ca rollover begin"],
)
@pytest.mark.parametrize("refusal", _REFUSALS)
def test_a_disk_that_refuses_at_every_step(
    fleet: State, tmp_path: Path, request: pytest.FixtureRequest, name: str, refusal: str
) -> None:
    """Exit 8 with a hint; the same command then succeeds."""
    case = CASES[name]
    fresh = tmp_path / "new-pass"
    write_key_file(fresh)
    words = [str(fresh) if word == "NEW" else word for word in case.words]
    stride = 1 if request.config.getoption("--long") else 9
    refused = 0
    for step in range(1, _MOST_STEPS, stride):
        state = _copy(fleet, tmp_path / str(step))
        case.prepare(state)
        result = state.run(*words, before=refuse_at(step, _REFUSALS[refusal]), expect=(0, 8))
        if result.exit_code == 0:
            break
        refused += 1
        assert "iotonboard: hint: " in result.stderr, result
        state.run(*(case.again or words))
        check_invariants(State(state.path, fresh) if name == "ca passwd" else state)
        shutil.rmtree(state.path.parent)
    assert refused >= 1
