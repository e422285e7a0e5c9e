"""Two ways to send a request to the engine, and the choice between them.

Elastic's servers from 7.14 on, which name themselves in a header of every answer, get Elastic's own client,
`elasticsearch`. It refuses all others: OpenSearch, Open Distro and the older builds of Elastic's get
`elastic_transport`, the layer below that client, which sends HTTP requests and knows no vendor. The choice is made by
an answer that only an engine gives; the page of a proxy before it decides nothing.
"""

from __future__ import annotations

import base64
import json
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
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError, UnreadableAnswerError
from request_logger.store.client.transport import OneSendNode
from request_logger.store.responses import is_engine_error

_ANY_STATUS = tuple(range(300, 600))
# Of another host: what stands before an engine answers these while that engine is away.
_RETRY_STATUS = (502, 503, 504)
# A request waits for a connection without a limit of time where all are in use, so that there are more than a worker
# has uses for: the writer, probes and reports. Each is opened when it is needed.
_MOST_CONNECTIONS = 64
# What may be asked of an engine to learn what it is: the first may be closed to some users, and some builds lack it.
_QUESTIONS = ("/", "/_cluster/health")
# Something came, and it was not HTTP, or broke off.
_BROKEN_ANSWER = (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError, HTTPException, ValueError)


@dataclass(frozen=True, slots=True)
class Options:
    """How a request is sent. ``timeout`` is in seconds."""

    content_type: str
    params: Mapping[str, str]
    timeout: float


class Client(Protocol):
    """Sends requests to an engine."""

    def request(self, method: str, path: str, body: bytes | None, options: Options) -> tuple[int, Any]:
        """Return the status and the parsed answer, also of an error.

        Raises StoreUnavailableError where there is no answer that can be read, whatever the reason.
        """
        ...


def connect(hosts: Sequence[str], settings: Settings) -> Client:
    """Return the client of the kind of engine that answers.

    Raises StoreUnavailableError where none of the hosts gives an answer that only an engine gives.
    """
    if settings.elasticsearch_cloud_id:
        return _Elastic(hosts, settings)
    transport = _Transport(hosts, settings)
    return _Elastic(hosts, settings) if transport.is_elastic() else transport


def verifies(settings: Settings) -> bool:
    """Return whether the engine's certificate is verified."""
    # What answers to a cloud id has a certificate that every machine knows.
    return bool(
        settings.elasticsearch_verify_certs or settings.elasticsearch_ca_cert or settings.elasticsearch_cloud_id
    )


def is_of_elastic(status: int, headers: Mapping[str, str], raw: str) -> bool | None:
    """Return whether an answer to one of the questions is of Elastic's server; None where it is of no engine.

    ``headers`` have names in lower case; ``raw`` is the body.
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
    # An engine's own refusal of the question: of a path, a method or a user. Wrong credentials and what passes say
    # nothing: the same request can have another answer later.
    return False if status in (400, 403, 404, 405) and is_engine_error(status, answer) else None


def _credentials(settings: Settings) -> dict[str, str]:
    """Give the header that says who asks. The clients' own ways refuse a password that isn't ASCII or Latin-1."""
    if settings.elasticsearch_token:
        return {"authorization": f"Bearer {settings.elasticsearch_token}"}
    if settings.elasticsearch_api_key:
        return {"authorization": f"ApiKey {settings.elasticsearch_api_key}"}
    if settings.elasticsearch_user:
        pair = f"{settings.elasticsearch_user}:{settings.elasticsearch_pass}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


class _Serializer(elasticsearch.OrjsonSerializer):
    def loads(self, data: Any) -> Any:
        # Documents of other writers may have numbers that orjson refuses.
        return loads(data)


class _Transport:
    def __init__(self, hosts: Sequence[str], settings: Settings) -> None:
        self._transport = elastic_transport.Transport(
            [_node(host, settings) for host in hosts],
            node_class=OneSendNode,
            max_retries=len(hosts) - 1,
            retry_on_status=_RETRY_STATUS,
            meta_header=False,
            serializers={_Serializer.mimetype: _Serializer()},
        )

    def request(self, method: str, path: str, body: bytes | None, options: Options) -> tuple[int, Any]:
        target = f"{path}?{urlencode(options.params)}" if options.params else path
        try:
            answer = self._transport.perform_request(
                method,
                target,
                body=body,
                headers={"content-type": options.content_type},
                request_timeout=options.timeout,
            )
            return answer.meta.status, answer.body
        except elastic_transport.SerializationError as error:
            raise _unreadable(error) from None
        except elastic_transport.TransportError as error:
            raise _no_answer(error) from None
        except Exception as error:
            raise _unreadable(error) from None

    def is_elastic(self) -> bool:
        """Ask the hosts what they are, until one gives an answer of an engine. Raises StoreUnavailableError."""
        reason = ""
        for node in self._transport.node_pool.all():
            for path in _QUESTIONS:
                try:
                    meta, raw = node.perform_request("GET", path)
                except Exception as error:
                    reason = str(_no_answer(error))
                    break
                found = is_of_elastic(meta.status, meta.headers, raw.decode("utf-8", "surrogateescape"))
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
            serializer=_Serializer(),
            node_class=OneSendNode,
        ).options(ignore_status=_ANY_STATUS)
        # The client makes a new one of itself for other options, which takes as long as the request. There are few.
        self._waiting = lru_cache(maxsize=16)(lambda timeout: client.options(request_timeout=timeout))

    def request(self, method: str, path: str, body: bytes | None, options: Options) -> tuple[int, Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", elasticsearch.ElasticsearchWarning)
                answer = self._waiting(options.timeout).perform_request(
                    method,
                    path,
                    params=dict(options.params),
                    body=body,
                    headers={"content-type": options.content_type, "accept": "application/json"},
                )
            return answer.meta.status, answer.body
        except (elastic_transport.SerializationError, elasticsearch.UnsupportedProductError) as error:
            raise _unreadable(error) from None
        except elasticsearch.ApiError as error:
            return error.meta.status, error.body
        except elastic_transport.TransportError as error:
            raise _no_answer(error) from None
        except Exception as error:
            raise _unreadable(error) from None


def _no_answer(error: Exception) -> StoreUnavailableError:
    """Say what failed in a few words; the clients' own texts repeat themselves."""
    causes = [error, error.__cause__, *getattr(error, "errors", ())]
    broken = next((cause for cause in causes if isinstance(cause, _BROKEN_ANSWER)), None)
    if broken is not None:
        return _unreadable(broken)
    text = str(getattr(error, "message", None) or error)
    return StoreUnavailableError(f"the engine does not answer: {text.replace(chr(10), ' ')[:200]}")


def _unreadable(error: Exception) -> UnreadableAnswerError:
    """Say what kind of error it was: its text may quote the answer, and with it documents.

    The clients and what they are made of raise many kinds (of JSON, of encodings, of HTTP, of recursion), and future
    no list of them; whatever it is, the engine gave no answer that can be used.
    """
    return UnreadableAnswerError(f"the engine's answer can't be read: {type(error).__name__}")
