# An image with the project and its environment, for the head and the workers of a cluster (rayjob.yaml, sky.yaml).
#
#     docker build -t aman:cpu .                                  # without GPUs
#     docker build -t aman:cuda --build-arg TORCH=locked .        # with CUDA, exactly as requirements.lock has it
#
# TORCH=cpu takes PyTorch's builds without CUDA, of the versions in requirements.lock: the image has less than half of
# the size. They have other hashes, so that of torch and torchvision the version is checked and not the hash.
FROM python:3.11-slim-bookworm

ARG TORCH=cpu

RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 wget \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 ray \
 && install -d -o ray -g ray /home/ray/aman
USER ray
WORKDIR /home/ray/aman
ENV PATH=/home/ray/aman/.venv/bin:/home/ray/.local/bin:$PATH OMP_NUM_THREADS=1 \
    RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0

COPY --chown=ray:ray requirements.lock pyproject.toml README.md ./
RUN python -m venv .venv && .venv/bin/pip install -q --no-cache-dir uv \
 && if [ "$TORCH" = locked ]; then cp requirements.lock /tmp/rest.lock; else \
      grep -oE '^(torch|torchvision)==[0-9.]+' requirements.lock > /tmp/torch.txt \
      && .venv/bin/uv pip install -q --no-cache --python .venv/bin/python --torch-backend "$TORCH" -r /tmp/torch.txt \
      && awk '/^[a-z0-9]/ {skip = /^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z]*)==/} !skip' requirements.lock \
           > /tmp/rest.lock; fi \
 && .venv/bin/uv pip install -q --no-cache --no-deps --python .venv/bin/python -r /tmp/rest.lock \
 && rm -f /tmp/rest.lock /tmp/torch.txt

COPY --chown=ray:ray aman aman
COPY --chown=ray:ray bench bench
COPY --chown=ray:ray cluster cluster
COPY --chown=ray:ray jobs jobs
COPY --chown=ray:ray tune_spaces tune_spaces
RUN .venv/bin/uv pip install -q --no-cache --python .venv/bin/python --no-deps -e .

CMD ["python", "jobs/loso.py", "--help"]
