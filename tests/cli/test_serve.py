"""The command `charrnn serve`, as a real process."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys

import pytest
from playground import Client, read_until, until
from runner import CliRunner
from texts import charrnn, command, environment, save_trained

from charrnn.cli import main
from charrnn.errors import ConfigError
from charrnn.views.playground.server import listen

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class Address:
    def __init__(self, line):
        found = re.fullmatch(r"http://([^/:]+):(\d+)/(?:\?token=(\w+))?\n", line)
        self.host, self.port, self.token = found[1], int(found[2]), found[3] or ""


@pytest.fixture
def started(tmp_path):
    """Return a function that starts a server, and returns its process and address."""
    processes = []

    def start(*arguments, **changes):
        process = subprocess.Popen(
            command("serve", "--port", 0, *arguments),
            cwd=tmp_path,
            env=environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process, Address(process.stdout.readline())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_it_prints_its_address_answers_and_ends_at_ctrl_c(started, tmp_path):
    save_trained(tmp_path / "checkpoints" / "lines")
    process, address = started()
    client = Client(address)
    assert client.ask("GET", "/")[0] == 200
    assert dict(client.generate(length=5))["start"]["model"] == "lines"
    long = {"model": "shakespeare", "length": 20_000, "temperatures": [1] * 5}
    with client.open(client.request(long)) as reader:
        read_until(reader, b"event: text")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert errors == "Ctrl-C ends it.\n\nInterrupted.\n"


def test_requests_leave_no_trace_on_the_terminal(started):
    process, address = started()
    client = Client(address)
    client.ask("GET", "/nothing")
    client.post("/api/generate", b"nonsense")
    client.open(b"nonsense\r\n\r\n").close()
    process.terminate()
    output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("", "Ctrl-C ends it.\n")


def test_a_token_is_made_for_others_and_is_in_the_address(started):
    _, address = started("--host", "0.0.0.0")
    assert address.host == socket.gethostname()
    assert re.fullmatch("[0-9a-f]{32}", address.token)
    client = Client(address)
    assert client.get("/api/models")[0] == 401
    known = {"Authorization": f"Bearer {address.token}"}
    assert client.get("/api/models", **known)[0] == 200


def test_a_checkpoint_may_be_named(started, tmp_path):
    save_trained(tmp_path / "elsewhere")
    _, address = started("elsewhere", "shakespeare")
    connection = http.client.HTTPConnection("127.0.0.1", address.port)
    connection.request("GET", "/api/models")
    found = json.loads(connection.getresponse().read())["models"]
    connection.close()
    assert [each["name"] for each in found] == ["elsewhere", "shakespeare"]


def test_the_browser_is_opened(started, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    _, address = started("--open", "--token", "a1b2c3d4", BROWSER=str(browser))
    opened = tmp_path / "opened"
    until(lambda: opened.exists() and opened.read_text())
    assert opened.read_text() == f"http://127.0.0.1:{address.port}/?token=a1b2c3d4\n"


def test_a_port_in_use_is_a_line(tmp_path):
    with listen("127.0.0.1", 0).socket as used:
        port = used.getsockname()[1]
        done = charrnn("serve", "--port", port, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"Error: port {port} of 127.0.0.1 cannot be used: Address already in use; "
        "choose another with --port, or any free one with --port 0\n"
    )


@pytest.mark.parametrize(
    ("host", "port", "token", "words"),
    [
        ("127.0.0.1", 70_000, "", "port is 70000; expected 0 to 65535"),
        ("no such host", 0, "", "try 127.0.0.1"),
        ("a" * 100, 0, "", "try 127.0.0.1"),
        ("192.0.2.1", 0, "", "cannot be used"),
        ("127.0.0.1", 0, "short", "at least 8"),
        ("127.0.0.1", 0, "with&signs", "letters and digits"),
    ],
)
def test_an_address_that_cannot_be_used_is_an_error(host, port, token, words):
    with pytest.raises(ConfigError, match=words):
        listen(host, port, token)


def test_a_missing_checkpoint_is_an_error():
    done = CliRunner().invoke(main, ["serve", "nothing"])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: nothing: no such file or run; expected")


def test_a_missing_extra_is_named(tmp_path):
    code = (
        "import sys\n"
        "sys.modules['uvicorn'] = None\n"
        "from charrnn.cli import main\n"
        "main(['serve', '--port', '0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: charrnn serve needs Starlette and uvicorn")
    assert 'pip install "charrnn[web]"' in done.stderr
