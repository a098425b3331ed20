"""Commands and groups whose help is the program's own, and which know what was meant by a mistyped verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class VerbCommand(TyperCommand):
    """A verb."""

    def get_help(self, ctx: Any) -> str:
        """The page of ``--help``."""
        return _page(self, ctx)


class HelpfulGroup(TyperGroup):
    """A verb that has verbs of its own below it; called alone it shows them."""

    def get_help(self, ctx: Any) -> str:
        """The page of ``--help``."""
        return _page(self, ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that was typed.

        Raises:
            UsageError: there is no such; the hint names one that is spelled alike.
        """
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            name = f"{ctx.command_path} {args[0]}".removeprefix("iotonboard ")
            raise UsageError(
                f"there is no verb {name!r}", hint=meant(args[0], self.list_commands(ctx), f"{ctx.command_path} --help")
            )
        return super().resolve_command(ctx, args)


def meant(typed: str, names: Iterable[str], shown_by: str = "iotonboard --help") -> str:
    """What to type instead of a word that is none of ``names``, which a call shows."""
    from difflib import get_close_matches

    if close := get_close_matches(typed, list(map(str, names)), n=2, cutoff=0.6):
        return f"did you mean {' or '.join(repr(one) for one in close)}?"
    return f"'{shown_by}' shows what there is"


def _page(command: Any, context: Any) -> str:
    from iotonboard.cli.help_text import page_of, render

    return render(page_of(command, context), context).rstrip()
