# Two commands for users: `make demo` and `make test`. Everything they need is installed from here.
# Needs: Node.js with npm, or Bun; root for demo and test; Debian/Ubuntu for the OS packages.
SHELL := /bin/bash
.ONESHELL:
.SILENT:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.PRECIOUS: dist/image/%/rootfs.stamp

# Bun is an npm package: its binary lies in one of these, whether or not install scripts ran.
FIND_BUN = for b in node_modules/@oven/bun-linux-*/bin/bun node_modules/bun/bin/bun.exe "$$(command -v bun || true)"; do \
	if [ -x "$$b" ] && "$$b" --version >/dev/null 2>&1; then BUN="$$b"; break; fi; done; \
	[ -n "$${BUN:-}" ] || { echo "no Bun found: run 'make deps'" >&2; exit 1; }
BUILD_FLAGS = --compile --minify --bytecode --format=esm --splitting --no-compile-autoload-dotenv --no-compile-autoload-bunfig
LAUNCHERS = $(addprefix installer/launcher/build/,launcher-amd64 launcher-arm64)
SOURCES = $(shell find src wasm/assembly -name '*.ts' -o -name '*.c' -o -name '*.md' -o -name '*.html' -o -name '*.css' -o -name '*.js' 2>/dev/null) $(wildcard wasm/asconfig*.json) package-lock.json
WASM = wasm/build/minicni.wasm wasm/build/routes.wasm
LAB_PACKAGES = iproute2 iptables
# Peers of the benchmarks, and what they are measured with; the floor is compiled on the spot.
BENCH_PACKAGES = $(LAB_PACKAGES) containernetworking-plugins iperf3 time gcc libc6-dev
TEST_PACKAGES = $(BENCH_PACKAGES) util-linux procps iputils-ping strace containerd runc nftables conntrack busybox-static podman curl openssl buildah kmod chromium zsh fish mandoc
TEST_WORKERS ?= 3
# For example --quick, or --against bench/results.json.
BENCH_FLAGS ?=
# Real Kubernetes programs for test-kubernetes, by the convention of envtest; another folder by KUBEBUILDER_ASSETS.
SETUP_ENVTEST = sigs.k8s.io/controller-runtime/tools/setup-envtest@release-0.19
KUBERNETES_VERSION ?= 1.31.x
KUBERNETES_TESTS = $(addprefix tests/,e2e/kube-agent.test.ts e2e/kubectl.test.ts kernel/kube.test.ts)
# The image (make image) and the release (make release): what they are made of is in docs/release.md.
HOST_ARCH = $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
BUN_TARGET_amd64 = bun-linux-x64-baseline
BUN_TARGET_arm64 = bun-linux-arm64
# The launcher, small and quick to start: compilers by architecture. A test builds into a folder of its own, with defines.
CC_amd64 ?= $(if $(filter amd64,$(HOST_ARCH)),gcc,x86_64-linux-gnu-gcc)
CC_arm64 ?= $(if $(filter arm64,$(HOST_ARCH)),gcc,aarch64-linux-gnu-gcc)
CC_PACKAGE_amd64 = $(if $(filter amd64,$(HOST_ARCH)),gcc,gcc-x86-64-linux-gnu)
CC_PACKAGE_arm64 = $(if $(filter arm64,$(HOST_ARCH)),gcc,gcc-aarch64-linux-gnu)
LAUNCHER_BUILD ?= installer/launcher/build
LAUNCHER_FLAGS = -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -nostdlib -static -no-pie -fno-pie -fno-ident \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
	-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -s
LAUNCHER_DEFINES ?=
IMAGE ?=
IMAGE_SOURCES = $(addprefix installer/,build-image.ts debian.ts dockerfile.ts elf.ts licences.ts oci.ts project.ts rootfs.ts)

.PHONY: build deps install demo test bench packages-bench pictures lint format typecheck clean packages-lab packages-test image image-host release check-tag publish manifests test-kubernetes

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

dist/minicni: $(WASM) $(LAUNCHERS) $(SOURCES)
	$(FIND_BUN)
	mkdir -p dist/build
	# Built elsewhere and moved: a running binary can't be written ("text file busy"). Under its own name, which Bun puts
	# into the binary: the same sources give the same bytes.
	"$$BUN" build $(BUILD_FLAGS) src/entry/main.ts --outfile dist/build/minicni >/dev/null
	mv dist/build/minicni dist/minicni
	ls -l dist/minicni | awk '{ printf "built dist/minicni, %.0f MB\n", $$5 / 1e6 }'

