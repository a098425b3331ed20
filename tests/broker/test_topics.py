"""Which topic rules reach the topics of other devices."""

from __future__ import annotations

import pytest
from iotonboard.broker.topics import Others, parse_topic_rule, topic_matches

TEMPLATES = ("readwrite:devices/{device_id}/#", "read:news")


def reach(rule: str, *templates: str, device_id: str = "") -> bool:
    parsed = tuple(parse_topic_rule(one, template=True) for one in templates or TEMPLATES)
    return Others(parsed, {"press-2"}.__contains__).reached_by(parse_topic_rule(rule, template=True), device_id)


@pytest.mark.parametrize(
    "rule",
    [
        "read:#", "readwrite:#", "write:+/#", "read:+/+/x", "read:+/x", "read:devices/#", "read:devices/+",
        "read:devices/+/state", "write:devices/press-2/x", "read:devices/press-2", "write:+/press-2/x",
        "read:devices/x{device_id}/#",
    ],
)  # fmt: skip
def test_reaches(rule: str) -> None:
    assert reach(rule)


@pytest.mark.parametrize(
    "rule",
    [
        "deny:#", "deny:devices/#", "readwrite:devices/{device_id}/#", "read:devices/{device_id}", "read:plant/#",
        "read:plant/+/x", "read:plant/config", "read:news", "read:+", "read:$SYS/#", "write:up/{device_id}",
        "read:{device_id}/x", "read:devices", "read:Devices/#", "write:devices/two words/x",
    ],
)  # fmt: skip
def test_does_not_reach(rule: str) -> None:
    assert not reach(rule)


@pytest.mark.parametrize(
    ("rule", "reaches"),
    [
        ("read:devices/press-1/cmd", False), ("read:devices/{device_id}/cmd/#", False),
        ("read:devices/PRESS-1/x", False),
        ("read:devices/press-2/cmd", True), ("read:devices/press-11/cmd", True), ("read:plant/press-2", False),
        ("deny:devices/press-2/cmd", False), ("write:devices/x-{device_id}/cmd", True),
    ],
)  # fmt: skip
def test_a_rule_of_one_device(rule: str, reaches: bool) -> None:
    assert reach(rule, device_id="press-1") is reaches


@pytest.mark.parametrize(
    ("rule", "templates", "reaches"),
    [
        ("read:plant/#", ("write:plant/up",), True),  # nothing tells devices apart
        ("read:plant/up", ("write:plant/up",), False),
        ("read:plant/+/#", ("write:plant/line-{device_id}/x",), True),
        ("read:plant/line-7/x", ("write:plant/line-{device_id}/x",), True),
        ("read:plant/hall-7/x", ("write:plant/line-{device_id}/x",), False),
        ("write:a-{device_id}/x", ("write:b-{device_id}/x",), False),
        ("write:{device_id}/{device_id}/x", ("write:{device_id}/+/x",), False),
        ("read:+/x", ("write:$plant/{device_id}",), False),
        ("read:plant/config", ("write:{device_id}/#",), False),
        ("read:press-2/config", ("write:{device_id}/#",), True),
        ("read:+/config", ("write:{device_id}/#",), True),
        ("read:devices/#", ("deny:devices/{device_id}/secret", "write:{device_id}"), False),
    ],
)
def test_other_templates(rule: str, templates: tuple[str, ...], reaches: bool) -> None:
    assert reach(rule, *templates) is reaches


def test_what_is_said_to_reach_nobody_matches_no_topic_of_another_device() -> None:
    """Every short rule against every topic of a plant, matched as the broker does."""
    levels = ("devices", "{device_id}", "a", "b", "+", "#", "x")
    rules = [f"read:{one}/{two}" for one in levels[:-2] for two in levels] + [f"read:{one}" for one in levels]
    others = ("devices/b", "devices/b/x", "devices/b/x/y")
    for text in rules:
        granted = parse_topic_rule(text, template=True).topic.replace("{device_id}", "a")
        if any(topic_matches(granted, topic) for topic in others):
            assert reach(text, "readwrite:devices/{device_id}/#", device_id="a"), text
