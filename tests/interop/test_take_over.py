"""A PKI that easy-rsa kept goes on here: devices, revocations and hand-written ACL, as a real broker sees them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from support.client import connect_answer, connected, unpack
from support.easyrsa import COUNT, EasyRsa, make
from support.easyrsa import unpack as unpack_pki
from support.program import PROJECT, State, write_key_file

_SAMPLE = 3  # of each kind, at the broker


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> EasyRsa:
    """40 devices that easy-rsa made once; in the long version 500 that it makes now."""
    folder = tmp_path_factory.mktemp("easyrsa")
    return make(folder / "pki", 500) if request.config.getoption("--long") else unpack_pki(folder)


def take_over(pki: EasyRsa, folder: Path) -> State:
    """The CA alone, in a new state."""
    state = State(folder / "state", folder / "key-file")
    write_key_file(state.passphrase_file)
    state.run("init-ca", *pki.import_words())
    return state


def hand_written(pki: EasyRsa) -> str:
    blocks = [f"user {name}\n# a note\ntopic readwrite old/{name}/#\n" for name in (*pki.valid, *pki.revoked)]
    return "# by hand\nuser dashboard\ntopic read old/#\n\n" + "\n".join(blocks)


def test_a_fleet_goes_on_at_its_broker(unpacked: EasyRsa, tmp_path: Path, start_broker) -> None:
    """The broker agrees before and after, and then about what is revoked, renewed and registered here."""
    pki, state = unpacked, take_over(unpacked, tmp_path)
    state.run("broker", "issue", "localhost", "127.0.0.1", "--plain-key")
    # What the broker had so far: the old list, and rules by hand.
    shutil.copy(pki.folder / "crl.pem", state.crl)
    state.acl.write_text(hand_written(pki))
    broker = start_broker(state)
    valid = [pki.credentials(name, state.ca_cert) for name in pki.valid[:_SAMPLE]]
    again = pki.credentials(next(name for name in pki.valid if name.startswith("gateway")), state.ca_cert)

    def agrees() -> None:
        assert {one.device_id: connect_answer(broker, one) for one in (*valid, again)} == dict.fromkeys(
            (*(one.device_id for one in valid), again.device_id), "Success"
        )
        with connected(broker, *valid[:2]) as [one, two]:
            one.subscribe("#")
            two.publish(f"old/{one.device_id}/x", "not its own")
            one.publish(f"old/{one.device_id}/x", "its own")
            assert one.received() == [(f"old/{one.device_id}/x", "its own")]

    agrees()
    words = ("adopt", "--index", pki.index, "--crl", pki.folder / "crl.pem", "--acl", state.acl)
    before = state.snapshot()
    *devices, told = state.run(*words, "--dry-run", "--json").json_lines
    assert state.snapshot() == before
    assert (told["valid"], told["revoked"], told["expired"]) == (len(pki.valid), len(pki.revoked), len(pki.expired))
    assert told["server_certificates"] == ["broker.plant"]
    assert len(devices) == told["devices"] == len({*pki.valid, *pki.revoked, *pki.expired})
    state.run(*words)
    broker.reload()
    agrees()
    rest = state.acl.read_text().partition("# BEGIN iotonboard")[0]
    assert rest.startswith("# by hand\nuser dashboard\ntopic read old/#\n\n# a note\n")
    assert "topic readwrite" not in rest
    assert "user dashboard" in rest
    gone, kept, renewed = valid[0], valid[1], valid[2]
    state.run("revoke", gone.device_id)
    new = unpack(state.register("new-1")[0], tmp_path)
    state.run("renew", renewed.device_id, "--revoke-old", "now")
    broker.reload()
    answers = {one.device_id: connect_answer(broker, one) for one in (gone, kept, renewed, new)}
    assert {name for name, answer in answers.items() if answer == "Success"} == {kept.device_id, "new-1"}
    assert state.run("health", "--deep").exit_code == 0


def test_everything_of_it_is_here(unpacked: EasyRsa, tmp_path: Path) -> None:
    pki, state = unpacked, take_over(unpacked, tmp_path)
    state.run("adopt", "--index", pki.index, "--crl", pki.folder / "crl.pem")
    listed = {one["device_id"]: one["status"] for one in state.run("list", "--json").json_lines}
    assert listed == {
        **dict.fromkeys(pki.valid, "active"),
        **dict.fromkeys(pki.revoked, "revoked"),
        **dict.fromkeys(pki.expired, "expired"),
    }
    for name, reason in pki.revoked.items():
        (certificate,) = state.json("show", name)["certificates"]
        assert certificate["reason"] == reason
        assert certificate["revocation_date"].startswith("2026-01-05T12:")
    state.run("health", "--deep")
    count = 500 if len(listed) > COUNT else COUNT
    assert len(listed) == count
    again = state.run("adopt", "--index", pki.index, "--crl", pki.folder / "crl.pem", "--json").json_lines[-1]
    assert again["crl_number"] is None


PAGE = PROJECT / "iotonboard/guide/take-over.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CHANGING = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def test_the_page_of_the_guide_prints_what_it_says(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Typed as it stands, beside the fleet of 40; ``--rewrite`` writes what was printed into the page."""
    pki = unpack_pki(tmp_path)
    (tmp_path / "mosquitto.acl").write_text(hand_written(pki))
    state = State(tmp_path / "iotonboard-state", tmp_path / "key-file")
    write_key_file(state.passphrase_file)
    pki.import_words()
    places = {"/old/": f"{tmp_path}/", "iotonboard-state": str(state.path)}

    def printed(line: str) -> str:
        words = line.removeprefix("iotonboard ")
        for place, ours in places.items():
            words = words.replace(place, ours)
        done = state.run(*shlex.split(words), cwd=tmp_path)
        text = done.stdout + done.stderr
        for place, ours in reversed(places.items()):
            text = text.replace(ours, place)
        return f"$ {line}\n{text}"

    def block(match: re.Match[str]) -> str:
        lines = [line.removeprefix("$ ") for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(map(printed, lines)) + "```"

    said = PAGE.read_text(encoding="utf-8")
    now = _BLOCK.sub(block, said)
    if request.config.getoption("--rewrite"):
        PAGE.write_text(now, encoding="utf-8")
    assert _CHANGING.sub("*", now) == _CHANGING.sub("*", PAGE.read_text("utf-8")), "run this test with --rewrite"
