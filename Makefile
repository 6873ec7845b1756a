# make demo     sets up and shows the tree of figure 4 with a film (root)
# make test     sets up and passes all tests; whole nodes need root and /dev/net/tun, else they skip
# make soak     the long runs: minutes of streams, rings that are cut, attacks, state machines with many lives
# make bench    the race against other daemons and the kernel; ARGS=--help says what else is measured
# make screenshots  the pictures of the page in docs/screenshots, from running nodes (root)
# make simulate runs the mesh's machines in simulated networks, and prints what they reach beside what they have to:
#               up to 1,000 nodes; SIZES=all with 10,000, SIZES="100 490" these; ARGS=--help; the first time it
#               compiles them, which takes some minutes, ARGS=--plain does not
# make walk     types what README.rst has a newcomer type, into three hosts, and looks for the film (root)
# make fuzz     RUNS executions of each fuzzer (20,000), coverage-guided; atheris is installed for it
# make install  a node's programs on this host: /opt/mcmw; mcmw, manual pages, a unit for systemd in PREFIX (root)
# make man      writes the manual pages to build/man; make install-man puts them below PREFIX (/usr/local)
# make deb      builds a Debian package for this release in build/; make try-deb installs it into a throw-away root
# make clean    takes away what these made
#
# Everything is installed into .venv/; Debian's packages that are missing are installed when root runs it.

PYTHON ?= python3
RUNS ?= 20000
PREFIX ?= /usr/local
OPT := /opt/mcmw
BIN := .venv/bin
TOOLS := ip:iproute2 nft:nftables ffmpeg:ffmpeg cvlc:vlc-bin tshark:tshark runuser:util-linux cc:gcc telnet:inetutils-telnet ssh:openssh-client chromium:chromium
PACKAGES := vlc-plugin-base fonts-dejavu-core
DEMO_TOOLS := ip:iproute2 nft:nftables ffmpeg:ffmpeg
EBPF := multicastmw/ebpf
TEST_FILES := $(wildcard tests/test_*.py tests/*/test_*.py tests/*/*/test_*.py)
UNIT := $(filter-out tests.netns.% %.test_soak,$(subst /,.,$(basename $(TEST_FILES))))
AT_A_TIME := 6
OBJECT := $(EBPF)/fastpath.bpf.o
PAGES = umask 022; for page in build/man/*; do \
	install -D -m 0644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man$${page\#\#*.}/$${page\#\#*/}" || exit 1; done

.PHONY: demo test lint unit whole screenshots simulate walk soak bench fuzz install man install-man deb try-deb tools compiled clean

demo: TOOLS := $(DEMO_TOOLS)
demo: PACKAGES :=
demo: .venv/ready $(OBJECT) tools compiled
	$(BIN)/mcmw demo $(ARGS)

test: .venv/ready $(OBJECT) tools lint unit whole

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# All but whole nodes and long runs, some of which wait; trial takes the reactor's cleanliness to heart.
unit: .venv/ready $(OBJECT) compiled
	$(BIN)/trial -j 3 --temp-directory=.venv/trial $(UNIT)

# Whole nodes mostly wait, so several tests run at a time; those under attack need the machine to themselves.
whole: .venv/ready $(OBJECT) tools compiled
	$(BIN)/python -m pytest tests/netns -m "not slow and not alone" -n $(AT_A_TIME) --dist loadgroup --durations=15
	$(BIN)/python -m pytest tests/netns -m "not slow and alone" --durations=15

screenshots: .venv/ready $(OBJECT) tools compiled
	$(BIN)/python -m tests.netns.screenshots docs/screenshots
	$(BIN)/python -m tests.netns.meshshots docs/screenshots

simulate: .venv/ready
	@$(if $(filter --plain --list --help --from,$(ARGS)),,$(BIN)/python -m simulator.compiled)
	$(BIN)/python -m simulator $(if $(SIZES),--sizes "$(SIZES)") $(ARGS)

walk: .venv/ready tools
	$(BIN)/python -m tests.netns.walk docs/screenshots

