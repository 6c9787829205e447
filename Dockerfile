# skweiper's command line on a processor, as a user without rights:
#   docker build --tag skweiper .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" skweiper info features.npz
FROM python:3.13-slim AS build
COPY . /source
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.13-slim
COPY constraints/demo.txt /tmp/constraints.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-compile --constraint /tmp/constraints.txt \
        "$(echo /wheels/skweiper-*.whl)[fast,plot,cli,io]" \
    && rm /tmp/constraints.txt \
    && useradd --create-home --uid 10001 skweiper \
    && install --directory --mode 1777 /cache \
    && install --directory --owner skweiper /data
# Any user id must find a folder for compiled loops and fonts.
ENV NUMBA_CACHE_DIR=/cache/numba MPLCONFIGDIR=/cache/matplotlib
USER skweiper
WORKDIR /data
ENTRYPOINT ["skweiper"]
CMD ["--help"]
