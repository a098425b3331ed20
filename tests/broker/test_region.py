"""The managed region: markers, both styles, the operator's lines, and the check of what is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest
from iotonboard.broker.acl import AclSyntaxError, acl_problems, parse_acl
from iotonboard.broker.region import (
    BEGIN,
    END,
    devices_to_deny,
    dollar_roots,
    operator_acl,
    stream_operator_text,
)
from iotonboard.broker.region_check import RegionCheck
from iotonboard.broker.render import Region, render_region_pattern, render_region_per_device, replace_region
from iotonboard.broker.topics import check_topic_rule, parse_topic_rule
from iotonboard.errors import PolicyError
from iotonboard.model import Access, TopicRule

OWN = parse_topic_rule("readwrite:devices/{device_id}/#")
LOCKED = parse_topic_rule("deny:devices/{device_id}/locked")
CONFIG = parse_topic_rule("read:plant/config")


def replaced(text: bytes, region: Region) -> bytes:
    return b"".join(replace_region(stream_operator_text([text]), region))


def nobody() -> Region:
    return render_region_per_device([], [])


def check(pieces: Iterable[bytes], *, style: str, templates: Sequence[TopicRule], users: int) -> None:
    checking = RegionCheck(style, templates)
    for piece in pieces:
        checking.feed(piece)
    checking.finish(users=users)


def published(before: bytes = b"", after: bytes = b"", body: bytes = b"user a\ntopic read x\n") -> bytes:
    return before + BEGIN + b"\n" + body + END + b"\n" + after


@pytest.mark.parametrize(
    ("text", "access", "topic"),
    [
        ("read:plant/config", "read", "plant/config"),
        ("readwrite:devices/{device_id}/#", "readwrite", "devices/{device_id}/#"),
        ("deny:a b/c", "deny", "a b/c"),
        ("write:a:b", "write", "a:b"),
        ("read:größe/ä", "read", "größe/ä"),
        ("read:devices/{device_id}/+/x/#", "read", "devices/{device_id}/+/x/#"),
        ("read:x{device_id}", "read", "x{device_id}"),
    ],
)
def test_a_topic_rule_is_parsed(text: str, access: str, topic: str) -> None:
    assert parse_topic_rule(text) == TopicRule(Access(access), topic)
    assert check_topic_rule(text) == TopicRule(Access(access), topic)


BAD_TOPICS = [
    "",
    " a",
    "a ",
    "a\n",
    "a\nuser eve\ntopic readwrite #",
    "a\rb",
    "a\tb",
    "a\0b",
    "\x7f",
    "a\u0085b",
    "a\u2028b",
    "a\u00a0",
    "\ufeffa",
    "a\ud800",
    "%u/x",
    "100%",
    "+x",
    "x+",
    "a/#/b",
    "a#",
    "{device}",
    "{device_id",
    "{}",
    "{{device_id}}",
    "{device_id.name}",
    "x" * 65536,
    "x" * 65500 + "{device_id}",
    "/" * 201,
]


@pytest.mark.parametrize("topic", BAD_TOPICS)
@pytest.mark.parametrize("template", [True, False])
def test_a_topic_that_is_not_one_rule_is_refused(topic: str, template: bool) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_topic_rule(f"read:{topic}", template=template)
    assert caught.value.hint
    with pytest.raises(PolicyError):
        check_topic_rule(TopicRule(Access.READ, topic), template=template)


@pytest.mark.parametrize("text", ["", "read", "plant/config", "READ:a", "all:a", " read:a", "read :a", ":a", "user:a"])
def test_a_rule_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="is not a topic rule"):
        parse_topic_rule(text)


@pytest.mark.parametrize("topic", ["#", "+", "plant/#", "devices/+/x", "+/{device_id}", "x{device_id}/#"])
def test_wildcards_that_reach_other_devices_are_for_templates_only(topic: str) -> None:
    with pytest.raises(PolicyError, match="other devices"):
        parse_topic_rule(f"read:{topic}")
    assert parse_topic_rule(f"read:{topic}", template=True).topic == topic


def test_the_per_device_style() -> None:
    extra = {"b": (CONFIG, parse_topic_rule("write:up/{device_id}"))}
    assert b"".join(render_region_per_device(["a", "b"], [OWN, LOCKED], extra=extra, denied=["z"])).decode() == (
        "user a\ntopic readwrite devices/a/#\ntopic deny devices/a/locked\n"
        "user b\ntopic readwrite devices/b/#\ntopic deny devices/b/locked\ntopic read plant/config\ntopic write up/b\n"
        "user z\ntopic deny #\ntopic deny $SYS/#\n"
    )


def test_the_pattern_style() -> None:
    extra = {"b": (CONFIG,), "c": (), "z": (CONFIG,)}
    assert b"".join(render_region_pattern([OWN, LOCKED], ["z", "z"], extra)).decode() == (
        "pattern readwrite devices/%u/#\npattern deny devices/%u/locked\n"
        "user z\ntopic deny #\ntopic deny $SYS/#\n"
        "user b\ntopic deny devices/b/locked\ntopic read plant/config\n"
    )


def test_a_denied_device_loses_the_dollar_topics_too() -> None:
    templates = [parse_topic_rule("write:$iot/{device_id}/#"), parse_topic_rule("read:$SYS/broker/uptime")]
    operator = b"pattern read $other/#\npattern read $SYS/#\n"
    acl = operator_acl(stream_operator_text([operator]))
    assert dollar_roots(acl) == ("$other",)
    region = render_region_pattern(templates, ["z"], {}, deny_roots=dollar_roots(acl))
    whole = parse_acl(replaced(operator, region))
    for topic in ("$iot/z/x", "$SYS/broker/uptime", "$SYS/x", "$other/x", "devices/z/x"):
        assert not any(whole.allows("z", "z", access, topic) for access in ("read", "write"))
    assert whole.allows("y", "y", "write", "$iot/y/x")


def test_a_device_without_rules_gets_no_block() -> None:
    region = render_region_per_device(["a", "b"], [], extra={"b": (CONFIG,)})
    assert b"".join(region) == b"user b\ntopic read plant/config\n"
    assert region.users == 1
    assert b"".join(render_region_pattern([], [], {})) == b""


def test_a_template_that_no_pattern_can_say_is_refused() -> None:
    template = parse_topic_rule("read:devices/x-{device_id}/#", template=True)
    with pytest.raises(PolicyError, match="not alone in its level") as caught:
        render_region_pattern([template], [], {})
    assert "per-device" in caught.value.hint
    assert b"devices/x-a/#" in b"".join(render_region_per_device(["a"], [template]))


BAD_IDS = [
    "",
    "+",
    "#",
    "a/b",
    "a ",
    " a",
    "a\n",
    "a\nb",
    "a\nuser eve",
    "a\r",
    "%u",
    "$a",
    "a\u00a0b",
    "a{device_id}",
    "x" * 65,
    "con",
]


def test_names_of_adopted_devices_are_lines_of_their_own() -> None:
    for name in ("AA:BB:CC:00:00:01", "Pump 3", "a:", "größe", "-a", "con", "x."):
        for region in (render_region_per_device([name], [OWN]), render_region_pattern([OWN], [name], {})):
            text = replaced(b"", region)
            assert list(parse_acl(text).users) == [name]


@pytest.mark.parametrize("name", BAD_IDS[:-1])
def test_a_bad_id_is_refused_where_the_text_is_rendered(name: str) -> None:
    with pytest.raises(PolicyError):
        list(render_region_per_device(["ok", name], [OWN]))
    with pytest.raises(PolicyError):
        list(render_region_pattern([OWN], [name], {}))
    with pytest.raises(PolicyError):
        list(render_region_pattern([OWN], [], {name: (CONFIG,)}))


@pytest.mark.parametrize("topic", [topic for topic in BAD_TOPICS if topic])
def test_a_bad_stored_topic_is_refused_where_the_text_is_rendered(topic: str) -> None:
    rule = TopicRule(Access.READ, topic)
    with pytest.raises(PolicyError):
        list(render_region_per_device(["a"], [OWN], extra={"a": (rule,)}))
    with pytest.raises(PolicyError):
        render_region_per_device([], [rule])
    with pytest.raises(PolicyError):
        list(render_region_pattern([OWN], [], {"a": (rule,)}))


def test_a_new_region_goes_to_the_end_and_the_next_one_takes_its_place() -> None:
    operator = b"# mine\r\nuser op\r\ntopic read #"
    first = replaced(operator, render_region_per_device(["a"], [OWN]))
    assert first.startswith(operator + b"\n" + BEGIN)
    second = replaced(first, render_region_per_device(["b"], [OWN]))
    assert second == first.replace(b"user a\n", b"user b\n").replace(b"devices/a/", b"devices/b/")
    around = stream_operator_text([second])
    assert (around.before, around.after) == (operator + b"\n", b"")
    assert second.endswith(b"user b\ntopic readwrite devices/b/#\n" + END + b"\n")


def test_text_below_the_region_stays_below_it() -> None:
    after = b"\n# dashboards\nuser grafana\ntopic read #"
    text = published(b"topic read free\n", after)
    whole = replaced(text, render_region_pattern([OWN], [], {}))
    assert whole.startswith(b"topic read free\n" + BEGIN)
    assert whole.endswith(END + b"\n" + after)


@pytest.mark.parametrize("before", [b"", b"\n", b"\n\n", b"#\n", b"#\n#\n"])
def test_markers_are_found_in_whatever_line_they_begin(before: bytes) -> None:
    operator = stream_operator_text([published(before, b"#\n")])
    assert (operator.before, operator.after) == (before, b"#\n")
    assert operator.after_line == before.count(b"\n") + 5


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 1000])
def test_markers_are_found_in_pieces_cut_anywhere(step: int) -> None:
    text = published(b"# BEGINNING\nuser op\ntopic read #\n", b"#END\nuser x\ntopic read #")
    operator = stream_operator_text(text[start : start + step] for start in range(0, len(text), step))
    assert (operator.before, operator.after) == (b"# BEGINNING\nuser op\ntopic read #\n", b"#END\nuser x\ntopic read #")
    assert text.split(b"\n")[operator.after_line - 1] == b"#END"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"user a\n" + BEGIN + b"\nuser b\n", "line 2: BEGIN has no END"),
        (b"user a\n" + END + b"\n", "line 2: END without BEGIN"),
        (END + b"\n" + BEGIN + b"\n", "line 1: END without BEGIN"),
        (BEGIN + b"\n" + BEGIN + b"\n" + END + b"\n", "line 2: BEGIN a second time"),
        (published() + END + b"\n", "line 5: a marker too many"),
        (published() + published(), "line 5: a marker too many"),
        (published().replace(BEGIN, b"#BEGIN iotonboard"), "line 1: .* nearly a marker"),
        (published().replace(END, b"# end iotonboard"), "line 4: .* nearly a marker"),
        (published().replace(END, b"# END iotonboard-region"), "line 4: .* nearly a marker"),
    ],
)
def test_damaged_markers_are_refused(text: bytes, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason) as caught:
        stream_operator_text([text])
    assert "delete both" in caught.value.hint


def test_an_indented_marker_is_a_bad_line_of_the_operator() -> None:
    with pytest.raises(AclSyntaxError, match=r"line 4: .*first column"):
        replaced(b"#\n#\n#\n " + BEGIN + b"\n", nobody())


@pytest.mark.parametrize("end", [b"\r\n", b" \n", b"\t\n", b":\n", b":x\n", b": x\r\n"])
def test_markers_may_end_as_editors_and_people_end_them(end: bytes) -> None:
    text = published(b"user op\r\n").replace(b"iotonboard\n", b"iotonboard" + end)
    operator = stream_operator_text([text])
    assert (operator.before, operator.after, operator.has_region) == (b"user op\r\n", b"", True)


def test_a_topic_line_below_the_region_without_a_user_line_is_refused() -> None:
    text = published(b"user op\ntopic read #\n", b"# note\npattern read x\ntopic read y\ntopic read z\n")
    with pytest.raises(AclSyntaxError, match=r"line 9: .*last device.*\(and lines 10\)") as caught:
        replaced(text, nobody())
    assert "user NAME" in caught.value.hint
    replaced(published(b"", b"pattern read x\nuser op\ntopic read y\n"), nobody())


def test_the_operators_bad_lines_are_reported_with_their_place_in_the_file() -> None:
    text = published(b"user op\nbad one\n", b"user x\n # two\ntopic read a#\n")
    with pytest.raises(AclSyntaxError) as caught:
        replaced(text, nobody())
    assert [problem.line for problem in caught.value.problems] == [2, 8, 9]
    assert caught.value.exit_code == 6


def test_the_region_neither_captures_nor_is_captured() -> None:
    operator = b"topic read anonymous\nuser op\ntopic read ops\n"
    for region in (
        render_region_per_device(["a"], [OWN]),
        render_region_pattern([OWN], ["a"], {"b": (CONFIG,)}),
    ):
        acl = parse_acl(replaced(operator, region))
        assert [rule.topic for rule in acl.users["op"]] == ["ops"]
        assert [rule.topic for rule in acl.general] == ["anonymous"]


def test_devices_that_the_operators_lines_still_let_in() -> None:
    def names(text: bytes) -> list[str]:
        return list(devices_to_deny(parse_acl(text), ["a", "b"]))

    assert names(b"user a\ntopic read x\n") == ["a"]
    assert names(b"pattern read x/%u\n") == ["a", "b"]
    assert names(b"pattern deny x/%u\nuser c\ntopic read x\n") == []


GOOD = b"pattern read a/%u\nuser a\ntopic read x/+/#\ntopic deny #\nuser b\ntopic write a b\n"
MEANT = {"style": "pattern", "templates": [parse_topic_rule("read:a/{device_id}")], "users": 2}


@pytest.mark.parametrize("step", [1, 5, 17, 1000])
def test_a_good_region_passes(step: int) -> None:
    check((GOOD[start : start + step] for start in range(0, len(GOOD), step)), **MEANT)


def test_a_region_with_words_of_any_language_passes() -> None:
    words = [parse_topic_rule("read:größe/{device_id}"), parse_topic_rule("deny:工場/{device_id}")]
    for region in (
        render_region_per_device(["a"], words, extra={"a": (parse_topic_rule("read:été"),)}),
        render_region_pattern(words, ["a"], {"b": (parse_topic_rule("read:été"),)}),
    ):
        assert "größe".encode() in replaced(b"", region)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b"user b\n", b"user +\n", 5),
        (b"user b\n", b"user b \n", 5),
        (b"user b\n", b"user $b\n", 5),
        (b"user b\n", b"user b\r\n", 5),
        (b"user b\n", b"user b\nuser c\n", 5),
        (b"topic deny #\n", b"topic deny ##\n", 4),
        (b"topic deny #\n", b"topic #\n", 4),
        (b"topic deny #\n", b"topic  deny #\n", 4),
        (b"topic deny #\n", b" topic deny #\n", 4),
        (b"topic deny #\n", b"topic deny # \n", 4),
        (b"topic deny #\n", b"topic deny x\xff\n", 4),
        (b"topic deny #\n", b"topic deny %u\n", 4),
        (b"topic deny #\n", b"topic deny x\0\n", 4),
        (b"topic deny #\n", b"# note\n", 4),
        (b"topic deny #\n", b"\n", 4),
        (b"topic write a b\n", b"topic write a b", 5),
        (b"topic write a b\n", b"", 5),
        (b"topic write a b\n", b"pattern read x\n", 5),
        (b"topic write a b\n", b"topic write +b\n", 6),
        (b"pattern read a/%u\n", b"topic read a/x\n", 1),
        (b"pattern read a/%u\n", b"pattern read a%u\n", 1),
        (b"pattern read a/%u\n", b"pattern read a/%c\n", 1),
    ],
)
def test_a_region_with_a_bad_line_is_refused_with_its_number(old: bytes, new: bytes, line: int) -> None:
    """A line that is legal in another place is reported with its block's first line."""
    assert old in GOOD
    with pytest.raises(PolicyError, match=f"line {line} of the ACL region"):
        check([GOOD.replace(old, new)], **MEANT)