install: build
	mkdir -p "$(DESTDIR)/opt/cni/bin"
	dist/minicni install --bin-dir "$(abspath $(DESTDIR)/opt/cni/bin)" --conf-dir "$(abspath $(DESTDIR)/etc/cni/net.d)"

# What the runtime executes as the plugin, for a node of either architecture. Moved into place: two may build at once.
define build_launcher
	compiler="$(CC_$(1))"
	if ! command -v "$${compiler%% *}" >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		$(call install_packages,$(CC_PACKAGE_$(1)))
	fi
	command -v "$${compiler%% *}" >/dev/null || \
	{ echo "no '$$compiler' found: install $(CC_PACKAGE_$(1)), or name a C compiler by CC_$(1)" >&2; exit 1; }
	mkdir -p $(@D)
	$$compiler $(LAUNCHER_FLAGS) $(LAUNCHER_DEFINES) -o $@.$$$$ $<
	mv $@.$$$$ $@
endef

$(addprefix $(LAUNCHER_BUILD)/,launcher-amd64 launcher-arm64): $(LAUNCHER_BUILD)/launcher-%: installer/launcher/launcher.c installer/launcher/linux.h
	$(call build_launcher,$*)

# For a node of either architecture, whatever this machine is. Bun fetches the other runtime, once.
define build_for
	$(FIND_BUN)
	mkdir -p dist/build/$(1) dist/$(1)
	"$$BUN" build $(BUILD_FLAGS) --target=$(BUN_TARGET_$(1)) src/entry/main.ts --outfile dist/build/$(1)/minicni >/dev/null
	mv dist/build/$(1)/minicni dist/$(1)/minicni
endef

dist/amd64/minicni: $(WASM) $(LAUNCHERS) $(SOURCES)
	$(call build_for,amd64)

dist/arm64/minicni: $(WASM) $(LAUNCHERS) $(SOURCES)
	$(call build_for,arm64)

# Debian's programs are fetched once, not with each change of ours: `make clean` for those of today.
dist/image/%/rootfs.stamp: installer/debian.ts installer/elf.ts installer/rootfs.ts | dist/%/minicni
	$(FIND_BUN)
	"$$BUN" installer/build-image.ts rootfs $*
	touch $@

# Changes only when the image's name or the time in it does: that of the last commit.
.PHONY: always
dist/image/name: always
	mkdir -p dist/image
	echo "$(IMAGE) $${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)}" >$@.new
	if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

dist/image/minicni-%.tar: dist/%/minicni dist/image/%/rootfs.stamp dist/image/name installer/Dockerfile LICENSE package.json package-lock.json $(IMAGE_SOURCES)
	$(FIND_BUN)
	IMAGE="$(IMAGE)" "$$BUN" installer/build-image.ts archive $*

dist/image/minicni.tar: dist/image/minicni-amd64.tar dist/image/minicni-arm64.tar
	$(FIND_BUN)
	IMAGE="$(IMAGE)" "$$BUN" installer/build-image.ts index

image: dist/image/minicni.tar

image-host: dist/image/minicni-$(HOST_ARCH).tar

# A release is named by its tag: vX.Y.Z with the X.Y.Z of package.json, and has a dated section in CHANGELOG.md.
VERSION_OF = version="$$(sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)"
check-tag:
	$(VERSION_OF)
	[ "$(TAG)" = "v$$version" ] || { echo "the tag is '$(TAG)', package.json wants 'v$$version'" >&2; exit 1; }
	grep -Eq "^## \[$${version//./\\.}\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$$" CHANGELOG.md || \
	{ echo "CHANGELOG.md has no section '## [$$version] - YYYY-MM-DD'" >&2; exit 1; }

release: image
	$(FIND_BUN)
	npm sbom --help >/dev/null 2>&1 || { echo "the bill of materials needs npm 9.9 or later: npm install --global npm" >&2; exit 1; }
	IMAGE="$(IMAGE)" "$$BUN" installer/build-release.ts

