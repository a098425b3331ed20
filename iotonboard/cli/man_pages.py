"""Man pages, from the same records as ``--help``: ``man --local-file DIR/iotonboard-register.1``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from iotonboard import __version__
from iotonboard.cli.guide import TOPICS
from iotonboard.cli.help_text import general_options, page_of
from iotonboard.disk.files import PUBLIC, make_dir, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.cli.help_text import Page, Record

_SECTION = 1


def write_man_pages(root: Any, folder: str) -> int:
    """Write ``iotonboard.1`` and a page for every verb into a folder, which is made; returns how many.

    Raises:
        BusyError: the disk refuses.
        ConflictError: something else stands there.
    """
    make_dir(folder, 0o755)
    count = 0
    for context in _contexts(root):
        name = context.command_path.replace(" ", "-")
        text = render_man_page(name, page_of(context.command, context), _general(context))
        write_atomic(os.path.join(folder, f"{name}.{_SECTION}"), text.encode("utf-8"), PUBLIC)
        count += 1
    return count


def _contexts(context: Any) -> Iterator[Any]:
    """The context of a command, and of every one below it."""
    yield context
    command = context.command
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        below = command.get_command(context, name)
        yield from _contexts(type(context)(below, info_name=name, parent=context))


def _general(context: Any) -> list[Record]:
    return general_options(context.command, context)


def render_man_page(name: str, page: Page, general: Iterable[Record]) -> str:
    """One page in the macros of man(7)."""
    about, _, more = page.about.partition("\n\n")
    lines = [
        f'.TH "{name.upper()}" "{_SECTION}" "" "iotonboard {__version__}" "iotonboard"',
        *(".SH NAME", f"{_text(name)} \\- {_text(about.rstrip('.'))}"),
        *(".SH SYNOPSIS", f".B {_text(page.usage)}"),
        *(".SH DESCRIPTION", *_paragraphs(f"{about}\n\n{more}")),
    ]
    sections = (("ARGUMENTS", page.arguments), ("OPTIONS", page.options), ("GENERAL OPTIONS", general))
    for title, records in (*sections, ("VERBS", page.verbs), *((title.upper(), rows) for title, rows in page.lists)):
        rows = [line for record in records for line in _record(record)]
        lines += [f".SH {title}", *rows] if rows else []
    lines += [".SH EXAMPLE", *_paragraphs(page.epilog.removeprefix("Example: "))] if page.epilog else []
    lines += [".SH SEE ALSO", *_paragraphs(f"iotonboard help TOPIC, with one of: {', '.join(TOPICS)}")]
    return "\n".join(lines) + "\n"


def _record(record: Record) -> list[str]:
    name, text = record
    return [".TP", f".B {_text(name)}", _text(text)]


def _paragraphs(text: str) -> list[str]:
    return [line for part in text.split("\n\n") if part.strip() for line in (".PP", _text(" ".join(part.split())))]


def _text(text: str) -> str:
    """Text that troff prints as it stands: a hyphen is one that can be copied, and no line begins with a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
