"""What both ends of a socket agree on: no thread, no global state, no import of `worker` or `backend`."""
