"""The command line: one file per command, `output` for what is printed, `exits` for exit codes."""

from lakestore.cli.app import main

__all__ = ["main"]
