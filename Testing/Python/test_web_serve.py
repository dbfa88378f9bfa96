"""``serve``: what it refuses, and whose requests it answers."""

import importlib.util
import socket

import pytest

from command_line import assert_refused, invoke

needs_trame = pytest.mark.skipif(
    importlib.util.find_spec("trame_slicer") is None, reason="trame-slicer is not installed: nothing can be served"
)


@needs_trame
def test_a_port_in_use_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(invoke("serve", "--port", port), str(port), "--port")


@needs_trame
def test_an_address_of_another_computer_is_refused():
    # 192.0.2.0/24 is for documentation: no computer has it.
    assert_refused(invoke("serve", "--host", "192.0.2.1", "--port", 0), "192.0.2.1", "--host")


@needs_trame
def test_a_missing_image_is_refused(tmp_path):
    assert_refused(invoke("serve", tmp_path / "none.nii.gz", "--port", 0), "none.nii.gz")


@needs_trame
def test_an_unknown_network_is_refused():
    assert_refused(invoke("serve", "--network", "magic", "--port", 0), "magic")


def test_without_trame_it_says_what_to_install(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "ProximalFemurSegLib.cli.serve.find_spec", lambda name: None if name == "trame_slicer" else found(name)
    )
    assert_refused(invoke("serve", "--port", 0), "trame-slicer", "pip install")


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("hip.example", False)],
)
def test_addresses_that_others_reach(host, own):
    from ProximalFemurSegLib.cli.serve import _is_own

    assert _is_own(host) is own


@needs_trame
@pytest.mark.parametrize(
    ("host", "origin", "ours"),
    [
        ("127.0.0.1:8080", None, True),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("localhost:8080", "http://localhost:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("hip.example:8080", "http://hip.example:8080", True),
        ("127.0.0.1:8080", "http://evil.example", False),
        ("127.0.0.1:8080", "http://127.0.0.1:9000", False),
        ("127.0.0.1:8080", "null", False),
        ("evil.example:8080", "http://evil.example:8080", False),
        ("", None, False),
    ],
)
def test_other_pages_are_kept_out(host, origin, ours):
    from ProximalFemurSegLib.web.guard import is_from_here

    assert is_from_here(host, origin, "hip.example") is ours
