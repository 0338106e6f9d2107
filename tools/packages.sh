# The Debian 12 packages that Sluice needs, by what for. Sourced by quickstart, tests/run and deploy.
BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libcurl4-openssl-dev libssl-dev libsqlite3-dev libzstd-dev zlib1g-dev
 libfyaml-dev libxxhash-dev librdkafka-dev"
DEMO_PACKAGES="python3-minimal libpython3-stdlib"
TEST_PACKAGES="check libjansson-dev python3 python3-venv nodejs@node npm@npm curl openssl unzip zstd git procps ca-certificates
 default-jre-headless@java maven@mvn kcat@kcat python3-yaml python3-jsonschema debootstrap@debootstrap prometheus@promtool etcd-server@etcd
 strace@strace systemd@systemd-analyze util-linux@unshare"
BENCH_PACKAGES="libjansson-dev libmicrohttpd-dev python3"
