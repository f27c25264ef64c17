# Two stages: a toolchain to build with, and an image that holds little but the binary.

FROM rust:1-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin pgweir

# glibc, the system's root certificates and a user without rights; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/pgweir /usr/local/bin/pgweir

# Every flag has a variable: PGWEIR_UPSTREAM, PGWEIR_POOL_SIZE, ...; PGWEIR_CONFIG names a file.
# Inside a container only the container itself would reach 127.0.0.1.
ENV PGWEIR_LISTEN=0.0.0.0:6432
EXPOSE 6432

# In exec form, so that pgweir is process 1 and SIGTERM reaches it. Give it more time to stop than
# listen.shutdown_timeout (30s): docker stop -t 35, terminationGracePeriodSeconds: 35.
ENTRYPOINT ["/usr/local/bin/pgweir"]
