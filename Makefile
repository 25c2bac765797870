# govmm: two commands do everything.
#
#   make run     install what is missing, build, boot a Linux guest
#   make test    everything: checks, unit tests, tiny kernel, stock kernels
#
# and for those who work on it:
#
#   make check   the quick inner loop
#   make build   build/govmm, a static binary
#   make race    the unit tests under the race detector
#   make deps    install the Debian packages that tests and examples need
#   make fuzz    run each fuzz target for FUZZTIME
#   make bench   measure govmm beside QEMU and gokvm
#   make allocs  fail if a hot path allocates more than is recorded (part of make check)

SHELL := /bin/bash
GO ?= go
FUZZTIME ?= 20s
BUILD := build
export CGO_ENABLED := 0

# What Go does not bring along: the tests' compilers and peers.
PACKAGES := gcc gdb binutils libc6-dev acpica-tools qemu-system-x86 qemu-utils seabios busybox-static e2fsprogs \
	dmidecode grub-pc-bin grub-common isolinux syslinux-common xorriso memtest86+ ipxe-qemu debootstrap wget \
	cryptsetup-bin nbd-server nbdkit mtools dosfstools bximage socat inetutils-telnet zstd
IMAGES := /var/lib/govmm/examples

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: help build run test check deps vet unit race integration fuzz bench allocs images clean

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

build:
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BUILD)/govmm ./cmd/govmm

deps:
	@tests/deps $(PACKAGES)

# The example's kernel and initramfs, where examples/direct-kernel.xml says.
images: deps
	$(GO) run ./tests/images -o $(IMAGES)

run: build images
	@tests/demo $(BUILD)/govmm examples/direct-kernel.xml

vet:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

SUM = $(GO) tool gotestsum --format pkgname-and-test-fails --hide-summary=output --

unit: deps
	$(SUM) $$($(GO) list ./... | grep -v /tests/integration)

race: deps
	CGO_ENABLED=1 $(SUM) -race -short $$($(GO) list ./... | grep -v -e /tests/ -e /cmd/)

check: deps vet allocs
	$(SUM) -short $$($(GO) list ./... | grep -v -e /tests/testhost -e /tests/integration -e /tests/firmware -e /tests/bootmedia)

# Stock kernels, in the test host where this host's KVM cannot run them. A test that
# fails runs again, up to twice, and the summary says so.
integration: deps
	$(GO) tool gotestsum --format testname --rerun-fails=2 --rerun-fails-run-root-test --packages=./tests/integration -- -timeout 60m

# One package at a time: some tests watch a clock, and two cores are few.
test: deps vet allocs
	$(SUM) -timeout 20m -p 1 $$($(GO) list ./... | grep -v /tests/integration)
	$(MAKE) --no-print-directory integration

fuzz:
	@tests/fuzz $(FUZZTIME)

# Benchmarks of the hot paths beside tests/bench/allocs/allocs.txt.
allocs:
	$(GO) run ./tests/bench/allocs

bench: deps build
	$(GO) run ./tests/bench

clean:
	rm -rf $(BUILD)
