"""A real PostgreSQL below the lake, shared by every process of one machine and left running by nobody."""

from lakestore.catalog.embedded.server import EmbeddedServer, psql_path

__all__ = ["EmbeddedServer", "psql_path"]
