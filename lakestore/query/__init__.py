"""SQL over the lake: DuckDB reads the Parquet files that the catalog lists."""

from lakestore.query.guard import Limits
from lakestore.query.prune import Bounds, Needs, Params, needed
from lakestore.query.session import connect, refresh, run
from lakestore.query.views import view_sql

__all__ = ["Bounds", "Limits", "Needs", "Params", "connect", "needed", "refresh", "run", "view_sql"]
