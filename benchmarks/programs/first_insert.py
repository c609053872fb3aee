"""The same by hand: new file, tables, four rows in one transaction; says ``done`` once they are committed."""

import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1].removeprefix("sqlite:///"), isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL, total TEXT NOT NULL)")
connection.execute("CREATE TABLE payments (id TEXT PRIMARY KEY, amount TEXT NOT NULL)")
connection.execute("CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL)")
connection.execute("INSERT INTO orders VALUES ('order-0', '+4915123456789', '99.90')")
connection.execute("INSERT INTO payments VALUES ('order-0', '99.90')")
connection.execute("INSERT INTO outbox (payload) VALUES ('placed'), ('requested')")
connection.execute("COMMIT")
print("done", flush=True)
connection.close()
