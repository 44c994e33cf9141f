"""Locks in a forked child: whatever the parent's threads held, they are free."""

from __future__ import annotations

import os
import signal
import threading
import warnings

from lakestore.locks import Lock


def test_a_lock_that_another_thread_held_is_free_in_a_child() -> None:
    lock, held, done = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with warnings.catch_warnings():
        # Python 3.12 warns of what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(10)
        with lock, lock:
            os._exit(0)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    with lock:
        pass
