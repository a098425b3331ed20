"""The verb ``generations``."""

from __future__ import annotations

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, verb
from iotonboard.model import rfc3339

app = typer.Typer()


@verb(app, "generations", example="iotonboard generations")
def generations(session: Session) -> int | None:
    """List the last CRLs and ACLs that were published, newest first, and where their copies are.

    They are for inspection ('iotonboard verify --crl FILE --acl FILE --at TIME'). None can be put back in force:
    what is published is always signed anew from the database, with every revocation.
    """
    from iotonboard.commands.generations import list_generations

    with session.open_state() as state:
        found = list_generations(state)
    rows = []
    for one in found:
        if session.json:
            values = {
                "generation": one.generation,
                "created": rfc3339(one.created),
                "crl_numbers": list(one.crl_numbers),
                "next_update": rfc3339(one.next_update),
                "revoked": one.revoked,
                "path": one.path,
            }
            output.write_json("generations", values)
            continue
        rows.append(
            [
                str(one.generation),
                rfc3339(one.created),
                _ranges(one.crl_numbers),
                str(one.revoked),
                rfc3339(one.next_update),
                one.path or "-",
            ]
        )
    if not session.json:
        columns = ("GENERATION", "CREATED", "CRL", "REVOKED", "UNTIL", "COPIES")
        output.write_table(columns, rows, empty="nothing was published yet")
    return None


def _ranges(numbers: tuple[int, ...]) -> str:
    """Write a calendar's numbers as one range; during a rollover each CA has its own."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join("-".join(map(str, dict.fromkeys((run[0], run[-1])))) for run in runs)
