"""SQL over the lake: DuckDB reads the Parquet files that the catalog lists."""

from lakestore.query.constants import Params
from lakestore.query.guard import Limits
from lakestore.query.instance import Instance
from lakestore.query.prune import Needs
from lakestore.query.session import connect, refresh, run

__all__ = ["Instance", "Limits", "Needs", "Params", "connect", "refresh", "run"]
