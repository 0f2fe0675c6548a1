"""A bucket of this machine: moto's S3 behind a door that drops connections, alters what it gives and refuses."""

import logging
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Bucket:
    """The server, which knows one bucket named `bucket`.

    Attributes:
        asked: (method, path) of every request.
        drops: How many answers with a shard break off in their middle.
        alters: The file of which the first byte is another one.
        denies: Methods that are refused.
        breaks_at: A file whose upload breaks off.
    """

    def __init__(self):
        self.asked, self.drops, self.alters, self.denies, self.breaks_at = [], 0, None, (), None
        self._inner = DomainDispatcherApplication(create_backend_app)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.asked.append((method, path))
        if method in self.denies or (method == "PUT" and self.breaks_at and path.endswith(self.breaks_at)):
            start_response("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(DENIED)))])
            return [DENIED]
        told = {}

        def keep(status, headers, *_):
            told.update(status=status, headers=headers)

        inner = self._inner(environ, keep)
        content = b"".join(inner)
        start_response(told["status"], told["headers"])
        if method == "GET" and self.alters and path.endswith(self.alters):
            content = bytes([content[0] ^ 1]) + content[1:]
        if method == "GET" and self.drops and "/shards/" in path:
            self.drops -= 1
            return [content[: len(content) // 2]]  # fewer bytes than its length says: the connection breaks off
        return [content]
