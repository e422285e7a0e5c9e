FROM python:3.12-slim AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock /src/
RUN pip install --no-cache-dir --disable-pip-version-check -r /src/requirements.lock
COPY setup.py setup.cfg pyproject.toml README.md LICENSE /src/
COPY request_logger /src/request_logger
COPY scorers /src/scorers
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps /src

FROM python:3.12-slim
COPY --from=build /opt/venv /opt/venv
# Bytecode was compiled by pip; nothing is written but to /tmp, so that the root file system can be read-only.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8080
# By number: Kubernetes' runAsNonRoot can't check a name.
USER 10001:10001
EXPOSE 8080
CMD ["request-logger", "serve"]
