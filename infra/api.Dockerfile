# The API with its page, the relay and the migrations, all without torch; the command decides.
# From the repository: docker build --file infra/api.Dockerfile .

# --- the page, into api/page ---
FROM node:24-slim AS page
WORKDIR /app/web
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web ./
RUN npm run build

# --- the models, loaded in torch once and exported; the next stage takes the exports alone ---
FROM python:3.11-slim AS models

# The index that PyTorch's installation page gives for CPU; without it pip takes the CUDA build.
ARG TORCH_INDEX_URL=""

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 ENCODER_EXPORTS_DIR=/app/exports
WORKDIR /app
# No dependency is looked for, for the locks are complete.
COPY infra/worker.lock infra/torch-cpu.lock infra/torch-cuda.lock infra/
RUN pip install --no-deps --require-hashes --requirement infra/worker.lock
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        pip install --no-deps --require-hashes \
            --extra-index-url "$TORCH_INDEX_URL" --requirement infra/torch-cpu.lock; \
    else \
        pip install --no-deps --require-hashes --requirement infra/torch-cuda.lock; \
    fi
COPY constraints.txt pyproject.toml README.md ./
COPY scenebook scenebook
RUN pip install --no-deps --no-build-isolation --editable .
RUN TEXT_EMBEDDING_PROVIDER=local scenebook models export text

# BAKE_CLIP=1 exports this CLIP model too; the hub must be in reach for any but `figures`.
ARG BAKE_CLIP=""
ARG CLIP_MODEL_NAME="ViT-B-32"
ARG CLIP_PRETRAINED="openai"
RUN if [ -n "$BAKE_CLIP" ]; then \
        scenebook models export clip && rm -rf /tmp/clip_cache; \
    fi

# --- what runs ---
FROM python:3.11-slim

# `::` is all interfaces, of IPv4 too; a private network may speak nothing but IPv6.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    ENCODER_EXPORTS_DIR=/app/exports ENCODER_RUNTIME=onnx API_HOST=::
WORKDIR /app
COPY infra/api.lock infra/
RUN pip install --no-deps --require-hashes --requirement infra/api.lock
COPY constraints.txt pyproject.toml README.md ./
COPY scenebook scenebook
COPY api api
COPY worker worker
COPY migrations migrations
COPY --from=page /app/api/page api/page
COPY --from=models /app/exports exports
RUN pip install --no-deps --no-build-isolation --editable . && pip check
RUN useradd --create-home scenebook
USER scenebook

# No HEALTHCHECK: the relay runs from here too. Ask the API for /readyz; /livez says less.
EXPOSE 8000
CMD ["python", "-m", "api"]
