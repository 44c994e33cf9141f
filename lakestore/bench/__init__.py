"""What lakestore costs on this machine: documents made from a seed, and three scenarios of a result store."""

from lakestore.bench.scenarios import Step, run

__all__ = ["Step", "run"]
