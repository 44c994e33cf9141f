"""Databases of the tests' server."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg import sql

NOWHERE = "postgresql://127.0.0.1:1/nowhere?connect_timeout=1"
"""The conninfo of a server that is not there."""


def drop(conn: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, if it is there, whoever is connected to it."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    for patience in range(50):
        try:
            conn.execute(statement)
            return
        except psycopg.errors.InsufficientPrivilege:
            # The server's own vacuum is at work there, which only its owner may end.
            if patience == 49:
                raise
            time.sleep(0.1)
