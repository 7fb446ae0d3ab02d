.PHONY: run build execd egress base-image test bench fuzz lint deps build-deps clean

STATE ?= /var/lib/sallyport

# The server with the local runtime, in the foreground. Sandboxes outlive it; the next run finds them.
run: deps execd base-image
	swift build -c release --product sallyport
	@exec .build/release/sallyport serve --state-directory $(STATE) $(SERVE_FLAGS)

build: execd
	swift build -c release

# sallyport/base:latest, of Debian packages.
base-image: deps
	@./scripts/base-image.sh $(STATE)/base

# What every sandbox starts with: static, since it is put into images with no library to rely on.
execd: build-deps
	swift build -c release --product execd -Xswiftc -static-executable -Xlinker -s --scratch-path .build-static

# The guard beside a sandbox: Swift's libraries and most others inside, and nothing exported, so that it starts in
# milliseconds and shares nothing by writing. What little the dynamic linker has to find it finds at once (-z now), and
# then closes its tables.
EGRESS_LIBRARIES = $(CURDIR)/.build-egress/libraries
egress: build-deps
	@./scripts/static-libraries.sh $(EGRESS_LIBRARIES)
	swift build -c release --product sallyport-egress --static-swift-stdlib --scratch-path .build-egress \
	    --pkg-config-path $(EGRESS_LIBRARIES) -Xlinker --no-export-dynamic -Xlinker -z -Xlinker now

test: deps execd
	./scripts/test.sh

# Each prints medians beside a peer's, and their ratio.
bench: deps execd egress base-image
	swift build -c release
	.build/release/benchmark-create
	.build/release/benchmark-patch
	.build/release/benchmark-patch 4096 100000
	.build/release/benchmark-scale
	.build/release/benchmark-flow
	.build/release/benchmark-first-connection
	.build/release/benchmark-first-connection 100 4096 1000
	.build/release/benchmark-first-connection 10 4096 100000
	./scripts/install-deps.sh dnsperf dnsdist unbound
	python3 Benchmarks/DNS/dns.py
	BASE=$(STATE)/base python3 Benchmarks/Appliance/appliance.py
	python3 Benchmarks/Sidecar/start.py
	./scripts/bench-gateway.sh http1
	./scripts/bench-gateway.sh http2
	./scripts/bench-gateway.sh idle-websockets

# Every parser against RUNS inputs of libFuzzer's; what it finds worth keeping becomes part of Tests/FuzzTests/Corpus.
RUNS ?= 1000000
fuzz: deps
	./scripts/fuzz.sh $(RUNS) $(TARGETS)

# The formatter's rules, and every warning of our own sources as an error.
lint: deps
	swift format lint --strict --recursive Sources Tests Benchmarks Package.swift
	SALLYPORT_STRICT=1 swift build --build-tests --scratch-path .build-lint

deps:
	@./scripts/install-deps.sh

# An image in which the sidecar is built needs no nginx.
build-deps:
	@./scripts/install-deps.sh --build

clean:
	rm -rf .build .build-*
