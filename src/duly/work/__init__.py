"""One unit of work: for whoever runs a handler. Knows handlers; knows no act, no database and no provider."""
