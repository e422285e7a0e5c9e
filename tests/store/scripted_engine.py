"""A scripted engine for tests of the index admin: answers from a table, and keeps templates and mappings like one."""

from __future__ import annotations

from typing import Any

from request_logger.settings import Settings
from request_logger.store.indices import templates
from request_logger.store.indices.admin import IndexAdmin
from tests.store.test_responses import error

INDEX = "inference-log-x"
Answer = tuple[int, Any]
DONE: Answer = (200, {"acknowledged": True})
SEARCHED: Answer = (200, {"_shards": {"total": 1, "failed": 0}, "hits": {"hits": []}})
STORED: Answer = (201, {"result": "created", "_shards": {"total": 1, "successful": 1, "failed": 0}})
GONE: Answer = (404, error("index_not_found_exception", 404))
BLOCKED: Answer = (403, error("cluster_block_exception", 403))
FORBIDDEN: Answer = (403, error("security_exception", 403))


class Scripted:
    """An engine that answers from a table, and keeps templates and mappings like one."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.templates: dict[str, Any] = {}
        self.mappings: dict[str, Any] = {}
        self.answers: dict[tuple[str, str], Answer] = {}
        """(method, last word of the path) -> the answer instead of the usual one."""
        self.sent: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.now = 0.0
        self.admin = IndexAdmin(self.request, settings or Settings(), lambda: self.now)

    def request(self, method: str, path: str, body: Any = None, params: Any = None, timeout: Any = None) -> Answer:
        self.sent.append((method, path))
        self.bodies.append(body)
        *_, last = path.strip("/").split("/")
        what = "template" if path.startswith("/_index_template/") else last if last.startswith("_") else "index"
        what = "_doc" if "/_doc/" in path else what
        given = self.answers.get((method, what))
        return given or getattr(self, f"{method.lower()}_{what.strip('_')}")(path.strip("/").split("/"), body)

    def get_template(self, path: list[str], body: Any) -> Answer:
        if path[1] not in self.templates:
            return 404, error("resource_not_found_exception", 404)
        return 200, {"index_templates": [{"name": path[1], "index_template": as_shown(self.templates[path[1]])}]}

    def put_template(self, path: list[str], body: Any) -> Answer:
        self.templates[path[1]] = body
        return DONE

    def get_mapping(self, path: list[str], body: Any) -> Answer:
        return (200, {path[0]: {"mappings": self.mappings[path[0]]}}) if path[0] in self.mappings else GONE

    def put_mapping(self, path: list[str], body: Any) -> Answer:
        self.mappings[path[0]] = {**self.mappings[path[0]], **body}
        return DONE

    def get_settings(self, path: list[str], body: Any) -> Answer:
        return 200, {path[0]: {"settings": {}}}

    def put_settings(self, path: list[str], body: Any) -> Answer:
        return DONE

    def put_index(self, path: list[str], body: Any) -> Answer:
        self.mappings[path[0]] = templates.mapping() if templates.TEMPLATE_NAME in self.templates else {}
        return DONE

    def put_doc(self, path: list[str], body: Any) -> Answer:
        return STORED if path[0] in self.mappings else GONE

    def post_search(self, path: list[str], body: Any) -> Answer:
        return SEARCHED if path[0] in self.mappings else GONE

    def delete_index(self, path: list[str], body: Any) -> Answer:
        return DONE if self.mappings.pop(path[0], None) is not None else GONE

    def asked(self, method: str, end: str = "") -> int:
        """How many requests of a method there were to paths with this end."""
        return sum(each == method and path.endswith(end) for each, path in self.sent)


def as_shown(template: Any) -> Any:
    """A template as an engine shows it: with nested settings, whose values are text."""
    flat = template["template"].get("settings", {})
    nested = {name.removeprefix("index."): str(value) for name, value in flat.items()}
    return {**template, "template": {**template["template"], "settings": {"index": nested}}}
