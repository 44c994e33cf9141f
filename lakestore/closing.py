"""What is closed when it is no longer needed."""

from __future__ import annotations

from typing import Self


class Closing:
    """Something to close, which a `with` does too."""

    def close(self) -> None:
        """Let go of what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
