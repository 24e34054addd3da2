# Two stages: one that builds the virtual environment, one that only runs it. Debian, because the embedded PostgreSQL has no musl build.
FROM python:3.13-slim-bookworm@sha256:01f42367a0a94ad4bc17111776fd66e3500c1d87c15bbd6055b7371d39c124fb AS build
WORKDIR /srv/ariane
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv .venv && .venv/bin/pip install -q --require-hashes -r requirements.lock
COPY alembic.ini ./
COPY migrations migrations
COPY app app
COPY demo demo
COPY docs docs
RUN .venv/bin/pip install -q --no-deps --no-build-isolation -e . && .venv/bin/python -m compileall -q app demo migrations

FROM python:3.13-slim-bookworm@sha256:01f42367a0a94ad4bc17111776fd66e3500c1d87c15bbd6055b7371d39c124fb
RUN useradd --uid 10001 --create-home --home-dir /var/lib/ariane ariane
COPY --from=build /srv/ariane /srv/ariane
WORKDIR /srv/ariane
ENV PATH=/srv/ariane/.venv/bin:$PATH HOST=0.0.0.0 PORT=8000 ARIANE_DATA=/var/lib/ariane/data
USER ariane
VOLUME /var/lib/ariane
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["ariane", "serve"]
