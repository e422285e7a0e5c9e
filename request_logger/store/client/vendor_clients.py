"""Two clients behind one interface, and the choice between them.

`elasticsearch` is for Elastic's servers from 7.14 on, which identify themselves in a header of every answer. It refuses
all others: for OpenSearch, Open Distro and the older Elasticsearch builds `elastic_transport`, the layer below that
client, sends HTTP requests and knows no vendor. The choice is made by an answer that only a search engine gives; the
page of a proxy in front of it decides nothing.
"""

from __future__ import annotations

import base64
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlencode

import elastic_transport
import elasticsearch
import urllib3
from elastic_transport.client_utils import url_to_node_config

from request_logger.common.json import loads
from request_logger.common.pieces import Pieces
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError, UnreadableAnswerError
from request_logger.store.client.transport import OneSendNode
from request_logger.store.responses import is_engine_error

_ANY_STATUS = tuple(range(300, 600))
# Another host may answer instead: a proxy answers these while the search engine behind it is away.
_RETRY_STATUS = (502, 503, 504)
# A request waits without a time limit while all connections are in use, so there are more than a worker can use at a
# time (writer, probes, reports). Each is opened when it is needed.
_MOST_CONNECTIONS = 64
# Paths that identify a search engine: some users have no permission for the first, and some builds lack it.
_PROBE_PATHS = ("/", "/_cluster/health")
# Errors of an answer that isn't HTTP, or was cut off.
_BROKEN_ANSWER = (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError, HTTPException, ValueError)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a request. ``timeout`` is in seconds."""

    content_type: str
    params: Mapping[str, str]
    timeout: float


class Client(Protocol):
    """Sends requests to the search engine. Implementations are thread-safe."""

    def request(self, method: str, path: str, body: bytes | Pieces | None, options: Options) -> tuple[int, Any]:
        """Send a request; return the status and the parsed answer, also of an error.

        Raises StoreUnavailableError if there is no readable answer, for any reason.
        """
        ...


def connect(hosts: Sequence[str], settings: Settings) -> Client:
    """Return the client for the search engine that answers.

    Raises StoreUnavailableError if no host gives an answer that only a search engine gives.
    """
    if settings.elasticsearch_cloud_id:
        return _Elastic(hosts, settings)
    transport = _Transport(hosts, settings)
    return _Elastic(hosts, settings) if transport.is_elastic() else transport


def verifies(settings: Settings) -> bool:
    """Return whether the search engine's certificate is verified."""
    # A host of a cloud id has a certificate from a public CA.
    return bool(
        settings.elasticsearch_verify_certs or settings.elasticsearch_ca_cert or settings.elasticsearch_cloud_id
    )


def is_elastic_answer(status: int, headers: Mapping[str, str], raw: str) -> bool | None:
    """Return whether the answer to a probe comes from Elastic's server (7.14 on); None if from no search engine.

    ``headers`` have lower-case names; ``raw`` is the body.
    """
    if headers.get("x-elastic-product") == "Elasticsearch":
        return True
    if "x-opensearch-version" in headers:
        return False
    try:
        answer = loads(raw)
    except json.JSONDecodeError:
        return None
    if status == 200:
        version = answer.get("version") if isinstance(answer, dict) else None
        says_version = isinstance(version, dict) and isinstance(version.get("number"), str)
        says_health = isinstance(answer, dict) and {"cluster_name", "status", "number_of_nodes"} <= answer.keys()
        return False if says_version or says_health else None
    # A search engine's refusal of a path, a method or a user. Wrong credentials and transient errors prove nothing: the
    # same request can have another answer later.
    return False if status in (400, 403, 404, 405) and is_engine_error(status, answer) else None


def _credentials(settings: Settings) -> dict[str, str]:
    """Return the authorization header. The clients' own options refuse passwords that aren't ASCII or Latin-1."""
    if settings.elasticsearch_token:
        return {"authorization": f"Bearer {settings.elasticsearch_token}"}
    if settings.elasticsearch_api_key:
        return {"authorization": f"ApiKey {settings.elasticsearch_api_key}"}
    if settings.elasticsearch_user:
        pair = f"{settings.elasticsearch_user}:{settings.elasticsearch_pass}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


@dataclass(frozen=True, slots=True)
class _NotJson:
    text: str


class _Serializer(elasticsearch.OrjsonSerializer):
    """Sends bytes as they are, and reads JSON; what is none is marked, since the status decides what that means."""

    def dumps(self, data: Any) -> bytes:
        return data if isinstance(data, Pieces) else super().dumps(data)  # type: ignore[return-value]

    def loads(self, data: bytes) -> Any:
        # Documents of other writers may have numbers that orjson refuses.
        try:
            return loads(data) if data else None
        except json.JSONDecodeError:
            return _NotJson(data.decode("utf-8", "replace"))


def _serializers() -> dict[str, elastic_transport.Serializer]:
    """Return the serializers by the media types of requests and answers; a gateway's errors have types of their own."""
    return dict.fromkeys(("application/json", "application/x-ndjson", "application/*"), _Serializer())


