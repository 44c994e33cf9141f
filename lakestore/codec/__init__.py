"""Document ⇄ record tables + envelope: exact, by column, without any file or catalog."""
