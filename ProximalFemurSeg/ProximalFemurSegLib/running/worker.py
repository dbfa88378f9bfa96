"""The child's side: reads one request a line from standard input, answers with lines of JSON on standard output.

Weights, kernels and libraries stay loaded from one request to the next. The process ends with its standard input, and
so with the program that started it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path

from ..errors import ProximalFemurSegError, memory_explained
from .exchange import read_image, write_result
from .overall import BEFORE, LOCATING, OverallProgress
from .progress import Progress


class Worker:
    """Serves requests until there are no more.

    Parameters
    ----------
    say : callable
        Gets every answer as a dictionary.
    segment : callable, optional
        Used instead of ``inference.segment``; same arguments.

    Attributes
    ----------
    tasks : dict of str to callable
        What can be asked for; called with the request's number and arguments, each gives the reply as a dictionary.
    """

    def __init__(self, say, segment=None):
        self._say, self._segment = say, segment
        self._learned: dict[str, dict] = {}
        self.tasks = {"segment": self.segment, "devices": self.devices}

    def serve(self, requests) -> None:
        """Answer requests, each a dictionary with number, task and arguments."""
        for request in requests:
            number, task = request.pop("number"), request.pop("task")
            try:
                with memory_explained():
                    reply = self.tasks[task](number, **request)
                self._say({"number": number, "reply": reply})
            except ProximalFemurSegError as error:
                self._say({"number": number, "failure": str(error)})
            except Exception as error:  # one request that fails must not take the others with it
                traceback.print_exc()
                kind = type(error).__name__
                self._say({"number": number, "failure": f"The segmentation ended unexpectedly ({kind}: {error})."})

    def segment(self, number: int, folder: str, options: dict) -> dict:
        """Segment the image in a folder and leave the result there."""
        segment = self._segment
        if segment is None:
            from ..inference import segment
        device = options.get("device", "")
        progress = OverallProgress(lambda step: self._tell(number, step), self._learned.get(device))
        result = segment(read_image(Path(folder)), progress=progress, **options)
        progress("writing the results", 0, 1)
        write_result(result, Path(folder))
        progress("writing the results", 1, 1)
        learned = progress.learned()
        if not self._learned:
            # In the first run torch and its kernels had to be loaded on the way; in the next ones they are there.
            for part in (BEFORE, LOCATING):
                learned.pop(part, None)
        self._learned[device] = learned
        free_gpu()
        return {"network": result.network, "device": result.device}

    def devices(self, number: int) -> dict:
        """What there is to run networks on."""
        from ..inference.devices import list_devices

        return list_devices()

    def _tell(self, number, step: Progress):
        names = ("stage", "done", "total", "seconds_left", "overall")
        self._say({"number": number, "progress": {name: getattr(step, name) for name in names}})


def free_gpu() -> None:
    """Give back what torch holds of a GPU beyond the networks themselves."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def requests_from_stdin():
    """The requests on standard input, as they come; the process ends at once when the input does."""
    waiting: queue.Queue = queue.Queue()

    def read():
        for line in sys.stdin:
            waiting.put(json.loads(line))
        # Whoever asked is gone: nobody waits for the rest.
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()


def say_on_stdout(answer: dict) -> None:
    """Write an answer as one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
