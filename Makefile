# Everything here only wraps cargo. `make run` and `make test` are all a new machine needs.

SUDO     := $(if $(filter 0,$(shell id -u)),,sudo)
CARGO    ?= cargo
MONOPOD  := target/debug/monopod
PREFIX   ?= /usr/local
DESTDIR  ?=
LISTEN   ?= 127.0.0.1:8080
N        ?= 20
PACKAGES := build-essential pkg-config libseccomp-dev
# The binary that end-to-end tests run; they would build one themselves.
export MONOPOD_BIN := $(CURDIR)/$(MONOPOD)

NEXTEST  := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

# Debian releases that `make vm-test` and `make soak` boot.
GUESTS   ?= trixie bookworm

.PHONY: run stop build test vm-test check e2e crash-test soak fuzz bench db docs packaged install uninstall deb deps test-deps

# Builds, starts the daemon and launches an example pod.
run: build
	@$(SUDO) $(MONOPOD) info >/dev/null 2>&1 && echo "monopod is running already" || { \
	  $(SUDO) mkdir -p /var/log && \
	  $(SUDO) sh -c 'setsid $(MONOPOD) daemon --listen $(LISTEN) </dev/null >>/var/log/monopod.log 2>&1 &' && \
	  for attempt in $$(seq 100); do $(SUDO) $(MONOPOD) info >/dev/null 2>&1 && break; sleep 0.1; done; \
	  $(SUDO) $(MONOPOD) info >/dev/null 2>&1 || { tail -n 5 /var/log/monopod.log; echo "the daemon did not start; all it said is in /var/log/monopod.log"; exit 1; }; }
	@$(SUDO) $(MONOPOD) pod show /hello >/dev/null 2>&1 || $(SUDO) $(MONOPOD) pod add --wait examples/hello.json
	@echo; $(SUDO) $(MONOPOD) pod list
	@echo; $(SUDO) $(MONOPOD) pod logs /hello --tail 5
	@echo; echo "Look around with:  $(if $(SUDO),sudo )$(MONOPOD) pod show /hello"; \
	echo "Stop it all with:  make stop"

# Removes the example pod and stops the daemon that `make run` started.
stop:
	-@$(SUDO) $(MONOPOD) pod remove --wait /hello
	-@$(SUDO) pkill -TERM -x -f '$(MONOPOD) daemon --listen $(LISTEN)'

build: deps
	$(CARGO) build --locked

# Installs those of the packages that are missing.
install = missing=$$(for package in $(1); do dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
  [ -z "$$missing" ] || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; }

# Installs what is missing, and only then asks for root.
deps:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install rustup (https://rustup.rs, or the package rustup), then try again"; exit 1; }
	@if command -v dpkg-query >/dev/null; then $(call install,$(PACKAGES)); \
	else echo "not a Debian system: make sure that a C compiler, pkg-config and libseccomp's headers are installed"; fi

# What only tests use: containers' programs, and Python environments for clients. Without root those tests skip anyway.
test-deps:
	@[ "$$(id -u)" != 0 ] || ! command -v dpkg-query >/dev/null || { $(call install,busybox-static); \
	  python3 -c 'import ensurepip' 2>/dev/null || { $(call install,python3-venv); }; }

# The guests that tests boot: built once, then found. Without root, or without a package registry, it says so.
guest-%:
	@tests/guest/image --install $* >/dev/null || [ $$? = 77 ]

# Tests in guests of two ages. Where they cannot be had, they say that they are skipped.
vm-test: build $(GUESTS:%=guest-%)
	for suite in $(GUESTS); do MONOPOD_GUEST_SUITE=$$suite $(CARGO) test --locked --workspace --test guest -- --nocapture --test-threads 1 --include-ignored --skip campaign || exit 1; done

# Every test this host can run. As root that includes real pods; without, those say that they are skipped.
test: build test-deps guest-trixie
	@[ "$$(id -u)" = 0 ] || echo "SKIPPED, because this is not root: every test that runs real pods. They pass without having tested anything."
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --locked --workspace --no-fail-fast
else
	$(CARGO) test --locked --workspace --all-targets --no-fail-fast
endif

check: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny --locked check licenses bans sources && \
	  { $(CARGO) deny --locked fetch db >/dev/null 2>&1 && $(CARGO) deny --locked check advisories || echo "SKIPPED: advisories, their database cannot be fetched"; }; \
	else echo "SKIPPED: cargo deny is not installed (cargo install cargo-deny)"; fi
	$(MAKE) test

# Real pods only.
e2e: build
	$(CARGO) test --locked --workspace --test e2e --test chaos --no-fail-fast

# Kills daemon and executors at random points of a random workload while store and launches fail, N times.
crash-test: build
	MONOPOD_CHAOS_ROUNDS=$(N) $(CARGO) test --locked --workspace --test chaos -- --nocapture --test-threads 1

# Long campaigns: MONOPOD_CHAOS_ROUNDS, MONOPOD_FUZZ_REQUESTS, MONOPOD_GUEST_RESTARTS, …_KILLS and …_CUTS say how long; a
# printed seed repeats them.
soak: build test-deps $(GUESTS:%=guest-%)
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} $(CARGO) test --locked --package scheduler --test simulation
	MONOPOD_CHAOS_ROUNDS=$${MONOPOD_CHAOS_ROUNDS:-200} $(CARGO) test --locked --workspace --test chaos -- --nocapture --test-threads 1
	MONOPOD_FUZZ_REQUESTS=$${MONOPOD_FUZZ_REQUESTS:-5000} $(CARGO) test --locked --workspace --test clients -- --nocapture schemathesis
	for suite in $(GUESTS); do MONOPOD_GUEST_SUITE=$$suite $(CARGO) test --locked --workspace --test guest -- --nocapture --test-threads 1 --ignored campaign || exit 1; done

