"""Locks that are free in a forked child: a thread that held one in the parent is not there to let go of it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Final


class Lock:
    """A lock for a block, which its own thread may take again.

    What it guards is whole at any moment: a child may see it as it was in the midst of another thread's block.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _free(self) -> None:
        self._lock = threading.RLock()


_all: Final[weakref.WeakSet[Lock]] = weakref.WeakSet()


def _free_all() -> None:
    for each in list(_all):
        each._free()


os.register_at_fork(after_in_child=_free_all)
