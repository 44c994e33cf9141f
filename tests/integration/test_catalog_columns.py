"""Names, field ids and types of lake tables and columns: given once, kept for ever, the same for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import psycopg
import pytest

from lakestore.catalog import Catalog
from lakestore.catalog.columns import free_table_name, name_for, read_tables
from lakestore.errors import InvalidInputError, NotFoundError
from lakestore.model import FIRST_FIELD_ID, OWN_COLUMNS, Column, LakeTable, NewColumn, SqlType


def wish(name: str, sql_type: SqlType = "DOUBLE", *, parent: int | None = None, wide: bool = False) -> NewColumn:
    return NewColumn(parent, f'"{name}"', name, sql_type, wide)


@pytest.fixture
def trades(catalog: Catalog) -> str:
    return catalog.table_for('"trades"', "trades")


def test_a_key_has_one_table_for_ever(catalog: Catalog, open_catalog: Callable[..., Catalog]) -> None:
    assert catalog.table_for('"trades"', "trades") == "trades"
    assert catalog.table_for('"trades"', "something_else") == "trades"
    assert open_catalog().table_for('"trades"', "x") == "trades"
    assert catalog.tables() == {"trades": LakeTable("trades", '"trades"')}


def test_keys_that_wish_the_same_name_get_tables_of_their_own(catalog: Catalog) -> None:
    assert catalog.table_for('"a.b"', "a_b") == "a_b"
    assert catalog.table_for('"a b"', "a_b") == "a_b__2"
    assert catalog.table_for('"a-b"', "a_b") == "a_b__3"


def test_keys_that_differ_in_case_alone_have_one_table(catalog: Catalog) -> None:
    assert catalog.table_for('"Trades"', "Trades") == "trades"
    assert catalog.table_for('"trades"', "trades") == "trades"
    assert catalog.table_for('"TRADES"', "trades") == "trades"
    assert catalog.tables() == {"trades": LakeTable("trades", '"Trades"')}


def test_keys_that_had_tables_of_their_own_keep_them() -> None:
    tables = {"trades": '"Trades"', "trades__2": '"trades"', "orders": '"orders"'}
    assert [name_for(key, tables) for key in ('"trades"', '"Trades"', '"TRADES"', '"trade"')] == [
        "trades__2", "trades", "trades", None
    ]  # fmt: skip


def test_a_table_made_while_the_tables_are_read_is_left_for_the_next_time(
    catalog: Catalog, trades: str, dsn: str
) -> None:
    class Overtaken(psycopg.Connection[tuple[object, ...]]):
        def execute(self, query: object, *given: object, **more: object) -> psycopg.Cursor[tuple[object, ...]]:
            found = super().execute(query, *given, **more)  # type: ignore[arg-type]
            if b"FROM lake_tables" in bytes(query):  # type: ignore[call-overload]
                catalog.reserve(catalog.table_for('"orders"', "orders"), [wish("price")])
            return found

    with Overtaken.connect(dsn, autocommit=True) as conn:
        assert set(read_tables(conn)) == {trades}
    assert set(catalog.tables()) == {trades, "orders"}


def test_a_key_of_any_length_has_a_table(catalog: Catalog) -> None:
    first, second = '"' + "x" * 100_000 + '1"', '"' + "x" * 100_000 + '2"'
    assert catalog.table_for(first, "x" * 100_000) == "x" * 64
    assert catalog.table_for(second, "x" * 100_000) == "x" * 61 + "__2"
    assert catalog.table_for(first, "y") == "x" * 64


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("results", "results__2"),
        ("_private", "private"),
        ("", "table"),
        ("___", "table"),
        ("Ordres d’achat", "ordres_d_achat"),
        ("策略", "table"),
        ("../x", "x"),
        ("a" * 65, "a" * 64),
    ],
)
def test_a_table_name_is_made_fit(wanted: str, name: str) -> None:
    assert free_table_name(wanted, set()) == name


def test_a_key_that_no_database_can_hold_is_refused(catalog: Catalog) -> None:
    for key in ("a\0b", "a\ud800"):
        with pytest.raises(InvalidInputError, match="NUL or a lone surrogate"):
            catalog.table_for(key, "a")
    assert catalog.tables() == {}


def test_new_columns_get_ids_in_order_and_free_names(catalog: Catalog, trades: str) -> None:
    table = catalog.reserve(trades, [wish("price"), wish("Price", "BIGINT"), wish("PRICE__2", "VARCHAR")])
    assert table.columns == (
        Column(FIRST_FIELD_ID, None, '"price"', "price", "DOUBLE"),
        Column(FIRST_FIELD_ID + 1, None, '"Price"', "Price__2", "BIGINT"),
        Column(FIRST_FIELD_ID + 2, None, '"PRICE__2"', "PRICE__2__2", "VARCHAR"),
    )
    assert catalog.tables() == {trades: table}


def test_own_columns_are_taken_at_the_top_and_free_below(catalog: Catalog, trades: str) -> None:
    wishes = [wish(name.upper()) for name in OWN_COLUMNS]
    table = catalog.reserve(trades, [*wishes, wish("o", "STRUCT"), wish("strategy", parent=-len(wishes) - 1)])
    assert [column.name for column in table.columns] == [
        *(f"{name.upper()}__2" for name in OWN_COLUMNS), "o", "strategy",
    ]  # fmt: skip


def test_ids_are_unique_in_the_whole_lake(catalog: Catalog, trades: str) -> None:
    orders = catalog.table_for('"orders"', "orders")
    first = catalog.reserve(trades, [wish("a"), wish("b")])
    second = catalog.reserve(orders, [wish("a")])
    third = catalog.reserve(trades, [wish("c")])
    ids = [c.field_id for c in (*first.columns, *second.columns, third.columns[-1])]
    assert ids == list(range(FIRST_FIELD_ID, FIRST_FIELD_ID + 4))


def test_nested_columns_lie_in_wishes_of_the_same_call(catalog: Catalog, trades: str) -> None:
    wishes = [
        wish("orders", "LIST"),
        NewColumn(-1, "[]", "element", "STRUCT"),
        wish("amount", parent=-2),
        wish("Amount", parent=-2),
        wish("amount"),
    ]
    table = catalog.reserve(trades, wishes)
    assert [(c.parent, c.name) for c in table.columns] == [
        (None, "orders"), (16, "element"), (17, "amount"), (17, "Amount__2"), (None, "amount"),
    ]  # fmt: skip
    assert catalog.reserve(trades, wishes) == table
    deeper = catalog.reserve(trades, [wish("fee", parent=17)])
    assert deeper.columns[-1] == Column(21, 17, '"fee"', "fee", "DOUBLE")


def test_the_same_wish_twice_in_a_call_is_one_column(catalog: Catalog, trades: str) -> None:
    assert len(catalog.reserve(trades, [wish("a"), wish("a")]).columns) == 1


def test_a_column_keeps_its_type_whatever_is_wished(catalog: Catalog, trades: str) -> None:
    first = catalog.reserve(trades, [wish("a", "VARCHAR"), wish("n", "BIGINT")])
    assert catalog.reserve(trades, [wish("a", "BIGINT", wide=True), wish("n", "VARCHAR", wide=True)]) == first


def test_a_name_of_any_length_is_kept(catalog: Catalog, trades: str) -> None:
    names = ["k" * 50_000 + "a", "k" * 50_000 + "b"]
    assert [c.name for c in catalog.reserve(trades, [wish(name) for name in names]).columns] == names


def test_widening_leaves_wide_integers_alone(catalog: Catalog, trades: str) -> None:
    a, b, c = (col.field_id for col in catalog.reserve(
        trades, [wish("a", "BIGINT"), wish("b", "BIGINT", wide=True), wish("c", "VARCHAR")]).columns)  # fmt: skip
    after = catalog.reserve(trades, [], widen=[a, b, c])
    assert [(col.type, col.wide) for col in after.columns] == [("DOUBLE", False), ("BIGINT", True), ("VARCHAR", False)]
    assert catalog.tables()[trades] == after


def test_the_mark_of_wide_integers_comes_before_widening_or_too_late(catalog: Catalog, trades: str) -> None:
    a, b = (c.field_id for c in catalog.reserve(trades, [wish("a", "BIGINT"), wish("b", "BIGINT")]).columns)
    after = catalog.reserve(trades, [], mark_wide=[a], widen=[a, b])
    assert [(c.type, c.wide) for c in after.columns] == [("BIGINT", True), ("DOUBLE", False)]
    assert catalog.reserve(trades, [], mark_wide=[b]) == after


def test_a_wide_wish_marks_a_column_that_is_there(catalog: Catalog, trades: str) -> None:
    a = catalog.reserve(trades, [wish("a", "BIGINT")]).columns[0].field_id
    assert catalog.reserve(trades, [wish("a", "BIGINT", wide=True)]).columns[0].wide
    assert catalog.reserve(trades, [], widen=[a]).columns[0].type == "BIGINT"


def test_a_column_without_values_gets_its_first_type_once(catalog: Catalog, trades: str) -> None:
    a, _ = (c.field_id for c in catalog.reserve(trades, [wish("a", "NULL"), wish("b", "NULL")]).columns)
    after = catalog.reserve(trades, [wish("b", "BIGINT")], settype={a: "LIST"})
    assert [c.type for c in after.columns] == ["LIST", "BIGINT"]
    assert catalog.reserve(trades, [wish("b", "VARCHAR")], settype={a: "DOUBLE"}) == after


def test_what_is_not_there_is_named(catalog: Catalog, trades: str) -> None:
    with pytest.raises(NotFoundError, match="'nothing'"):
        catalog.reserve("nothing", [wish("a")])
    for call in ({"widen": [99]}, {"mark_wide": [99]}, {"settype": {99: "DOUBLE"}}):
        with pytest.raises(InvalidInputError, match="field id 99"):
            catalog.reserve(trades, [wish("a")], **call)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="field id 99"):
        catalog.reserve(trades, [wish("a", parent=99)])
    with pytest.raises(InvalidInputError, match="does not precede"):
        catalog.reserve(trades, [wish("a", parent=-1)])
    with pytest.raises(InvalidInputError, match="surrogate"):
        catalog.reserve(trades, [wish("a\ud800")])
    assert catalog.tables()[trades].columns == ()


def test_a_column_of_another_table_is_no_parent(catalog: Catalog, trades: str) -> None:
    orders = catalog.table_for('"orders"', "orders")
    struct = catalog.reserve(orders, [wish("o", "STRUCT")]).columns[0].field_id
    with pytest.raises(InvalidInputError, match=f"field id {struct}"):
        catalog.reserve(trades, [wish("a", parent=struct)])


def test_savers_at_once_get_the_same_columns(
    open_catalog: Callable[..., Catalog], catalog: Catalog, trades: str
) -> None:
    spellings = ["price", "Price", "PRICE", "amount", "fee"]
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def save(other: Catalog, names: Sequence[str]) -> None:
        try:
            barrier.wait()
            for name in names:
                other.reserve(trades, [wish(name)])
                other.table_for(f'"{name}"', name)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=save, args=(open_catalog(), spellings[i:] + spellings[:i])) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    columns = catalog.tables()[trades].columns
    assert sorted(column.key for column in columns) == sorted(f'"{name}"' for name in spellings)
    assert len({column.name.lower() for column in columns}) == len(spellings)
    assert [column.field_id for column in columns] == list(range(FIRST_FIELD_ID, FIRST_FIELD_ID + len(spellings)))
    assert len(catalog.tables()) == 1 + len({name.lower() for name in spellings})


def test_tables_kept_by_one_process_show_changes_of_another(
    catalog: Catalog, open_catalog: Callable[..., Catalog], trades: str
) -> None:
    other = open_catalog()
    assert other.tables()[trades].columns == ()
    added = catalog.reserve(trades, [wish("a", "BIGINT")])
    assert other.tables()[trades] == added
    changed = catalog.reserve(trades, [], widen=[added.columns[0].field_id])
    assert other.tables()[trades] == changed


def test_a_reservation_that_changes_nothing_leaves_the_counter_alone(catalog: Catalog, trades: str, dsn: str) -> None:
    catalog.reserve(trades, [wish("a")])
    with psycopg.connect(dsn, autocommit=True) as conn:
        before = conn.execute("SELECT schema_counter FROM lake").fetchone()
        catalog.reserve(trades, [wish("a")])
        assert conn.execute("SELECT schema_counter FROM lake").fetchone() == before
