"""The program's reading of an ACL file, held against a real Mosquitto on loopback.

The listener is plain and takes any user name without a password: what is compared is grammar and
rights, not certificates.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from iotonboard.broker.acl import Acl, Effect, acl_problems, parse_acl
from iotonboard.broker.region import stream_operator_text
from iotonboard.broker.render import Region, render_region_pattern, render_region_per_device, replace_region
from iotonboard.broker.topics import parse_topic_rule

from support.broker import free_port, is_ready, release, wait_for
from support.tools import need

LONG = "x" * 65535
FILES: dict[str, bytes] = {
    "empty": b"",
    "only newlines": b"\n\n\n",
    "only a comment": b"# nothing\n",
    "comment without newline": b"# nothing",
    "comment of 100 000 octets": b"#" + b"c" * 100_000 + b"\ntopic read a\n",
    "indented comment": b" # nothing\n",
    "comment behind a tab": b"\t# nothing\n",
    "comment behind a rule": b"topic read a # all\n",
    "byte order mark": b"\xef\xbb\xbfuser bob\n",
    "byte order mark before a comment": b"\xef\xbb\xbf# bob\n",
    "missing final newline": b"user bob\ntopic read a",
    "line ends of DOS": b"user bob\r\ntopic read a\r\n\r\n# c\r\n",
    "line ends of old Macs": b"user bob\rtopic read a\r",
    "CR alone": b"\r\n",
    "blank line of spaces": b"   \nuser bob\n",
    "blank line of tabs": b"\t\t\n",
    "form feed alone": b"\f\n",
    "vertical tab at the end": b"topic read a\v\n",
    "indented user": b"  user bob\n  topic read a\n",
    "user behind a tab": b"\tuser bob\n",
    "tab after user": b"user\tbob\n",
    "tab after topic": b"topic\tread a\n",
    "tab after the access": b"topic read\ta\n",
    "tab before the topic": b"topic read \ta\n",
    "tab before the access": b"topic \tread a\n",
    "form feed before the access of a pattern": b"pattern  \fread a\n",
    "tab before a topic alone": b"topic \ta\n",
    "tab before the name": b"user \tbob\ntopic read a\n",
    "tab inside the topic": b"topic read a\tb\n",
    "two spaces after user": b"user  bob\n",
    "many spaces": b"topic    read     a   \n",
    "trailing blank after the user": b"user bob \ntopic read a\n",
    "user without a name": b"user\n",
    "user with a blank name": b"user    \n",
    "user with a tab for a name": b"user \t\n",
    "user with a colon": b"user bob:\ntopic read a\n",
    "colon after the keyword": b"user: bob\n",
    "user with spaces": b"user bob the builder\ntopic read a\n",
    "user of 70 000 octets": b"user " + b"n" * 70_000 + b"\ntopic read a\n",
    "user twice": b"user bob\ntopic read a\nuser bob\ntopic write a\n",
    "user without topics": b"user bob\nuser eve\n",
    "user in capitals": b"USER bob\n",
    "User with one capital": b"User bob\n",
    "users": b"users bob\n",
    "user glued to its name": b"user=bob\n",
    "user not in UTF-8": b"user b\xf6b\ntopic read a\n",
    "user named topic": b"user topic\ntopic read a\n",
    "user with a wildcard": b"user +\ntopic read a\n",
    "unknown keyword": b"deny a\n",
    "keyword of the configuration": b"acl_file x\n",
    "a section": b"[bob]\n",
    "topic without anything": b"topic\n",
    "topic with a blank": b"topic \n",
    "topic alone": b"topic a\n",
    "topic read alone": b"topic read\n",
    "topic deny alone": b"topic deny\n",
    "topic read twice": b"topic read read a\n",
    "two words": b"topic a b\n",
    "topic with spaces": b"topic read a b c\n",
    "access in capitals": b"topic READ a\n",
    "access rw": b"topic rw a\n",
    "access publish": b"topic publish a\n",
    "access subscribe": b"topic subscribe a\n",
    "access all": b"topic all a\n",
    "readwrite": b"topic readwrite a\n",
    "deny": b"topic deny a\n",
    "plus in a level": b"topic read +x\n",
    "plus at the end of a level": b"topic read x+\n",
    "plus inside a level": b"topic read a/x+y/b\n",
    "hash first": b"topic read #/a\n",
    "hash in a level": b"topic read a/b#\n",
    "hash twice": b"topic read a/#/#\n",
    "hash after plus": b"topic read a/+#\n",
    "hash alone": b"topic read #\n",
    "hash without access": b"topic #\n",
    "plus alone": b"topic read +\n",
    "all the wildcards": b"topic read +/a/+/#\n",
    "empty levels": b"topic read //\n",
    "slash": b"topic read /\n",
    "slash and hash": b"topic read /#\n",
    "dollar": b"topic read $SYS/#\n",
    "comma": b"topic read a, b\n",
    "quotes": b'topic read "a"\n',
    "not UTF-8": b"topic read \xff\xfe\n",
    "topic of 65535 octets": f"topic read {LONG}\n".encode(),
    "topic of 65536 octets": f"topic read {LONG}x\n".encode(),
    "200 separators": b"topic read " + b"/" * 200 + b"\n",
    "201 separators": b"topic read " + b"/" * 201 + b"\n",
    "201 separators and hash": b"topic read " + b"a/" * 201 + b"#\n",
    "pattern": b"pattern readwrite devices/%u/#\n",
    "pattern in a user block": b"user bob\npattern readwrite devices/%u/#\ntopic read a\n",
    "pattern without %u": b"pattern read a\n",
    "pattern with %u in a level": b"pattern read devices/x%uy\n",
    "pattern with %u and %c": b"pattern read %c/%u\n",
    "pattern without access": b"pattern %u/#\n",
    "pattern without topic": b"pattern\n",
    "pattern read alone": b"pattern read\n",
    "pattern with a bad access": b"pattern all %u\n",
    "pattern with a bad wildcard": b"pattern read %u+\n",
    "pattern deny": b"pattern deny %u/x\n",
    "patterns": b"patterns read %u\n",
    "%u in a topic line": b"topic read devices/%u\n",
    "percent at the end": b"pattern read %u/%\n",
    "only NUL": b"\0\n",
    "NUL at the start of a line": b"\0bad line\nuser bob\n",
    "bad line after a NUL line": b"\0\nbad line\n",
    "NUL inside a topic": b"topic read a\0b\n",
    "bad line after a NUL": b"topic read a\0b\nbad line\n",
    "bad line after a NUL in a comment": b"# a\0b\nbad line\n",
    "NUL in the keyword": b"user\0 bob\n",
    "NUL without newline": b"topic read a\0b",
    "NUL after a bad word": b"bad\0word",
    "bad last line": b"user bob\ntopic read a\nbad",
    "bad line after ten thousand good ones": b"user bob\ntopic read a\n" * 5000 + b"bad\n",
    "two lines for one user": b"user bob user eve\n",
    "escape": b"topic read a\\nuser eve\n",
    "include": b"include other\n",
    "markers": b"# BEGIN iotonboard\nuser bob\ntopic read a\n# END iotonboard\n",
}

RULES = b"""\
topic read anonymous
user admin
topic readwrite #
topic readwrite $iot/#
topic readwrite $SYS/#
topic readwrite $share/#
user dev1
topic readwrite devices/dev1/#
topic deny devices/dev1/secret/#
topic write up/+/dev1
topic read down
topic read $iot/dev1
topic write $SYS/#
user dev2
topic deny own/dev2/deep/+
topic read own/dev2/deep/a
topic write a//b
topic write /lead
topic write trail/
user muted
topic deny #
topic readwrite own/muted/#
user dev1
topic read later/#
user half
topic write a/+/#
topic read +/+
topic readwrite pattern/half/denied
pattern readwrite own/%u/#
pattern write id/%c/state
pattern deny pattern/%u/denied
pattern readwrite pattern/+/#
pattern readwrite $iot/%u/x
pattern read mixed/a%ub
pattern write $SYS/broker/connection/%c/state
"""
TOPICS = (
    "anonymous", "devices/dev1", "devices/dev1/a", "devices/dev1/a/b", "devices/dev10",
    "devices/dev1x/a", "devices/dev1/secret", "devices/dev1/secret/a", "devices/dev2/a", "up/a/dev1",
    "up//dev1", "up/a/b/dev1", "down", "down/", "down/a", "$iot/dev1", "$iot/dev1/x", "$iot/muted/x",
    "$iot/dev2", "own/dev2", "own/dev2/deep/a", "own/dev2/deep/a/b", "own/dev2/deep", "own/dev1/x",
    "own/muted/x", "own/muted", "own", "own/", "id/c-dev1/state", "id/dev1/state", "pattern/dev1/denied",
    "pattern/half/denied", "pattern/half/x", "pattern", "pattern/dev2", "pattern//x", "mixed/adev1b",
    "mixed/a%ub", "later", "later/x", "a//b", "a/b", "a", "a/", "a/b/c/d", "/", "//", "/lead", "lead",
    "trail/", "trail", "x/y", "x/", "$SYS/broker/connection/c-dev1/state", "$SYS/x", "own/%u/x",
    "Devices/dev1/a", "devices/DEV1/a", "blank end/ x",
)  # fmt: skip
USERS = ("dev1", "dev2", "muted", "half", "stranger", "dev1 ", "a/b", "x", "Dev1")

TEMPLATES = tuple(
    parse_topic_rule(text, template=True)
    for text in (
        "readwrite:devices/{device_id}/#",
        "deny:devices/{device_id}/locked",
        "read:all/+",
        "write:$iot/{device_id}",
        "read:sites/+/{device_id}/cmd",
    )
)
EXTRA = {"d1": (parse_topic_rule("read:plant/config"), parse_topic_rule("write:devices/{device_id}/locked"))}
STYLE_TOPICS = (
    "devices/d1", "devices/d1/x", "devices/d1/locked", "devices/d10/x", "devices/d3/x",
    "devices/d3/locked", "all/x", "all", "all/x/y", "$iot/d1", "$iot/d2", "$iot/d3", "sites/a/d1/cmd",
    "sites/a/d2/cmd", "sites/a/d3/cmd", "plant/config", "plant", "other",
)  # fmt: skip


class PlainBroker:
    """One mosquitto with one ACL; ``runs`` says whether it took the file."""

    def __init__(self, folder: Path, acl: bytes) -> None:
        self.folder = folder
        (folder / "acl").write_bytes(acl)
        for _ in range(5):  # another process may take the free port between finding and binding it
            self.port = free_port()
            self._start()
            if "Address already in use" not in self.log:
                return

    def _start(self) -> None:
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", f"acl_file {self.folder}/acl"]
        if os.name == "posix" and os.geteuid() == 0:
            lines.append("user root")
        (self.folder / "conf").write_text("\n".join(lines) + "\n")
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen([need("mosquitto"), "-v", "-c", self.folder / "conf"], stderr=log)
        wait_for(lambda: is_ready(self.log) or self.process.poll() is not None, lambda: self.log)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker_with(tmp_path: Path) -> Iterator:
    brokers: list[PlainBroker] = []

    def start(acl: bytes) -> PlainBroker:
        folder = tmp_path / f"broker-{len(brokers)}"
        folder.mkdir()
        brokers.append(PlainBroker(folder, acl))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.stop()


class Client:
    """A connected client that notes the topics of what it is sent."""

    def __init__(self, broker: PlainBroker, username: str | None, client_id: str) -> None:
        self.received: list[str] = []
        self._subscribed = 0
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
        self._client.on_message = lambda _client, _data, message: self.received.append(message.topic)
        self._client.on_subscribe = self._count
        if username is not None:
            self._client.username_pw_set(username)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        wait_for(self._client.is_connected, f"{username!r} to be connected")

    def _count(self, *_args: object) -> None:
        self._subscribed += 1

    def subscribe(self, topics: Iterable[str]) -> None:
        wanted = self._subscribed
        for topic in topics:
            self._client.subscribe(topic, qos=1)
            wanted += 1
        wait_for(lambda: self._subscribed == wanted, "the subscriptions")

    def publish(self, topics: Iterable[str]) -> None:
        """Publish in order and wait for the broker's word on the last."""
        for topic in topics:
            last = self._client.publish(topic, b"x", qos=1)
        wait_for(last.is_published, "the acknowledgement")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def real_verdicts(broker: PlainBroker, username: str | None, client_id: str, topics: tuple[str, ...]) -> dict:
    """What the broker lets through, per access and topic. A message of the admin's own ends each round."""
    ends = f"end/{time.monotonic_ns()}"
    admin = Client(broker, "admin", "c-admin")
    device = Client(broker, username, client_id)
    admin.subscribe([*topics, ends])
    device.publish(topics)
    admin.publish([ends])  # the broker handles the two in order: the device's were acknowledged before
    wait_for(lambda: ends in admin.received, "the end of the round")
    written = set(admin.received)
    # Reading: the device's subscription to 'end/read' tells that all before it was sent.
    device.subscribe([*topics, "end/read"])
    admin.publish([*topics, "end/read"])
    wait_for(lambda: "end/read" in device.received, "the end of the round")
    verdicts = {("write", topic): topic in written for topic in topics}
    verdicts |= {("read", topic): topic in device.received for topic in topics}
    admin.close()
    device.close()
    return verdicts


