"""Everything about Mosquitto's files under one name: ACL and mosquitto.conf, pure text in and out."""

from __future__ import annotations

from iotonboard.broker.acl import (
    VERSIONS,
    Acl,
    AclProblem,
    AclRule,
    AclSyntaxError,
    Decision,
    Effect,
    Version,
    acl_problems,
    parse_acl,
)
from iotonboard.broker.conf import ConfProblem, check_conf, render_conf
from iotonboard.broker.cost import style_warning
from iotonboard.broker.recheck import RegionFacts, check_published_acl, verify_region
from iotonboard.broker.region import (
    BEGIN,
    END,
    OperatorText,
    check_operator_text,
    devices_to_deny,
    dollar_roots,
    operator_acl,
    split_region,
    stream_operator_text,
)
from iotonboard.broker.render import Region, render_region_pattern, render_region_per_device, replace_region
from iotonboard.broker.topics import check_topic_rule, filter_problem, parse_topic_rule, topic_matches

__all__ = [
    "BEGIN",
    "END",
    "VERSIONS",
    "Acl",
    "AclProblem",
    "AclRule",
    "AclSyntaxError",
    "ConfProblem",
    "Decision",
    "Effect",
    "OperatorText",
    "Region",
    "RegionFacts",
    "Version",
    "acl_problems",
    "check_conf",
    "check_operator_text",
    "check_published_acl",
    "check_topic_rule",
    "devices_to_deny",
    "dollar_roots",
    "filter_problem",
    "operator_acl",
    "parse_acl",
    "parse_topic_rule",
    "render_conf",
    "render_region_pattern",
    "render_region_per_device",
    "replace_region",
    "split_region",
    "stream_operator_text",
    "style_warning",
    "topic_matches",
    "verify_region",
]
