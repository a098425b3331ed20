"""``register --stream``: a line script keeps it open and gets one answer for each line, when it is durable."""

from __future__ import annotations

import json
import signal
from functools import partial

import pytest

from support.broker import wait_for
from support.program import State
from support.stream import WAIT_S, count_pending, opened


def test_each_line_is_answered_when_its_device_is_committed(state: State) -> None:
    with opened(state) as stream:
        for number in range(3):
            answer = stream.ask(f"press-{number}")
            assert (answer["schema"], answer["command"]) == (1, "register")
            assert answer["device_id"] == f"press-{number}"
            assert answer["created"] is True
            # The stream is still open: what was answered can be seen, and revoked, by another process.
            assert state.json("show", f"press-{number}")["certificates"][0]["serial"] == answer["serial"]
            assert (state.device(f"press-{number}") / "creds.zip").exists()
        state.run("revoke", "press-0")
        assert stream.ask("press-3")["created"] is True
        assert stream.close()[0] == 0
    acl = state.acl.read_text()
    assert [f"user press-{number}\n" in acl for number in range(4)] == [False, True, True, True]


def test_files_that_a_power_cut_emptied_are_written_again(state: State) -> None:
    """An answered device is durable in the database; its files follow, so a cut can leave them without content."""
    with opened(state) as stream:
        answer = stream.ask("press-1")
        stream.process.kill()
        stream.process.wait()
    whole = {path: path.read_bytes() for path in state.device("press-1").iterdir()}
    assert {path.name for path in whole} == {"device.crt", "device.key", "creds.zip"}
    for path in whole:
        path.write_bytes(b"")
    state.run("sync-acl")
    assert {path: path.read_bytes() for path in state.device("press-1").iterdir()} == whole
    assert state.json("show", "press-1")["certificates"][0]["serial"] == answer["serial"]


def test_files_are_durable_when_the_stream_rests_and_when_it_ends(state: State) -> None:
    to_be_written = partial(count_pending, state)
    with opened(state) as stream:
        for number in range(5):
            stream.ask(f"press-{number}")
        wait_for(lambda: to_be_written() == 0, "the files are noted as written")
        for number in range(130):
            stream.ask(f"many-{number}")
            assert to_be_written() < 65, "a stream that never rests settles its files too"
        assert stream.close()[0] == 0
    assert to_be_written() == 0


def test_a_line_is_an_id_or_an_object(state: State) -> None:
    with opened(state) as stream:
        asked = {"device_id": "press-1", "name": "Press", "validity_days": 30, "attributes": {"line": "4"}, "hall": "7"}
        assert stream.ask(json.dumps(asked))["device_id"] == "press-1"
        assert stream.ask("{}")["error"]["exit_code"] == 6
        assert stream.ask('{"id": "press-2", "topics": ["read:plant/config"]}')["device_id"] == "press-2"
        assert stream.close()[0] == 6
    shown = state.json("show", "press-1")
    assert shown["attributes"] == {"line": "4", "hall": "7"}
    assert shown["name"] == "Press"
    assert "topic read plant/config" in state.acl.read_text()


BAD_LINES = {
    "bad id": (b"a/b", 6),
    "an id that is there": (b"there", 4),
    "an id in another case": (b"THERE", 4),
    "broken JSON": (b'{"device_id": ', 6),
    "an array inside": (b'{"device_id": ["x"]}', 6),
    "true is no text": (b'{"device_id": true}', 6),
    "attributes that are no object": (b'{"device_id": "x", "attributes": [1]}', 6),
    "not UTF-8": (b"caf\xe9", 6),
    "a NUL octet": (b"a\0b", 6),
    "deep nesting": (b'{"device_id":' + b"[" * 100_000, 6),
    "unknown key type": (b'{"device_id": "x", "key_type": "rsa-512"}', 6),
    "a request that is not there": (b'{"device_id": "x", "csr": "no.csr"}', 5),
    "longer than the CA": (b'{"device_id": "x", "validity_days": 36500}', 6),
    "a topic that is every device's": (b'{"device_id": "x", "topics": ["readwrite:devices/+/#"]}', 6),
}