def expected_verdicts(acl: Acl, username: str | None, client_id: str, topics: tuple[str, ...]) -> dict:
    return {
        (access, topic): acl.allows(username, client_id, access, topic)
        for access in ("write", "read")
        for topic in topics
    }


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in FILES.items()])
def test_the_broker_starts_exactly_with_the_files_that_the_parser_takes(broker_with, text: bytes) -> None:
    broker = broker_with(text)
    refused = [problem for problem in acl_problems(text, version=release()) if problem.effect is Effect.REFUSED]
    assert broker.runs is not bool(refused), f"{refused}\n{broker.log}"


# The end of a reading round has to reach every client: the test's own line in every file.
_END = b"pattern read end/read\n"


@pytest.mark.parametrize("username", [*USERS, "a+b", "#", None])
def test_the_broker_delivers_exactly_what_the_parser_allows(broker_with, username: str | None) -> None:
    wild = username is not None and set(username) & set("+#")
    rules = RULES + (f"user {username}\ntopic read end/read\ntopic read down\n".encode() if wild else _END)
    rules = (b"topic read end/read\n" + rules) if username is None else rules
    if username == "muted":
        rules = rules.replace(b"user muted\ntopic deny #\n", b"user muted\n" + _mute_all_but_the_end())
    broker = broker_with(rules)
    client_id = f"c-{username}".replace("+", "-").replace("#", "-").replace("/", "-")
    assert real_verdicts(broker, username, client_id, TOPICS) == expected_verdicts(
        parse_acl(rules, version=release()), username, client_id, TOPICS
    )


