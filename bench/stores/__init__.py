"""The stores that are measured side by side, by name, in the order of the tables."""

from __future__ import annotations

from collections.abc import Mapping

from bench.stores import arctic, bare, delta, ducklake, iceberg, jsonfiles, lake, lance, native
from bench.stores.base import Opener

OWN: Mapping[str, Opener] = {"lakestore": lake.open_store, "bare pyarrow + INSERT": bare.open_store}
"""lakestore, and what it cannot be faster than: the same kind of file and one row, written without anything else."""

PEERS: Mapping[str, Opener] = {
    "ArcticDB": arctic.open_store,
    "delta-rs": delta.open_store,
    "pyiceberg": iceberg.open_store,
    "LanceDB": lance.open_store,
    "DuckLake": ducklake.open_store,
    "DuckDB table": native.open_store,
    "JSON files": jsonfiles.open_store,
}
