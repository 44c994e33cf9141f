"""Upkeep of a lake: checking, bringing back, freeing space."""

from lakestore.maintenance.restore import restore, versions
from lakestore.maintenance.vacuum import Removed, Vacuumed, vacuum
from lakestore.maintenance.verify import Verified, verify

__all__ = ["Removed", "Vacuumed", "Verified", "restore", "vacuum", "verify", "versions"]