def _body_of(status: int, body: Any) -> Any:
    """Return the body of an answer. Raises UnreadableAnswerError where it claims success and is not JSON."""
    if not isinstance(body, _NotJson):
        return body
    if status < 300:
        raise UnreadableAnswerError("the engine's answer can't be read: it is not JSON")
    return body.text


class _Transport:
    def __init__(self, hosts: Sequence[str], settings: Settings) -> None:
        self._transport = elastic_transport.Transport(
            [_node(host, settings) for host in hosts],
            node_class=OneSendNode,
            max_retries=len(hosts) - 1,
            retry_on_status=_RETRY_STATUS,
            meta_header=False,
            serializers=_serializers(),
        )

    def request(self, method: str, path: str, body: bytes | Pieces | None, options: Options) -> tuple[int, Any]:
        target = f"{path}?{urlencode(options.params)}" if options.params else path
        try:
            answer = self._transport.perform_request(
                method,
                target,
                body=body,
                headers={"content-type": options.content_type},
                request_timeout=options.timeout,
            )
        except elastic_transport.SerializationError as error:
            raise _unreadable(error) from None
        except elastic_transport.TransportError as error:
            raise _no_answer(error) from None
        except Exception as error:
            raise _unreadable(error) from None
        return answer.meta.status, _body_of(answer.meta.status, answer.body)

    def is_elastic(self) -> bool:
        """Probe the hosts until one answers as a search engine does. Raises StoreUnavailableError."""
        reason = ""
        for node in self._transport.node_pool.all():
            for path in _PROBE_PATHS:
                try:
                    meta, raw = node.perform_request("GET", path)
                except Exception as error:
                    reason = str(_no_answer(error))
                    break
                found = is_elastic_answer(meta.status, meta.headers, raw.decode("utf-8", "surrogateescape"))
                if found is not None:
                    return found
                reason = f"the engine does not answer: {meta.status} to GET {path} without an engine's answer"
        raise StoreUnavailableError(reason)


def _node(host: str, settings: Settings) -> elastic_transport.NodeConfig:
    node = url_to_node_config(host)
    tls: dict[str, Any] = {}
    if node.scheme == "https":
        tls = {"verify_certs": verifies(settings), "ssl_show_warn": False}
        if settings.elasticsearch_ca_cert:
            tls["ca_certs"] = settings.elasticsearch_ca_cert
    return node.replace(
        headers=_credentials(settings),
        request_timeout=settings.elasticsearch_timeout_seconds,
        connections_per_node=_MOST_CONNECTIONS,
        # As Elastic recommends for its cloud.
        http_compress=bool(settings.elasticsearch_cloud_id),
        **tls,
    )


class _Elastic:
    def __init__(self, hosts: Sequence[str], settings: Settings) -> None:
        client = elasticsearch.Elasticsearch(
            [_node(host, settings) for host in hosts],
            max_retries=len(hosts) - 1,
            serializers=_serializers(),
            node_class=OneSendNode,
        ).options(ignore_status=_ANY_STATUS)
        # Changing options copies the client, which takes as long as a request; there are only a few timeouts.
        self._with_timeout = lru_cache(maxsize=16)(lambda timeout: client.options(request_timeout=timeout))

    def request(self, method: str, path: str, body: bytes | Pieces | None, options: Options) -> tuple[int, Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", elasticsearch.ElasticsearchWarning)
                answer = self._with_timeout(options.timeout).perform_request(
                    method,
                    path,
                    params=dict(options.params),
                    body=body,
                    headers={"content-type": options.content_type, "accept": "application/json"},
                )
        except (elastic_transport.SerializationError, elasticsearch.UnsupportedProductError) as error:
            raise _unreadable(error) from None
        except elasticsearch.ApiError as error:
            return error.meta.status, error.body
        except elastic_transport.TransportError as error:
            raise _no_answer(error) from None
        except Exception as error:
            raise _unreadable(error) from None
        return answer.meta.status, _body_of(answer.meta.status, answer.body)


def _no_answer(error: Exception) -> StoreUnavailableError:
    """Return the error for a failed request, with a short text: the clients' own texts are repetitive."""
    causes = [error, error.__cause__, *getattr(error, "errors", ())]
    broken = next((cause for cause in causes if isinstance(cause, _BROKEN_ANSWER)), None)
    if broken is not None:
        return _unreadable(broken)
    # urllib3 puts the connection before the reason: `_OneSend(host='engine', port=9200): Failed to resolve ...`.
    text = re.sub(r"^\w+\(host='([^']*)', port=(\d+)\): ", r"\1:\2: ", str(getattr(error, "message", None) or error))
    return StoreUnavailableError(f"the engine does not answer: {text.replace(chr(10), ' ')[:200]}")


def _unreadable(error: Exception) -> UnreadableAnswerError:
    """Return the error for an unreadable answer, with the type of its cause: the text may quote documents.

    The clients and their dependencies raise many types (of JSON, encodings, HTTP, recursion), without a complete list.
    All of them mean that there is no usable answer.
    """
    return UnreadableAnswerError(f"the engine's answer can't be read: {type(error).__name__}")
