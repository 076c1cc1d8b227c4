# OpenAI Router. One non-recursive makefile; `make help` lists the targets. Everything it makes is under build/.
#
# A new .c file in a folder below is picked up by itself. main.c (and services/launcher.c) holds a main() and
# goes into its own program only. Objects are linked directly, not from archives: gateway/ interposes recv()
# for libcivetweb, and a definition in the executable itself is what wins.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

ifeq ($(origin CC),default)
CC := gcc
endif
FLAVOR ?= default
V ?= 0

# --- flavours -------------------------------------------------------------------------------------------

O_default := build
O_asan := build/asan
O_tsan := build/tsan
O_fuzz := build/fuzz
O_clang := build/clang
O := $(O_$(FLAVOR))
ifeq ($(O),)
$(error FLAVOR is one of: default clang asan tsan fuzz)
endif
ifneq ($(filter clang fuzz,$(FLAVOR)),)
CC := clang
endif

HARDEN_default := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
HARDEN_clang := $(HARDEN_default)
HARDEN_asan := -O1 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
HARDEN_tsan := -O1 -fsanitize=thread -fno-omit-frame-pointer
HARDEN_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
LINK_asan := -fsanitize=address,undefined
LINK_tsan := -fsanitize=thread
LINK_fuzz := -fsanitize=fuzzer,address,undefined

WARNINGS := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wcast-qual -Wvla

CPPFLAGS = -I. $(DEPS_CPPFLAGS)
CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) -g -fPIE -pthread $(HARDEN_$(FLAVOR)) $(EXTRA_CFLAGS)
LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(LINK_$(FLAVOR))
LDLIBS = $(DEPS_LIBS) -lm

# --- what there is --------------------------------------------------------------------------------------

SERVICES := gateway authsvc providersvc meterd
# The services whose objects go into unit tests and fuzz targets. `make check-unit PARTS=authsvc` leaves out
# folders that do not compile at the moment.
PARTS ?= $(SERVICES)

sources = $(sort $(wildcard $(addsuffix /*.c,$(1))))
objects = $(patsubst %.c,$(O)/obj/%.o,$(1))

# The API reference as the gateway serves it, made from docs/openapi.yaml.
REFERENCE := build/docs/reference.c

# The web console as the gateway serves it, made from console/. The folders are among the files: a file that is gone counts, too.
CONSOLE := build/console/files.c
SCRIPT := build/authsvc/shared_script.c
CONSOLE_FILES := console $(wildcard console/* console/*/*)

CHASSIS_SRC := $(filter-out services/launcher.c,$(call sources,proto services services/bus))
gateway_SRC := $(call sources,gateway) $(REFERENCE) $(CONSOLE)
authsvc_SRC := $(call sources,authsvc) $(SCRIPT)
providersvc_SRC := $(call sources,providersvc providersvc/adapters providersvc/dialects)
meterd_SRC := $(call sources,meterd meterd/schema)
routerctl_SRC := $(call sources,cli)
LAUNCHER_SRC := $(wildcard services/launcher.c)
UPSTREAM_SRC := $(call sources,tests/upstream)
LOADGEN_SRC := $(sort $(wildcard tests/bench/loadgen*.c))
BUSBENCH_SRC := $(sort $(wildcard tests/bench/busbench*.c))
METERBENCH_SRC := $(wildcard tests/bench/meterbench.c)
MONEYPROBE_SRC := $(wildcard tests/property/moneyprobe.c)
BUSPROBE_SRC := $(wildcard tests/chaos/busprobe.c)
LEDGERSIM_SRC := $(call sources,tests/sim)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_LIB_SRC := $(filter-out $(UNIT_SRC),$(call sources,tests/unit tests/lib))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))

without_main = $(filter-out %/main.c,$(1))
PARTS_SRC := $(call without_main,$(foreach s,$(PARTS),$($(s)_SRC)))
ALL_PARTS_SRC := $(call without_main,$(foreach s,$(SERVICES),$($(s)_SRC)))

