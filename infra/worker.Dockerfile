# The worker: decoding, and every model that it may be asked to run.
# From the repository: docker build --file infra/worker.Dockerfile .
FROM python:3.11-slim

# The index that PyTorch's installation page gives for CPU; without it pip takes the CUDA build.
ARG TORCH_INDEX_URL=""

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    ENCODER_EXPORTS_DIR=/app/exports HF_HOME=/app/hub
WORKDIR /app
# Every file by its hash, also of the extras that are off: text, clip, speech, onnx, export.
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
COPY worker worker
COPY migrations migrations
RUN pip install --no-deps --no-build-isolation --editable . && pip check
# The default text model runs without torch from here on.
RUN TEXT_EMBEDDING_PROVIDER=local scenebook models export text

# Weights that a worker would load from the hub when it first needs them. BAKE_CLIP=1 exports this
# CLIP model; BAKE_WHISPER names a model of faster-whisper, as WHISPER_MODEL does.
ARG BAKE_CLIP=""
ARG CLIP_MODEL_NAME="ViT-B-32"
ARG CLIP_PRETRAINED="openai"
RUN if [ -n "$BAKE_CLIP" ]; then \
        scenebook models export clip && rm -rf /tmp/clip_cache; \
    fi
ARG BAKE_WHISPER=""
RUN mkdir -p /app/hub && if [ -n "$BAKE_WHISPER" ]; then \
        python -c 'import sys; from faster_whisper import download_model; download_model(sys.argv[1])' \
            "$BAKE_WHISPER"; \
    fi

# Weights that were not baked are kept where they are loaded to.
RUN useradd --create-home scenebook && chown -R scenebook exports hub
USER scenebook

# No HEALTHCHECK: a worker that does not work ends itself, with status 70, and is started again.
CMD ["python", "-m", "celery", "-A", "worker.app", "worker", "--without-gossip", "--without-mingle", "-O", "fair"]
