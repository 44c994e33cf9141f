"""Run as a program: the rows of Parquet files as Spark reads them, a JSON list of records for each path of stdin."""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Read the paths, one a line, and print each file's rows on a line."""
    # Spark gives times without a zone in the process's own.
    os.environ["TZ"] = "UTC"
    time.tzset()
    from pyspark.sql import SparkSession

    from tests.other_tools import canonical

    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
    }
    builder = SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        for path in sys.stdin.read().splitlines():
            rows = [row.asDict(recursive=True) for row in spark.read.parquet(path).collect()]
            print("ROWS " + json.dumps(canonical(rows)), flush=True)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