# A program exists as soon as its main does; the launcher when all its services do.
SERVICE_PROGRAMS := $(foreach s,$(SERVICES),$(if $(wildcard $(s)/main.c),$(s)))
PROGRAMS := $(SERVICE_PROGRAMS) $(if $(filter $(words $(SERVICE_PROGRAMS)),$(words $(SERVICES))),openai-router) \
	$(if $(wildcard cli/main.c),routerctl)
TOOLS := $(if $(wildcard tests/upstream/main.c),fake-upstream) $(if $(wildcard tests/bench/loadgen.c),loadgen) \
	$(if $(wildcard tests/bench/busbench.c),busbench) $(if $(METERBENCH_SRC),meterbench) \
	$(if $(MONEYPROBE_SRC),moneyprobe) $(if $(BUSPROBE_SRC),busprobe) \
	$(if $(LEDGERSIM_SRC),ledgersim)
BINS := $(addprefix $(O)/bin/,$(PROGRAMS) $(TOOLS))
UNIT_BINS := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(O)/%,$(FUZZ_SRC))
ALL_OBJ := $(call objects,$(CHASSIS_SRC) $(foreach s,$(SERVICES) routerctl,$($(s)_SRC)) $(LAUNCHER_SRC) \
	$(UPSTREAM_SRC) $(LOADGEN_SRC) $(BUSBENCH_SRC) $(METERBENCH_SRC) $(MONEYPROBE_SRC) $(BUSPROBE_SRC) \
	$(LEDGERSIM_SRC) $(UNIT_SRC) $(UNIT_LIB_SRC) $(FUZZ_SRC))

.PHONY: all programs objects
all: $(BINS)
programs: $(addprefix $(O)/bin/,$(PROGRAMS))
objects: $(ALL_OBJ)

# --- dependencies ---------------------------------------------------------------------------------------

# flags.mk says how to compile and link against what was found. It is made again whenever a package was
# installed or removed, which costs hundredths of a second when nothing is missing.
NO_DEPS_GOALS := help clean deps format model test-compose test-bare
ifneq ($(filter-out $(NO_DEPS_GOALS),$(or $(MAKECMDGOALS),all)),)
include build/deps/flags.mk
endif

build/deps/flags.mk: deploy/deps.sh $(wildcard /var/lib/dpkg/status)
	@sh deploy/deps.sh build

.PHONY: deps
deps:
	@sh deploy/deps.sh all

# --- compiling and linking ------------------------------------------------------------------------------

ifeq ($(V),0)
show = @printf '  %-5s %s\n' '$(1)' '$(2)';
endif

# Objects are made again when the compiler or its flags change, not only when sources do.
$(O)/flags.stamp: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS)' >$@.$$$$; \
	if cmp -s $@.$$$$ $@; then rm -f $@.$$$$; else mv $@.$$$$ $@; fi
.PHONY: FORCE
FORCE:

# Debian's own python3, which has Debian's python3-yaml; another one on the path may not. Several makes may be at it.
$(REFERENCE): docs/openapi.yaml docs/reference.py | build/deps/flags.mk
	@mkdir -p $(@D)
	$(call show,GEN,$@)/usr/bin/python3 docs/reference.py $< $@.$$$$ && mv $@.$$$$ $@

$(CONSOLE): gateway/console.py $(CONSOLE_FILES) | build/deps/flags.mk
	@mkdir -p $(@D)
	$(call show,GEN,$@)/usr/bin/python3 $< console $@.$$$$ && mv $@.$$$$ $@

# The script as bytes: C's strings need not be so long.
$(SCRIPT): authsvc/shared.lua
	@mkdir -p $(@D)
	$(call show,GEN,$@){ echo 'extern const char shared_script[];'; echo 'const char shared_script[] = {'; \
	od -An -v -tx1 $< | sed 's/ \([0-9a-f]*\)/0x\1,/g'; echo '0};'; } >$@.$$$$ && mv $@.$$$$ $@

