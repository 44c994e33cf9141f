"""Start the server's programs: as whom, with which right of root, and bound to the life of their parent.

Postgres refuses to run as root. Root's own lake is therefore served under a uid that nobody else has, which keeps
one right of root, `CAP_DAC_OVERRIDE`: the lake and the binaries may lie below folders that only root can enter.
A lake that belongs to another user is served as that user, with no right that they do not have themselves.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

from lakestore.errors import CatalogError

PRIVATE_UID = 2_111_000_018
"""Of no passwd file and above the ranges that directories of users hand out."""

_CAPABILITIES = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
_DAC_OVERRIDE = 1 << 1
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 8, 28, 38, 47
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522

_LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


class Account(NamedTuple):
    """Whom a program runs as; `switch` when that is not who we are (then it keeps CAP_DAC_OVERRIDE)."""

    uid: int
    gid: int
    switch: bool


def become_owner(directory: str) -> None:
    """As root, become the owner of a directory that is somebody else's, for good and without any right of root."""
    owner = os.stat(directory)
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    try:
        user = pwd.getpwuid(owner.st_uid)
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(owner.st_uid)
    except KeyError as exc:
        raise CatalogError(
            f"{directory} belongs to uid {owner.st_uid}, which has no passwd entry; set LAKESTORE_DSN"
        ) from exc
    except OSError as exc:
        raise CatalogError(f"cannot serve {directory} as its owner, {user.pw_name}; set LAKESTORE_DSN") from exc


def accounts(data: str) -> tuple[Account, Account]:
    """Return who runs the server, and who runs initdb (which insists on a passwd entry).

    Raises:
        CatalogError: this user cannot run a postgres here; the message points to LAKESTORE_DSN.
    """
    uid = os.geteuid()
    if uid != 0:
        own = Account(uid, os.getegid(), False)
        if not os.path.exists(data) and user_name(uid) is None:
            raise CatalogError(
                f"uid {uid} has no passwd entry, and initdb needs one; add it to /etc/passwd or set LAKESTORE_DSN"
            )
        return own, own
    _check_capabilities()
    nobody = _nobody()
    if os.path.exists(data):
        owner = os.stat(data)
        if owner.st_uid == 0:
            raise CatalogError(
                f"{data} belongs to root, as after a copy that kept no owners, and postgres does not run as root; "
                f"copy it again with 'cp -a', or remove {os.path.dirname(data)} while no process uses the lake and let "
                "'lakestore catalog sync --rebuild' make it anew"
            )
        return Account(owner.st_uid, owner.st_gid, True), nobody
    server = PRIVATE_UID
    while user_name(server) is not None:
        server += 1
    if not (_is_mapped("uid", server) and _is_mapped("gid", server)):
        return nobody, nobody
    return Account(server, server, True), nobody


def user_name(uid: int) -> str | None:
    """Return the name of a uid; None without passwd entry."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def spawn(
    argv: Sequence[str],
    account: Account,
    *,
    cwd: str,
    env: dict[str, str],
    keep: int,
    stdin: int,
    stdout: int,
    stderr: int,
    parent_death: signal.Signals,
) -> int:
    """Start a program that does not outlive this process, and return its pid.

    Args:
        keep: a descriptor that the program and its children inherit beside the three standard ones.
        parent_death: the signal it gets when this process ends (Linux; elsewhere it is left to the next start).

    Raises:
        CatalogError: it could not be started; the message names the step that the system refused.
    """
    parent = os.getpid()
    failed_r, failed_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        step = b"start"
        try:
            os.close(failed_r)
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.set_inheritable(keep, True)
            for each in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(each, signal.SIG_DFL)
            if account.switch:
                step = b"give up root's rights"
                _switch(account)
            if _LINUX:
                # After the change of user, which would clear it.
                step = b"bind to the supervisor"
                _prctl(_PR_SET_PDEATHSIG, int(parent_death))
                if os.getppid() != parent:
                    os._exit(1)
            step = b"run"
            os.chdir(cwd)
            os.execve(argv[0], list(argv), env)
        except OSError as exc:
            os.write(failed_w, f"{exc.errno}:".encode() + step)
        finally:
            os._exit(127)
    os.close(failed_w)
    with os.fdopen(failed_r, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        number, _, what = failure.decode().partition(":")
        raise CatalogError(
            f"cannot {what} {argv[0]} as uid {account.uid}: {os.strerror(int(number))}; "
            "run as another user or set LAKESTORE_DSN"
        )
    return pid


def sync_filesystem(folder: str) -> bool:
    """Write everything of the folder's file system to disk at once; False where that cannot be relied on.

    A cluster has 1,000 files: 0.03 s, where one fsync each took 1 s. Linux before 5.8 tells of no error.
    """
    if not _LINUX or tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdecimal()) < (5, 8):
        return False
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)
    finally:
        os.close(fd)
    return True


def _switch(account: Account) -> None:
    if _LINUX:
        _prctl(_PR_SET_KEEPCAPS, 1)
        try:
            # Else access(2), by which postgres checks its own program, forgets capabilities of users but root.
            _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
        except OSError:
            pass  # without CAP_SETPCAP: only a wheel below a private folder cannot be run then
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if _LINUX:
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        kept = (ctypes.c_uint32 * 6)(_DAC_OVERRIDE, _DAC_OVERRIDE, _DAC_OVERRIDE, 0, 0, 0)
        if _libc.capset(header, kept) != 0:
            raise OSError(ctypes.get_errno(), "capset")
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, 1)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, first: int, second: int = 0) -> None:
    # prctl is variadic and the kernel reads longs: a plain int may leave the upper half undefined.
    longs = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    if _libc.prctl(ctypes.c_int(option), *longs) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _check_capabilities() -> None:
    if not _LINUX:
        return
    held = 0
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                held = int(line.split()[1], 16)
    missing = [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]
    if missing:
        raise CatalogError(
            f"postgres does not run as root, and root may not become another user here (without {', '.join(missing)}); "
            "run as an ordinary user or set LAKESTORE_DSN"
        )


def _nobody() -> Account:
    for name in ("nobody", "daemon", "postgres"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if user.pw_uid != 0 and _is_mapped("uid", user.pw_uid) and _is_mapped("gid", user.pw_gid):
            return Account(user.pw_uid, user.pw_gid, True)
    raise CatalogError(
        "postgres does not run as root, and there is no other user here ('nobody') to run it as; "
        "run as an ordinary user or set LAKESTORE_DSN"
    )


def _is_mapped(kind: str, number: int) -> bool:
    try:
        with open(f"/proc/self/{kind}_map", encoding="utf-8") as file:
            rows = [line.split() for line in file]
    except OSError:
        return True
    return any(int(first) <= number < int(first) + int(count) for first, _, count in rows)
