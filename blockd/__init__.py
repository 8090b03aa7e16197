"""blockd: enforces signed blocklists at internet providers."""

__version__ = "0.1.0"
