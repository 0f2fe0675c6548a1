"""A hub on this machine: as much of the Hugging Face Hub's API as pushing and pulling need."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOKEN = "hf_for_tests"


class Hub(ThreadingHTTPServer):
    """Repositories in memory: name -> commits, each a mapping of files."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.private: dict[str, bool] = {}

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, name, files):
        commits = self.repositories.setdefault(name, [])
        before = commits[-1][1] if commits else {}
        text = json.dumps([name, len(commits), sorted(files)])
        commits.append((hashlib.sha1(text.encode()).hexdigest(), {**before, **files}))
        return commits[-1][0]

    def at(self, name, revision):
        commits = self.repositories.get(name, [])
        found = commits[-1:] if revision == "main" else [one for one in commits if one[0] == revision]
        return found[-1] if found else None


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def answer(self, status, document=None, *, headers=None, body=b""):
        content = body if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json" if document is not None else "application/octet-stream")
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "who are you"})
        path = unquote(self.path.partition("?")[0])
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repositories.setdefault(name, [])
            self.server.private.setdefault(name, asked.get("private") or asked.get("visibility") == "private")
            return self.answer(200, {"url": f"{self.server.address}/{name}"})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/(.+/.+)/preupload/main", path):
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self.answer(200, {"files": files})
        if match := re.fullmatch(r"/api/models/(.+/.+)/commit/main", path):
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            sha = self.server.commit(match[1], files)
            url = f"{self.server.address}/{match[1]}/commit/{sha}"
            return self.answer(200, {"commitUrl": url, "commitOid": sha, "success": True})
        return self.answer(404, {"error": path})

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            found = self.server.at(match[1], match[2] or "main")
            if found is None:
                return self.answer(404, {"error": "none"}, headers={"X-Error-Code": "RepoNotFound"})
            siblings = [{"rfilename": name} for name in found[1]]
            document = {"id": match[1], "modelId": match[1], "sha": found[0], "siblings": siblings, "tags": []}
            return self.answer(200, {**document, "private": True, "downloads": 0, "likes": 0})
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            found = self.server.at(match[1], match[2])
            if found is None or match[3] not in found[1]:
                return self.answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": match[2]})
            content = found[1][match[3]]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            headers = {"ETag": etag, "X-Repo-Commit": found[0], "Content-Length": str(len(content))}
            return self.answer(200, headers=headers, body=content)
        return self.answer(404, {"error": path})

    do_HEAD = do_GET


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
