"""The mapping of an index: check documents and add their new fields."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from tests.simulation.model_flavour import Flavour, Refusal, bad_argument, because
from tests.simulation.model_types import TYPES, BadValue, inferred, is_before

DEFAULT_LIMIT = 1000
_MOST_DEPTH = 20
_ROOT_KEYS = frozenset(
    {
        "dynamic",
        "date_detection",
        "numeric_detection",
        "dynamic_templates",
        "properties",
        "_routing",
        "_meta",
        "_source",
    }
)
_OBJECT_KEYS = frozenset({"type", "dynamic", "enabled", "properties"})
_META_FIELDS = frozenset({"_id", "_source", "_routing", "_index", "_field_names", "_ignored", "_version", "_seq_no"})
Json = dict[str, Any]


class Leaf:
    """A field that holds values. ``given`` is its JSON."""

    __slots__ = ("check", "given", "lenient", "others", "type")

    def __init__(self, given: Json) -> None:
        self.type: str = given["type"]
        self.given = given
        self.lenient = bool(given.get("ignore_malformed"))
        self.check: Callable[[Any, Json], None] = TYPES[self.type]
        self.others = [Leaf(other) for other in given.get("fields", {}).values()]


class Branch:
    """An object field. A ``dynamic`` of None is inherited from its parent."""

    __slots__ = ("children", "dynamic", "enabled", "nested")

    def __init__(self, dynamic: str | None = None, enabled: bool = True, nested: bool = False) -> None:
        self.children: dict[str, Leaf | Branch] = {}
        self.dynamic = dynamic
        self.enabled = enabled
        self.nested = nested

    def copy(self) -> Branch:
        """Return an independent copy; leaves are immutable and shared."""
        made = Branch(self.dynamic, self.enabled, self.nested)
        made.children = {
            name: child.copy() if child.__class__ is Branch else child for name, child in self.children.items()
        }
        return made


class ModelMapping:
    """A tree of fields. Changes are applied immediately and rolled back if a document is refused."""

    shown_by: ClassVar[Callable[[bytes], Json]] = orjson.loads
    """Reads the JSON of a mapping or a template. In schedules it returns one object for one text: see `shared`."""

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._root = Branch()
        self._others: Json = {}
        self.count = 0
        self.limit = DEFAULT_LIMIT
        self.routing_required = False
        self._exists = False
        """Whether there is a mapping, even an empty one: a new index has none before its first document."""
        self._undo: list[tuple[dict[str, Leaf | Branch], str]] = []
        self._new: set[int] = set()
        self._shown: bytes | None = None

    # JSON form

    def as_json(self) -> Json:
        """Return the mapping as the engine shows it, a new object unless `shown_by` shares them."""
        if self._shown is None:
            made = dict(self._others)
            if self._root.dynamic is not None:
                made["dynamic"] = self._root.dynamic
            if self._root.children:
                made["properties"] = {name: _shown(child) for name, child in sorted(self._root.children.items())}
            self._shown = orjson.dumps(made)
        return self.shown_by(self._shown)

    def copy(self) -> ModelMapping:
        """Return an independent copy."""
        made = ModelMapping(self._flavour)
        made._root = self._root.copy()
        made._others = dict(self._others)
        made.count, made.routing_required, made._shown = self.count, self.routing_required, self._shown
        made._exists = self._exists
        return made

    def merge(self, addition: Json) -> None:
        """Merge fields. Raises Refusal and leaves the fields unchanged."""
        unknown = [key for key in addition if key not in _ROOT_KEYS]
        if unknown:
            raise self._bad_mapping(f"Root mapping definition has unsupported parameters: {unknown}")
        self._undo = []
        self._new = set()
        self._shown = None
        count = self.count
        try:
            self._merge_children(self._root, addition.get("properties", {}), "")
            if self.count > self.limit and self.count > count:
                raise bad_argument(f"Limit of total fields [{self.limit}] has been exceeded")
        except Refusal:
            self._roll_back(count)
            raise
        self._exists = self._exists or bool(addition)
        if "dynamic" in addition:
            self._root.dynamic = _dynamic(addition["dynamic"])
        for key in ("date_detection", "numeric_detection", "_meta", "_source"):
            if key in addition:
                self._others[key] = addition[key]
        if "_routing" in addition:
            self._others["_routing"] = addition["_routing"]
            self.routing_required = bool(addition["_routing"].get("required"))
        if "dynamic_templates" in addition:
            self._merge_templates(addition["dynamic_templates"])

    def _merge_templates(self, added: list[Json]) -> None:
        there = {name: rule for entry in self._others.get("dynamic_templates", []) for name, rule in entry.items()}
        there |= {name: rule for entry in added for name, rule in entry.items()}
        self._others["dynamic_templates"] = [{name: rule} for name, rule in there.items()]

    def _merge_children(self, parent: Branch, properties: Json, path: str) -> None:
        for name, given in properties.items():
            there = parent.children.get(name)
            kind = given.get("type", "object")
            whole = path + name
            if kind in ("object", "nested"):
                self._merge_branch(parent, name, there, given, whole)
            else:
                self._check_leaf(whole, given)
                if isinstance(there, Branch):
                    raise bad_argument(f"can't merge a non object mapping [{whole}] with an object mapping")
                if there is not None:
                    if there.type != kind:
                        text = f"mapper [{whole}] cannot be changed from type [{there.type}] to [{kind}]"
                        raise bad_argument(text)
                    continue
                self._add(parent, name, Leaf(given))

    def _merge_branch(self, parent: Branch, name: str, there: Leaf | Branch | None, given: Json, whole: str) -> None:
        unknown = [key for key in given if key not in _OBJECT_KEYS]
        if unknown:
            raise self._bad_mapping(f"Mapping definition for [{whole}] has unsupported parameters: {unknown}")
        if isinstance(there, Leaf):
            raise bad_argument(f"can't merge a non object mapping [{whole}] with an object mapping")
        if there is None:
            enabled = given.get("enabled", True) not in (False, "false")
            there = Branch(_dynamic(given.get("dynamic")), enabled, given.get("type") == "nested")
            self._add(parent, name, there)
        elif "dynamic" in given:
            there.dynamic = _dynamic(given["dynamic"])
        self._merge_children(there, given.get("properties", {}), f"{whole}.")

    def _check_leaf(self, whole: str, given: Json) -> None:
        if given["type"] not in TYPES:
            raise self._bad_mapping(f"No handler for type [{given['type']}] declared on field [{whole}]")
        if "no_such" in given:
            raise self._bad_mapping(f"unknown parameter [no_such] on mapper [{whole}] of type [{given['type']}]")

    def _bad_mapping(self, text: str) -> Refusal:
        cause = because("mapper_parsing_exception", text) if self._flavour.is_elastic else {}
        return Refusal(400, "mapper_parsing_exception", text, **cause)

    def has_points(self, name: str) -> bool:
        """Return whether a field at the top level is indexed; true if there is none."""
        leaf = self._root.children.get(name)
        return not isinstance(leaf, Leaf) or leaf.given.get("index", True) is not False

    # Documents

    def take(self, document: Json, frozen: Refusal | None = None) -> None:
        """Check a document and add its new fields. Raises Refusal and then adds none.

        ``frozen`` is raised if a field would have to be added.
        """
        self._undo = []
        self._new = set()
        count = self.count
        try:
            self._object(self._root, document, "", self._root.dynamic or "true", 1)
            if self.count > count and self.count > self.limit:
                raise self._over_limit()
            if frozen is not None and (self.count > count or not self._exists):
                raise frozen
            self._exists = True
        except Refusal:
            self._roll_back(count)
            raise

    def need(self, frozen: Refusal | None) -> None:
        """Create an empty mapping if there is none. Raises ``frozen`` if it must not be created."""
        if not self._exists and frozen is not None:
            raise frozen
        self._exists = True

    def _over_limit(self) -> Refusal:
        refusal = bad_argument(f"Limit of total fields [{self.limit}] has been exceeded")
        if self._flavour.is_elastic:
            text = "failed to parse: limit of fields"
            return Refusal(400, self._flavour.parsing, text, **because(refusal.type, refusal.reason))
        return refusal

    def _roll_back(self, count: int) -> None:
        for children, name in reversed(self._undo):
            del children[name]
        self.count = count

    def _add(self, parent: Branch, name: str, child: Leaf | Branch) -> None:
        self._shown = None
        parent.children[name] = child
        self._undo.append((parent.children, name))
        self._new.add(id(child))
        self.count += 1 + (len(child.others) if isinstance(child, Leaf) else 0)

    def _object(self, node: Branch, values: Json, path: str, dynamic: str, depth: int) -> None:
        children = node.children
        for name, value in values.items():
            child = children.get(name)
            if child.__class__ is Leaf:
                self._leaf(child, value, path + name)
            elif child is None or "." in name:
                self._unknown(node, name, value, path, dynamic, depth)
            else:
                self._branch(child, value, path + name, dynamic, depth)  # type: ignore[arg-type]

    def _branch(self, child: Branch, value: Any, path: str, dynamic: str, depth: int) -> None:
        if not child.enabled or value is None:
            return
        if value.__class__ is dict:
            self._object(child, value, path + ".", child.dynamic or dynamic, depth + 1)
        elif value.__class__ is list:
            for one in value:
                self._branch(child, one, path, dynamic, depth)
        elif id(child) in self._new and not self._flavour.is_elastic:
            raise bad_argument(f"mapper [{path}] cannot be changed from type [ObjectMapper] to a value")
        else:
            text = f"object mapping for [{path}] tried to parse field [{path}] as object, but found a concrete value"
            raise Refusal(400, self._flavour.parsing, text)

    def _leaf(self, leaf: Leaf, value: Any, path: str) -> None:
        if value is None:
            return
        if value.__class__ is list:
            for one in value:
                self._leaf(leaf, one, path)
            return
        try:
            leaf.check(value, leaf.given)
            if leaf.type == "date" and is_before(value, self._flavour.oldest_date):
                raise BadValue("failed to parse date field")
        except BadValue as bad:
            if leaf.lenient and (not bad.structure or leaf.type in self._flavour.lenient_with_objects):
                return
            raise self._bad_value(leaf, path, bad) from None
        for other in leaf.others:
            self._leaf(other, value, path)

    def _bad_value(self, leaf: Leaf, path: str, bad: BadValue) -> Refusal:
        if bad.immense:
            text = f"Document contains at least one immense term in field [{path}]"
            if self._flavour.is_elastic:
                return Refusal(400, self._flavour.parsing, text, **because("illegal_argument_exception", "too long"))
            refusal = bad_argument(text, **because("max_bytes_length_exceeded_exception", "too long"))
            refusal.numbered = True
            return refusal
        text = f"failed to parse field [{path}] of type [{leaf.type}]"
        return Refusal(400, self._flavour.parsing, text, **because(bad.type, str(bad)))

    def _unknown(self, node: Branch, name: str, value: Any, path: str, dynamic: str, depth: int) -> None:
        if "." in name:
            self._dotted(node, name, value, path, dynamic, depth)
            return
        if not name:
            raise self._bad_name("field name cannot be an empty string")
        if self._flavour.is_elastic and not name.strip():
            raise Refusal(400, self._flavour.parsing, "field name cannot contain only whitespace")
        if dynamic == "false":
            return
        if not path and name in _META_FIELDS:
            raise self._bad_name(f"Field [{name}] is a metadata field and cannot be added inside a document")
        if dynamic == "strict":
            text = (
                f"mapping set to strict, dynamic introduction of [{name}] within [{path[:-1] or '_doc'}] is not allowed"
            )
            raise Refusal(400, "strict_dynamic_mapping_exception", text)
        self._introduce(node, name, value, path, dynamic, depth)

    def _bad_name(self, why: str) -> Refusal:
        text = "failed to parse"
        return Refusal(400, self._flavour.parsing, text, **because("illegal_argument_exception", why))

    def _introduce(self, node: Branch, name: str, value: Any, path: str, dynamic: str, depth: int) -> None:
        if value is None:
            return
        there = node.children.get(name)
        whole = path + name
        if value.__class__ is list:
            for one in value:
                self._introduce(node, name, one, path, dynamic, depth)
        elif there is not None and self._flavour.is_elastic:
            # Its first value has determined its type, as if the field had existed before.
            self._object(node, {name: value}, path, dynamic, depth)
        elif value.__class__ is dict:
            if isinstance(there, Leaf):
                raise bad_argument(f"mapper [{whole}] cannot be changed from type [{there.type}] to [ObjectMapper]")
            if there is None:
                if depth >= _MOST_DEPTH:
                    raise bad_argument(f"Limit of mapping depth [{_MOST_DEPTH}] has been exceeded due to [{whole}]")
                there = Branch()
                self._add(node, name, there)
            self._branch(there, value, whole, dynamic, depth)
        else:
            leaf = Leaf(self._given(name, whole, value))
            if there is None:
                self._add(node, name, leaf)
            elif isinstance(there, Branch) or there.type != leaf.type:
                raise bad_argument(f"mapper [{whole}] cannot be changed to type [{leaf.type}]")
            self._leaf(leaf, value, whole)

    def _given(self, name: str, whole: str, value: Any) -> Json:
        kind, found = inferred(value, self._others.get("date_detection") is not False)
        for entry in self._others.get("dynamic_templates", ()):
            ((_, rule),) = entry.items()
            if _matches(rule, kind, name, whole):
                return {"type": kind, **rule["mapping"]}
        return found

    def _dotted(self, node: Branch, name: str, value: Any, path: str, dynamic: str, depth: int) -> None:
        # Java's split ignores trailing empty parts.
        parts = name.rstrip(".").split(".")
        if any(not part.strip() for part in parts):
            raise self._bad_name(
                f"object field starting or ending with a [.] makes object resolution ambiguous: [{name}]"
            )
        first, rest = parts[0], ".".join(parts[1:])
        there = node.children.get(first)
        if there is None and value is None and not self._flavour.is_elastic and dynamic != "strict":
            # Only Elasticsearch 8 and later expands the name before it looks at the value.
            return
        if rest and isinstance(there, Leaf):
            if id(there) in self._new and not self._flavour.is_elastic:
                raise bad_argument(
                    f"mapper [{path}{first}] cannot be changed from type [{there.type}] to [ObjectMapper]"
                )
            text = f"Could not dynamically add mapping for field [{name}]. [{path}{first}] is no object"
            cause = because("illegal_argument_exception", text) if self._flavour.is_elastic else {}
            raise Refusal(400, self._flavour.parsing, text, **cause)
        self._object(node, {first: {rest: value} if rest else value}, path, dynamic, depth)


def _shown(child: Leaf | Branch) -> Json:
    if isinstance(child, Leaf):
        return dict(child.given)
    made: Json = {"type": "nested"} if child.nested else {}
    if child.dynamic is not None:
        made["dynamic"] = child.dynamic
    if not child.enabled:
        made |= {"type": "object", "enabled": False}
    if child.children:
        made["properties"] = {name: _shown(inner) for name, inner in sorted(child.children.items())}
    return made or {"type": "object"}


def _dynamic(value: Any) -> str | None:
    return None if value is None else str(value).lower()


def _matches(rule: Mapping[str, Any], kind: str, name: str, whole: str) -> bool:
    wanted = rule.get("match_mapping_type", "*")
    return (
        wanted in ("*", kind)
        and fnmatch.fnmatchcase(name, rule.get("match", "*"))
        and fnmatch.fnmatchcase(whole, rule.get("path_match", "*"))
        and not ("unmatch" in rule and fnmatch.fnmatchcase(name, rule["unmatch"]))
    )
