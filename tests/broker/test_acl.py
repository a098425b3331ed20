"""Reading an ACL as Mosquitto does: problems with their lines, and decisions with their rules."""

from __future__ import annotations

import pytest
from iotonboard.broker.acl import AclSyntaxError, Effect, acl_problems, parse_acl
from iotonboard.broker.acl_oddities import odd_lines
from iotonboard.broker.topics import filter_problem, topic_matches
from iotonboard.errors import PolicyError


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a", "a", True),
        ("a", "a/", False),
        ("a/#", "a", True),
        ("a/#", "a/", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "/", True),
        ("#", "$SYS/x", False),
        ("+", "$SYS", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS", True),
        ("$SYS/+", "$SYS/x", True),
        ("+", "a", True),
        ("+", "/", False),
        ("+/+", "/", True),
        ("/+", "/a", True),
        ("/+", "a", False),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("a/+/#", "a", False),
        ("a/+/#", "a/b", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d/c", False),
        ("", "a", False),
        ("#", "", False),
        ("#", "a/+", False),
        ("A", "a", False),
    ],
)
def test_topics_match_as_mqtt_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert topic_matches(topic_filter, topic) is expected


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", "empty"),
        ("+x", "whole level"),
        ("a/x#", "whole level"),
        ("#/a", "last level"),
        ("a/#/", "last level"),
        ("x" * 65536, "65535"),
        ("é" * 32768, "65535"),
        ("/" * 201, "200"),
    ],
)
def test_a_bad_filter_is_named(topic: str, reason: str) -> None:
    assert reason in filter_problem(topic)


@pytest.mark.parametrize("topic", ["a", "#", "+", "a/+/#", "x" * 65535, "é" * 32767, "/" * 200, "$SYS/#", " "])
def test_a_good_filter_has_no_problem(topic: str) -> None:
    assert filter_problem(topic) == ""


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"user a\n # note\n", 2, "first column"),
        (b"\xef\xbb\xbfuser a\n", 1, "byte order mark"),
        (b"user a\ntopic\tread x\n", 2, "tab"),
        (b"user\n", 1, "without a name"),
        (b"# c\n\nuser a\ntopic \n", 4, "without a topic"),
        (b"topic all x\n", 1, "none of read, write"),
        (b"topic \tread x\n", 1, "none of read, write"),
        (b"topic read +x\n", 1, "whole level"),
        (b"user a\r\nbad\r\n", 2, "begin with user, topic or pattern"),
        (b"user a\ntopic read b\0c\ntopic read d\n", 2, "NUL"),
    ],
)
def test_a_line_that_breaks_the_broker_is_refused_with_its_number(text: bytes, line: int, reason: str) -> None:
    with pytest.raises(AclSyntaxError, match=f"line {line}: ") as caught:
        parse_acl(text)
    assert isinstance(caught.value, PolicyError)
    assert caught.value.exit_code == 6
    assert caught.value.line == line
    assert reason in caught.value.problems[0].reason
    assert caught.value.hint


def test_every_bad_line_is_reported() -> None:
    text = b"bad\nuser a\ntopic\n\ntopic read a#\n"
    assert [problem.line for problem in acl_problems(text)] == [1, 3, 5]
    with pytest.raises(AclSyntaxError, match=r"line 1: .*\(and lines 3, 5\)"):
        parse_acl(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"topic deny\n", "the topic is missing"),
        (b"topic read devices/%u\n", "'pattern' lines only"),
        (b"user a\rtopic read b\r", "control character"),
        (b"topic read a\tb\n", "control character"),
        (b"user b\xf6b\n", "not UTF-8"),
    ],
)
def test_a_line_that_is_not_what_it_seems_is_told_but_does_not_block(text: bytes, reason: str) -> None:
    (problem,) = acl_problems(text)
    assert problem.effect is Effect.ODD
    assert not problem.blocks
    assert reason in problem.reason
    parse_acl(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"user a\ntopic read b\0\nbad\n", 2),
        (b"\0bad\n", 1),
        (b"\0\nbad\n", 1),
        (b"\n\0bad\n", 2),
        (b"# note\0\n\n", 1),
        (b"user a\n\0", 2),
    ],
)
def test_a_nul_hides_the_rest_of_the_file_from_the_broker(text: bytes, line: int) -> None:
    (problem,) = acl_problems(text)
    assert problem.effect is Effect.LOST
    assert problem.blocks
    assert problem.line == line
    (moved,) = acl_problems(text, first_line=10)
    assert moved.line == line + 9


def test_line_ends_of_dos_are_no_problem() -> None:
    text = b"# note\r\nuser a\r\ntopic read b\r\n\r\n"
    assert acl_problems(text) == []
    assert parse_acl(text).allows("a", "a", "read", "b")


def test_users_are_merged_and_rules_keep_their_lines() -> None:
    acl = parse_acl(b"topic read g\nuser a\ntopic read x\nuser b\ntopic y\npattern read %u\nuser a\ntopic write z\n")
    assert [(rule.line, rule.topic) for rule in acl.users["a"]] == [(3, "x"), (8, "z")]
    assert [rule.access for rule in acl.users["b"]] == ["readwrite"]
    assert [rule.line for rule in acl.general] == [1]
    assert [rule.line for rule in acl.patterns] == [6]


