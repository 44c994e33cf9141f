"""Exit codes: the one table from an error's kind to the code of the process; docs/cli.md is made from it."""

from __future__ import annotations

from lakestore.errors import LakestoreError

USAGE = 2
"""click's own code for a command line that it cannot read."""

INTERRUPTED = 130
"""128 + SIGINT: stopped with Ctrl-C, or by the end of input at a question."""

BROKEN_PIPE = 141
"""128 + SIGPIPE: whoever read our output went away, as `head` does."""

EXIT_CODES: dict[str, tuple[int, str]] = {
    "error": (
        1,
        "anything else; not all is in order (`doctor`, `status`) or done (`migrate`, `archive`, `delete`)",
    ),
    "invalid_input": (3, "a document, setting or option that cannot be used; nothing was written"),
    "not_found": (4, "no such result, table or lake"),
    "already_exists": (5, "a result of this task id with other content is in the lake"),
    "conflict": (6, "somebody else changed the same thing first; trying again is safe"),
    "corrupt_file": (7, "a file of the lake is missing, damaged or not what the catalog says"),
    "catalog": (8, "the catalog cannot be reached, is not this lake's, or is of another version"),
    "commit_unknown": (9, "the connection was lost during a commit; look the result up before trying again"),
    "storage": (10, "the file system refused: full, read-only, no permission"),
    "query": (11, "SQL that is not valid, names what is not there, or is not allowed here"),
}
"""kind → (exit code, what it means)."""


def exit_code(error: LakestoreError) -> int:
    """The exit code of an error."""
    return EXIT_CODES.get(error.kind, EXIT_CODES["error"])[0]
