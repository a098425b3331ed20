"""How the CAs of a state stand, as ``ca status``, ``ca rollover`` and ``ca replace`` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iotonboard.ca.levels import Node
    from iotonboard.ca.rollover_status import Standing
    from iotonboard.cli.session import Session
    from iotonboard.commands.ca_replace import Result as Replacement
    from iotonboard.commands.ca_status import Result as CaStatus


def _replaced_values(result: Replacement | CaStatus) -> dict[str, object]:
    """What is said of CAs whose keys were stolen, where there are any."""
    if not result.replaced:
        return {}
    return {
        "replaced": [
            {
                "name": one.name,
                "ca_fingerprint": one.fingerprint,
                "replaced_at": rfc3339(one.replaced_at),
                "last_crl_number": one.last_crl_number,
                "until": rfc3339(one.until),
                "path": one.folder,
            }
            for one in result.replaced
        ],
        "waiting_devices": result.waiting_devices,
        "waiting_brokers": list(result.waiting_brokers),
    }


def print_standing(
    session: Session,
    status: str,
    cas: Sequence[Standing],
    stolen: Replacement | CaStatus | None = None,
    *,
    in_tokens: Sequence[str] = (),
) -> None:
    """Print each CA, the one that issues first, what is known of those whose keys were ``stolen``, and the tree.

    ``in_tokens``: URIs of keys of CAs that were taken out, for the JSON.
    """
    tree: tuple[Node, ...] = getattr(stolen, "tree", ()) if session.command == "ca status" else ()
    added: Mapping[str, Sequence[Standing]] = getattr(stolen, "added", {})
    issuing = cas[0]
    values = {
        "status": status,
        "name": issuing.name,
        "ca_fingerprint": issuing.fingerprint,
        "not_after": rfc3339(issuing.not_after),
        "crl_number": issuing.crl_number,
        **({"tree": [_node(one) for one in tree]} if tree else {}),
        **({"keys_left_in_tokens": list(in_tokens)} if in_tokens else {}),
        "cas": [_values(one) for one in cas],
        **({"added": [{"ca": name, **_values(one)} for name, of in added.items() for one in of]} if added else {}),
        **(_replaced_values(stolen) if stolen else {}),
    }
    if session.json:
        output.write_json(session.command, values)
        return
    if output.is_for_people():
        output.write_line("no rollover is under way" if status == "none" else status)
        columns = ("ROLE", "NAME", "NOT AFTER", "CRL", "DEVICES", "BROKERS")
        output.write_table(columns, map(_row, cas), empty="no CA")
    else:
        output.write_line(status)
        for role, name, not_after, crl, devices, brokers in map(_row, cas):
            output.write_line(
                f"{role}\t{name}\tvalid until {not_after}\tCRL {crl}\t{devices} devices\t{brokers} brokers"
            )
    for name, one in ((name, one) for name, of in added.items() for one in of):
        role, *_, not_after, crl, devices, _ = _row(one)
        words = (f"CRL {crl}", f"{devices} devices", f"--ca {name}, which no broker trusts")
        output.write_line("\t".join((role, one.name, f"valid until {not_after}", *words)))
    if stolen and stolen.replaced:
        brokers = ", ".join(stolen.waiting_brokers) or "none"
        output.write_line(f"replaced\t{stolen.waiting_devices} devices wait\tbrokers that wait: {brokers}")

    if any(one.below or one.role == "root" or one.status == "waiting" for one in tree):
        for line in _drawn(tree):
            output.write_line(line)
    if unaware := sum(each.unaware for one in tree for each in (one, *one.below)):
        session.message(
            f"{unaware} devices trust the certificate that this CA signed itself, and so do brokers that were not"
            " updated: they ignore what the root revokes; 'iotonboard renew' brings devices the root, 'pack' brokers"
        )


def _node(one: Node) -> dict[str, object]:
    return {
        "name": one.name,
        "fingerprint": one.fingerprint,
        "role": one.role,
        "status": one.status,
        "not_after": rfc3339(one.not_after),
        "crl_number": one.crl_number,
        "crl_next_update": rfc3339(one.crl_until) if one.crl_until else None,
        "valid_devices": one.devices,
        "brokers": list(one.brokers),
        "trust_self_signed": one.unaware,
        **({"reason": one.reason} if one.reason else {}),
        "below": [_node(each) for each in one.below],
    }


def _drawn(nodes: Sequence[Node], begin: str = "", *, is_top: bool = True) -> Iterator[str]:
    """The tree, a line for each CA."""
    for number, one in enumerate(nodes, 1):
        is_last = number == len(nodes)
        branch, trunk = ("", "") if is_top else ("`-- ", "    ") if is_last else ("|-- ", "|   ")
        lists = [f"CRL {one.crl_number} until {rfc3339(one.crl_until)}"] if one.crl_until else []
        words = [one.role, one.status + (f" ({one.reason})" if one.reason else ""), f"until {rfc3339(one.not_after)}"]
        hangs = [f"{one.devices} devices"] if one.devices else []
        hangs += [f"brokers: {', '.join(one.brokers)}"] if one.brokers else []
        hangs += [f"{one.unaware} trust the self-signed certificate"] if one.unaware else []
        yield "\t".join((f"{begin}{branch}{one.name}", *words, *lists, *hangs))
        yield from _drawn(one.below, begin + trunk, is_top=False)


def _row(one: Standing) -> tuple[str, ...]:
    numbers = map(str, (one.crl_number, one.valid_devices, len(one.brokers)))
    return (one.role, one.name, rfc3339(one.not_after), *numbers)


def _values(one: Standing) -> dict[str, object]:
    return {
        "name": one.name,
        "ca_fingerprint": one.fingerprint,
        "role": one.role,
        "not_after": rfc3339(one.not_after),
        "crl_number": one.crl_number,
        "valid_devices": one.valid_devices,
        "brokers": list(one.brokers),
    }
