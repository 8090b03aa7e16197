"""A real HTTP server on loopback, for the tests of what is fetched: it can be told to answer badly, slowly and without end."""

from __future__ import annotations

import http.server
import threading
from dataclasses import dataclass, field


@dataclass
class Server:
    """Serves `files` with ETags; `answers` overrides a path with (status, headers, blocks)."""

    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)

    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                status, headers, blocks = outer.answers.get(self.path) or outer.answer(self.path, self.headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for block in blocks:
                        self.wfile.write(block)
                        self.wfile.flush()
                    self.close_connection = "Content-Length" not in headers
                except OSError:
                    self.close_connection = True

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        return self

    def answer(self, path, headers):
        if path not in self.files:
            return 404, {"Content-Length": "0"}, []
        data = self.files[path]
        etag = f'"{hash(data)}"'
        if headers.get("If-None-Match") == etag:
            return 304, {"ETag": etag, "Content-Length": "0"}, []
        return 200, {"ETag": etag, "Content-Length": str(len(data))}, [data]

    def stop(self):
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()
