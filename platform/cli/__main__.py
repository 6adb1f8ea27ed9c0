"""`python -m whichgoal.cli`: the command, also where it is not installed."""

from __future__ import annotations

import sys

from whichgoal.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