$(O)/obj/%.o: %.c $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call show,CC,$@)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(ALL_OBJ:.o=.d)

# A shared library that this Debian does not have travels with the programs, in lib/ beside bin/.
CARRIED := $(if $(DEPS_CARRIED),$(O)/lib/$(notdir $(DEPS_CARRIED)))
ifneq ($(CARRIED),)
$(CARRIED): $(DEPS_CARRIED)
	@mkdir -p $(@D)
	@cp -L $< $@
endif

# $(1): where lib/ is, seen from the program
find_lib = $(if $(CARRIED),-Wl$(comma)-rpath$(comma)'$$ORIGIN/$(1)')
comma := ,
define LINK
@mkdir -p $(@D)
$(call show,LD,$@)$(CC) $(LDFLAGS) $(2) $(call find_lib,$(1)) -o $@ $(filter %.o,$^) $(LDLIBS) $(3)
endef

$(BINS): $(CARRIED)
$(BINS):
	$(call LINK,../lib)

define PROGRAM
$(O)/bin/$(1): $(call objects,$(2))
endef
$(foreach s,$(SERVICES),$(eval $(call PROGRAM,$(s),$(CHASSIS_SRC) $($(s)_SRC))))
$(eval $(call PROGRAM,openai-router,$(CHASSIS_SRC) $(ALL_PARTS_SRC) $(LAUNCHER_SRC)))
$(eval $(call PROGRAM,routerctl,$(CHASSIS_SRC) $(routerctl_SRC)))
$(eval $(call PROGRAM,fake-upstream,$(UPSTREAM_SRC)))
$(eval $(call PROGRAM,loadgen,$(LOADGEN_SRC)))
$(eval $(call PROGRAM,busbench,$(CHASSIS_SRC) $(BUSBENCH_SRC)))
$(eval $(call PROGRAM,meterbench,$(CHASSIS_SRC) $(call without_main,$(meterd_SRC)) $(METERBENCH_SRC)))
$(eval $(call PROGRAM,moneyprobe,$(CHASSIS_SRC) $(MONEYPROBE_SRC)))
$(eval $(call PROGRAM,busprobe,$(CHASSIS_SRC) $(BUSPROBE_SRC)))
$(eval $(call PROGRAM,ledgersim,meterd/ledger_step.c $(LEDGERSIM_SRC)))

UNIT_COMMON := $(call objects,$(CHASSIS_SRC) $(PARTS_SRC) $(UNIT_LIB_SRC))
$(UNIT_BINS): $(O)/tests/unit/%: $(O)/obj/tests/unit/%.o $(UNIT_COMMON) $(CARRIED)
	$(call LINK,../../lib,,-lcmocka)

# It lets our own allocations fail; the libraries' are their own.
$(O)/tests/unit/test_store_memory: private LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

$(FUZZ_BINS): $(O)/%: $(O)/obj/tests/fuzz/%.o $(call objects,$(CHASSIS_SRC) $(PARTS_SRC) tests/lib/translating.c) $(CARRIED)
	$(call LINK,lib)

# Objects that only a pattern mentions would be deleted as intermediate.
.SECONDARY: $(ALL_OBJ)

# --- running --------------------------------------------------------------------------------------------

.PHONY: run demo
run: $(O)/bin/openai-router $(O)/bin/routerctl
	@BIN_DIR=$(O)/bin exec sh cli/run.sh

demo: $(O)/bin/openai-router $(O)/bin/routerctl
	@BIN_DIR=$(O)/bin sh cli/demo.sh

# --- tests ----------------------------------------------------------------------------------------------
# Every suite ends with a line "N passed, N failed, N skipped"; tests/sum.sh adds them up.

