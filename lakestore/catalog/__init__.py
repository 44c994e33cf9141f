"""The catalog: the Postgres database that says which results and which data files there are."""

from lakestore.catalog.catalog import Catalog
from lakestore.catalog.snapshot import Snapshot

__all__ = ["Catalog", "Snapshot"]
