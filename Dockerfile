# docker build -t <registry>/seldon-request-logger:0.1.0 .            the logger
# docker build -t request-logger-demo --target demo .                 the logger with the packages of `request-logger demo`
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
RUN python -m venv --without-pip /opt/venv
COPY requirements.lock /src/
RUN pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check -r /src/requirements.lock
COPY setup.py setup.cfg pyproject.toml README.md LICENSE /src/
COPY request_logger /src/request_logger
COPY scorers /src/scorers
RUN pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --no-deps /src
# Tests and type stubs of libraries are not needed at run time.
RUN find /opt/venv/lib -depth '(' -type d -name tests -o -type f -name '*.pyi' ')' -exec rm -rf '{}' +

FROM build AS build-demo
COPY requirements-dev.lock /src/
RUN pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --constraint /src/requirements-dev.lock scikit-learn

FROM python:${PYTHON}-slim AS runtime
# No packages are installed in a running container.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/*
# pip has compiled the bytecode; only /tmp is written to, so that the root file system can be read-only.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8080
# A number, since Kubernetes' runAsNonRoot can't check a name.
USER 10001:10001
EXPOSE 8080
# Checks the process, not the search engine: a restart would not repair that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]
CMD ["request-logger", "serve"]

FROM runtime AS demo
COPY --from=build-demo /opt/venv /opt/venv
HEALTHCHECK NONE
CMD ["request-logger", "demo", "--once"]

FROM runtime AS logger
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="seldon-request-logger" \
      org.opencontainers.image.description="Request logger for Seldon and KServe that scores predictions inside Elasticsearch or OpenSearch" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
