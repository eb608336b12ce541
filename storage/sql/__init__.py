"""What every store on SQL shares: tables, statements, and the rows made of them.

Start reading at ``tables``; then ``statements``, which says them in a database's words,
and ``view``, which a store implements to run them. Knows nothing of any database:
connections, locks, files and threads are of the store beside this room.
"""
