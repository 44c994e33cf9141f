"""Upkeep of a lake: checking, bringing back, freeing space."""

from lakestore.maintenance.compact import Compacted, compact
from lakestore.maintenance.rebuild import Rebuilt, rebuild
from lakestore.maintenance.restore import restore, versions
from lakestore.maintenance.sync import Finding, sync
from lakestore.maintenance.vacuum import Removed, Vacuumed, vacuum
from lakestore.maintenance.verify import Verified, verify

__all__ = [
    "Compacted",
    "Finding",
    "Rebuilt",
    "Removed",
    "Vacuumed",
    "Verified",
    "compact",
    "rebuild",
    "restore",
    "sync",
    "vacuum",
    "verify",
    "versions",
]
