"""`python -m client`: the command line where the project runs from its folder, uninstalled."""

from client.cli.main import main

main()
