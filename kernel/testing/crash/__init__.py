"""Crash testing: kill a session at every fault point, and see what is left.

A tool that has effects in the world is right when a process may die at any instant
and nothing is done twice, nothing is lost, and the session goes on. That is shown in
five lines::

    from dovetail.kernel.testing import CrashScenario, call, calls, crash_test
    from my_plugin import plugin

    def booking(world):
        return CrashScenario([plugin], model=[calls(call("book", {"seat": "12A"}))])

    def test_booking_survives_a_crash_at_any_instant():
        report = crash_test(booking)
        assert report.sound, report

``crash_test`` runs the scenario once to find its fault points: before and after every
commit, every request and every event of a stream, every executor, every prompt, every
answer to a question. Then it kills a real process at each of them, reopens the store in
a new one, lets that finish (where only a recovery comes to, it dies a second time), and
checks the log, the transcript, the projections and the world. ``world`` is a file that
remembers effects by effect token, for tools that have none of their own.

Start reading at ``scenario`` for what an author writes, at ``driver`` for the plan, at
``invariants`` for what is checked.
"""
