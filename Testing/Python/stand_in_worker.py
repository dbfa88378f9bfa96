"""The child process of the faces with a stand-in for the networks: the image itself, 0 to 100, is the probability."""

from ProximalFemurSegLib.desktop.stand_in import segment
from ProximalFemurSegLib.desktop.worker import create_worker
from ProximalFemurSegLib.running.worker import requests_from_stdin

if __name__ == "__main__":
    create_worker(segment).serve(requests_from_stdin())
