# Two commands for users: `make demo` and `make test`. Everything they need is installed from here.
# Needs: Node.js with npm, or Bun; root for demo and test; Debian/Ubuntu for the OS packages.
SHELL := /bin/bash
.ONESHELL:
.SILENT:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# Bun is an npm package: its binary lies in one of these, whether or not install scripts ran.
FIND_BUN = for b in node_modules/@oven/bun-linux-*/bin/bun node_modules/bun/bin/bun.exe "$$(command -v bun || true)"; do \
	if [ -x "$$b" ] && "$$b" --version >/dev/null 2>&1; then BUN="$$b"; break; fi; done; \
	[ -n "$${BUN:-}" ] || { echo "no Bun found: run 'make deps'" >&2; exit 1; }
BUILD_FLAGS = --compile --minify --bytecode --format=esm --splitting --no-compile-autoload-dotenv --no-compile-autoload-bunfig
SOURCES = $(shell find src wasm/assembly -name '*.ts' 2>/dev/null) $(wildcard wasm/asconfig*.json) package-lock.json
WASM = wasm/build/minicni.wasm wasm/build/routes.wasm
LAB_PACKAGES = iproute2 iptables
TEST_PACKAGES = $(LAB_PACKAGES) util-linux procps iputils-ping strace containerd runc containernetworking-plugins nftables conntrack busybox-static podman curl openssl

.PHONY: build deps install demo test lint format typecheck clean packages-lab packages-test

build: dist/minicni

deps: node_modules/.minicni-installed
node_modules/.minicni-installed: package.json package-lock.json
	if command -v npm >/dev/null; then npm ci --no-fund --no-audit; \
	elif command -v bun >/dev/null; then bun install --no-save; \
	else echo "neither npm nor bun found: install Node.js (apt-get install nodejs npm) or Bun" >&2; exit 1; fi
	touch $@

# Run asc by Node where there is one, else by Bun.
define compile_wasm
	$(FIND_BUN)
	RUN="$$(command -v node || echo $$BUN)"
	"$$RUN" node_modules/assemblyscript/bin/asc.js --config $(1)
endef

wasm/build/minicni.wasm: wasm/assembly/pool.ts wasm/asconfig.json node_modules/.minicni-installed
	$(call compile_wasm,wasm/asconfig.json)

wasm/build/routes.wasm: wasm/assembly/routes.ts wasm/asconfig-routes.json node_modules/.minicni-installed
	$(call compile_wasm,wasm/asconfig-routes.json)

dist/minicni: $(WASM) $(SOURCES)
	$(FIND_BUN)
	mkdir -p dist
	# Built under another name and moved: a running binary can't be written ("text file busy").
	"$$BUN" build $(BUILD_FLAGS) src/entry/main.ts --outfile dist/minicni.new >/dev/null
	mv dist/minicni.new dist/minicni
	ls -l dist/minicni | awk '{ printf "built dist/minicni, %.0f MB\n", $$5 / 1e6 }'

install: build
	installer/install-binary dist/minicni $(DESTDIR)/opt/cni/bin

# Missing OS packages only; nothing is touched when all are there.
define install_packages
	missing=(); for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing+=($$p); done
	if [ $${#missing[@]} -gt 0 ]; then echo "installing: $${missing[*]}"; \
	apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; fi
endef

packages-lab:
	$(call install_packages,$(LAB_PACKAGES))

packages-test:
	$(call install_packages,$(TEST_PACKAGES))

demo: packages-lab build
	./dist/minicni lab demo

format: deps
	node_modules/.bin/biome format --write

lint: deps
	node_modules/.bin/biome check --error-on-warnings

typecheck: deps $(WASM)
	node_modules/.bin/tsc -p .

test: packages-test lint typecheck build
	$(FIND_BUN)
	"$$BUN" test

clean:
	rm -rf dist wasm/build
