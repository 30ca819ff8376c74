# One image for every part: web, relay, worker, bank, Flower and the migration differ by their command.
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE}

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/surefoot

# What it needs, before its own code: a change of code does not install everything anew. Wheels only: there is no compiler.
# Each by its hash: what an index serves otherwise is refused, and so is what docker/requirements.txt does not name.
COPY docker/requirements.txt ./
RUN pip install --only-binary :all: --require-hashes -r requirements.txt

COPY setup.cfg pyproject.toml README.md LICENSE celeryconfig.py ./
COPY surefoot surefoot
COPY app app
COPY workers workers
COPY web web
COPY docker docker
RUN pip install --no-deps --no-build-isolation . \
 && rm -rf surefoot app workers web build *.egg-info celeryconfig.py requirements.txt \
 && python -m compileall -q "$(python -c 'import surefoot; print(surefoot.__path__[0])')" \
 && useradd --system --uid 10001 --user-group --home-dir /var/lib/surefoot --create-home surefoot

USER surefoot
# Files that several parts share: mails when SUREFOOT_MAIL is a folder, what Flower keeps. A named volume takes its owner from here.
ENV SUREFOOT_HOME=/var/lib/surefoot
WORKDIR /var/lib/surefoot
VOLUME /var/lib/surefoot
STOPSIGNAL SIGTERM
ENTRYPOINT ["surefoot"]
CMD ["--help"]
