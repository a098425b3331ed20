"""The pages of the guide, which lie in the package: the machine has no network."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown

# In the order in which one reads them.
TOPICS = {
    "first-day": "CA, broker, devices, revocation, step by step; what lies where in the state",
    "scripts": "exit codes, JSON, streams, device lists: the contract for line scripts",
    "settings": "where a setting comes from; topics, places, what is sealed",
    "formats": "credentials for devices; backups, packages, receipts",
    "profiles": "certificates for what is no MQTT client: 802.1X, IDevID, OPC UA, clouds; your own",
    "hand-over": "deliveries, confirmation, purge, labels",
    "officer": "run-books: every week, an emergency, backups, an older copy, a stolen CA key",
    "brokers": "a broker here and elsewhere, verify, what a reload does, packages",
    "years": "renewal, expiry, repair, retirement, a new CA",
    "root": "a root in the safe, stations below it; the yearly day, a stolen station",
    "office": "several stations and a head office: journals, orders, one package for all brokers",
    "take-over": "a CA and a fleet of openssl, easy-rsa, XCA or cfssl go on here",
    "tokens": "the CA's key in a token: PIN, module, backups, rollovers; a token dies",
    "air-gap": "installing without a network; signing and verifying, a newer version and back",
    "security": "threat model: what is promised, with its test, and what is not",
    "regulations": "the claims held against the EU Cyber Resilience Act and IEC 62443-4-2",
    "promises": "what was tried by force, how often, with the command",
    "performance": "measured beside what you would use instead",
    "design": "what the program is built on, and the reason of each choice",
}
_WIDEST = 100  # columns of a page on a terminal


def topics() -> list[str]:
    """The names of the pages."""
    return list(TOPICS)


def read_page(topic: str) -> str:
    """The text of a page, Markdown."""
    return files("iotonboard").joinpath("guide", f"{topic}.md").read_text(encoding="utf-8")


def show_page(topic: str) -> None:
    """Show a page: set and in the pager on a terminal, and as it stands elsewhere."""
    text = read_page(topic)
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console

    # Colours, no pager for what fits, and a prompt that says how to go on.
    os.environ.setdefault("LESS", "FRX-Psspace\\: next page, q\\: leave$")
    console = Console()
    console.width = min(console.width, _WIDEST)
    with console.pager(styles=not console.no_color):
        console.print(set_page(text), crop=False)


def set_page(text: str) -> Markdown:
    """Markdown whose tables cut no long word, such as the name of a test, and whose commands stay on their line."""
    from rich.markdown import CodeBlock, Markdown, TableElement
    from rich.table import Table
    from rich.text import Text

    class WholeTable(TableElement):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for part in super().__rich_console__(console, options):
                for column in part.columns if isinstance(part, Table) else ():
                    column.overflow = "fold"
                yield part

    class WholeLines(CodeBlock):
        def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
            yield Text(str(self.text).rstrip(), style="markdown.code_block", no_wrap=True, overflow="ignore")

    class Page(Markdown):
        elements: ClassVar = {
            **Markdown.elements, "table_open": WholeTable, "fence": WholeLines, "code_block": WholeLines,
        }  # fmt: skip

    return Page(text, hyperlinks=False)
