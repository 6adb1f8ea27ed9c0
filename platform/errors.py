"""The base of errors that end a command: their text is what it prints, their code how it exits."""

from __future__ import annotations

FAILED, BAD_INPUT, STOPPED = 1, 2, 130
"""Exit codes: of work that failed, of a user's mistake, and of a stop on purpose."""


class CommandError(Exception):
    """Something that a user can act on; a clear line, or one for each reason.

    Attributes:
        exit_code: That of the command which it ends; a subclass says its own.
    """

    exit_code = FAILED
