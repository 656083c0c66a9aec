# Postern. `make help` prints the targets.

GO      ?= go
BIN     := bin/postern
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LINT    := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 10s
BUDGETS := ./pkg/imap/... ./pkg/lmtp ./pkg/message ./pkg/pop3 ./pkg/store ./pkg/store/postgres

.DEFAULT_GOAL := help

## help: print this list
.PHONY: help
help:
	@sed -n 's/^## //p' Makefile

## run: install what is missing, build, and try Postern here: ports 1993, 1995, 2424, data in ./data
.PHONY: run
run:
	@.ci/install run
	@$(MAKE) --no-print-directory build
	@exec $(BIN) demo

## build: build bin/postern
.PHONY: build
build:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/postern

## test: install what the tests need and run every one of them, with the race detector
.PHONY: test
test:
	@.ci/install test
	$(GO) vet ./...
	$(GO) test -race -shuffle=on -timeout 12m ./...

## test-pg: the protocol transcripts over PostgreSQL instead of the model
.PHONY: test-pg
test-pg:
	@.ci/install test
	$(GO) test ./pkg/imap ./pkg/pop3 ./pkg/lmtp -run Transcript -pg

## test-thunderbird: have Thunderbird (300 MB) work against the real program; the other mail programs are in `make test`
.PHONY: test-thunderbird
test-thunderbird:
	@.ci/install run
	@.ci/install thunderbird
	$(GO) test -tags thunderbird ./pkg/gateway -count 1 -run TestThunderbird -v

## acme-check: the program gets its certificate from Pebble and renews it while 100 sessions stand; takes a minute
.PHONY: acme-check
acme-check:
	@.ci/install test
	$(GO) test -tags acme ./pkg/gateway -count 1 -run 'TestRenewal|TestCertificatesFromCA' -v

## tls-check: openssl s_client, sslscan, testssl.sh and Go look at every listener of the program; fails by what is LOW or worse
.PHONY: tls-check
tls-check:
	@.ci/install run
	@.ci/install tls
	@cd pkg/gateway && $(GO) test -tags tlscheck -count 1 -run TestTLSCheck -timeout 40m

## budgets: what the hot paths may allocate; without the race detector, which allocates too
.PHONY: budgets
budgets:
	@.ci/install test
	$(GO) test -count 1 -run '^TestBudget$$' $(BUDGETS)

## fuzz: every fuzz target for FUZZTIME (10s)
.PHONY: fuzz
fuzz:
	@$(GO) list ./... | while read -r p; do \
	  for f in $$($(GO) test -list '^Fuzz' "$$p" | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$p" || exit 1; \
	  done; \
	done

## lint: the linters of .golangci.yml, formatting included
.PHONY: lint
lint:
	$(LINT) run ./...
	$(LINT) fmt --diff

## tidy: go.mod and go.sum hold what is used and nothing else
.PHONY: tidy
tidy:
	$(GO) mod tidy -diff

## check: all that CI runs
.PHONY: check
check: test test-pg budgets lint tidy

## compose-check: what can be known of deploy/ without a container engine: schema, variables, paths, image tags, metrics
.PHONY: compose-check
compose-check:
	@.ci/install test
	$(GO) test -count=1 ./deploy

## bench: Postern and Debian's Dovecot doing the same work in turns; the table goes into docs/performance.md (MESSAGES=2000 or 50000)
MESSAGES ?= 2000
.PHONY: bench
bench:
	@.ci/install bench
	@$(MAKE) --no-print-directory build
	$(GO) run ./pkg/bench/versus -postern $(BIN) -messages $(MESSAGES) -doc docs/performance.md

## bench-go: the benchmarks of the packages; where there is a floor to compare with, it is measured in the same run
.PHONY: bench-go
bench-go:
	@.ci/install test
	$(GO) test -run '^$$' -bench . -benchtime 2s ./...

## image: the container image
.PHONY: image
image:
	docker build --build-arg VERSION=$(VERSION) -t postern .

## clean: remove what was built; ./data stays
.PHONY: clean
clean:
	rm -rf bin
