"""The page itself."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from iotonboard.health.report import charts
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iotonboard.health.report.facts import AuditLine, CheckLine, Facts

_STATUS_CLASSES = {"active": "good", "on-hold": "warning", "expired": "warning", "revoked": "bad", "retired": "quiet"}
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}

STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f9; --text: #1b1f24; --soft: #5b6570; --line: #d9dee4;
  --s1: #2f6fb2; --s2: #b4492f; --good: #2b7a4b; --warning: #a86a00; --bad: #b3261e; --quiet: #9aa3ad; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --panel: #1d2228; --text: #e8ebee; --soft: #a0abb6; --line: #343b44;
  --s1: #7db0e8; --s2: #e8957d; --good: #6cc48f; --warning: #e0b050; --bad: #f28b82; --quiet: #6b7682; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 48px; }
header { border-bottom: 2px solid var(--line); padding-bottom: 16px; margin-bottom: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 0 0 12px; }
h3 { font-size: 14px; margin: 16px 0 6px; }
.soft, caption { color: var(--soft); } .mono { font-family: ui-monospace, Consolas, monospace; font-size: 13px; }
.wrap { overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; margin-bottom: 20px; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px;
  font-size: 14px; }
.tile b { display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 20px; }
section { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 16px 20px; min-width: 0; }
section.wide { grid-column: 1 / -1; }
svg { width: 100%; height: auto; display: block; overflow: visible; }
svg text { fill: var(--text); font-size: 12px; } svg .label { fill: var(--soft); } svg .small { font-size: 10px; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .axis { stroke: var(--line); } svg .now { stroke: var(--text); stroke-dasharray: 3 3; }
.series-1 { fill: var(--s1); background: var(--s1); } .series-2 { fill: var(--s2); background: var(--s2); }
.good { fill: var(--good); } .warning { fill: var(--warning); } .bad { fill: var(--bad); }
.quiet { fill: var(--quiet); }
.legend { list-style: none; display: flex; gap: 18px; padding: 0;
  margin: 8px 0 0; color: var(--soft); font-size: 13px; }
.swatch { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th { text-align: left; color: var(--soft); font-weight: 600; } th, td { padding: 5px 10px 5px 0; vertical-align: top; }
tr + tr td { border-top: 1px solid var(--line); } td.wrap { overflow-wrap: anywhere; min-width: 90px; }
td.keep { white-space: nowrap; } td.mono { width: 50%; } section.wide { overflow-x: auto; }
.mark { font-weight: 700; white-space: nowrap; }
td.ok { color: var(--good); } td.failed { color: var(--bad); } td.attention { color: var(--warning); }
@media print { @page { size: A4; margin: 14mm; }
  :root { --page: #fff; --panel: #fff; --text: #000; --soft: #444; --line: #bbb;
    --s1: #2f6fb2; --s2: #b4492f; --good: #2b7a4b; --warning: #a86a00; --bad: #b3261e; --quiet: #9aa3ad; }
  body { font-size: 11px; } main { max-width: none; padding: 0; }
  .grid { grid-template-columns: 1fr 1fr; gap: 10px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(80px, 1fr)); }
  section { break-inside: avoid; padding: 10px 12px; } section.wide { break-inside: auto; overflow: visible; }
  h2 { break-after: avoid; } tr, svg { break-inside: avoid; }
  table, .mono { font-size: 10px; } svg .small { font-size: 9px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def render_page(facts: Facts) -> str:
    """The whole page: one file that needs nothing else. Every text that people gave is escaped."""
    body = "".join((_header(facts), _tiles(facts), '<div class="grid">', *_sections(facts), "</div>"))
    title = escape(f"{facts.title} - {rfc3339(facts.made_at)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _header(facts: Facts) -> str:
    return (
        f"<header><h1>{escape(facts.title)}</h1>"
        f'<div class="soft">Made on {rfc3339(facts.made_at)}. {escape(facts.ca_name)}, valid until '
        f"{rfc3339(facts.ca_not_after)}, "
        f'fingerprint <span class="mono wrap">{escape(facts.ca_fingerprint)}</span></div></header>'
    )


def _tiles(facts: Facts) -> str:
    problems = sum(check.status != "ok" for check in facts.checks)
    tiles = [("devices", facts.devices), *((count.label, count.number) for count in facts.statuses if count.number)]
    tiles += [("on the CRL", facts.listed), ("checks to look at", problems)]
    inner = "".join(f'<div class="tile"><b>{number:,}</b>{escape(label)}</div>' for label, number in tiles)
    return f'<div class="tiles">{inner}</div>'


def _sections(facts: Facts) -> Iterable[str]:
    yield _section("What needs attention", _checks(facts.checks), wide=True)
    classes = [_STATUS_CLASSES.get(count.label, "series-1") for count in facts.statuses]
    yield _section("Fleet by status", charts.bars(facts.statuses, "Devices by status", classes))
    yield _section("Fleet by attribute", _attributes(facts))
    past = [month.label for month in facts.past]
    series = (
        ("registered", "series-1", [month.registered for month in facts.past]),
        ("revoked, renewals aside", "series-2", [month.revoked for month in facts.past]),
    )
    yield _section("Registrations and revocations, by month", charts.columns(past, series, "Certificates by month"))
    coming = [month.label for month in facts.coming]
    expiring = (("expiring", "series-1", [month.expiring for month in facts.coming]),)
    yield _section(
        "Expiring and not renewed yet, by month",
        charts.columns(coming, expiring, "Expiring by month"),
    )
    yield _section("CRLs", charts.timeline(facts.crls, facts.made_at, "CRLs over time"), wide=True)
    yield _section("Latest changes", _audit(facts.audit, facts.audit_head), wide=True)


def _section(title: str, content: str, *, wide: bool = False) -> str:
    return f"<section{' class=wide' if wide else ''}><h2>{escape(title)}</h2>{content}</section>"


def _attributes(facts: Facts) -> str:
    if not facts.attributes:
        return '<p class="soft">No device has an attribute (register --set KEY=VALUE).</p>'
    return "".join(
        f"<h3>{escape(name)}</h3>{charts.bars(counts, f'Devices by {name}')}" for name, counts in facts.attributes
    )


def _checks(checks: Sequence[CheckLine]) -> str:
    failing = [check for check in checks if check.status != "ok"]
    if not failing:
        return f'<p><span class="mark">✓</span> All {len(checks)} checks are well.</p>'
    rows = (
        f'<tr><td class="mark {"failed" if check.status == "failed" else "attention"}">{_MARKS.get(check.status, "?")} '
        f"{escape(check.status)}</td><td>{escape(check.name)}</td><td class=wrap>{escape(check.message)}</td>"
        f"<td class=wrap>{escape(check.hint)}</td></tr>"
        for check in failing
    )
    return _table(("", "check", "what", "what to do"), rows)


def _audit(lines: Sequence[AuditLine], head: str) -> str:
    rows = (
        f"<tr><td>{line.seq}</td><td class=keep>{rfc3339(line.time)}</td><td class=wrap>{escape(line.operator)}</td>"
        f"<td>{escape(line.command)}</td><td class=wrap>{escape(line.subject)}</td>"
        f'<td class="wrap mono">{escape(line.detail)}</td></tr>'
        for line in lines
    )
    table = _table(("row", "time", "who", "verb", "about", "detail"), rows)
    return f'<p class="soft">Head of the trail: <span class="mono">{escape(head)}</span></p>{table}'


def _table(columns: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
