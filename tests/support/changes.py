"""Files as a bad disk or somebody with an editor leaves them."""

from __future__ import annotations

import random


def changed_zip(octets: bytes, dice: random.Random) -> bytes:
    """One to four changes behind each other: octets, pieces, lengths, places, and what the end says."""
    content = bytearray(octets)
    for _ in range(dice.randint(1, 4)):
        place, size = dice.randrange(len(content)), dice.randrange(1, 64)
        what = dice.randrange(6)
        if what == 0:
            content[place] ^= dice.randrange(1, 256)
        elif what == 1:
            del content[place : place + size]
        elif what == 2:
            content[place:place] = dice.randbytes(size)
        elif what == 3:
            content[place : place + size] = bytes((dice.choice((0, 255)),)) * size
        elif what == 4:  # a piece of itself, such as a header, a second time
            content[place:place] = content[dice.randrange(len(content)) :][:size]
        else:  # in the directory and the end record, where names, sizes and places stand
            begin = content.find(b"PK\1\2")
            content[dice.randrange(max(begin, 0), len(content))] = dice.randrange(256)
        content = content or bytearray(b"x")
    return bytes(content)
