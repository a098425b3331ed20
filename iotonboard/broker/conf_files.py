"""A whole broker by its mosquitto.conf: what each listener enforces, and what it makes of the files it names."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.broker.conf_check import acl_path, judge_conf, listener_name, where
from iotonboard.broker.conf_reader import read_conf
from iotonboard.broker.problems import ENDS, Problem
from iotonboard.broker.server_key import judge_sent_chain, judge_server_key
from iotonboard.disk.permissions import has_user
from iotonboard.disk.reading import holds, read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iotonboard.broker.check import BrokerFiles
    from iotonboard.broker.conf_check import ListenerVerdict
    from iotonboard.broker.conf_model import BrokerConf, Listener


_NEEDED = ("password_file", "psk_file", "dhparamfile")
_PATHS = ("acl_file", "crlfile", "cafile", "certfile", "keyfile")
_OPTIONS = {"acl": "acl_file", "crl": "crlfile", "ca": "cafile"}


@dataclass(frozen=True, slots=True)
class ConfJudgement:
    """What the listeners enforce, what is wrong with configuration, certificate and key, and the files to judge.

    ``files`` has one entry for each different set of ACL, CRL and CA file; ``server_files`` are the paths of the
    certificates and keys of the listeners that have the first one.
    """

    listeners: tuple[ListenerVerdict, ...]
    problems: tuple[Problem, ...]
    files: tuple[BrokerFiles, ...]
    server_files: frozenset[str] = frozenset()

    def at_the_first(self) -> list[Problem]:
        """The problems as they count for clients of the first listener: what is another one's harms all by an end."""
        return [
            one if one.path in self.server_files or one.at_reload == ENDS else replace(one, at_reload="")
            for one in self.problems
        ]


def judge_broker_conf(path: str, published: Mapping[str, str], as_asked: BrokerFiles) -> ConfJudgement:
    """Read a configuration and judge what it names, at the time and for the release and user of ``as_asked``.

    Where ``as_asked`` names no user it is the one of the configuration, if this machine has it.

    Raises:
        NotFoundError: there is no such file.
    """
    conf = read_conf(path, version=as_asked.version)
    found = judge_conf(conf, as_asked.version)
    user = as_asked.user or (conf.user if has_user(conf.user) else "")
    problems = list(found.problems)
    problems += _what_is_not_here(conf, path)
    for listener in conf.listeners:
        problems += _other_files(listener, published)
    for certificate, key in dict.fromkeys(map(_server_key, conf.listeners)):
        if certificate and key:
            at, version = as_asked.at, as_asked.version
            problems += judge_server_key(certificate, key, at=at, version=version, user=user)
    for certificate, ca in dict.fromkeys((one.value("certfile"), one.value("cafile")) for one in conf.listeners):
        if certificate and ca:
            problems += judge_sent_chain(certificate, ca)
    sets = dict.fromkeys(map(_trust_files, conf.listeners))
    files = tuple(replace(as_asked, acl=acl, crl=crl, ca=ca, user=user) for acl, crl, ca in sets if acl and crl and ca)
    first = (files[0].acl, files[0].crl, files[0].ca) if files else ()
    at_first = [_server_key(one) for one in conf.listeners if _trust_files(one) == first]
    return ConfJudgement(found.listeners, tuple(problems), files, frozenset(path for pair in at_first for path in pair))


def _other_files(listener: Listener, published: Mapping[str, str]) -> Iterator[Problem]:
    """The files that a listener reads, and that are not those that are published."""
    for what, path in published.items():
        option = _OPTIONS[what]
        named = acl_path(listener) if what == "acl" else listener.value(option)
        if named and os.path.realpath(named) != os.path.realpath(path):
            place = listener.place_of(option)
            message = f"{listener_name(listener)}: {option} is {named!r}, and {path!r} is published"
            # A copy that is equal is carried by somebody; a different one is not what the broker should enforce.
            is_copy = os.path.isfile(named) and os.path.isfile(path) and holds(named, read_pieces(path))
            yield Problem(place.path, "conf-other-file", where(place) + message, warning=is_copy)


def _what_is_not_here(conf: BrokerConf, path: str) -> Iterator[Problem]:
    """What a broker on this machine would not start without; a warning, for it may run on another one."""
    for listener in conf.listeners:
        for option in _PATHS:
            if listener.value(option) and not os.path.isabs(listener.value(option)):
                place = listener.place_of(option)
                message = f"{where(place)}{option} is a relative path, and depends on where the broker is started"
                yield Problem(place.path, "conf-relative-path", message, warning=True)
    named = {one.value(option): one.place_of(option) for one in conf.listeners for option in _NEEDED}
    named |= {plugin.path.value: plugin.path.place for one in conf.listeners for plugin in one.plugins}
    for file, place in named.items():
        if file and not os.path.isfile(file):
            message = f"{where(place)}there is no {file!r} on this machine: without it the broker does not start"
            yield Problem(place.path, "conf-file-missing", message, warning=True)
    if not has_user(conf.user):
        message = f"there is no user {conf.user!r} on this machine: without it the broker does not start as root"
        yield Problem(path, "conf-no-user", message, warning=True)


def _server_key(listener: Listener) -> tuple[str, str]:
    return listener.value("certfile"), listener.value("keyfile")


def _trust_files(listener: Listener) -> tuple[str, str, str]:
    return acl_path(listener), listener.value("crlfile"), listener.value("cafile")
