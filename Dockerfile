# One image with all programs; compose.yaml says which one a container runs. The default is the launcher:
#   docker build -t openai-router .
#   docker run --rm -p 127.0.0.1:3000:3000 -v router-data:/data -v router-spool:/spool openai-router
# Both volumes count: /spool has the calls that are not in the bill yet.
ARG BASE=debian:trixie-slim

# Redis for compose.yaml's profile of that name, out of Debian's package: docker build --target redis -t openai-router-redis .
# Protected mode would refuse whoever is in another container; its network is its wall, so nobody publishes its port.
FROM ${BASE} AS redis
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \
    && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
USER 10001:10001
WORKDIR /tmp
EXPOSE 6379
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]

FROM ${BASE} AS build
WORKDIR /src
# The packages first: they change seldom, and their layer is kept.
COPY deploy/deps.sh deploy/deps.sh
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make >/dev/null \
    && sh deploy/deps.sh build
COPY . .
# /out/packages: the packages that hold the shared libraries, by the names this Debian gives them.
RUN make -j"$(nproc)" programs \
    && mkdir -p /out/bin /out/lib \
    && for program in gateway authsvc providersvc meterd openai-router routerctl; do \
         strip -o /out/bin/$program build/bin/$program || exit 1; \
       done \
    && if [ -d build/lib ]; then cp build/lib/* /out/lib/; fi \
    && ldd /out/bin/* | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u | xargs realpath \
       | xargs dpkg-query -S 2>/dev/null | sed 's/[:,].*//' | sort -u >/out/packages \
    && test -s /out/packages

FROM ${BASE}
COPY --from=build /out/packages /usr/share/openai-router/packages
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
         ca-certificates $(cat /usr/share/openai-router/packages) >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin router \
    && install -d -o router -g router -m 0700 /data /spool /uploads
COPY --from=build /out/lib/ /usr/local/lib/
COPY --from=build /out/bin/ /usr/local/bin/
COPY deploy/healthcheck.sh /usr/local/bin/healthcheck
# Inside a container every address but loopback is somebody else's: what is published decides compose.yaml.
ENV HOST=0.0.0.0 DB_PATH=/data/app.db SPOOL_DIR=/spool
USER router
WORKDIR /data
EXPOSE 3000
# SIGTERM drains: running calls are finished before the process ends.
STOPSIGNAL SIGTERM
CMD ["openai-router"]
