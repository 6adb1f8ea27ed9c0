"""Numba, for all of ours that is compiled: loaded at the first call, and told where to keep code.

Numba's cache does not notice a change in a function that another file inlined. So its folder is
named by the sources of all modules that hold compiled functions, and of what these import. Every
one of them gets numba from here, so that the folder is set before anything is compiled, whichever
is imported first. Whoever calls no compiled function does not wait for numba to be loaded.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, update_wrapper
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from whichgoal import source
from whichgoal.environment import cache_home

if TYPE_CHECKING:
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

__all__ = ["cgutils", "intrinsic", "njit", "types"]


_LOCK = RLock()


class Compiled:
    """A function that numba compiles when it is first called, or first used in a compiled one.

    From Python it takes positional arguments alone.
    """

    _made: Any = None

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._function, self._options = function, options
        update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        return (self._made or self._make())(*args)

    def __getattr__(self, name: str) -> Any:
        """Hands on what numba asks of its own functions, such as `py_func`."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._make(), name)

    def __reduce__(self) -> str:
        """Pickles it by name, as functions are."""
        return self.__qualname__

    @property
    def _numba_type_(self) -> Any:
        """How numba knows the value of a name in a function that it compiles."""
        return self._make()._numba_type_

    def _make(self) -> Any:
        """Returns numba's own function, the same to all threads: one is compiled, once."""
        with _LOCK:
            if self._made is None:
                made = _numba().njit(**self._options)(self._function)
                if self._options.get("cache"):
                    made._cache._cache_file.__class__ = _checked()
                self._made = made
            return self._made


def njit(**options: Any) -> Any:
    """Returns a decorator: `numba.njit` of these options, at the function's first use."""
    return lambda function: Compiled(function, options)


def __getattr__(name: str) -> Any:
    """Returns what hand-written kernels need of numba besides."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _numba()
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    return {"types": types, "cgutils": cgutils, "intrinsic": intrinsic}[name]


@cache
def _numba() -> ModuleType:
    """Loads numba, and says where it keeps what it compiles."""
    os.environ["NUMBA_CACHE_DIR"] = str(_root() / f"numba-{_digest()}")
    import numba
    from numba.core import config

    config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # where numba was loaded by others before
    return numba


@cache
def _checked() -> type:
    """Returns numba's file of what is kept of a function, but with a checksum of all that is read.

    What is damaged counts as not there, so that it is compiled, and kept, again; a flipped bit in
    machine code would be run. What cannot be kept is compiled by the next process, too.
    """
    from numba.core.caching import IndexDataCacheFile

    class Checked(IndexDataCacheFile):
        def save(self, key: Any, data: Any) -> None:
            with suppress(OSError):
                super().save(key, data)

        def _load_index(self) -> dict[Any, str]:
            version, stamp, kept = self._read(self._index_path) or (None, None, {})
            known = (version, stamp) == (self._version, self._source_stamp)
            return kept if known else {}

        def _save_index(self, overloads: dict[Any, str]) -> None:
            self._write(self._index_path, (self._version, self._source_stamp, overloads))

        def _load_data(self, name: str) -> Any:
            return self._read(self._data_path(name))

        def _save_data(self, name: str, data: Any) -> None:
            self._write(self._data_path(name), data)

        def _read(self, path: str) -> Any:
            """Returns what a file holds, None where it is not whole or not to be read."""
            try:
                if not os.path.isfile(path):  # a pipe would be waited for
                    return None
                data = Path(path).read_bytes()
            except OSError:
                return None
            head, content = data[:32], data[32:]
            return pickle.loads(content) if hashlib.sha256(content).digest() == head else None

        def _write(self, path: str, value: Any) -> None:
            content = self._dump(value)
            if os.path.isdir(path) and not os.path.islink(path):
                os.rename(path, f"{path}.damaged-{os.urandom(4).hex()}")
            with self._open_for_write(path) as file:
                file.write(hashlib.sha256(content).digest() + content)

    return Checked


def _digest() -> str:
    """Returns 12 hex digits of the modules that hold compiled functions, and of their imports."""
    use = f"from {__name__} import ".encode()
    holding = [file for file in sorted(source.ROOT.rglob("*.py")) if use in file.read_bytes()]
    return source.digest(*map(source.name_of, holding))


def _root() -> Path:
    """Returns where the folders of all versions lie: the user's `NUMBA_CACHE_DIR`, or our own."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        ours = re.fullmatch("numba-[0-9a-f]{12}", Path(given).name)  # our parent process set it
        return Path(given).parent if ours else Path(given)
    folder = cache_home()
    if folder is None:  # a folder that others could have made would hand us code of theirs
        folder = Path(tempfile.mkdtemp(prefix="whichgoal-numba-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
