"""The `tenfold` command line: commands over the public API, a module each."""
