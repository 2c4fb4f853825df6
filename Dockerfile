# The program on a small Debian. It runs as a user that can write only to /var/lib/proxymeter.
#
#   docker build --build-arg PROXYMETER_REVISION="$(git rev-parse --short HEAD)" --tag proxymeter .
#   docker run --publish 127.0.0.1:10057:10057 --volume "$PWD/exporter.toml:/etc/proxymeter/exporter.toml:ro" \
#       --volume proxymeter:/var/lib/proxymeter proxymeter
#
# Without a file: --env PROXYMETER_CONFIG="$(cat exporter.toml)" in place of the first volume, and an environment variable for
# each secret, such as --env PROXYMETER_MARZBAN_HOME_PASSWORD.
#
# Other users of this machine, and pages in its browsers, can reach a published port: set a password in [web.basic_auth].
#
# The volume proxymeter keeps the data that must survive the container. Without a name, every new container starts with an
# empty volume. A host folder in its place must belong to the user 65532, which must also be able to read exporter.toml.
#
# packaging/compose runs it together with Prometheus and Grafana.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The revision for --version, because there is no .git here.
ARG PROXYMETER_REVISION=unknown
ENV PROXYMETER_REVISION=$PROXYMETER_REVISION
RUN cargo build --release --locked && install -D target/release/proxymeter /out/proxymeter && mkdir /out/empty

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/proxymeter /usr/bin/proxymeter
# A new volume gets the owner of this folder.
COPY --from=build --chown=65532:65532 --chmod=700 /out/empty /var/lib/proxymeter

ARG PROXYMETER_REVISION=unknown
LABEL org.opencontainers.image.title="proxymeter" \
      org.opencontainers.image.description="Prometheus exporter and alerting daemon for Marzban and PasarGuard proxy panels" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$PROXYMETER_REVISION"

USER 65532:65532
# Of exporter.toml, unless the configuration is in the environment.
WORKDIR /etc/proxymeter
VOLUME /var/lib/proxymeter
EXPOSE 10057
# With passwords or a token, the check needs open_health = true in [web] to detect a stuck part of the daemon. Without
# this, a 401 or a demand for a certificate counts as healthy.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["/usr/bin/proxymeter", "healthcheck", "--web.listen-address=127.0.0.1:10057"]
ENTRYPOINT ["/usr/bin/proxymeter"]
# It listens on all addresses of the container. The published ports decide which clients can reach it.
CMD ["--storage.path=/var/lib/proxymeter", "--web.listen-address=:10057"]
