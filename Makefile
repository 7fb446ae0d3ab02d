.PHONY: build test lint deps clean

build: deps
	swift build -c release

test: deps
	./scripts/test.sh

# The formatter's rules, and every warning of our own sources as an error.
lint: deps
	swift format lint --strict --recursive Sources Tests Package.swift
	SALLYPORT_STRICT=1 swift build --build-tests --scratch-path .build-lint

deps:
	@./scripts/install-deps.sh

clean:
	rm -rf .build .build-*
