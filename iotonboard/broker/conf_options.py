"""The options of a mosquitto.conf and what Mosquitto takes for their values (``src/conf.c`` of 2.0.11 and 2.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotonboard.broker.mqtt_text import is_malformed

if TYPE_CHECKING:
    from iotonboard.broker.acl import Version

TRUE: Final = {"true": True, "1": True, "false": False, "0": False}
# An option: the kind of its value, with limits or words; whose it is; and what is particular about it:
# - 2.1: 2.0 does not know it, and does not start; 2.0: 2.1 takes it and does nothing;
# - again: in 2.1 it may be there twice, and the last one counts; any other text keeps the broker from starting then;
# - behind: 2.1 takes it behind a listener only; anything else of a listener's opens the default one;
# - named: as behind, and not behind 'port' or 'bind_address' either;
# - empty: 2.0 goes on where it has no value.
# An 'int' is read whole by 2.1, a 'long' as far as it is a number. Limits are those of the most lenient 2.0.
_TABLE: Final = """
accept_protocol_versions      any      listener 2.1 named
acl_file                      text     access again
address                       any      bridge
addresses                     any      bridge
allow_anonymous               bool     access
allow_duplicate_messages      bool     whole
allow_zero_length_clientid    bool     access
auth_plugin                   text     access
auth_plugin_deny_special_chars bool    plugin
auto_id_prefix                text     access
autosave_interval             int      whole
autosave_on_changes           bool     whole
bind_address                  text     default
bind_interface                text     listener
bridge_alpn                   text     bridge
bridge_attempt_unsubscribe    bool     bridge
bridge_bind_address           text     bridge
bridge_cafile                 text     bridge
bridge_capath                 text     bridge
bridge_certfile               text     bridge
bridge_ciphers                text     bridge 2.1
bridge_ciphers_tls1.3         text     bridge 2.1
bridge_identity               text     bridge
bridge_insecure               bool     bridge
bridge_keyfile                text     bridge
bridge_max_packet_size        int      bridge
bridge_max_topic_alias        int:0..65535 bridge 2.1
bridge_outgoing_retain        bool     bridge
bridge_protocol_version       any      bridge
bridge_psk                    text     bridge
bridge_receive_maximum        int:1..65535 bridge 2.1
bridge_reload_type            word:lazy,immediate bridge 2.1
bridge_require_ocsp           bool     bridge
bridge_session_expiry_interval int:0.. bridge 2.1
bridge_tcp_keepalive          any      bridge 2.1
bridge_tcp_user_timeout       int:0..  bridge 2.1
bridge_tls_use_os_certs       bool     bridge 2.1
bridge_tls_version            text     bridge
cafile                        text     listener again behind
capath                        text     listener again
certfile                      text     listener again
check_retain_source           bool     whole
ciphers                       text     listener again
ciphers_tls1.3                text     listener again
cleansession                  bool     bridge
clientid                      text     bridge
clientid_prefixes             text     whole again
connection                    word     whole
connection_messages           bool     whole
crlfile                       text     listener again
dhparamfile                   text     listener 2.0
disable_client_cert_date_checks bool   listener 2.1 behind
enable_control_api            bool     whole 2.1
enable_proxy_protocol         int:1..2 listener 2.1 behind
global_max_clients            int      whole 2.1
global_max_connections        int      whole 2.1
global_plugin                 text     plugin 2.1
http_dir                      text     listener behind
idle_timeout                  int      bridge
keepalive_interval            int:..65535 bridge
keyfile                       text     listener again
listener                      int:0..65535 whole
listener_allow_anonymous      bool     listener 2.1 behind
listener_auto_id_prefix       text     listener 2.1 behind
local_cleansession            bool     bridge
local_clientid                text     bridge
local_password                text     bridge
local_username                text     bridge
log_dest                      word     whole
log_facility                  int:0..7 whole
log_timestamp                 bool     whole
log_timestamp_format          text     whole
log_type                      word     whole empty
max_connections               int      listener empty
max_inflight_bytes            int      whole
max_inflight_messages         int:..65535 whole
max_keepalive                 int:0..65535 whole
max_packet_size               int:20.. whole
max_qos                       int:0..2 listener
max_queued_bytes              int      whole
max_queued_messages           int      whole
max_topic_alias               int:0..65535 listener behind
max_topic_alias_broker        int:0..65535 listener 2.1 behind
maximum_qos                   int:0..2 listener
memory_limit                  long:0.. whole
message_size_limit            int:0..268435455 whole
mount_point                   topic    listener again behind
notification_topic            text     bridge
notifications                 bool     bridge
notifications_local_only      bool     bridge
packet_buffer_size            int:0..65535 whole 2.1
password                      text     bridge
password_file                 text     access again
per_listener_settings         bool     whole
persistence                   bool     whole
persistence_file              text     whole
persistence_location          text     whole
persistent_client_expiration  duration whole empty
pid_file                      text     whole
plugin                        text     access
plugin_load                   any      plugin 2.1
plugin_use                    text     listener 2.1 named
port                          int:1..65535 default
protocol                      word:mqtt,websockets,http_api listener empty
proxy_protocol_v2_require_tls bool     listener 2.1 behind
psk_file                      text     access again
psk_hint                      text     listener
queue_qos0_messages           bool     whole
remote_clientid               text     bridge
remote_password               text     bridge
remote_username               text     bridge
require_certificate           bool     listener
restart_timeout               any      bridge
retain_available              bool     whole
retain_expiry_interval        int      whole
retained_persistence          bool     whole
retry_interval                any      whole
round_robin                   bool     bridge
set_tcp_nodelay               bool     whole
socket_domain                 word:ipv4,ipv6 listener
start_type                    word:automatic,lazy,manual,once bridge
sys_interval                  int:0..65535 whole
threshold                     int      bridge
tls_engine                    text     listener
tls_engine_kpass_sha1         text     listener
tls_keyform                   word     listener
tls_version                   text     listener behind
topic                         any      bridge
try_private                   bool     bridge
upgrade_outgoing_qos          bool     whole
use_identity_as_username      bool     listener
use_subject_as_username       bool     listener
use_username_as_clientid      bool     listener
user                          text     whole again
username                      text     bridge
websockets_headers_size       int:0..65535 whole
websockets_log_level          int      whole
websockets_origin             text     listener 2.1 behind again
"""
_WORDS: Final = {
    "log_dest": "none,syslog,stdout,stderr,topic,file,dlt,android",
    "log_type": "none,information,notice,warning,error,debug,subscribe,unsubscribe,internal,websockets,all",
}
_ONLY_2_1: Final = {"http_api", "android"}  # words
LATER: Final = {"retain_expiry_interval"}  # 2.0 knows it by its last releases; with 2.0.11 it does not start
_TEXTS: Final = {"text", "topic"}
_TO_THE_END: Final = {*_TEXTS, "any"}  # of the line, comments too
# Two names of one thing.
ALIASES: Final = {
    "addresses": "address",
    "clientid": "remote_clientid",
    "maximum_qos": "max_qos",
    "password": "remote_password",
    "username": "remote_username",
    "auth_plugin": "plugin",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What an option takes (``kind``, ``limits``), whose it is (``scope``), and what is particular (``_TABLE``)."""

    kind: str
    limits: str
    scope: str
    notes: frozenset[str]

    def value(self, rest: str) -> str:
        """What Mosquitto reads of the rest of a line."""
        return rest.strip() if self.kind in _TO_THE_END else _first_word(rest)

    def may_be_there_twice(self, version: Version) -> bool:
        """Say whether a second one takes the place of the first; if not, the broker does not start."""
        return self.kind not in _TEXTS or (version == "2.1" and "again" in self.notes)

    def objection(self, rest: str, version: Version) -> str:
        """Why the broker does not start with this; empty when it does."""
        value = self.value(rest)
        if not value:
            goes_on = self.kind == "any" or (version == "2.0" and "empty" in self.notes)
            return "" if goes_on else "has no value"
        if self.kind in {"int", "long"}:
            return self._number_objection(value, version if self.kind == "int" else "2.0")
        return self._word_objection(value, version)

    def _word_objection(self, value: str, version: Version) -> str:
        if self.kind == "bool" and value not in TRUE:
            return f"{value!r} is neither true nor false"
        words = {one for one in self.limits.split(",") if one and (version == "2.1" or one not in _ONLY_2_1)}
        if self.kind == "word" and words and value not in words:
            return f"{value!r} is not one of {', '.join(sorted(words))}"
        units = "shdwmy" if version == "2.1" else "hdwmy"
        if self.kind == "duration" and not re.match(rf"\+?0*[1-9].*[{units}]$", value):
            return f"{value!r} is no time such as 14d"
        if self.kind == "topic" and re.search("[+#]", value):
            return "has a wildcard"
        return "is not UTF-8, or has control characters" if self.kind in _TEXTS and is_malformed(value) else ""

    def _number_objection(self, value: str, version: Version) -> str:
        number = to_number(value, version)
        if number is None:
            return f"{value!r} is not a number"
        least, _, most = self.limits.partition("..")
        if (least and number < int(least)) or (most and number > int(most)):
            return f"{number} is not a number from {least or 'less'} to {most or 'more'}"
        return ""


