"""Builds the metadata source from settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from request_logger.metadata.file import MetadataFile
from request_logger.metadata.oidc import DEFAULT_SCOPES, OidcOptions
from request_logger.metadata.schema import MetadataError
from request_logger.metadata.service import DeployService
from request_logger.metadata.source import MetadataSource


class MetadataSettings(Protocol):
    """The settings that this package reads: request_logger.settings.Settings has them all."""

    @property
    def deploy_api_host(self) -> str:
        """URL of Seldon Deploy's API; empty: no service."""

    @property
    def oidc_provider(self) -> str:
        """Issuer of its tokens; empty: no tokens are sent."""

    @property
    def client_id(self) -> str:
        """Client at the issuer."""

    @property
    def client_secret(self) -> str:
        """Its secret."""

    @property
    def oidc_scopes(self) -> str:
        """Scopes to ask for, with spaces."""

    @property
    def oidc_username(self) -> str:
        """User of the password grant."""

    @property
    def oidc_password(self) -> str:
        """Password of the password grant."""

    @property
    def oidc_resource(self) -> str:
        """Resource to ask for; empty: none."""

    @property
    def oidc_auth_method(self) -> str:
        """password_grant or client_credentials."""

    @property
    def verify_ssl(self) -> bool:
        """Whether certificates of the service and the issuer are verified."""

    @property
    def metadata_file(self) -> str:
        """Path of the file of schemas; empty: no file."""

    @property
    def metadata_ttl_seconds(self) -> float:
        """How long a schema is used before it is fetched again."""

    @property
    def metadata_wait_seconds(self) -> float:
        """How long the first event of a deployment waits for the service at most."""


def metadata_source(settings: MetadataSettings, happened: Callable[[str], None] | None = None) -> MetadataSource:
    """Return the source for the settings; sends nothing yet.

    Raises MetadataError, with one line per problem, if the file or a setting is wrong.
    """
    problems: list[str] = []
    file, service = None, None
    try:
        if settings.metadata_file:
            file = MetadataFile(settings.metadata_file)
    except MetadataError as error:
        problems.extend(f"METADATA_FILE: {line}" for line in str(error).splitlines())
    try:
        if settings.deploy_api_host:
            service = DeployService(settings.deploy_api_host, _oidc(settings), verify_ssl=settings.verify_ssl)
    except MetadataError as error:
        problems.extend(str(error).splitlines())
    if problems:
        raise MetadataError("\n".join(problems))
    return MetadataSource(
        service.prediction_schema if service else None,
        file,
        ttl_seconds=settings.metadata_ttl_seconds,
        wait_seconds=settings.metadata_wait_seconds,
        happened=happened,
    )


def _oidc(settings: MetadataSettings) -> OidcOptions | None:
    if not settings.oidc_provider:
        return None
    return OidcOptions(
        provider=settings.oidc_provider,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        scopes=settings.oidc_scopes or DEFAULT_SCOPES,
        username=settings.oidc_username,
        password=settings.oidc_password,
        resource=settings.oidc_resource,
        auth_method=settings.oidc_auth_method,
    )
