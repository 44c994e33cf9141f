"""Configuration: flag beats environment beats file beats default, and only None means unset."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakestore.config import Config, size
from lakestore.errors import InvalidInputError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def write_file(environ: dict[str, str], text: str) -> Path:
    path = Path(environ["HOME"], ".config", "lakestore", "config.toml")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_without_any_setting_the_lake_is_here_and_its_catalog_embedded(environ: dict[str, str]) -> None:
    assert Config.load(environ=environ) == Config(lake=Path("lake"), dsn=None, format="table")


def test_file_beats_default(environ: dict[str, str]) -> None:
    write_file(environ, 'lake = "/from/file"\nformat = "csv"\n')
    config = Config.load(environ=environ)
    assert (config.lake, config.dsn, config.format) == (Path("/from/file"), None, "csv")


def test_environment_beats_file(environ: dict[str, str]) -> None:
    write_file(environ, 'lake = "/from/file"\ndsn = "host=file"\n')
    environ |= {"LAKESTORE_LAKE": "/from/environment", "LAKESTORE_DSN": "host=environment"}
    config = Config.load(environ=environ)
    assert (config.lake, config.dsn) == (Path("/from/environment"), "host=environment")


def test_flag_beats_environment(environ: dict[str, str]) -> None:
    environ |= {"LAKESTORE_LAKE": "/from/environment", "LAKESTORE_DSN": "host=environment", "LAKESTORE_FORMAT": "csv"}
    config = Config.load(lake=Path("/from/flag"), dsn="host=flag", format="json", environ=environ)
    assert config == Config(lake=Path("/from/flag"), dsn="host=flag", format="json")


def test_each_setting_is_resolved_by_itself(environ: dict[str, str]) -> None:
    write_file(environ, 'lake = "/from/file"\nformat = "csv"\n')
    environ["LAKESTORE_FORMAT"] = "json"
    config = Config.load(dsn="host=flag", environ=environ)
    assert config == Config(lake=Path("/from/file"), dsn="host=flag", format="json")


def test_an_empty_dsn_is_set_and_means_the_embedded_catalog(environ: dict[str, str]) -> None:
    environ["LAKESTORE_DSN"] = "host=environment"
    assert Config.load(dsn="", environ=environ).dsn is None


def test_a_tilde_is_the_home_directory(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", environ["HOME"])
    assert Config.load(lake="~/lake", environ=environ).lake == Path(environ["HOME"], "lake")


def test_the_file_may_be_named(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('lake = "/mine"\n')
    environ["LAKESTORE_CONFIG"] = str(tmp_path / "mine.toml")
    assert Config.load(environ=environ).lake == Path("/mine")


def test_a_file_named_but_missing_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    environ["LAKESTORE_CONFIG"] = str(tmp_path / "none.toml")
    with pytest.raises(InvalidInputError, match=r"LAKESTORE_CONFIG: cannot read .*none\.toml"):
        Config.load(environ=environ)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LAKESTORE_LAKE", "", "LAKESTORE_LAKE: '' is not a directory"),
        ("LAKESTORE_LAKE", "~nobody-has-this-name/lake", "no such home directory"),
        ("LAKESTORE_FORMAT", "xml", "LAKESTORE_FORMAT: no format is called 'xml'; there are table, json, csv"),
        ("LAKESTORE_FORMAT", "", "LAKESTORE_FORMAT: no format is called ''"),
    ],
)
def test_a_message_says_where_the_bad_setting_stands(
    environ: dict[str, str], variable: str, value: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Config.load(environ=environ | {variable: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'lakes = "x"',
            "no setting is called 'lakes'; there are dsn, format, json_pattern, json_root, lake, max_document, mode",
        ),
        ("lake = 3", "lake must be text, not int"),
        ("lake = ", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_by_name(environ: dict[str, str], text: str, message: str) -> None:
    path = write_file(environ, text)
    with pytest.raises(InvalidInputError, match=message) as caught:
        Config.load(environ=environ)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("1", 1),
        ("500MB", 500_000_000),
        ("2 gb", 2_000_000_000),
        ("1.5GB", 1_500_000_000),
        ("2GiB", 2 << 30),
        ("1k", 1_000),
    ],
)
def test_a_size_is_decimal_unless_it_says_otherwise(text: str, bytes_: int) -> None:
    assert size(text) == bytes_


@pytest.mark.parametrize("text", ["", "0", "MB", "-1", "1e9", "1.GB", "5 TB", "0.1"])
def test_what_is_no_size_is_none(text: str) -> None:
    assert size(text) is None
