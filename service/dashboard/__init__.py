"""The dashboard: one page at `/` over the public API, for whoever would rather look than type."""

from service.dashboard.pages import add_to

__all__ = ["add_to"]
