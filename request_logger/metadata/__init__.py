"""Prediction schemas of deployments: the names and meanings of the columns of requests and responses.

    source = metadata_source(settings)
    schema = source.schema_for(engine, namespace, name, endpoint)
    decoded = apply_schema(decoded, schema, "request")

A schema comes from a file (METADATA_FILE) or from Seldon Deploy's metadata service (DEPLOY_API_HOST). Only the first
event of a deployment waits for it, for at most METADATA_WAIT_SECONDS, and no event is lost if it is unavailable.
"""

from request_logger.metadata.configure import MetadataSettings, metadata_source
from request_logger.metadata.schema import MetadataError, Schema, apply_schema, parse_schema
from request_logger.metadata.service import Deployment
from request_logger.metadata.source import MetadataSource

__all__ = [
    "Deployment",
    "MetadataError",
    "MetadataSettings",
    "MetadataSource",
    "Schema",
    "apply_schema",
    "metadata_source",
    "parse_schema",
]