T ?=
S ?= 20
SEEDS ?= 2000
SIM = $(O)/bin/ledgersim --seeds $(SEEDS) --mutants 2000
UNIT_WANTED = $(if $(T),$(filter $(addprefix %/test_,$(T)),$(UNIT_BINS)),$(UNIT_BINS))
FUZZ_WANTED = $(if $(T),$(filter %/fuzz_$(T),$(FUZZ_BINS)),$(FUZZ_BINS))

.PHONY: deps-test
deps-test: | build/deps/flags.mk
	@sh deploy/deps.sh test
$(call objects,$(UNIT_SRC) $(UNIT_LIB_SRC)): | deps-test

.PHONY: check-unit check-property check-integration unit-bins sim test check
unit-bins: $(UNIT_WANTED)

check-unit: $(UNIT_WANTED)
	@tests/run-unit.sh $^

# Arithmetic against exact fractions in another language. PROPERTY_CASES=10000000 for ten times as many.
check-property: $(O)/bin/moneyprobe
	@python3 tests/property/money.py $<

# The ledger against chance: SEEDS runs and every error put in on purpose, or with SEED=n that run, told step by step.
sim: $(O)/bin/ledgersim
	@$(if $(SEED),$(O)/bin/ledgersim --seed $(SEED),$(SIM))

check-integration: all | deps-test
	@BIN_DIR=$(CURDIR)/$(O)/bin tests/run-integration.sh

# The sum line is the last thing that test prints.
test: all $(UNIT_BINS) | deps-test
	@tests/sum.sh 'tests/run-unit.sh $(UNIT_BINS)' '$(SIM)' 'tests/upstream/selftest.sh $(O)/bin' \
		'python3 tests/property/money.py $(O)/bin/moneyprobe' \
		'BIN_DIR=$(CURDIR)/$(O)/bin tests/run-integration.sh'
check: test

# The thread sanitizer sees one mode only, for time: in four processes every service's start and end has its own.
MODES_tsan := MODES=processes

.PHONY: check-asan check-tsan check-sanitized
check-asan check-tsan: check-%:
	@$(MAKE) --no-print-directory FLAVOR=$* check-sanitized

check-sanitized: all $(UNIT_WANTED) | deps-test
	@tests/run-sanitized.sh $(FLAVOR) 'tests/run-unit.sh $(UNIT_WANTED)' \
		'$(MODES_$(FLAVOR)) FLAVOR=$(FLAVOR) BIN_DIR=$(CURDIR)/$(O)/bin tests/run-integration.sh'

# What the suites of .ci/run compile first, for one that has time before them. T: the thread sanitizer's units.
.PHONY: ahead
ahead: | deps-test
	@sh deploy/deps.sh fuzz
	@$(MAKE) --no-print-directory FLAVOR=asan T= all unit-bins
	@$(MAKE) --no-print-directory FLAVOR=tsan all unit-bins
	@$(MAKE) --no-print-directory FLAVOR=fuzz T= fuzz-bins
	@echo '3 passed, 0 failed, 0 skipped'

.PHONY: fuzz fuzz-bins
ifeq ($(FLAVOR),fuzz)
fuzz-bins: $(FUZZ_WANTED)
fuzz: fuzz-bins
	@tests/run-fuzz.sh $(S) $(FUZZ_WANTED)
else
fuzz:
	@sh deploy/deps.sh fuzz
	@$(MAKE) --no-print-directory FLAVOR=fuzz fuzz
endif

# The web console in a real browser; T=shell for tests/console/shell.test.js alone.
.PHONY: test-console
test-console: $(O)/bin/openai-router
	@sh deploy/deps.sh console
	@BIN_DIR=$(CURDIR)/$(O)/bin tests/console/run.sh $(T)

# KILLS, SEED, TRANSPORT; FAULTS: docs/testing.md.
.PHONY: chaos model
chaos: all | deps-test
	@BIN_DIR=$(CURDIR)/$(O)/bin tests/chaos/chaos.py