# Gives the reader of definitions what a fuzzer makes up, for SECONDS; needs cargo-fuzz (cargo install cargo-fuzz).
SECONDS ?= 600
fuzz:
	cd crates/model && mkdir -p fuzz/corpus/definition && \
	  $(CARGO) fuzz run --sanitizer none definition fuzz/corpus/definition tests/published -- -max_total_time=$(SECONDS)

# Times pods, beside crun and podman where they are installed, and the decisions alone.
bench: deps
	$(CARGO) build --locked --release
	$(SUDO) target/release/bench
	$(CARGO) bench --locked --package scheduler

# Renews the query data that checked SQL is compiled against. Only needed after SQL was changed.
db:
	@command -v sqlite3 >/dev/null || { echo "sqlite3 is missing: apt-get install sqlite3"; exit 1; }
	@mkdir -p target .sqlx && rm -f target/schema.db .sqlx/query-*.json
	cat migrations/*.sql | sqlite3 -bail target/schema.db
	touch crates/store/src/lib.rs
	SQLX_OFFLINE_DIR=$(CURDIR)/.sqlx DATABASE_URL=sqlite://$(CURDIR)/target/schema.db $(CARGO) check --locked --package store
	rm target/schema.db

docs:
	$(CARGO) doc --locked --workspace --no-deps

# What is installed and packed is built by PROFILE; NO_BUILD=1 takes what that profile built before.
PROFILE     ?= release
NO_BUILD    ?=
DEB_VERSION ?=
# cargo-deb empties target/debian at each run: give another directory to keep an earlier package.
DEB_DIR     ?= target/debian
BUILT       := target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/monopod
UNITS       := monopod.service monopod-pods.service
# Where what is to be installed is made ready.
STAGE       ?= target/package
SHARE       := $(DESTDIR)$(PREFIX)/share

# The binary, and the completions it prints, in $(STAGE); packages take them from target/package.
packaged: export MONOPOD_REVISION := $(shell git rev-parse --short HEAD 2>/dev/null)
packaged:
	$(if $(NO_BUILD),@:,$(MAKE) deps && $(CARGO) build --locked --workspace --bin monopod --profile $(PROFILE))
	@mkdir -p $(STAGE)
	@$(BUILT) completions bash >$(STAGE)/monopod.bash
	@$(BUILT) completions zsh >$(STAGE)/_monopod
	@$(BUILT) completions fish >$(STAGE)/monopod.fish

# Binary, units, completions; the configuration only where there is none yet.
install: packaged
	install -D -m 0755 $(BUILT) $(DESTDIR)$(PREFIX)/bin/monopod
	@install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in $(UNITS); do \
	  sed 's|/usr/bin/monopod|$(PREFIX)/bin/monopod|' config/systemd/$$unit >$(STAGE)/$$unit && \
	  install -m 0644 $(STAGE)/$$unit $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; done
	install -D -m 0644 $(STAGE)/monopod.bash $(SHARE)/bash-completion/completions/monopod
	install -D -m 0644 $(STAGE)/_monopod $(SHARE)/zsh/site-functions/_monopod
	install -D -m 0644 $(STAGE)/monopod.fish $(SHARE)/fish/vendor_completions.d/monopod.fish
	[ -e $(DESTDIR)/etc/monopod/monopod.toml ] || install -D -m 0644 config/monopod.toml $(DESTDIR)/etc/monopod/monopod.toml
	@[ -n "$(DESTDIR)" ] || { getent group monopod >/dev/null || groupadd --system monopod; \
	  [ ! -d /run/systemd/system ] || systemctl daemon-reload; \
	  echo "Start it with: systemctl enable --now monopod-pods monopod"; }

# Stops everything and removes what `make install` installed. Configuration and state stay.
uninstall:
	@[ -n "$(DESTDIR)" ] || { \
	  [ ! -d /run/systemd/system ] || systemctl disable --now monopod monopod-pods || true; \
	  [ ! -x $(PREFIX)/bin/monopod ] || $(PREFIX)/bin/monopod cleanup --stop-daemon; }
	rm -f $(DESTDIR)$(PREFIX)/bin/monopod $(UNITS:%=$(DESTDIR)$(PREFIX)/lib/systemd/system/%) \
	  $(SHARE)/bash-completion/completions/monopod $(SHARE)/zsh/site-functions/_monopod \
	  $(SHARE)/fish/vendor_completions.d/monopod.fish
	@[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload

# A Debian package in target/debian.
deb: packaged
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install cargo-deb --locked --no-default-features
	$(CARGO) deb --no-build --locked --package monopod --profile $(PROFILE) --output $(DEB_DIR)/ \
	  $(if $(DEB_VERSION),--deb-version $(DEB_VERSION))
