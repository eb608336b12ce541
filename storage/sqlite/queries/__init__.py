"""The statements, as queries on the tables: what the module ``statements`` is made of.

Every public constant here is SQL that peewee rendered: a statement, or several of them
by what they are narrowed to. No program that stores anything imports this: building and
rendering all of it takes longer than a turn does. ``tests/support/statements.py``
writes what comes out into ``statements``, and a test holds the two together.
"""
