"""The processes of the acceptance tests, for tests that break them."""

from tests.acceptance.conftest import start_stack

__all__ = ["start_stack"]
