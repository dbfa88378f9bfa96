"""A runner whose run ends when the test says so."""

from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.running.in_process import InProcessRunner
from ProximalFemurSegLib.running.progress import Progress
from ProximalFemurSegLib.running.runner import Runner, State, Status


class SlowRunner(Runner):
    """Stays at a quarter until it is told to finish."""

    def __init__(self):
        self.inner, self.job, self.state, self.closed = InProcessRunner(stand_in.segment), None, State.IDLE, False

    def start(self, job):
        self.job, self.state = job, State.RUNNING

    def poll(self):
        return Status(self.state, Progress("network", 1, 4, 12.0))

    def finish(self):
        self.inner.start(self.job)
        self.state = self.inner.poll().state

    def cancel(self):
        if self.state is State.RUNNING:
            self.state = State.CANCELLED

    def result(self):
        return self.inner.result()

    def close(self):
        self.cancel()
        self.closed = True
