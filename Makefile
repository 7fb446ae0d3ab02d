.PHONY: run build execd egress ingress images deb base-image api-pages test test-long test-machine bench fuzz lint reference build-deps run-deps test-deps clean FORCE

STATE ?= /var/lib/sallyport

# The server with the local runtime, in the foreground. Sandboxes outlive it; the next run finds them.
run: run-deps .build/programs.stamp base-image api-pages
	@exec .build/release/sallyport serve --state-directory $(STATE) $(SERVE_FLAGS)

# All programs of a release, each whole: Swift's libraries are inside. They are built at one time, since modules that do not
# need each other then compile beside each other.
PROGRAMS = sallyport sallyport-ingress sallyport-egress execd
# Otherwise the compiler tells the linker to keep every public function, used or not, and all others of a file where one is:
# execd was 1.2 MB larger. Nothing looks functions up by their names, and no module is a shared library. The code of a function
# is the same. These are not in Package.swift, since they are for packages that we use, too.
DROPPABLE = -Xswiftc -Xfrontend -Xswiftc -internalize-at-link -Xswiftc -Xfrontend -Xswiftc -function-sections
WHOLE = swift build -c release --static-swift-stdlib $(DROPPABLE)
RELEASE = SALLYPORT_PROGRAMS=1 $(WHOLE)

# `swift build` takes 5 s to find that there is nothing to build. While no source, folder of sources or toolchain is newer
# than the last build of a program, and the program is there, it is not asked.
SOURCES = Package.swift scripts/execd.ld $(shell find Sources) $(realpath $(shell command -v swift))
if-missing = $(if $(wildcard $(1)),,FORCE)
.SECONDEXPANSION:

build: .build/programs.stamp
.build/programs.stamp: $(SOURCES) $(foreach program,$(PROGRAMS),$(call if-missing,.build/release/$(program))) | build-deps .build-libraries
	$(RELEASE)
	@touch $@ $(PROGRAMS:%=.build/%.stamp)

# One of them alone, for who needs no other: an image, or a test of a debug build.
execd: .build/execd.stamp
egress: .build/sallyport-egress.stamp
ingress: .build/sallyport-ingress.stamp
$(PROGRAMS:%=.build/%.stamp): .build/%.stamp: $(SOURCES) $$(call if-missing,.build/release/$$*) | build-deps .build-libraries
	$(RELEASE) --product $*
	@touch $@

# OpenSSL, libnftnl and the C++ library as archives, for the guard beside a sandbox.
.build-libraries: | build-deps
	@./scripts/static-libraries.sh $@

# sallyport/base:latest, of Debian packages; with CODE=1 sallyport/code:latest, too, with a Jupyter server and its kernels.
CODE ?=
base-image: run-deps
	@./scripts/base-image.sh $(STATE)/base
	$(if $(CODE),@./scripts/code-image.sh $(STATE)/code)

# What /docs, /redoc and /openapi.json are served from. A server without them says so there.
api-pages: run-deps
	@./scripts/api-pages.sh .build-pages || echo "the pages of the API are not installed: /docs will say so" >&2

# sallyport/execd, egress, ingress, server and code-interpreter in the Docker engine of this machine, or of DOCKER_HOST, without a registry.
images: run-deps build api-pages
	./scripts/images.sh $(IMAGES)

# A Debian package of all programs, in .build-deb.
deb: build api-pages
	./scripts/install-deps.sh package
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
bench: test-deps build base-image
	$(WHOLE)
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
	python3 Benchmarks/Terminals/terminals.py .build/release/execd
	./scripts/bench.sh http1
	./scripts/bench.sh http2
	./scripts/bench.sh idle-websockets
	./scripts/bench.sh pools
	./scripts/bench.sh refusals
	./scripts/bench.sh server

# Every parser against RUNS inputs of libFuzzer's; what it finds worth keeping becomes part of Tests/FuzzTests/Corpus.
RUNS ?= 1000000
fuzz: build-deps
	./scripts/fuzz.sh $(RUNS) $(TARGETS)

# The formatter's rules, and every warning of our own sources as an error.
lint: build-deps
	swift format lint --strict --recursive Sources Tests Benchmarks Package.swift
	SALLYPORT_STRICT=1 swift build --build-tests --scratch-path .build-lint

# docs/cli-reference.md and docs/api-reference.md, made of the programs and of specs/*.yaml.
PYTHON = .build-conformance/venv/bin/python -B
COMMAND_LINES = sallyport sallyport-ingress sallyport-egress
reference:
	./scripts/python-environment.sh venv requirements.txt
	for program in $(COMMAND_LINES); do swift build --product $$program || exit; done
	$(PYTHON) scripts/reference_pages.py cli $(COMMAND_LINES:%=.build/debug/%) >docs/cli-reference.md
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