def _mute_all_but_the_end() -> bytes:
    roots = {topic.partition("/")[0] for topic in TOPICS}
    return b"".join(f"topic deny {root}/#\n".encode() for root in sorted(roots) if not root.startswith("$"))


@pytest.mark.parametrize("style", ["per-device", "pattern"])
@pytest.mark.parametrize("name", ["d1", "d2", "d10", "d3"])
def test_both_styles_mean_the_same_to_the_broker(broker_with, style: str, name: str) -> None:
    """``d3`` is denied; the others may connect, and ``d1`` has topics of its own."""
    operator = stream_operator_text([b"user admin\ntopic readwrite #\ntopic readwrite $iot/#\n"])
    rendered = b"".join(replace_region(operator, _region(style)))
    acl = parse_acl(rendered, version=release())
    plain = parse_acl(b"".join(replace_region(operator, _region("per-device"))), version=release())
    expected = expected_verdicts(acl, name, name, STYLE_TOPICS)
    assert expected == expected_verdicts(plain, name, name, STYLE_TOPICS)
    if name == "d3":
        assert not any(expected.values())
    broker = broker_with(rendered)
    assert _real_without_marker(broker, name) == expected


def _region(style: str) -> Region:
    if style == "pattern":
        return render_region_pattern(TEMPLATES, ["d3"], EXTRA)
    return render_region_per_device(("d1", "d10", "d2"), TEMPLATES, extra=EXTRA)


def _real_without_marker(broker: PlainBroker, name: str) -> dict:
    """Like ``real_verdicts``, for a device that may not read the end of the round.

    The broker writes to a connection in order: once it has acknowledged a later subscription of the device,
    everything that it had for the device before has arrived.
    """
    device = Client(broker, name, name)
    device.subscribe(STYLE_TOPICS)
    admin = Client(broker, "admin", "c-admin")
    admin.subscribe([*STYLE_TOPICS, "end"])
    admin.publish([*STYLE_TOPICS, "end"])
    wait_for(lambda: "end" in admin.received, "the end of the round")
    device.subscribe(["end"])
    read = set(device.received)
    admin.received.clear()
    device.publish(STYLE_TOPICS)
    admin.publish(["end"])
    wait_for(lambda: "end" in admin.received, "the end of the round")
    verdicts = {("write", topic): topic in admin.received for topic in STYLE_TOPICS}
    verdicts |= {("read", topic): topic in read for topic in STYLE_TOPICS}
    admin.close()
    device.close()
    return verdicts
