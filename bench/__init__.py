"""Benchmarks of lakestore, and the seeded documents that they and the tests run on."""