@pytest.mark.parametrize(("line", "exit_code"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_gets_an_error_object_and_the_stream_goes_on(state: State, line: bytes, exit_code: int) -> None:
    state.register("there")
    with opened(state) as stream:
        assert stream.ask("before")["created"] is True
        refused = stream.ask(line)
        assert (refused["schema"], refused["command"]) == (1, "register")
        assert refused["error"]["exit_code"] == exit_code, refused
        assert refused["error"]["message"]
        assert stream.ask("after")["created"] is True
        code, errors = stream.close()
    assert code == exit_code
    assert "Traceback" not in errors
    assert {one["device_id"] for one in state.run("list", "--json").json_lines} == {"there", "before", "after"}


def test_empty_lines_and_a_last_line_without_end_are_answered_with_errors(state: State) -> None:
    result = state.run("register", "--stream", input="\ufeffpress-1\r\n\n  \npress-2", expect=6)
    assert [(answer["device_id"], "error" in answer) for answer in result.json_lines] == [
        ("press-1", False),
        ("", True),
        ("", True),
        ("press-2", True),
    ]


def test_an_object_whose_id_has_another_name(state: State) -> None:
    lines = '{"deviceId": "pump-1", "line": "A3"}\n{"serial": "1", "line": "A3"}\n'
    result = state.run("register", "--stream", input=lines, expect=6)
    assert [one["error"]["exit_code"] for one in result.json_lines] == [6, 6]
    assert "'deviceId', not 'device_id'" in result.json_lines[0]["error"]["message"]
    named = state.run("register", "--stream", "--id-column", "deviceId", input=lines.splitlines(keepends=True)[0])
    assert named.json_lines[0]["device_id"] == "pump-1"
    (only,) = state.run("register", "--stream", "--uuid", input='{"line": "A3"}\n').json_lines
    assert only["created"] is True


def test_a_line_that_is_too_long_is_answered_and_passed_over(state: State) -> None:
    result = state.run("register", "--stream", input="a\n" + "x" * (3 << 20) + "\nb\n", expect=6)
    assert [answer.get("created", False) for answer in result.json_lines] == [True, False, True]


def test_an_empty_stream_is_no_error(state: State) -> None:
    assert state.run("register", "--stream", input="").stdout == ""


def test_many_lines_at_once_are_answered_in_their_order(state: State) -> None:
    ids = [f"press-{number:03}" for number in range(60)]
    result = state.run("register", "--stream", input="".join(f"{name}\n" for name in ids))
    assert [answer["device_id"] for answer in result.json_lines] == ids


def test_a_line_sent_twice_may_be_skipped(state: State) -> None:
    """What a script does that lost the answer: it asks again."""
    with opened(state, "--if-exists", "skip") as stream:
        first, again = stream.ask("press-1"), stream.ask("press-1")
        assert (first["created"], again["created"]) == (True, False)
        assert again["serial"] == first["serial"]
        assert stream.close()[0] == 0


def test_the_acl_follows_while_the_stream_is_open(state: State) -> None:
    """Nobody closes a stream that serves a whole shift; its devices must not wait for that."""
    with opened(state) as stream:
        stream.ask("press-1")
        wait_for(lambda: "user press-1\n" in state.acl.read_text(), "the ACL")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stream_with_everything_done(state: State, number: signal.Signals) -> None:
    with opened(state) as stream:
        stream.ask("press-1")
        stream.process.send_signal(number)
        _, errors = stream.process.communicate(timeout=WAIT_S)
        assert stream.process.returncode == 130
        assert "hint:" in errors.decode()
    assert "user press-1\n" in state.acl.read_text()
    state.register("press-2")


def test_a_reader_that_goes_away_harms_nothing(state: State) -> None:
    with opened(state) as stream:
        stream.ask("press-1")
        assert stream.process.stdout is not None
        stream.process.stdout.close()
        stream.send("press-2")
        assert stream.process.stdin is not None
        stream.process.stdin.close()
        stream.process.stdin = None
        assert stream.process.wait(WAIT_S) != 0
        assert b"Traceback" not in stream.process.stderr.read()  # type: ignore[union-attr]
        stream.process.stderr = stream.process.stdout = None
    state.run("register", "press-2", "--if-exists", "skip")
    assert state.json("health")["status"] == "ok"


def test_two_streams_side_by_side(state: State) -> None:
    with opened(state) as one, opened(state) as two:
        for number in range(5):
            one.send(f"one-{number}")
            two.send(f"two-{number}")
        for number in range(5):
            assert one.answer()["device_id"] == f"one-{number}"
            assert two.answer()["device_id"] == f"two-{number}"
        assert one.close()[0] == 0
        assert two.close()[0] == 0
    acl = state.acl.read_text()
    assert all(f"user {name}-{number}\n" in acl for name in ("one", "two") for number in range(5))
