"""Terminals and pipes that do not take every character: what they cannot show is shown otherwise.

Names, questions and errors hold whatever their authors wrote. A stream that is not UTF-8 would end
the command with a UnicodeEncodeError; so would half of a surrogate pair in any encoding.
"""

from __future__ import annotations

import codecs
import io
import sys
from functools import partial

from whichgoal.redact import joined

_LOOKS_LIKE = dict(zip("█▓░▼▲▶◀╬●■◎≈→←×–—…·“”‘’", "#%.v^><+oBO~><x--.*\"\"''", strict=True))
"""What stands for a character of ours, one for one, so that boards and tables keep their shape."""


def print_anything() -> None:
    """Makes `print` show on stdout and stderr what they cannot encode, instead of raising.

    Signs get look-alikes, other characters their escapes, such as `\\xfc`. Streams for which the
    user has chosen something else (`PYTHONIOENCODING=ascii:replace`) are left as they are.
    """
    for stream in (sys.stdout, sys.stderr):
        strict = getattr(stream, "errors", None) in ("strict", "surrogateescape")
        if strict and isinstance(stream, io.TextIOWrapper):
            name = f"whichgoal-{stream.encoding}"  # of each its own: errors do not say which it is
            codecs.register_error(name, partial(_shown, encoding=stream.encoding))
            stream.reconfigure(errors=name)


def _shown(error: UnicodeError, *, encoding: str) -> tuple[str | bytes, int]:
    """Returns what is written instead of what could not be, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    shown = "".join(_one(char, encoding) for char in joined(part))
    return shown if shown.isascii() else shown.encode(encoding), error.end


def _one(char: str, encoding: str) -> str:
    for like in (char, _LOOKS_LIKE.get(char)):
        try:
            if like is not None:
                like.encode(encoding)
                return like
        except UnicodeEncodeError:
            continue
    return char.encode("ascii", "backslashreplace").decode("ascii")
