"""SQL over the lake: DuckDB reads the Parquet files that the catalog lists."""

from lakestore.catalog.bounds import Bounds
from lakestore.query.constants import Params
from lakestore.query.guard import Limits
from lakestore.query.instance import Instance
from lakestore.query.prune import Needs, needed
from lakestore.query.session import connect, refresh, run
from lakestore.query.views import view_sql

__all__ = ["Bounds", "Instance", "Limits", "Needs", "Params", "connect", "needed", "refresh", "run", "view_sql"]
