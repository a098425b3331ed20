"""The text of a help page: usage, arguments, options and what they can be, as wide as the terminal.

``--help``, ``iotonboard help VERB`` and the man pages are made of the same records.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.cli.complete import complete_format, complete_reason
from iotonboard.cli.general_options import COMMON
from iotonboard.cli.guide import topics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NARROWEST, _WIDEST = 40, 120
_LONGEST_CHOICE = 26  # characters of "a|b|c" that stand beside an option; longer ones are listed below
_BOLD, _CYAN, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[0m"
_HEADING = re.compile(r"^([A-Z][A-Za-z -]*:)", re.MULTILINE)
_NAME = re.compile(r"^  (-{1,2}[\w-]+(?:, -{1,2}[\w-]+)*|[a-z][a-z-]+(?=  ))", re.MULTILINE)
_DEFAULT = re.compile(r"\[default: \(([^()]*)\)")  # what is said of a default stands in parentheses there
_BOTH_ENDS, _LOW_END = re.compile(r"(\d+)<=x<=(\d+)"), re.compile(r"x>=(\d+)")
_HYPHEN = "\N{NON-BREAKING HYPHEN}"  # while a page is set, so that no option is broken at one
Record = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """What a help page says. ``usage`` begins with the command's name; ``lists`` are values with what each means."""

    usage: str
    about: str
    arguments: Sequence[Record]
    options: Sequence[Record]
    lists: Sequence[tuple[str, Sequence[Record]]]
    verbs: Sequence[Record]
    general: Sequence[str]
    epilog: str


def page_of(command: Any, context: Any) -> Page:
    """Gather the page of a command from its parameters, and from the verbs below it."""
    own = [each for each in command.get_params(context) if each.name not in COMMON and not getattr(each, "hidden", 0)]
    lists = [_name_values(each) for each in own]
    records = [(each.param_type_name, each.get_help_record(context)) for each in own]
    names = command.list_commands(context) if hasattr(command, "list_commands") else ()
    below = [(name, command.get_command(context, name)) for name in names]
    pieces = (re.sub(r"^\{(.*)\}$", r"\1", piece) for piece in command.collect_usage_pieces(context))
    return Page(
        " ".join([context.command_path, *pieces]),
        re.sub(r"(?<!\n)\n(?!\n)", " ", (command.help or "").strip()),
        [record for kind, record in records if kind == "argument" and record],
        [_in_words(record) for kind, record in records if kind == "option" and record],
        [one for one in lists if one],
        [(name, each.get_short_help_str(200)) for name, each in below],
        [max(each.opts, key=len) for each in command.get_params(context) if each.name in COMMON],
        command.epilog or "",
    )


def general_options(command: Any, context: Any) -> list[Record]:
    """The options that every verb with a state has, as one of these verbs has them."""
    return [_in_words(each.get_help_record(context)) for each in command.get_params(context) if each.name in COMMON]


def _name_values(parameter: Any) -> tuple[str, list[Record]] | None:
    """Give a parameter a short name for its value; returns the values that are too many to stand there."""
    if parameter.metavar == "FORMAT":
        return "FORMAT is one of", complete_format("")
    if parameter.metavar == "REASON":
        return "REASON is one of", complete_reason("")
    if parameter.metavar is not None or parameter.param_type_name != "option" or parameter.is_flag:
        return None
    choices = [getattr(each, "value", each) for each in getattr(parameter.type, "choices", ())]
    if not choices:
        name = parameter.name.replace("_", " ").split()[-1].upper()
        parameter.metavar = "N" if {"int", "float"} & set(parameter.type.name.split()) else name
        return None
    parameter.metavar = joined = "|".join(choices)
    if len(joined) <= _LONGEST_CHOICE:
        return None
    parameter.metavar = parameter.name.replace("_", " ").split()[-1].upper()
    return f"{parameter.metavar} is one of", [(choice, "") for choice in choices]


def _in_words(record: Record) -> Record:
    name, text = record
    text = _DEFAULT.sub(r"[default: \1", text)
    return name, _LOW_END.sub(r"\1 or more", _BOTH_ENDS.sub(r"\1 to \2", text))


def render(page: Page, context: Any) -> str:
    """The page as it is printed, in the width of the terminal, coloured on one."""
    formatter = context.make_formatter()
    formatter.width = text_width()
    name, bracket, arguments = page.usage.partition(" [")
    formatter.write_usage(name, f"[{arguments}" if bracket else "")
    if page.about:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_whole(page.about))
    for title, records in (("Arguments", page.arguments), ("Options", page.options), ("Verbs", page.verbs)):
        if records:
            with formatter.section(title):
                formatter.write_dl([(name, _whole(text)) for name, text in records])
    for title, values in page.lists:
        with formatter.section(title):
            if any(text for _, text in values):
                formatter.write_dl([(name, _whole(text)) for name, text in values])
            else:
                formatter.write_text(_whole(", ".join(name for name, _ in values)))
    if page.general:
        formatter.write_paragraph()
        general = f"General options ({', '.join(page.general)}): iotonboard help options"
        formatter.write(textwrap.fill(general, text_width(), break_on_hyphens=False) + "\n")
    text = formatter.getvalue().replace(_HYPHEN, "-")
    return coloured(f"{text}\n{_example(page.epilog)}\n" if page.epilog else text)


def _example(epilog: str) -> str:
    """What to type, on lines that a shell takes as they are copied from there."""
    from iotonboard.cli.layout import command_lines

    label, _, command = epilog.partition(": ")
    return "\n".join(command_lines(f"{label}:", command))


def overview_page(command: Any, context: Any, groups: Mapping[str, Mapping[str, str]]) -> str:
    """The page of the whole program: its verbs in groups, each with one line."""
    formatter = context.make_formatter()
    formatter.width = text_width()
    formatter.write_usage("iotonboard", "VERB [ARGUMENTS]")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(command.help)
    widest = max(len(verb) for verbs in groups.values() for verb in verbs)
    for title, verbs in groups.items():
        with formatter.section(title):
            formatter.write_dl([(verb.ljust(widest), _whole(about)) for verb, about in verbs.items()])
    with formatter.section("Options"):
        formatter.write_dl([each.get_help_record(context) for each in command.get_params(context)])
    ends = (f"Guide: iotonboard help TOPIC ({', '.join(topics())})", command.epilog)
    for end in ends:
        formatter.write_paragraph()
        formatter.write_text(_whole(end))
    return coloured(formatter.getvalue().replace(_HYPHEN, "-")).rstrip()


def _whole(text: str | None) -> str:
    return (text or "").replace("-", _HYPHEN)


def text_width() -> int:
    """How wide help is written: as the terminal is, within what one can read."""
    return max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST))


def coloured(text: str) -> str:
    """Headings bold and names in colour, on a terminal that shows them."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return _NAME.sub(rf"  {_CYAN}\1{_PLAIN}", _HEADING.sub(rf"{_BOLD}\1{_PLAIN}", text))
