"""Old JSON put away: only what the lake was just proved to hold, packed, checked, and only then removed."""

from lakestore.archive.pack import ArchiveEntry, archive
from lakestore.archive.restore import Restored, restore
from lakestore.archive.tarball import Manifest, Packed, archives, archives_at, manifest_of

__all__ = [
    "ArchiveEntry",
    "Manifest",
    "Packed",
    "Restored",
    "archive",
    "archives",
    "archives_at",
    "manifest_of",
    "restore",
]
