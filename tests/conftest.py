"""What every test stands on."""

import signal

# Whoever is started in the background may ignore Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
