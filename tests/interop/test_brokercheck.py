"""What the program says that a broker will do, held against what a real Mosquitto does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from iotonboard.broker.check import BrokerFiles, judge_files
from iotonboard.pki.pem import pem_decode_all, pem_encode

from support.broker import Broker, release, wait_for
from support.client import Credentials, connect_answer, unpack
from support.program import State, make_state

CRL, LABEL = "X509 CRL", "CERTIFICATE"


@dataclass(frozen=True)
class Scene:
    """A state with two devices, one of them revoked, and what another CA made."""

    state: State
    good: Credentials
    revoked: Credentials
    older_crl: bytes
    other_crl: bytes
    other_ca: bytes
    stranger: Credentials


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    state = make_state(folder)
    good, revoked = (unpack(one, folder) for one in state.register("good", "gone"))
    older = state.crl.read_bytes()
    state.run("revoke", "gone", "--reason", "certificateHold")
    (folder / "other").mkdir()
    other = make_state(folder / "other", "--common-name", "Another CA")
    stranger = unpack(other.register("good")[0], folder)
    return Scene(state, good, revoked, older, other.crl.read_bytes(), other.ca_cert.read_bytes(), stranger)


def _replace(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def _spoiled(crl_pem: bytes) -> bytes:
    (der,) = pem_decode_all(CRL, crl_pem)
    return pem_encode(CRL, der[:-1] + bytes([der[-1] ^ 1]))


CRLS: dict[str, Callable[[bytes, Scene], bytes | None]] = {
    "as published": lambda now, _: now,
    "missing": lambda _now, _: None,
    "empty": lambda _now, _: b"",
    "cut short": lambda now, _: now[: len(now) // 2],
    "without its last line": lambda now, _: now[: now.rindex(b"-----END")],
    "text alone": lambda _now, _: b"not a list\n",
    "DER": lambda now, _: pem_decode_all(CRL, now)[0],
    "not base64": lambda now, _: now.replace(b"\nMII", b"\n!!!", 1),
    "no CRL inside": lambda _now, _: pem_encode(CRL, b"\x30\x00"),
    "a certificate": lambda _now, scene: scene.other_ca,
    "of another CA": lambda _now, scene: scene.other_crl,
    "badly signed": lambda now, _: _spoiled(now),
    "older first": lambda now, scene: scene.older_crl + now,
    "older last": lambda now, scene: now + scene.older_crl,
    "older alone": lambda _now, scene: scene.older_crl,
    "with another CA's": lambda now, scene: scene.other_crl + now,
    "with a certificate": lambda now, scene: scene.other_ca + now,
    "with text around": lambda now, _: b"# before\n" + now + b"after\n",
    "good, then cut short": lambda now, _: now + now[:100],
    "line ends of DOS": lambda now, _: now.replace(b"\n", b"\r\n"),
}
ACLS: dict[str, bytes | None] = {
    "ACL missing": None,
    "ACL empty": b"",
    "ACL with a tab": b"user\tx\n",
    "ACL with a broken wildcard": b"user x\ntopic a#\n",
    "ACL with an unknown word": b"permit x\n",
}
CAS: dict[str, Callable[[bytes, Scene], bytes | None]] = {
    "CA file missing": lambda _now, _: None,
    "CA file empty": lambda _now, _: b"",
    "CA file of text": lambda _now, _: b"not a certificate\n",
    "CA file of another CA": lambda _now, scene: scene.other_ca,
    "CA file with another CA": lambda now, scene: now + scene.other_ca,
}


@pytest.fixture
def restored(scene: Scene) -> Iterator[None]:
    before = {path: path.read_bytes() for path in (scene.state.crl, scene.state.acl, scene.state.ca_cert)}
    yield
    for path, content in before.items():
        path.write_bytes(content)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("event", ["start", "reload"])
@pytest.mark.parametrize("name", [*CRLS, *ACLS, *CAS])
def test_the_verdict_is_what_the_broker_does(scene: Scene, tmp_path: Path, name: str, event: str) -> None:
    state, broker = scene.state, Broker(scene.state, tmp_path / "broker")
    if event == "reload":
        broker.start()
    if name in CRLS:
        _replace(state.crl, CRLS[name](state.crl.read_bytes(), scene))
    elif name in CAS:
        _replace(state.ca_cert, CAS[name](state.ca_cert.read_bytes(), scene))
    else:
        _replace(state.acl, ACLS[name])
    now = datetime.now(UTC)
    devices = (scene.good, scene.revoked, scene.stranger)
    chains = [tuple(pem_decode_all(LABEL, one.cert.read_bytes())[:1]) for one in devices]
    judged = judge_files(BrokerFiles(str(state.acl), str(state.crl), str(state.ca_cert), now, release()), chains)
    says_down = any(problem.at_start == "the broker does not start" for problem in judged.problems)
    try:
        if event == "start":
            try:
                broker.start()
            except pytest.fail.Exception:
                assert says_down, "the broker does not start, and nobody said so"
                return
            assert not says_down, f"it starts: {judged.problems}"
        elif any(problem.at_reload == "the broker ends" for problem in judged.problems):
            with contextlib.suppress(AssertionError):  # it may live a moment longer
                broker.reload()
            wait_for(lambda: not broker.is_running(), lambda: f"the broker's end:\n{broker.log}")
            return
        else:
            broker.reload()
        for one, verdicts in zip(devices, judged.clients, strict=True):
            said = verdicts.at_start if event == "start" else verdicts.at_reload
            done = connect_answer(broker, one, ca_cert=scene.good.ca_cert)
            assert said.accepted == (done == "Success"), f"said {said}, the broker: {done}\n{broker.log}"
    finally:
        broker.stop()
