"""Some 150 mosquitto.conf: whether a real broker starts, which listeners it opens, and what is foretold."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from iotonboard.broker.conf_check import judge_conf
from iotonboard.broker.conf_reader import read_conf

from support.broker import release, wait_for
from support.listeners import ACL
from support.program import State
from support.tools import need

_CLONE_NEWNET = 0x40000000
GLOBAL = "allow_anonymous false\nacl_file DIR/acl\n"
FILES = "cafile DIR/ca.crt\ncertfile DIR/broker.crt\nkeyfile DIR/broker.key\ncrlfile DIR/crl.pem\n"
CLIENTS = "require_certificate true\nuse_identity_as_username true\nuse_username_as_clientid true\n"
LISTENER = f"listener 8883\n{FILES}{CLIENTS}"
GOOD = GLOBAL + LISTENER
OWN = "per_listener_settings true\n"
# Lines behind a good listener, above a good configuration, and in place of one of its lines.
BELOW = """\
persistence yes|persistence 1|persistence|persistence true # kept|log_timestamp true\\t|retain_available maybe
set_tcp_nodelay TRUE|connection_messages 0|autosave_on_changes maybe|allow_zero_length_clientid maybe
max_inflight_messages 70000|max_inflight_messages x|sys_interval -1|max_packet_size 5|max_packet_size 2000
max_qos 3|max_qos|max_connections|max_connections -1|max_topic_alias 70000|socket_domain ipv5|socket_domain ipv4
log_facility 9|log_type nonsense|log_type all|log_type|log_dest nonsense|log_dest stderr # here
persistent_client_expiration 1|persistent_client_expiration 14d|message_size_limit -1|memory_limit -1
autosave_interval|websockets_headers_size -1|cafile DIR/ca.crt|acl_file DIR/acl|crlfile|tls_version tlsv1.2
tls_version tlsv1.0|tls_version TLSv1.2|tls_version tlsv1.2 # new|protocol mqtt # usual|protocol mqtts|protocol
listener 8884 # all|listener 8884 127.0.0.1 # one|listener 8884x|listener mqtts|listener|listener 0|listener -1
listener 70000|listener 8883|listener\\t8884|port 8884|port 0|port|port 8884\\nport 8885|bind_address
nonsense true|Require_Certificate true|\\tmax_qos 1|   max_qos 1|   # indented|   |#\\tcomment|plugin_opt_file x
auth_opt_file x|plugin DIR/none.so\\nplugin_opt_ab x|topic # both|connection up|connection up\\ntopic # both
connection up\\naddress 127.0.0.1:9|connection|connection up\\naddress 127.0.0.1:9\\ntopic # both
connection up\\naddress 127.0.0.1:9\\ntopic # both\\nbridge_insecure maybe|bridge_cafile DIR/ca.crt
keepalive_interval 5|pid_file DIR/pid\\npid_file DIR/pid|log_timestamp_format %s\\nlog_timestamp_format %s
persistence_location|user root\\nuser root|auto_id_prefix a\\nauto_id_prefix b|ciphers DEFAULT\\nciphers DEFAULT
mount_point a/\\nmount_point b/|max_queued_messages 5|max_log_entries 5|store_clean_interval 5|retry_interval 5
trace_level 1|per_listener_settings true|per_listener_settings false|allow_duplicate_messages 0
disable_client_cert_date_checks true|listener_allow_anonymous false|max_topic_alias_broker 5
accept_protocol_versions 5|global_max_clients 5|include_dir DIR/no|mount_point a/+|clientid_prefixes
log_timestamp_format \\xe4|max_keepalive 70000|upgrade_outgoing_qos 2"""
ABOVE = """\
require_certificate true|require_certificate false|use_identity_as_username 0|use_username_as_clientid 1
tls_version tlsv1.2|protocol mqtt|max_connections -1|max_connections 9|max_qos 2|max_qos 1|max_topic_alias 5
bind_interface lo|socket_domain ipv4|ciphers DEFAULT|psk_hint x|mount_point a/|port 8884|bind_address 127.0.0.1
allow_zero_length_clientid false|auto_id_prefix x|tls_keyform pem|crlfile DIR/crl.pem|cafile DIR/ca.crt
include_dir DIR/conf.d|include_dir  DIR/conf.d|include_dir DIR/conf.d |include_dir"""
INSTEAD = {
    "nothing at all": "",
    "no listener": GLOBAL + FILES + CLIENTS,
    "the port of the default listener": GLOBAL + "port 8883\n" + FILES + CLIENTS,
    "own settings": OWN + LISTENER + GLOBAL,
    "own settings, above the listener": OWN + GOOD,
    "own settings, said late": LISTENER + OWN + GLOBAL,
    "own settings, behind an option of access": "allow_zero_length_clientid true\n" + OWN + LISTENER + GLOBAL,
    "own settings of the default listener": OWN + "allow_zero_length_clientid false\n" + LISTENER + GLOBAL,
    "no certificate": GOOD.replace("certfile DIR/broker.crt\n", ""),
    "no key": GOOD.replace("keyfile DIR/broker.key\n", ""),
    "certificates below a second port": GOOD + "port 8884\nrequire_certificate true\n",
    "a tab behind an option": GOOD.replace("cafile ", "cafile\t"),
    "blanks and a tab": GOOD.replace("cafile ", "cafile  \t "),
    "an equals sign": GOOD.replace("require_certificate true", "require_certificate=true"),
    "a BOM": "\ufeff" + GOOD,
    "lines of DOS": GOOD.replace("\n", "\r\n"),
    "no line end": GOOD[:-1],
    "a NUL within a line": GOOD + "max_qos 1\0\nnonsense\n",
    "a NUL within a comment": GOOD + "# a\0b\nnonsense\n",
    "websockets alone": GOOD.replace("listener 8883\n", "listener 8883\nprotocol websockets # of browsers\n"),
}
INCLUDED: Mapping[str, Mapping[str, str]] = {
    "a listener": {"a.conf": "listener 8884\n"},
    "in their order": {"B.conf": "nonsense_2\n", "a.conf": "nonsense_1\n"},
    "each begins anew": {"a.conf": "listener 8884\n", "b.conf": "require_certificate false\nmax_qos 1\n"},
    "other names": {"a.txt": "nonsense\n", ".conf": "nonsense\n", "a.CONF": "nonsense\n", "a.conf~": "nonsense\n"},
    "hidden": {".a.conf": "nonsense\n"},
    "one within another": {"a.conf": "include_dir /nowhere\n"},
    "twice the same": {"a.conf": "acl_file DIR/acl\n"},
}


def configurations() -> dict[str, str]:
    """All of them by a title."""
    lines = {where: text.replace("\n", "|").split("|") for where, text in (("below", BELOW), ("above", ABOVE))}
    found = {f"below: {line}": GOOD + _meant(line) for line in lines["below"]}
    found |= {f"above: {line}": _meant(line) + GOOD for line in lines["above"]}
    found |= {f"above, own: {line}": OWN + _meant(line) + LISTENER + GLOBAL for line in lines["above"][:-4]}
    return found | INSTEAD | {f"included: {title}": "include_dir DIR/conf.d\n" + GOOD for title in INCLUDED}


def _meant(line: str) -> str:
    return line.replace("\\n", "\n").replace("\\t", "\t") + "\n"


@pytest.fixture
def folder(state: State, server: Mapping[str, bytes], tmp_path: Path) -> Path:
    made = tmp_path / "broker"
    (made / "conf.d").mkdir(parents=True)
    for name, content in {
        **server,
        "ca.crt": (state.certs / "ca.crt").read_bytes(),
        "crl.pem": state.crl.read_bytes(),
        "acl": ACL,
    }.items():
        (made / name).write_bytes(content)
    return made


def write_conf(folder: Path, number: int, title: str, text: str) -> Path:
    """Write one of them, with what it includes, into a folder of its own."""
    own = folder / f"{number:03}"
    (own / "conf.d").mkdir(parents=True)
    for name, content in INCLUDED.get(title.removeprefix("included: "), {}).items():
        (own / "conf.d" / name).write_text(content.replace("DIR", str(folder)))
    octets = text.replace("DIR/conf.d", str(own / "conf.d")).replace("DIR", str(folder)).encode()
    octets = octets.replace(b"\\xe4", b"\xe4")  # Latin-1
    if b"\nuser " not in octets:
        octets = octets + b"\nuser root\n" if b"\0" not in octets else b"user root\n" + octets
    (own / "mosquitto.conf").write_bytes(octets)
    return own / "mosquitto.conf"


def leave_network() -> None:
    """Have this thread, and what it starts, in a network of its own, where every port is free; if that is allowed."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def ask_broker(conf: Path) -> tuple[str, ...] | None:
    """The ports that the broker listens on; ``None`` when it does not start."""
    log_file = conf.with_name("log")
    with log_file.open("wb") as log:
        words = [need("mosquitto"), "-v", "-c", str(conf)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=conf.parent)
    said = ""

    def is_decided() -> bool:
        nonlocal said
        ended = process.poll() is not None
        said = log_file.read_text(errors="replace")
        return ended or re.search(r"mosquitto version \S+ running", said) is not None

    try:
        wait_for(is_decided, lambda: f"the broker:\n{said}", pause_s=0.002)
    finally:
        process.kill()
        process.wait()
    if re.search(r"mosquitto version \S+ running", said) is None:
        return None
    return tuple(sorted(set(re.findall(r"Opening \S+ listen socket on port (\d+)", said))))


def foretold(conf: Path, version: str) -> tuple[str, ...] | None:
    read = read_conf(str(conf), version=version)
    judged = judge_conf(read, version)
    if any(one.at_start for one in judged.problems if one.code in {"conf-refused", "conf-unknown-option"}):
        return None
    return tuple(sorted({one.port for one in judged.listeners}))


def test_what_a_broker_makes_of_a_configuration_is_foretold(folder: Path) -> None:
    version = release()
    given = configurations()
    assert len(given) > 150
    if version == "2.1":
        del given["websockets alone"]  # not every build has them
    confs = {title: write_conf(folder, number, title, text) for number, (title, text) in enumerate(given.items())}
    with ThreadPoolExecutor(1, initializer=leave_network) as thread:
        done = dict(zip(confs, thread.map(ask_broker, confs.values()), strict=True))
    told = {title: foretold(conf, version) for title, conf in confs.items()}
    assert {title: (told[title], done[title]) for title in done if told[title] != done[title]} == {}
