"""The statements, as queries on the tables: what each store's SQL is made of.

Every public constant here is a statement, or several of them by what they are narrowed
to. No program that stores anything imports this: building and rendering all of it takes
longer than a turn does. ``tests/support/statements.py`` renders it in the dialect of
each store, writes what comes out into its module ``statements``, and the names alone
into ``sql.statements``; a test holds them together.
"""
