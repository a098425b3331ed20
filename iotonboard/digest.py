"""SHA-256 without ``hashlib``, which takes 3 ms of every start to load an OpenSSL of its own.

Python's built-in one is as fast for the small things that are hashed here. The standard library's ``random`` takes
its digest in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # Python 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # another Python
            from hashlib import sha256

__all__ = ["sha256"]
