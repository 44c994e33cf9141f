"""What an engine writes against: `ResultStorage`, and what keeps it: a lake, a tree of JSON files, both as one."""

from lakestore.storage.compare import Difference
from lakestore.storage.dual import DualResultStorage
from lakestore.storage.journal import Journal
from lakestore.storage.json_tree import JsonResultStorage
from lakestore.storage.lake import LakeResultStorage
from lakestore.storage.protocol import ResultStorage

__all__ = [
    "Difference",
    "DualResultStorage",
    "Journal",
    "JsonResultStorage",
    "LakeResultStorage",
    "ResultStorage",
]
