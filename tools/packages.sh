# The Debian 12 packages that Sluice needs, by what for. Sourced by quickstart, tests/run and deploy.
BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libcurl4-openssl-dev libssl-dev libsqlite3-dev libzstd-dev zlib1g-dev
 libfyaml-dev libxxhash-dev librdkafka-dev"
DEMO_PACKAGES="python3-minimal libpython3-stdlib"
TEST_PACKAGES="check libjansson-dev python3 python3-venv python3-jsonschema python3-yaml nodejs@node npm@npm curl openssl unzip zstd git procps ca-certificates
 default-jre-headless@java maven@mvn kcat@kcat"
BENCH_PACKAGES="libjansson-dev libmicrohttpd-dev python3"
