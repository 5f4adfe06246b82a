# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := help
.PHONY: help setup build test test-tls test-restarts test-kernels verifier-record demo bench fuzz mutate format clean

SOURCES := $(shell find pom.xml scripts/build scripts/train scripts/training bpf-programs policy-compiler java-loader \
	userspace-proxy -path '*/target' -prune -o -path '*/src/test' -prune -o -type f -print)

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | \
		awk -F@ '{ printf "%-16s %s\n", $$1, $$2 }'

setup: ## install what building and running needs (says what and why)
	@scripts/setup

build: setup ## build, so that ./weir runs from this checkout
	@$(MAKE) -s --no-print-directory target/dist

target/dist: $(SOURCES)
	@scripts/build

test: ## run the whole test suite and all checks (kernel tests need root)
	@scripts/setup --with test
	@scripts/test

test-tls: ## have testssl.sh look at an HTTPS listener of the proxy: no finding of MEDIUM or above
	@scripts/setup --with tls
	@scripts/test-proxy TlsScan -Dweir.testssl="$$(command -v testssl || command -v testssl.sh)"

test-restarts: ## COUNT proxies (100) follow each other under load, and no new request fails
	@scripts/test-proxy RestartTest -Dweir.restarts=$(or $(COUNT),100)

test-kernels: ## run the kernel suite on Debian's 6.1 and 6.12 too, under QEMU
	@scripts/setup --with test
	@scripts/test-kernels

verifier-record: ## accept what the verifier walks now: writes bpf-programs/verifier.csv (needs root)
	@scripts/setup --with test
	@scripts/test-kernels --quick --record

demo: build ## run the example shop on this machine's own kernel (needs root)
	@examples/edge-node/demo.sh

bench: build ## measure Weir beside nginx, HAProxy and Envoy (needs root)
	@scripts/setup --with bench
	@perf-tests/bench.sh

fuzz: ## random questions to the policy compiler, tables to the kernel's headers, bytes to the proxy: DURATION seconds each (60)
	@scripts/setup --with test
	@scripts/fuzz $(or $(DURATION),60)
	@$(MAKE) -s -C bpf-programs fuzz SECONDS=$(or $(DURATION),60)
	@scripts/test-proxy ProxyFuzz -Dweir.fuzz.seconds=$(or $(DURATION),60)

mutate: ## seed bugs into the policy compiler, each of which the oracle must catch
	@scripts/setup --with test
	@scripts/mutate

format: ## format the Java and C sources
	@scripts/setup
	@scripts/format

clean: ## remove everything that was built
	rm -rf target */target
