"""The web process: the REST API. It meets the worker only in the database."""