@pytest.mark.parametrize("style", ["per-device", "pattern"])
def test_a_region_that_is_legal_but_not_meant_is_refused(style: str) -> None:
    templates = [OWN, LOCKED]
    if style == "pattern":
        text = b"".join(render_region_pattern(templates, ["z"], {"a": (CONFIG,), "b": (CONFIG,)}))
        wrong = [(b"pattern deny devices/%u/locked\n", b""), (b"pattern", b"pattern read x\npattern")]
    else:
        extra = {"a": (CONFIG,), "b": (CONFIG,)}
        text = b"".join(render_region_per_device(extra, templates, extra=extra, denied=["z"]))
        wrong = [(b"devices/b/#", b"devices/a/#"), (b"readwrite devices/b", b"read devices/b")]
    wrong += [
        (b"deny devices/b/locked", b"deny devices/a/locked"),
        (b"topic deny devices/b/locked\n", b""),
        (b"topic deny #\n", b"topic read x\n"),
        (b"topic deny $SYS/#\n", b""),
    ]
    check([text], style=style, templates=templates, users=3)
    for old, new in wrong:
        assert old in text
        changed = re.sub(re.escape(old), new.replace(b"\\", rb"\\"), text, count=1)
        assert acl_problems(changed) == []
        with pytest.raises(PolicyError, match=r"line \d+ of the ACL region"):
            check([changed], style=style, templates=templates, users=3)


