"""Texts that break programs: names and values that users, machines and attackers have come up with."""

from __future__ import annotations

_WORDS = """
undefined undef null NULL Null nil None none NaN nan Infinity -Infinity inf true false TRUE True yes no on off
__proto__ constructor prototype hasOwnProperty toString __class__ __init__ self this then eval exec import lambda
select SELECT from where table group order limit union all distinct values primary default user current_user
results signals trades backtest_results _lakestore lakestore pg_catalog information_schema duckdb_tables sqlite_master
task_id strategy run_date filename _pos STRATEGY Task_Id file_row_number rowid __index_level_0__ element list array
""".split()

_PARTITIONS = [
    "strategy=x", "strategy=", "=x", "=", "a=b=c", "run_date=2024-01-01", "strategy=x/run_date=2024-01-01", "%", "%%",
    "%s", "%d%n", "%00", "%2e%2e", "%2E%2E%2F", "%252e", "%2", "%zz", "%C3%28", "a%20b", "a+b", "a b", "x%0a", "%3D",
    "__HIVE_DEFAULT_PARTITION__x", "x__HIVE_DEFAULT_PARTITION__", "__hive_default_partition__", "_", "__", "._", "_x",
]  # fmt: skip

_PATHS = [
    ".", "..", "...", "../", "../..", "../../../../../../../../tmp/lakestore-escaped", "..\\..\\escaped", "/", "//",
    "\\", "/lakestore-escaped", "/etc/passwd", "C:\\Windows\\System32", "C:", "\\\\server\\share",
    "file:///etc/passwd", "s3://bucket/key", "~", "~root", "$HOME", "${HOME}", "%APPDATA%", ".hidden", ".git", "x/",
    "/x", "a/../b", "a//b", "a\\b", "x.parquet", ".x.parquet.tmp", "*.parquet", "**", "*", "?", "[a-z]", "{a,b}",
    "!x", "-", "--", "-rf", "--help", "CON", "con", "PRN", "AUX", "NUL", "nul.txt", "COM1", "LPT9", "CONIN$",
    "aux.json", "x.", "x ", " x", "x:y", "x:$DATA", "desktop.ini", ".DS_Store", "lost+found", "a\tb", "a\nb",
    "a\r\nb", "\n", "\t", " ", "   ",
]  # fmt: skip

_INJECTIONS = [
    "'", "''", '"', '""', "`", "'\"`", "\\'", '\\"', ";", "--", "/*", "*/", "' OR '1'='1", "' OR 1=1 --",
    "'; DROP TABLE backtest_results; --", '"; DROP SCHEMA public CASCADE; --', "1; SELECT pg_sleep(9)",
    "') UNION SELECT version() --", "E'\\x41'", "$$x$$", "$1", "?", ":name", "%(name)s", "x::int", "{{7*7}}",
    "${7*7}", "#{7*7}", "<%= 7*7 %>", "$(touch lakestore-escaped)", "`touch lakestore-escaped`",
    "| touch lakestore-escaped", "&& touch lakestore-escaped", "; touch lakestore-escaped",
    "\n touch lakestore-escaped", "() { :; }; echo x", "<script>alert(1)</script>", "</script>", "<!-- x -->",
    "<![CDATA[x]]>", "&lt;", "&#0;", "&nbsp;", "<img src=x onerror=alert(1)>", "javascript:alert(1)",
    "<?xml version='1.0'?>", "<!ENTITY x SYSTEM 'file:///etc/passwd'>", "=1+1", "=cmd|' /C calc'!A0", "@SUM(1)", "+1",
    "${jndi:ldap://localhost/x}", "{0}", "{}", "[]", "{x!r}", "%x", "read_text('/etc/passwd')",
    "COPY (SELECT 1) TO 'lakestore-escaped'", "ATTACH 'lakestore-escaped.db'", "{\"$ne\": null}", '{"a": 1}',
    "[1, 2]", "a,b", "a;b", "a|b", "a&b=c", "#", "# x", "// x", "\\u0041", "\\x00", "\\",
]  # fmt: skip