def _rules() -> dict[str, Rule]:
    found = {}
    for line in _TABLE.split("\n"):
        if line:
            name, kind, scope, *notes = line.split()
            kind, _, limits = kind.partition(":")
            found[name] = Rule(kind, limits or _WORDS.get(name, ""), scope, frozenset(notes))
    return found


_RULES: Final = _rules()
_NO_MORE: Final = Rule("any", "", "whole", frozenset())


def rule_of(option: str, version: Version) -> Rule | None:
    """The rule of an option; ``None`` for one that this release does not know."""
    rule = _RULES.get(option)
    if rule is None or (version == "2.0" and "2.1" in rule.notes):
        return None
    return _NO_MORE if version == "2.1" and "2.0" in rule.notes else rule


def to_number(value: str, version: Version) -> int | None:
    """A number as atoi(3) reads it in 2.0, nothing being zero, and as strtol(3) does in 2.1, which takes it whole."""
    if version == "2.0":
        found = re.match(r"[+-]?[0-9]+", value)
        return int(found[0]) if found else 0
    if re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", value) is None:
        return None
    is_octal = re.fullmatch(r"[+-]?0[0-7]+", value) is not None
    return int(value, 8 if is_octal else 0)


def _first_word(rest: str) -> str:
    """Up to the next blank; a tab is none."""
    return next((word for word in rest.split(" ") if word), "")
