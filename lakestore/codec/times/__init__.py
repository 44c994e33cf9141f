"""Texts ⇄ times, a column at a time and exact in both directions.

The format is guessed from the first text, every text is read by it without looking for mistakes, and the guess is
believed only if writing the values gives the same bytes. A text so accepted is the one text of its value: the 30th of
February, hour 24 or a letter among the digits would have been written otherwise. Reading and writing are numpy on
int64 and belong to lakestore: nothing stored depends on how another library formats a time.
"""

from lakestore.codec.times.column import in_range, parse, render
from lakestore.codec.times.formats import TEXT, TimeFormat

__all__ = ["TEXT", "TimeFormat", "in_range", "parse", "render"]
