"""What comes in over HTTP: ASGI applications to be mounted in one of yours."""
