"""The store in an SQLite file: one writer, readers, migrations, and SQLite's words."""
