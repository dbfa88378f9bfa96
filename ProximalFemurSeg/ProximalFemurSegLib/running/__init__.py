"""A run apart from the face that asks for it: what to run, how it is getting on, and what came of it.

The same run goes in this process (tests, batch) or in a child process (a window that must stay alive); a face only
knows :class:`runner.Runner`.
"""
