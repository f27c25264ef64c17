# Two stages: a toolchain to build with, and an image that holds little but the binary.

FROM rust:1-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin pgweir

# glibc, libgcc, the system's root certificates and a user without rights (65532); no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/pgweir /usr/local/bin/pgweir

# Every flag has a variable: PGWEIR_UPSTREAM, PGWEIR_POOL_SIZE, ...; PGWEIR_CONFIG names a file.
# Inside a container only the container itself would reach 127.0.0.1.
ENV PGWEIR_LISTEN=0.0.0.0:6432
EXPOSE 6432

# The binary asks itself, at the address that the variables above or the file name.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
    CMD ["/usr/local/bin/pgweir", "check", "--live"]

# In exec form, so that pgweir is process 1 and signals reach it: SIGTERM drains, SIGHUP reloads.
# Give it more time to stop than listen.shutdown_timeout (30s): docker stop -t 35,
# stop_grace_period: 35s, terminationGracePeriodSeconds: 35.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/pgweir"]
