"""What users import: every name is there, and says what it is."""

from __future__ import annotations

import inspect

import pytest

import lakestore

CLASSES = [name for name in lakestore.__all__ if inspect.isclass(getattr(lakestore, name))]


@pytest.mark.parametrize("name", lakestore.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    assert name in dir(lakestore)
    assert inspect.getdoc(getattr(lakestore, name))


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_public_class_can_do_is_documented(name: str) -> None:
    kind = getattr(lakestore, name)
    for member, value in vars(kind).items():
        if not member.startswith("_") and (callable(value) or isinstance(value, classmethod | property)):
            assert inspect.getdoc(value), f"{name}.{member}"


def test_a_name_that_is_not_public_is_refused_as_python_refuses_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lakestore.nothing