# Puts dist/release onto GitHub with that section for its words. Needs GH_TOKEN.
publish: check-tag
	$(call install_packages,gh)
	$(VERSION_OF)
	awk -v start="## [$$version]" 'index($$0, start) == 1 { on = 1; next } /^## / { on = 0 } on' CHANGELOG.md >dist/notes.md
	gh release create "$(TAG)" --title "$(TAG)" --notes-file dist/notes.md dist/release/*

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

packages-bench:
	$(call install_packages,$(BENCH_PACKAGES))

demo: packages-lab build
	./dist/minicni lab demo

format: deps
	node_modules/.bin/biome format --write

lint: deps
	node_modules/.bin/biome check --error-on-warnings

typecheck: deps $(WASM)
	node_modules/.bin/tsc -p .

# With the binary that is in the image, and so in a release. Tests wait for kernels and agents more than they compute, so
# that more files than a small machine has CPUs run beside each other.
test: packages-test lint typecheck $(LAUNCHERS) image-host
	$(FIND_BUN)
	MINICNI_BIN="$(CURDIR)/dist/$(HOST_ARCH)/minicni" "$$BUN" test --parallel=$(TEST_WORKERS)

# What `test` skips where there is no Kubernetes: the manifests and the agent against a real API server. Needs Go.
test-kubernetes: packages-test build
	$(FIND_BUN)
	assets="$${KUBEBUILDER_ASSETS:-$$(go run $(SETUP_ENVTEST) use $(KUBERNETES_VERSION) -p path)}"
	[ -x "$$assets/kube-apiserver" ] || { echo "no kube-apiserver in '$$assets'" >&2; exit 1; }
	KUBEBUILDER_ASSETS="$$assets" "$$BUN" test $(KUBERNETES_TESTS)

# All benchmarks, some 45 minutes; then bench/results.json and the page made of it, docs/benchmarks.md. Half a run or a
# quick one stays in dist/bench. CNI_PEERS names folders of further reference plugins.
bench: packages-bench build
	code=0
	dist/minicni bench all --out dist/bench/results.json $(BENCH_FLAGS) || code=$$?
	# 3: all is measured, and something is slower than --against.
	[ $$code = 0 ] || [ $$code = 3 ] || { echo "not finished; what there is: dist/bench/results.json" >&2; exit $$code; }
	rm -f dist/bench/benchmarks*
	dist/minicni bench report dist/bench/results.json --out dist/bench
	case " $(BENCH_FLAGS) " in
	*" --quick "*) echo "the page: dist/bench/benchmarks.md" ;;
	*) mkdir -p bench; rm -f docs/benchmarks*; cp dist/bench/results.json bench/; cp dist/bench/benchmarks* docs/
	   echo "bench/results.json, docs/benchmarks.md" ;;
	esac
	exit $$code

# What a terminal shows, for the pages: a lab that works, then one node of it with three faults. Needs script (util-linux).
# The lab's pods have their addresses where their records say, which no conflist of the folder tells.
LAB_PLACES = --state-dir /run/minicni-lab/node1/state --conf-dir /run/minicni-lab/node1/networks
LAB_NODE = $(LAB_PLACES) --data-dir /run/minicni-lab/node1/data
pictures: build
	$(FIND_BUN)
	picture() { # file, columns, what is typed, what is run
		script -qc "stty cols $$2; $$4" /dev/null </dev/null | tr -d '\r' | "$$BUN" installer/terminal-picture.ts "\$$ $$3" >"docs/$$1.svg"
	}
	on_node1="nsenter --net=/run/netns/mclab-node1 dist/minicni"
	trap 'dist/minicni lab down >/dev/null' EXIT
	dist/minicni lab up --subnets 2 >/dev/null
	for _ in {1..60}; do $$on_node1 status $(LAB_NODE) >/dev/null && $$on_node1 status $(LAB_NODE) | grep -q "3 used" && break; sleep 1; done
	picture lab 118 "minicni lab test" "dist/minicni lab test"
	picture status 100 "minicni status" "$$on_node1 status $(LAB_NODE)"
	picture map 84 "minicni ipam map" "$$on_node1 ipam map $(LAB_PLACES)"
	dist/minicni lab agent stop node1 >/dev/null
	nsenter --net=/run/netns/mclab-node1 ip route replace 10.244.2.0/24 via 172.31.255.2 proto static
	nsenter --net=/run/netns/mclab-node1 sysctl -qw net.ipv4.ip_forward=0
	nsenter --net=/run/netns/mclab-node1 iptables -t nat -F MINICNI-POSTROUTING
	picture doctor 100 "minicni doctor --only A3,A4,B1,B7" "$$on_node1 doctor --only A3,A4,B1,B7 $(LAB_NODE)"

manifests: k8s/minicni.yaml
k8s/minicni.yaml: k8s/flatten $(wildcard k8s/base/*.yaml)
	k8s/flatten >$@.new && mv $@.new $@

clean:
	rm -rf dist wasm/build installer/launcher/build