_NUMBERS = [
    "0", "-0", "00", "007", "1", "42", "-1", "+42", "1.0", "1.50", ".5", "5.", "1e5", "1E5", "1e400", "-1e400",
    "1e-400", "0x1F", "0b1", "0o7", "1_000", "1,000", "1.000,00", "1'000", "1 000", "1/2", "1/0", "0/0",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "9007199254740993",
    "123456789012345678901234567890", "0.1", "0.30000000000000004", "1.7976931348623157e308", "5e-324", "2024-01-01",
    "2024-02-30", "01/02/03", "12:30", "24:00:00", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00+00:00", "1970-01-01",
    "0000-00-00", "-4713-11-24", "infinity", "P1D", "00000000-0000-0000-0000-000000000000", "127.0.0.1", "::1",
    "\u0661\u0662\u0663", "\u06f1\u06f2", "\u0967\u0968\u0969", "\uff11\uff12\uff13", "\U0001d7d9\U0001d7da",
    "\u4e00\u4e8c\u4e09", "\u2160\u2164", "\u00bd", "\u00b2\u2083", "\u2460",
]  # fmt: skip

_SCRIPTS = [
    "\u7b56\u7565", "\u30b9\u30c8\u30e9\u30c6\u30b8\u30fc", "\uc804\ub7b5",
    "\u0441\u0442\u0440\u0430\u0442\u0435\u0433\u0438\u044f",
    "\u0627\u0633\u062a\u0631\u0627\u062a\u064a\u062c\u064a\u0629",
    "\u05d0\u05e1\u05d8\u05e8\u05d8\u05d2\u05d9\u05d4", "\u0930\u0923\u0928\u0940\u0924\u093f",
    "\u0e01\u0e25\u0e22\u0e38\u0e17\u0e18\u0e4c", "\u1018\u102c\u101e\u102c", "\u00e9", "e\u0301", "\u00c5",
    "A\u030a", "\u212b", "\ufb01", "fi", "\u00df", "\u1e9e", "SS", "ss", "\u0130", "\u0131", "I", "i", "\u017f",
    "\u212a", "K", "k", "\u01c4", "\u01c5", "\u03a3", "\u03c2", "\u03c3", "\u0410", "A", "a", "\u0391", "\uff21",
    "\u0301", "\u0300\u0301\u0302",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035a\u032f\u031e\u0320\u034dA\u036b\u0357\u0334\u0362",
    "a\u200bb", "\u200b", "a\u200db", "\u200c", "\u2060", "\ufeff", "\ufeffx", "a\u00adb", "\u202eevil\u202c",
    "\u200fx", "\u2066x\u2069", "\u061c", "\u180e", "\u3000", "\u00a0", "\u2003", "\u2028", "\u2029", "\u0085",
    "\u1680", "\u115f", "\u3164", "\u2800", "\ufffd", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff", "\ue000",
    "\U000f0000", "\U000e0061\U000e007f", "\ufdfd", "\U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea",
    "1\ufe0f\u20e3", "\u2764\ufe0f", "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "\u00af\\_(\u30c4)_/\u00af", "\U00020000\U0002a6d6", "\U0001d54f", "\u202a\u202b\u202c", "\u0f73\u0f75",
]  # fmt: skip

_CONTROLS = [chr(code) for code in (*range(1, 32), 127, *range(128, 160, 5))] + [
    "\x1b[31mred\x1b[0m",
    "a\x08b",
    "\x00",
    "a\x00b",
    "x\x00",
]

_SURROGATES = ["\ud800", "\udfff", "x\ud83d", "\udc00x", "\udc00\ud800", "a\udcffb"]

_LONG = [
    "x" * 240, "x" * 241, "x" * 255, "x" * 512, "x" * 513, "x" * 5_000, "\u00e9" * 40, "\u00e9" * 41, "\u00e9" * 256,
    "\u00e9" * 257, "\U0001f600" * 20, "\U0001f600" * 128, "\U0001f600" * 129, "../" * 100, "a" * 120 + "/" * 40,
    "/" * 81, " " * 80, "%" * 80, "x" * 100_000, "__HIVE_DEFAULT_PARTITION__", "",
]  # fmt: skip

NAUGHTY = list(
    dict.fromkeys(_WORDS + _PARTITIONS + _PATHS + _INJECTIONS + _NUMBERS + _SCRIPTS + _CONTROLS + _SURROGATES + _LONG)
)
"""Every text once."""
