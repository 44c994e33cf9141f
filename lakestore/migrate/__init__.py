"""Files of JSON results into a lake: found, compared with a ledger, shared out, read, proved, committed in batches."""

from lakestore.migrate.find import Found, find, form_of
from lakestore.migrate.options import Entry, Options
from lakestore.migrate.pool import WORKER
from lakestore.migrate.read import Reader
from lakestore.migrate.report import Report
from lakestore.migrate.run import Observer, Summary, migrate

__all__ = [
    "WORKER",
    "Entry",
    "Found",
    "Observer",
    "Options",
    "Reader",
    "Report",
    "Summary",
    "find",
    "form_of",
    "migrate",
]
