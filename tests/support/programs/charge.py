"""What `discoveryctl run` looks after. Says every signal it gets; SIGTERM ends it, others do not.

usage: charge.py [PORT]; stdin: "exit N". With a port it answers HTTP there, and says each question:
503 until it is told "ready". It waits for its signals instead of handling them: Python may put off
a handler until the next signal when one comes just before a read.
"""

import http.server
import json
import os
import signal
import sys
import threading

HEARD = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
READY = threading.Event()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        say(asked=self.path)
        self.send_response(200 if READY.is_set() else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


def obey():
    for line in sys.stdin:
        match line.split():
            case ["ready"]:
                READY.set()
            case ["exit", status]:
                os._exit(int(status))


def say(**fields):
    os.write(1, (json.dumps(fields) + "\n").encode())


heard = [number for number in HEARD if signal.getsignal(number) is not signal.SIG_IGN]
signal.pthread_sigmask(signal.SIG_BLOCK, heard)
threading.Thread(target=obey, daemon=True).start()
if len(sys.argv) > 1:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
say(pid=os.getpid())
while True:
    number = signal.sigwait(heard)
    say(signal=signal.Signals(number).name)
    if number == signal.SIGTERM:
        os._exit(0)
