.PHONY: build execd test bench lint deps clean

build: execd
	swift build -c release

# What every sandbox starts with: static, since it is put into images with no library to rely on.
execd: deps
	swift build -c release --product execd -Xswiftc -static-executable -Xlinker -s --scratch-path .build-static

test: execd
	./scripts/test.sh

# Each prints medians beside a peer's, and their ratio.
bench: execd
	swift run -c release benchmark-create

# The formatter's rules, and every warning of our own sources as an error.
lint: deps
	swift format lint --strict --recursive Sources Tests Benchmarks Package.swift
	SALLYPORT_STRICT=1 swift build --build-tests --scratch-path .build-lint

deps:
	@./scripts/install-deps.sh

clean:
	rm -rf .build .build-*
