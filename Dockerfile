# Builds with plain `docker build -t pollux .`, by BuildKit and by the classic builder alike.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build

# One file that needs no other, of glibc: since 2.34 its static library resolves names from
# /etc/hosts and DNS by itself, and its allocator is faster than musl's.
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The dependencies alone, around a program that does nothing: a layer that stays until Cargo.toml or
# Cargo.lock changes. --target keeps the flags from build scripts and macros, which are not static.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs && \
    cargo build --locked --release --target "$(rustc --print host-tuple)" --bin pollux

# Touched, since cargo goes by times: the files' own may be older than the program above.
COPY src src
RUN touch src/main.rs src/lib.rs && \
    cargo build --locked --release --target "$(rustc --print host-tuple)" --bin pollux && \
    cp "target/$(rustc --print host-tuple)/release/pollux" pollux


FROM scratch

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Pollux" \
      org.opencontainers.image.description="Polls HTTP endpoints once for everybody, through replicas that outlive their leader" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY config/image/ /
# The authorities that https:// and rediss:// trust; SSL_CERT_FILE names others.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/pollux /pollux

USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# The shell that a string would need is not there.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/pollux", "health", "--config", "/etc/pollux/pollux.yaml"]
ENTRYPOINT ["/pollux"]
CMD ["run", "--config", "/etc/pollux/pollux.yaml"]