soak: .venv/ready $(OBJECT) tools
	MCMW_NURSERY=no $(BIN)/python -m pytest -m slow -s

bench: .venv/ready
	@$(BIN)/python -c 'import matplotlib' 2>/dev/null || \
		$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench $(or $(ARGS),race)

fuzz: .venv/ready
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz all --runs $(RUNS) $(ARGS)

# Of Python's, only what a node runs on.  The unit is there at once, and nothing is started.
install:
	@[ -z "$(DESTDIR)" ] || { echo "make install is for this host and knows no DESTDIR; make deb makes a package" >&2; exit 1; }
	@[ "$$(id -u)" = 0 ] || { echo "make install writes to /opt, /etc and $(PREFIX), so it is for root: sudo make install" >&2; exit 1; }
	@missing=""; for tool in cc:gcc\ libc6-dev clang:clang\ llvm ip:iproute2; do \
		command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	[ -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || missing="$$missing python3-dev"; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then echo "installing$$missing"; apt-get update -qq; \
		for package in $$missing; do DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			--no-install-recommends $$package >/dev/null || echo "not installed: $$package"; done; fi
	umask 022; $(PYTHON) -m venv $(OPT)
	umask 022; $(OPT)/bin/pip install --quiet --disable-pip-version-check '.[manhole]'
	umask 022; $(OPT)/bin/twistd --help >/dev/null  # as root, for its cache of plugins
	getent group mcmw >/dev/null || groupadd --system mcmw
	getent passwd mcmw >/dev/null || useradd --system --gid mcmw --no-create-home --home-dir /nonexistent \
		--shell /usr/sbin/nologin mcmw
	umask 022; install -d /etc/mcmw $(PREFIX)/bin $(PREFIX)/lib/systemd/system
	ln -sf $(OPT)/bin/mcmw $(PREFIX)/bin/mcmw
	install -m 0644 etc/mcmw.service $(PREFIX)/lib/systemd/system/mcmw.service
	umask 022; rm -rf build/man; $(OPT)/bin/python -m multicastmw.manual build/man  # with etc/node.ini beside it
	@$(PAGES)
	@[ ! -d /run/systemd/system ] || systemctl daemon-reload
	@$(OPT)/bin/mcmw --version
	@! ls /run/mcmw/*.sock >/dev/null 2>&1 || \
		echo "a node that runs has the programs from before: start it again (systemctl restart mcmw)"

man: .venv/ready
	rm -rf build/man
	$(BIN)/python -m multicastmw.manual build/man

install-man: man
	@$(PAGES)

# Where python3-venv, a compiler and dpkg-deb are; with clang the kernel's program is in it.
deb: $(OBJECT)
	etc/debian/build build

try-deb: deb
	etc/debian/try $$(ls -t build/mcmw_*.deb | head -1)

.venv/ready: setup.cfg pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; make PYTHON=...")'
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v cc >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev python3-venv; fi
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v clang >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends clang llvm >/dev/null || \
		echo "clang cannot be installed: going on without the kernel fast path"; fi
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

# The kernel's program is built with the package (setup.py), and again whenever its source changes.
$(OBJECT): $(EBPF)/fastpath.c $(EBPF)/fastpath.h $(EBPF)/kernel.h $(EBPF)/compile.py | .venv/ready
	@if command -v clang >/dev/null; then $(BIN)/python $(EBPF)/compile.py $@; \
	else echo "no clang: going on without the kernel fast path"; fi

# What the tests and the demo run beside Python; where they cannot be installed, what needs them skips and says so.
tools:
	@missing=""; for tool in $(TOOLS); do command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; apt-get update -qq; for package in $$missing $(PACKAGES); do \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$package >/dev/null || \
		echo "not installed: $$package"; done; \
	elif [ -n "$$missing" ]; then echo "not installed:$$missing"; fi

# A node starts in two thirds of the time, where Python is told to write no such files by itself.
compiled: .venv/ready
	@$(BIN)/python -m compileall -q multicastmw twisted tests bench simulator

clean:
	rm -rf .venv $(OBJECT) mcmw-demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
