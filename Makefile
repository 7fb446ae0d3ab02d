.PHONY: run build execd egress images deb base-image api-pages test test-long test-machine bench fuzz lint reference build-deps run-deps test-deps clean FORCE

STATE ?= /var/lib/sallyport

# The server with the local runtime, in the foreground. Sandboxes outlive it; the next run finds them.
run: .build/sallyport.stamp .build-static/execd.stamp base-image api-pages
	@exec .build/release/sallyport serve --state-directory $(STATE) $(SERVE_FLAGS)

build: execd
	swift build -c release

# `swift build` takes 5 s to find that there is nothing to build. While no source, folder of sources or toolchain is newer
# than the last build of a program, and the program is there, it is not asked.
SOURCES = Package.swift $(shell find Sources) $(realpath $(shell command -v swift))
if-missing = $(if $(wildcard $(1)),,FORCE)

.build/sallyport.stamp: $(SOURCES) $(call if-missing,.build/release/sallyport) | run-deps
	swift build -c release --product sallyport
	@touch $@

# sallyport/base:latest, of Debian packages; with CODE=1 sallyport/code:latest, too, with a Jupyter server and its kernels.
CODE ?=
base-image: run-deps
	@./scripts/base-image.sh $(STATE)/base
	$(if $(CODE),@./scripts/code-image.sh $(STATE)/code)

# What /docs, /redoc and /openapi.json are served from. A server without them says so there.
api-pages: run-deps
	@./scripts/api-pages.sh .build-pages || echo "the pages of the API are not installed: /docs will say so" >&2

# What every sandbox starts with: static, since it is put into images with no library to rely on. Tables for unwinding the stack
# are left out, 3 MB: nothing in it throws as C++ does, no thread is cancelled, and Swift's backtraces go by frame pointers.
execd: .build-static/execd.stamp
EXECD_LINK = -Xswiftc -use-ld=lld -Xlinker -s -Xlinker --no-eh-frame-hdr -Xlinker -T$(CURDIR)/scripts/execd.ld

.build-static/execd.stamp: $(SOURCES) $(call if-missing,.build-static/release/execd) | build-deps
	swift build -c release --product execd -Xswiftc -static-executable $(EXECD_LINK) --scratch-path .build-static
	@touch $@

# The guard beside a sandbox: Swift's libraries and most others inside, and nothing exported, so that it starts in
# milliseconds and shares nothing by writing. What little the dynamic linker has to find it finds at once (-z now), and
# then closes its tables.
EGRESS_LIBRARIES = $(CURDIR)/.build-egress/libraries
egress: build-deps
	@./scripts/static-libraries.sh $(EGRESS_LIBRARIES)
	swift build -c release --product sallyport-egress --static-swift-stdlib --scratch-path .build-egress \
	    --pkg-config-path $(EGRESS_LIBRARIES) -Xlinker --no-export-dynamic -Xlinker -z -Xlinker now

# sallyport/execd, egress, ingress, server and code-interpreter in the Docker engine of this machine, or of DOCKER_HOST, without a registry.
images: run-deps execd egress api-pages
	swift build -c release --product sallyport
	swift build -c release --product sallyport-ingress
	./scripts/images.sh $(IMAGES)

# A Debian package of all programs, in .build-deb.
deb: execd egress api-pages
	./scripts/install-deps.sh package
	swift build -c release --product sallyport
	swift build -c release --product sallyport-ingress
	./scripts/deb.sh

test: test-deps
	./scripts/test.sh

# What tries many moments or many inputs, LENGTH times as long as in `make test`, then every fuzzer: about an hour and a half.
LENGTH ?= 10
LONG := Tests/Gateway/test_soak.py Tests/Gateway/test_differential.py Tests/Gateway/test_malformed.py \
	Tests/Faults/test_crashes.py Tests/Faults/test_guard_kills.py Tests/Faults/test_snapshot_crashes.py \
	Tests/Faults/test_volume_kills.py Tests/Faults/test_random_kills.py
test-long: test-deps
	SALLYPORT_TEST_LENGTH=$(LENGTH) ./scripts/conformance.sh $(LONG)
	./scripts/fuzz.sh $(RUNS)

# Isolation once more, on Debian's own kernel with control groups of version 2, in an emulated machine: three quarters of an hour.
test-machine:
	./scripts/test-machine.sh $(TESTS)

# Each prints medians beside a peer's, and their ratio.
bench: test-deps execd egress base-image
	swift build -c release
	.build/release/benchmark-create
	.build/release/benchmark-patch
	.build/release/benchmark-patch 4096 100000
	.build/release/benchmark-scale
	.build/release/benchmark-names
	.build/release/benchmark-flow
	.build/release/benchmark-first-connection
	.build/release/benchmark-first-connection 100 4096 1000
	.build/release/benchmark-first-connection 10 4096 100000
	./scripts/install-deps.sh test dnsperf dnsdist unbound
	python3 Benchmarks/DNS/dns.py
	BASE=$(STATE)/base python3 Benchmarks/AllInOneServer/server.py
	python3 Benchmarks/Sidecar/start.py
	python3 Benchmarks/Terminals/terminals.py .build-static/release/execd
	./scripts/bench.sh http1
	./scripts/bench.sh http2
	./scripts/bench.sh idle-websockets
	./scripts/bench.sh pools
	./scripts/bench.sh server

# Every parser against RUNS inputs of libFuzzer's; what it finds worth keeping becomes part of Tests/FuzzTests/Corpus.
RUNS ?= 1000000
fuzz: build-deps
	./scripts/fuzz.sh $(RUNS) $(TARGETS)

# The formatter's rules, and every warning of our own sources as an error.
lint: build-deps
	swift format lint --strict --recursive Sources Tests Benchmarks Package.swift
	SALLYPORT_STRICT=1 swift build --build-tests --scratch-path .build-lint

# docs/cli-reference.md and docs/api-reference.md, made of the program and of specs/*.yaml.
PYTHON = .build-conformance/venv/bin/python -B
reference:
	./scripts/python-environment.sh venv requirements.txt
	swift build --product sallyport
	.build/debug/sallyport --experimental-dump-help | $(PYTHON) scripts/reference_pages.py cli >docs/cli-reference.md
	$(PYTHON) scripts/reference_pages.py api >docs/api-reference.md

# Each installs what it names, and no more: who builds an image of the sidecar wants no container engine in it, and who runs
# a server wants no attack tools.
build-deps:
	@./scripts/install-deps.sh build
run-deps:
	@./scripts/install-deps.sh run
test-deps:
	@./scripts/install-deps.sh test

clean:
	rm -rf .build .build-*
