# The program alone on a small Debian, run by a user who may do nothing but write to /var/lib/proxymeter.
#
#   docker build --build-arg PROXYMETER_REVISION="$(git rev-parse --short HEAD)" --tag proxymeter .
#   docker run --publish 127.0.0.1:10057:10057 --volume "$PWD/exporter.toml:/etc/proxymeter/exporter.toml:ro" \
#       --volume proxymeter:/var/lib/proxymeter proxymeter
#
# What must outlive the container is in the volume proxymeter; without that name every container would begin with one of
# its own. A folder of this machine in its place must belong to 65532, who also has to be able to read exporter.toml.
#
# packaging/compose has it together with Prometheus and Grafana.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# What --version says it was built from; there is no .git here to ask.
ARG PROXYMETER_REVISION=unknown
ENV PROXYMETER_REVISION=$PROXYMETER_REVISION
RUN cargo build --release --locked && install -D target/release/proxymeter /out/proxymeter && mkdir /out/empty

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/proxymeter /usr/bin/proxymeter
# A volume has the owner that its folder has here.
COPY --from=build --chown=65532:65532 --chmod=700 /out/empty /var/lib/proxymeter

ARG PROXYMETER_REVISION=unknown
LABEL org.opencontainers.image.title="proxymeter" \
      org.opencontainers.image.description="Prometheus exporter and alerting daemon for Marzban and PasarGuard proxy panels" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$PROXYMETER_REVISION"

# glibc keeps freed memory apart for each thread; without this it is up to half as much again.
ENV MALLOC_ARENA_MAX=1
USER 65532:65532
VOLUME /var/lib/proxymeter
EXPOSE 10057
# With passwords or a token it needs open_health = true in [web] to see that a part of the daemon is stuck: an answer of
# 401 or a demand for a certificate only shows that somebody answers.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["/usr/bin/proxymeter", "healthcheck", "--web.listen-address=127.0.0.1:10057"]
ENTRYPOINT ["/usr/bin/proxymeter"]
# In the container it listens on all addresses; who can reach it is decided by what is published.
CMD ["--config.file=/etc/proxymeter/exporter.toml", "--storage.path=/var/lib/proxymeter", "--web.listen-address=:10057"]
