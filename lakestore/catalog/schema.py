"""The catalog's schema: made, upgraded or refused when a lake is opened."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

import psycopg

from lakestore.catalog.connect import Connection, Connections
from lakestore.catalog.failures import NOBODYS
from lakestore.catalog.sql import migrations, queries, schema
from lakestore.errors import CatalogError
from lakestore.model import FIRST_FIELD_ID, FORMAT_VERSION, Numbers, Partition

_log = logging.getLogger("lakestore")


@dataclass(frozen=True, slots=True)
class LakeIdentity:
    """What a lake's directory and its catalog must agree on."""

    lake_id: UUID
    partition: Partition
    numbers: Numbers


def prepare(connections: Connections, identity: LakeIdentity, *, create: bool, rebuild: bool = False) -> Partition:
    """See to it that the database holds this lake's catalog in the present schema version.

    An empty database gets the schema, an older one is upgraded, each in one transaction and by one process.

    Args:
        create: whether an empty database may be made a catalog.
        rebuild: whether one may be used that is not rebuilt to the end.

    Returns:
        How the lake is partitioned by now: compaction may have made it coarser.

    Raises:
        CatalogError: another lake's catalog, a newer one, none or an unfinished one, or not reachable.
    """

    def work(conn: Connection) -> Partition:
        present = max(migrations())
        if _version(conn, connections.place) != present:
            _change(conn, identity, create=create, present=present, place=connections.place)
        return _check(conn, identity, connections.place, rebuild=rebuild)

    return connections.run("open the catalog", work)


def _version(conn: Connection, place: str) -> int:
    q = queries()
    row = conn.execute(q["schema_state"]).fetchone()
    assert row is not None
    exists, encoding, may_look = row
    if not may_look:
        raise CatalogError(
            f"the role may use no schema of the database at {place}: ask its owner for one of 'lakestore catalog roles'"
        )
    if encoding != "UTF8":
        raise CatalogError(
            f"the database at {place} has the encoding {encoding}, which cannot hold every text; "
            "make one with ENCODING 'UTF8'"
        )
    if not exists:
        return 0
    found = conn.execute(q["schema_version"]).fetchone()
    return int(found[0] or 0) if found else 0


def _change(conn: Connection, identity: LakeIdentity, *, create: bool, present: int, place: str) -> None:
    q = queries()
    with conn.transaction():
        conn.execute(q["schema_lock"])
        conn.execute(q["durable"])
        # Asked again under the lock: another process may have been faster.
        version = _version(conn, place)
        if version > present:
            raise CatalogError(
                f"the catalog at {place} has schema version {version}, this lakestore knows {present}: "
                "upgrade lakestore"
            )
        if version == 0:
            if not create:
                raise CatalogError(
                    f"the database at {place} holds no catalog, and lake {identity.lake_id} holds data: give the DSN "
                    "that it has (LAKESTORE_DSN), restore the database from a backup, or let 'lakestore catalog sync "
                    "--rebuild' make it anew from the files"
                )
            _create(conn, identity, present, place)
            return
        for step in range(version + 1, present + 1):
            conn.execute(migrations()[step], prepare=False)
            conn.execute(q["insert_schema_version"], {"version": step})
    if version < present:
        _log.warning(
            "the catalog at %s was upgraded from schema version %d to %d; an older lakestore can neither open it "
            "nor, where it has it open, save to it any more",
            place,
            version,
            present,
        )


def _create(conn: Connection, identity: LakeIdentity, present: int, place: str) -> None:
    q = queries()
    try:
        conn.execute(schema(), prepare=False)
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject) as exc:
        raise CatalogError(
            f"the database at {place} has tables that are not lakestore's ({exc.diag.message_primary}): "
            "give the lake a database of its own"
        ) from exc
    conn.execute(q["insert_schema_version"], {"version": present})
    conn.execute(
        q["insert_lake"],
        {
            "lake_id": identity.lake_id,
            "format_version": FORMAT_VERSION,
            "partition": identity.partition,
            "numbers": identity.numbers,
            "next_field_id": FIRST_FIELD_ID,
        },
    )


def _check(conn: Connection, identity: LakeIdentity, place: str, *, rebuild: bool) -> Partition:
    row = conn.execute(queries()["lake"]).fetchone()
    if row is None:
        raise CatalogError(f"{place}: {NOBODYS}")
    lake_id, format_version, _, numbers, state, switched_off = row
    partition: Partition = row[2]
    if lake_id != identity.lake_id:
        raise CatalogError(
            f"the catalog at {place} belongs to lake {lake_id}, not to lake {identity.lake_id}: "
            "give the DSN of this lake, or a database of its own"
        )
    if format_version > FORMAT_VERSION:
        raise CatalogError(
            f"lake {lake_id} has format version {format_version}, this lakestore knows {FORMAT_VERSION}: "
            "upgrade lakestore"
        )
    if numbers != identity.numbers:
        raise CatalogError(
            f"lake {lake_id} has {identity.numbers} numbers, its catalog at {place} says {numbers}: "
            "one of the two is an old copy; restore the newer one"
        )
    if state != "ready" and not rebuild:
        raise CatalogError(
            f"the catalog at {place} is being rebuilt from the files of its lake; wait for the end, or let "
            "'lakestore catalog sync --rebuild' go on where it stopped"
        )
    if switched_off:
        _log.warning(
            "the server of the catalog at %s has %s off: %s; 'lakestore doctor' says what to do",
            place,
            " and ".join(switched_off),
            "saves switch it on for themselves, other programs may lose commits"
            if switched_off == ["synchronous_commit"]
            else "a power loss can damage the catalog or lose what was saved",
        )
    return partition
