"""`module:callable` and `path/to/file.py:callable`: the user's own code, named on the command line.

Nothing else that is read here is ever executed: checkpoints are data.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from whichgoal.explain import reason
from whichgoal.spec import did_you_mean


def names_callable(target: str) -> bool:
    """Whether the text has the form of `module:callable`; what exists on disk is a path first."""
    module, colon, attribute = target.rpartition(":")
    dotted = all(part.isidentifier() for part in attribute.split("."))
    return bool(module and colon) and dotted and not Path(target).exists()


def load(target: str) -> Callable[..., Any]:
    """Imports the module (or runs the file) and returns what is named in it.

    Modules are looked for in the working directory first; a file may import its neighbors.

    Raises:
        ValueError: There is no such module, file or name, importing it failed, or it cannot be
            called; one line.
    """
    name, _, attribute = target.rpartition(":")
    found: Any = _file(Path(name)) if name.endswith(".py") else _module(name)
    module: ModuleType = found
    for part in attribute.split("."):
        if not hasattr(found, part):
            own = [
                key
                for key, value in vars(module).items()
                if callable(value) and getattr(value, "__module__", None) == module.__name__
            ]
            raise ValueError(f"{name} has no {attribute!r}; {did_you_mean(attribute, own)}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{target} is {type(found).__name__}, and cannot be called")
    called: Callable[..., Any] = found
    return called


def _module(name: str) -> ModuleType:
    _look_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ValueError(
                f"there is no module {name!r}, nor a file of that name; allowed: module:callable, "
                f"path/to/file.py:callable"
            ) from None
        raise _import_error(name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_error(name, error) from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    _look_in(path.absolute().parent)
    spec = importlib.util.spec_from_file_location(f"whichgoal_policy_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise _import_error(str(path), error) from error
    return module


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_error(name: str, error: BaseException) -> ValueError:
    return ValueError(f"importing {name} raised {reason(error)}")