model:
	@sh deploy/deps.sh model
	@tests/model/run.sh

.PHONY: bench test-compose test-bare
bench: all
	@sh deploy/deps.sh bench
	@BIN_DIR=$(CURDIR)/$(O)/bin tests/bench/run.sh

test-compose:
	@tests/compose/run.sh

SUITE ?= bookworm
test-bare:
	@tests/bare/run.sh $(SUITE)

# --- lint -----------------------------------------------------------------------------------------------

LINT_SRC := $(filter-out $(REFERENCE) $(CONSOLE) $(SCRIPT),$(sort $(patsubst $(O)/obj/%.o,%.c,$(ALL_OBJ))))
HEADERS := $(sort $(shell find $(wildcard proto services $(SERVICES) cli tests) -name '*.h'))
TIDY := $(LINT_SRC:%.c=$(O)/lint/%.tidy)
ALONE := $(HEADERS:%=$(O)/lint/%.alone)

.PHONY: lint lint-tidy lint-alone format
lint: | deps-test
	@sh deploy/deps.sh lint
	@tests/lint/run.sh

# One stamp a file: only what changed, or includes something that changed, is looked at again.
lint-tidy: $(TIDY)
$(TIDY): $(O)/lint/%.tidy: %.c $(O)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call show,TIDY,$<)clang-tidy --quiet $< -- $(CPPFLAGS) $(filter-out -W% -O%,$(CFLAGS)) 2>$@.err || \
		{ cat $@.err; rm -f $@.err; exit 1; }
	@rm -f $@.err; touch $@

lint-alone: $(ALONE)
$(ALONE): $(O)/lint/%.alone: % $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call show,ALONE,$<)printf '#include "%s"\ntypedef int header_stands_alone;\n' $< | \
		$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MT $@ -MF $@.d -fsyntax-only -x c -
	@touch $@
-include $(ALONE:=.d)

format:
	@sh deploy/deps.sh lint
	clang-format -i $(LINT_SRC) $(HEADERS)

# --- the rest -------------------------------------------------------------------------------------------

.PHONY: clean help
clean:
	rm -rf $(filter-out build/deps build/docker build/compat,$(wildcard build/*))

help:
	@echo 'make               build all programs into build/bin (CC=clang, FLAVOR=clang|asan|tsan, V=1 shows commands)'
	@echo 'make run           build and start the router: all four services in one process'
	@echo 'make demo          a first call with its bill, without any key'
	@echo 'make test          unit and integration tests'
	@echo 'make check-unit    unit tests only; T=name for one file, PARTS="authsvc" to link only those services'
	@echo 'make check-property   money against exact fractions; PROPERTY_CASES=10000000 for more'
	@echo 'make sim           the ledger simulator over SEEDS seeds (SEEDS=2000); SEED=n replays one, step by step'
	@echo 'make check-integration   integration tests only'
	@echo 'make test-console  the web console in a real browser; T=name for one file'
	@echo 'make check-asan    unit and integration tests under address and undefined behaviour sanitizers'
	@echo 'make check-tsan    the same under the thread sanitizer'
	@echo 'make lint          format, clang-tidy, cppcheck and the rules of this house'
	@echo 'make format        apply clang-format'
	@echo 'make fuzz          every fuzz target for S seconds each (S=20); T=name for one'
	@echo 'make chaos         kill -9 of random services under load, then every bill is compared (KILLS=300, SEED=n)'
	@echo 'make model         the protocol of the bill, proved over every order of events, with mutants (FAULTS=2)'
	@echo 'make bench         speed and cost, beside a plain reverse proxy'
	@echo 'make test-compose  image and compose file on a Docker engine'
	@echo 'make test-bare     clone, build and demo in a bare Debian (SUITE=bookworm or trixie)'
	@echo 'make deps          install everything the targets above need (each also does so for itself)'
	@echo 'make clean         remove what was built; the downloaded dependencies stay'
