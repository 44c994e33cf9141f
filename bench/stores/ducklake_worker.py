"""The process that holds a DuckLake: reads commands as lines of JSON, answers each with a line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa


class Worker:
    """One connection with a DuckLake attached."""

    def __init__(self, dsn: str, data: str) -> None:
        import duckdb_extension_ducklake
        import duckdb_extension_postgres_scanner

        self.con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        for module in (duckdb_extension_postgres_scanner, duckdb_extension_ducklake):
            self.con.execute(f"LOAD '{_file(module)}'")
        quoted = dsn.replace("'", "''")
        self.con.execute(
            f"ATTACH 'ducklake:postgres:{quoted}' AS ducklake (DATA_PATH '{data}', METADATA_SCHEMA 'ducklake')"
        )
        # Its own number of retries, 10, is too few for four writers.
        self.con.execute("SET ducklake_max_retry_count = 1000")
        self.tables: dict[str, pa.Table] = {}
        self.made = False

    def version(self) -> str:
        return duckdb.__version__

    def prepare(self, path: str) -> None:
        self.tables[path] = pa.ipc.open_file(pa.memory_map(path)).read_all()

    def save(self, path: str) -> None:
        self.con.register("incoming", self.tables.pop(path))
        if not self.made:
            there = "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'ducklake' AND table_name = 'signals'"
            if self.con.execute(there).fetchall() == [(0,)]:
                self.con.execute("CREATE TABLE ducklake.signals AS FROM incoming LIMIT 0")
                self.con.execute("ALTER TABLE ducklake.signals SET PARTITIONED BY (strategy, run_date)")
            self.made = True
        self.con.execute("INSERT INTO ducklake.signals FROM incoming")

    def load(self, task_id: str, path: str) -> None:
        rows = f"SELECT * EXCLUDE (task_id, strategy, run_date) FROM ducklake.signals WHERE task_id = '{task_id}'"
        self.con.execute(f"COPY ({rows}) TO '{path}' (COMPRESSION uncompressed)")

    def sql(self, query: str) -> list[Any]:
        return self.con.execute(query).fetchall()


def _file(module: Any) -> str:
    return str(next(Path(module.__file__).parent.rglob("*.duckdb_extension")))


def main() -> None:
    """Serve until the input ends."""
    worker = Worker(*sys.argv[1:])
    for line in sys.stdin:
        what, *values = json.loads(line)
        try:
            answer = {"value": getattr(worker, what)(*values)}
        except Exception as exc:  # it is told to whoever asked
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