def test_a_region_with_too_few_blocks_is_refused() -> None:
    text = b"".join(render_region_per_device(["a"], [OWN]))
    with pytest.raises(PolicyError, match="holds 1 user blocks where 2 were meant"):
        check([text], style="per-device", templates=[OWN], users=2)


def test_missing_patterns_are_noticed() -> None:
    with pytest.raises(PolicyError, match="lacks the patterns"):
        check([], style="pattern", templates=[OWN], users=0)


def test_a_template_that_makes_a_line_for_no_broker_is_noticed() -> None:
    for style, topic in (("per-device", "a+"), ("pattern", "a/x{device_id}"), ("pattern", "#/a"), ("pattern", "a\nb")):
        with pytest.raises(PolicyError, match="Mosquitto does not take"):
            RegionCheck(style, [TopicRule(Access.DENY, topic)])


def test_replacing_checks_what_passes_through() -> None:
    region = Region("per-device", [OWN], "topic readwrite #\n", [])
    with pytest.raises(PolicyError, match="line 1 of the ACL region"):
        replaced(b"", region)


def test_templates_that_deny_everything_are_not_taken_for_a_silenced_device() -> None:
    templates = [parse_topic_rule(f"deny:{topic}", template=True) for topic in ("#", "$x/#")]
    for region in (
        render_region_per_device(["a"], templates, extra={"a": (CONFIG,)}, denied=["z"]),
        render_region_pattern(templates, ["z"], {"a": (CONFIG,)}),
    ):
        assert b"topic deny $x/#\ntopic read plant/config\n" in replaced(b"", region)


def test_replacing_counts_the_blocks() -> None:
    region = render_region_per_device(["a"], [OWN])
    region.users = 1
    with pytest.raises(PolicyError, match="holds 1 user blocks where 2 were meant"):
        replaced(b"", region)
