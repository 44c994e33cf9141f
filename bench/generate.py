"""`python -m bench.generate`: one document of `lakestore.bench.generate`, written to a file or to stdout."""

from __future__ import annotations

from lakestore.bench.generate import KINDS, Document, adversarial, full_precision, main, tiny, typical

__all__ = ["KINDS", "Document", "adversarial", "full_precision", "main", "tiny", "typical"]

if __name__ == "__main__":
    raise SystemExit(main())
