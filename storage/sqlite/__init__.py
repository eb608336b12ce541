"""The store in an SQLite file: tables, one writer, readers, migrations."""
