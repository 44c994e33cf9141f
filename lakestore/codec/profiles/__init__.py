"""Profiles: what an engine's document is, declared as data; the shipped ones lie here."""
