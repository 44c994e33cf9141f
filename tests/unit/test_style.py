"""How a document was written, told from its bytes."""

from __future__ import annotations

import pytest

from lakestore.codec.style import escapes


@pytest.mark.parametrize(
    ("source", "ascii", "slash"),
    [
        (rb'{"a": "/"}', False, False),
        (rb'{"a": "\/"}', False, True),
        (rb'{"a": "\\/"}', False, False),
        (rb'{"a": "\\\/"}', False, True),
        (rb'{"a": "\u00e9"}', True, False),
        (rb'{"a": "C:\\users"}', False, False),
        (rb'{"a": "\\\u00e9"}', True, False),
        ('{"a": "\\u00e9é"}'.encode(), False, False),
    ],
)
def test_an_escaped_backslash_escapes_nothing(source: bytes, ascii: bool, slash: bool) -> None:
    assert escapes(source) == (ascii, slash)