def test_an_empty_file_denies_everything() -> None:
    acl = parse_acl(b"")
    assert not acl.allows("a", "a", "read", "x")
    assert not acl.allows(None, "a", "write", "x")
    assert acl.explain("a", "a", "read", "x").reason == "no rule matches"


def test_deny_beats_every_grant_of_the_same_list_wherever_it_stands() -> None:
    acl = parse_acl(b"user a\ntopic readwrite x/#\ntopic deny x/y\n")
    assert acl.allows("a", "a", "read", "x/z")
    decision = acl.explain("a", "a", "read", "x/y")
    assert not decision.allowed
    assert decision.rule is not None
    assert (decision.rule.line, decision.reason) == (3, "denied by line 3: topic deny x/y")


def test_a_pattern_deny_does_not_take_back_what_a_user_line_grants() -> None:
    acl = parse_acl(b"pattern deny x/%u\npattern read x/#\nuser a\ntopic read x/a\n")
    assert acl.allows("a", "a", "read", "x/a")
    assert not acl.allows("b", "b", "read", "x/b")
    assert acl.allows("b", "b", "read", "x/a")


def test_a_users_deny_beats_every_pattern() -> None:
    acl = parse_acl(b"pattern readwrite devices/%u/#\npattern read $SYS/#\nuser a\ntopic deny #\n")
    assert not acl.allows("a", "a", "write", "devices/a/x")
    assert acl.allows("b", "b", "write", "devices/b/x")
    assert acl.allows("a", "a", "read", "$SYS/x"), "'deny #' does not cover the $ topics"


def test_general_rules_are_for_clients_without_a_name_only() -> None:
    acl = parse_acl(b"topic read x\nuser a\ntopic read y\n")
    assert acl.allows(None, "c", "read", "x")
    assert not acl.allows("a", "c", "read", "x")


def test_names_with_wildcards_get_nothing_from_patterns() -> None:
    acl = parse_acl(b"pattern read devices/%u/#\nuser +\ntopic read own\n")
    assert not acl.allows("+", "c", "read", "devices/b/x")
    assert not acl.allows("a", "#", "read", "devices/a/x")
    assert acl.allows("+", "c", "read", "own")


def test_topics_of_the_broker_itself_cannot_be_written() -> None:
    acl = parse_acl(b"user a\ntopic readwrite $SYS/#\ntopic readwrite $share/#\n")
    assert acl.allows("a", "a", "read", "$SYS/x")
    assert not acl.allows("a", "a", "write", "$SYS/x")
    assert acl.allows("a", "a", "write", "$SYS/broker/connection/b/state")
    assert not acl.allows("a", "a", "read", "$share/x")


def test_the_releases_expand_patterns_differently() -> None:
    text = b"pattern read a/x%u/b\npattern read c/%u\npattern read d/%c/%u\n"
    old, new = parse_acl(text, version="2.0"), parse_acl(text, version="2.1")
    assert old.allows("u", "c", "read", "a/xu/b")
    assert not new.allows("u", "c", "read", "a/xu/b")
    assert new.allows("u", "c", "read", "a/x%u/b")
    assert old.allows("u/v", "c", "read", "c/u/v")
    assert not new.allows("u/v", "c", "read", "c/u/v")
    for acl in (old, new):
        assert acl.allows("u", "c", "read", "d/c/u")
        assert not acl.allows("uu", "c", "read", "c/u")
        assert not acl.allows("u", "c", "read", "c/uu")
        assert not acl.allows(None, "c", "read", "c/")
    assert not acl_problems(text)
    assert [problem.line for problem in acl_problems(text, version="2.1")] == [1]


ODD_LINES = {
    "topic read $SYS/broker/uptime\nuser a\ntopic read x": (1, "no certificate has it"),
    "user a\ntopic deny read x/#": (2, "'read' is a part of the topic"),
    "user a\ntopic read wirte x/#": (2, "'wirte' is a part of the topic"),
    "user a\ntopic read:devices/x": (2, "'read' is a part of the topic"),
    "user a\ntopic READWRITE,x": (2, "'READWRITE' is a part of the topic"),
    "user a\npattern read devices/%u/#": (2, "a pattern is everybody's"),
    "user a # the dashboard": (1, "a part of the name"),
    "user a // the dashboard": (1, "a part of the name"),
    "user *": (1, "no wildcard for users"),
    "user %u": (1, "no wildcard for users"),
    'user "a"': (1, "quotes"),
    "user a:": (1, "one name"),
    "user a, b": (1, "one name"),
    "user a\ntopic read x // all": (2, "a comment behind a topic"),
    'user a\ntopic read "x/y"': (2, "quotes"),
}


@pytest.mark.parametrize("text", ODD_LINES)
def test_lines_that_mean_something_else_are_named(text: str) -> None:
    (found,) = odd_lines([text.encode()])
    line, reason = ODD_LINES[text]
    assert (found.line, found.effect) == (line, Effect.ODD)
    assert reason in found.reason


@pytest.mark.parametrize(
    "text",
    [
        "pattern read devices/%u/#\nuser Press 17\ntopic readwrite line 4/x\ntopic deny #\ntopic reader/x\ntopic x",
        "user a\ntopic read x\n# BEGIN iotonboard: x\npattern read d/%u/#\n# END iotonboard\nuser b\ntopic read x",
    ],
)
def test_lines_that_mean_what_they_say_are_not(text: str) -> None:
    assert odd_lines([text.encode()]) == []
