"""What an engine writes against: `ResultStorage`, and the lake behind it."""

from lakestore.storage.lake import LakeResultStorage
from lakestore.storage.protocol import ResultStorage

__all__ = ["LakeResultStorage", "ResultStorage"]
