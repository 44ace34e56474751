"""A hub that speaks as much of Hugging Face's protocol as its own library wants.

Source: huggingface_hub, `hf_api.py` and `hf_file_system.py`, which ask it.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.support.web import Answer, Asked, WebServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

_API = re.compile(r"/api/(models|datasets|spaces)/(.+?)(?:/(revision|tree)/(.*))?")
_FILE = re.compile(r"/(?:(datasets|spaces)/)?(.+?)/resolve/([^/]+)/(.+)")
_LARGE = (".bin", ".safetensors", ".gguf")  # these are in LFS, and come from another server


@dataclass
class Repository:
    """Attributes:
    branches: which commit each is at.
    commits: their files.
    token: which it wants, None for none.
    is_gated: whether that token is not enough.
    told_sha256: by path, what is said of files instead of the truth.
    """

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    token: str | None = None
    is_gated: bool = False
    told_sha256: dict[str, str] = field(default_factory=dict)


class Hub:
    """Repositories by name: `org/model`, `datasets/org/data`.

    Attributes:
        web: the hub itself.
        cdn: where it sends those who want large files.
        page: how many files are listed at once.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.repositories: dict[str, Repository] = {}
        self.page = 1000
        self.web = WebServer(self._answer, tls)
        self.cdn = WebServer(self._stored, tls)
        self.url = self.web.url

    def put(self, name: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Make a commit of these files, and return it; the branch is there from now on."""
        repository = self.repositories.setdefault(name, Repository())
        told = repr((name, sorted(files.items()), len(repository.commits))).encode()
        commit = hashlib.sha1(told, usedforsecurity=False).hexdigest()
        repository.commits[commit] = dict(files)
        repository.branches[branch] = commit
        return commit

    def reads(self, path: str) -> list[Asked]:
        """The requests for the bytes of a file, by its path."""
        asked = [*self.web.asked, *self.cdn.asked]
        return [one for one in asked if one.method == "GET" and one.path.endswith(f"/{path}")]

    def close(self) -> None:
        self.web.close()
        self.cdn.close()

    def _answer(self, asked: Asked) -> Answer:
        if found := _API.fullmatch(asked.path):
            kind, name, what, rest = found.groups()
            name = name if kind == "models" else f"{kind}/{name}"
            refused = self._refused(asked, name)
            return refused or self._told(asked, name, what or "revision", rest or "main")
        if found := _FILE.fullmatch(asked.path):
            kind, name, revision, path = found.groups()
            name = f"{kind}/{name}" if kind else name
            return self._refused(asked, name) or self._file(name, revision, path)
        return Answer(404)

    def _refused(self, asked: Asked, name: str) -> Answer | None:
        repository, sent = self.repositories.get(name), asked.headers.get("Authorization")
        if repository is None:
            return _error(401 if sent is None else 404, "RepoNotFound", "Repository not found")
        if repository.token is not None and sent != f"Bearer {repository.token}":
            return _error(401, None, "Invalid username or password.")
        if repository.is_gated:
            return _error(403, "GatedRepo", "Access to this model is restricted")
        return None

    def _told(self, asked: Asked, name: str, what: str, rest: str) -> Answer:
        """What the programming interface says of a repository."""
        repository = self.repositories[name]
        revision, _, path = rest.partition("/") if what == "tree" else (rest, "", "")
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what == "revision":
            siblings = [{"rfilename": path} for path in repository.commits[commit]]
            return _json({"id": name, "sha": commit, "siblings": siblings})
        return self._tree(asked, repository, commit, path)

    def _tree(self, asked: Asked, repository: Repository, commit: str, below: str) -> Answer:
        files = repository.commits[commit]
        start = f"{below}/" if below else ""
        entries = [_entry(repository, path, data) for path, data in files.items()]
        folders = {path[: at.start()] for path in files for at in re.finditer("/", path)}
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in folders]
        entries = [entry for entry in entries if entry["path"].startswith(start)]
        if asked.query.get("recursive") != "true":
            entries = [entry for entry in entries if "/" not in entry["path"][len(start) :]]
        if not entries:
            return _error(404, "EntryNotFound", f"{below} does not exist")
        entries.sort(key=lambda entry: entry["path"])
        at = int(asked.query.get("cursor", 0))
        answer = _json(entries[at : at + self.page])
        if at + self.page < len(entries):
            target = asked.target.partition("&cursor=")[0]
            link = f'<{self.url}{target}&cursor={at + self.page}>; rel="next"'
            answer.headers = {**answer.headers, "Link": link}
        return answer

    def _file(self, name: str, revision: str, path: str) -> Answer:
        repository = self.repositories[name]
        commit = repository.branches.get(revision, revision)
        data = repository.commits.get(commit, {}).get(path)
        if data is None:
            return _error(404, "EntryNotFound", f"{path} does not exist on {revision}")
        if path.endswith(_LARGE):
            target = f"{self.cdn.url}/{name}/{commit}/{quote(path)}?X-Amz-Signature=5ec4e7"
            return Answer(302, b"", {"Location": target, "X-Repo-Commit": commit})
        return Answer(
            200, data, {"ETag": f'"{_git_hash(data)}"', "X-Repo-Commit": commit}, has_ranges=True
        )

    def _stored(self, asked: Asked) -> Answer:
        """What the other server has: whoever has the signature may have it."""
        for name, repository in self.repositories.items():
            for commit, files in repository.commits.items():
                path = asked.path.removeprefix(f"/{name}/{commit}/")
                if path in files and asked.query.get("X-Amz-Signature") == "5ec4e7":
                    return Answer(200, files[path], has_ranges=True)
        return Answer(403, b"<Error>AccessDenied</Error>")


def _entry(repository: Repository, path: str, data: bytes) -> dict[str, object]:
    entry = {"type": "file", "oid": _git_hash(data), "size": len(data), "path": path}
    if path.endswith(_LARGE):
        told = repository.told_sha256.get(path, hashlib.sha256(data).hexdigest())
        entry["lfs"] = {"oid": told, "size": len(data), "pointerSize": 134}
        entry["xetHash"] = "0" * 64
    return entry


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _error(status: int, code: str | None, message: str) -> Answer:
    headers = {"X-Error-Message": message, "Content-Type": "application/json"}
    if code is not None:
        headers["X-Error-Code"] = code
    return Answer(status, json.dumps({"error": message}).encode(), headers)


@contextmanager
def running_hub(tls: ssl.SSLContext | None = None) -> Iterator[Hub]:
    """Run a hub while the block runs."""
    hub = Hub(tls)
    try:
        yield hub
    finally:
        hub.close()
